/** What an evaluation found, as a person reads it. */
import type { EvaluationDocument } from '../evaluate/document.js';
import { share } from '../verify/agreement.js';
import { asTheyLie } from '../verify/pictures/index.js';
import { listed, plural } from '../words.js';
import { colour, formatCount, formatTime, safeText, table } from './print.js';

const CONFUSED = 10;
const FAILED = 5;
const PARTS = 50;
const NOTES = 50;

export function printEvaluation(say: (text: string) => void, document: EvaluationDocument): void {
  const { model, against, data, counts, other, confusion, failed, notes, shards, elapsedMs } = document;
  const fact = (name: string, value: string) => say(`${colour.dim(name.padEnd(9))} ${safeText(value)}`);
  fact('model', `${model.path}   ${model.format}   ${model.engine}`);
  if (against) fact('against', `${against.path}   ${against.format}   ${against.engine}`);
  const part =
    shards.length === shards[0]?.of
      ? ''
      : `, part ${listed(
          shards.map(({ index }) => String(index)),
          PARTS,
        )} of ${shards[0]?.of}`;
  fact('data', `${data.path}   ${formatCount(data.pictures)} ${plural(data.pictures, 'picture')}${part}; ${data.prepared}`);
  say('');
  const right = (title: string) => ({ title, align: 'right' as const });
  const rows: string[][] = [];
  const add = (what: string, count: number, of: number) => {
    if (of > 0) rows.push([what, formatCount(count), formatCount(of), percent(count / of), interval(count, of)]);
  };
  add('top-1', counts.top1, counts.labelled);
  add('top-5', counts.top5, counts.labelled);
  if (other) {
    add('top-1 of the other', other.top1, counts.labelled);
    add('top-5 of the other', other.top5, counts.labelled);
    add('the same first', other.agree, counts.pictures);
    add('the same five', other.agreeTop5, counts.pictures);
  }
  if (rows.length > 0) say(table([{ title: '' }, right('count'), right('of'), right('share'), right('95 %')], rows));
  if (confusion.length > 0) {
    const total = confusion.reduce((sum, { count }) => sum + count, 0);
    say(`\n${formatCount(total)} put another class first than ${against ? 'the other net' : 'is right'}, most often:`);
    say(
      table(
        [right('wanted'), right('found'), right('count')],
        confusion.slice(0, CONFUSED).map(({ wanted, found, count }) => [String(wanted), String(found), formatCount(count)]),
      ),
    );
  }
  say('');
  for (const { name, problem } of failed.slice(0, FAILED)) say(`${colour.red('failed')}    ${safeText(name)}: ${safeText(problem)}`);
  if (failed.length > FAILED) say(`${colour.red('failed')}    ${failed.length - FAILED} more`);
  if (counts.turned > 0) fact('note', asTheyLie(counts.turned));
  for (const note of notes.slice(0, NOTES)) fact('note', note);
  if (notes.length > NOTES) fact('note', `${notes.length - NOTES} more`);
  say(
    `${formatCount(counts.pictures)} ${plural(counts.pictures, 'picture')} in ${formatTime(elapsedMs)}, ${(counts.pictures / (elapsedMs / 1000)).toFixed(1)} a second`,
  );
}

/** What was asked for and is not so. */
export function unmet(
  { counts, other }: EvaluationDocument,
  { minTop1, minAgreement }: { readonly minTop1?: number; readonly minAgreement?: number },
): string[] {
  const missed: string[] = [];
  const judge = (what: string, count: number, of: number, least: number | undefined) => {
    if (least !== undefined && !(of > 0 && count / of >= least))
      missed.push(`${what}: ${count} of ${of}${of > 0 ? ` (${percent(count / of)})` : ''}, at least ${percent(least)} wanted`);
  };
  judge('top-1', counts.top1, counts.labelled, minTop1);
  judge('the same class first', other?.agree ?? 0, counts.pictures, minAgreement);
  return missed;
}

function percent(value: number): string {
  return `${(100 * value).toFixed(2)} %`;
}

function interval(count: number, of: number): string {
  const { low, high } = share(count, of);
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
}
