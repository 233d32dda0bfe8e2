/** What is said of several models: a line when each is done, one table at the end. */
import type { AuditDocument } from '../../audit/document.js';
import type { DiffDocument } from '../../diff/document.js';
import type { EvaluationDocument } from '../../evaluate/document.js';
import type { ModelDocument } from '../../inspect.js';
import type { ConvertDocument } from '../../node/convert-file.js';
import { noticeLines } from '../../report/notices.js';
import { onWhoseWord, verdictWord } from '../../report/verdict.js';
import type { Report } from '../../verify/report.js';
import { colour, errColour, formatBytes, formatCount, formatTime, safeText, table, type Voice } from '../print.js';
import type { BatchDocument, JobDocument, JobStatus } from './document.js';

type Printed = ConvertDocument | ModelDocument | AuditDocument | DiffDocument | EvaluationDocument | Report;

const PAINT: Readonly<Record<JobStatus, 'green' | 'yellow' | 'red' | 'dim'>> = { done: 'green', different: 'yellow', failed: 'red', skipped: 'dim' };

/** The line that is told when one is done, with what it warned of and what is worth telling beside. */
export function tellJob(voice: Voice, job: JobDocument, done: number, total: number): void {
  const { status, elapsedMs, warnings, error } = job;
  const facts = [titleOf(job), job.output === null ? '' : `-> ${job.output}`, resultOf(job).result, formatTime(elapsedMs)].filter((fact) => fact !== '');
  voice.tell(`${errColour[PAINT[status]](`${done} of ${total}`)}   ${safeText(facts.join('   '))}`);
  for (const note of usualNotes(job)) voice.tell(errColour.dim(safeText(`${titleOf(job)}: ${note}`)));
  for (const warning of warnings) voice.warn(`${titleOf(job)}: ${warning}`);
  if (error) voice.fail(named(error.message, job));
}

export function printBatch(voice: Voice, { jobs, totals, elapsedMs }: BatchDocument): void {
  const hasNames = jobs.some(({ name }) => name !== null);
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = [{ title: hasNames ? 'job' : '' }, { title: 'model' }, { title: 'output' }, right('size'), right('time'), { title: 'result', wraps: true }];
  const rows = jobs.map((job) => {
    const { size, result } = resultOf(job);
    return [job.name ?? '', job.models.join(' '), job.output ?? '', size, job.exitCode === null ? '' : formatTime(job.elapsedMs), result];
  });
  voice.say(table(columns, rows));
  const counts = (Object.keys(totals) as JobStatus[])
    .filter((status) => totals[status] > 0)
    .map((status) => colour[PAINT[status]](`${totals[status]} ${status}`));
  voice.say(`\n${jobs.length} ${jobs.length === 1 ? 'job' : 'jobs'}: ${counts.join(', ')}   ${formatTime(elapsedMs)}`);
}

/** What its document notes and its process, being quiet, did not tell. */
function usualNotes({ document }: JobDocument): readonly string[] {
  const { warnings, assumed } = (document ?? {}) as Partial<ConvertDocument>;
  const usual = Array.isArray(warnings) ? noticeLines(warnings).flatMap(({ message, isUsual }) => (isUsual ? [message] : [])) : [];
  return [...(Array.isArray(assumed) ? assumed.map((sentence) => `assumed: ${sentence}`) : []), ...usual];
}

function titleOf({ name, models }: JobDocument): string {
  return name ?? models.join(' ');
}

/** The message, with the model in front where it does not say which it is about. */
function named(message: string, job: JobDocument): string {
  return job.models.some((model) => message.includes(model)) ? message : `${titleOf(job)}: ${message}`;
}

function resultOf({ status, document }: JobDocument): { readonly size: string; readonly result: string } {
  const printed = document as Printed | null;
  if (status === 'failed' || status === 'skipped' || printed === null) return { size: '', result: status };
  return describe(printed) ?? { size: '', result: status };
}

/** The verdict, and on whose word it rests. */
function judged(report: Report): string {
  return `${verdictWord(report)} (${onWhoseWord(report)})`;
}

function describe(printed: Printed): { readonly size: string; readonly result: string } | null {
  if ('target' in printed && 'files' in printed) {
    const { target, report } = printed as ConvertDocument;
    return { size: formatBytes(target.byteLength), result: report ? judged(report) : 'not verified' };
  }
  if (printed.schema === 'weighbridge/layer-map@1') {
    const { format, architecture, parameterCount, byteLength } = printed;
    const facts = [format, architecture?.name ?? '', `${formatCount(parameterCount)} parameters`];
    return { size: formatBytes(byteLength), result: facts.filter((fact) => fact !== '').join(', ') };
  }
  if (printed.schema === 'weighbridge/audit@1') {
    const serious = printed.findings.filter(({ severity }) => severity !== 'note').length;
    return { size: '', result: serious === 0 ? printed.verdict : `${printed.verdict}: ${serious} ${serious === 1 ? 'finding' : 'findings'}` };
  }
  if (printed.schema === 'weighbridge/report@1') return { size: '', result: judged(printed) };
  if (printed.schema === 'weighbridge/diff@1') return { size: '', result: printed.verdict.sentence };
  return null;
}
