/** `weighbridge audit`: what a file from a stranger contains that it should not. */
import { type Command, Option } from 'commander';
import { auditFiles } from '../../audit/audit.js';
import { type AuditDocument, RULES, type Severity } from '../../audit/document.js';
import { shownName } from '../../node/remote/location.js';
import { openSource, type RemoteFileOptions } from '../../node/source.js';
import { recordOptions } from '../given.js';
import { addManyOptions, areSeveral, type ManyFlags } from '../many/options.js';
import { addRemoteOptions, type CommonFlags } from '../options.js';
import { colour, formatBytes, makeVoice, safeText, type Voice } from '../print.js';
import { startProgress } from '../progress.js';

interface AuditFlags extends CommonFlags, RemoteFileOptions {
  readonly weights?: boolean;
}

export function registerAudit(program: Command): Command {
  const command = program
    .command('audit <models...>')
    .description('say what a file from a stranger contains that it should not (code, programs, files of yours), without loading it')
    .addOption(new Option('--weights', 'also read every weight, for values that cannot be meant'));
  addRemoteOptions(command);
  const given = recordOptions(command, []);
  return addManyOptions(command).action(async (models: readonly string[], flags: AuditFlags & ManyFlags) => {
    if (areSeveral(models, flags)) return (await import('../many/index.js')).runReadings('audit', models, given(), flags);
    const path = models[0]!;
    const voice = makeVoice(flags);
    const files = await openSource(path, flags, flags.weights !== true);
    const progress = startProgress(voice);
    try {
      const document = await auditFiles(files, { weights: flags.weights, onProgress: (done, total) => progress.bytes('reading weights', done, total) });
      progress.stop();
      if (voice.asJson) voice.json(document);
      else printAudit(voice, document);
      if (document.verdict !== 'clean') process.exitCode = 1;
      else voice.next(['inspect', shownName(path)], 'shows what the model is');
    } finally {
      progress.stop();
      await files.close();
    }
  });
}

const PAINT: Readonly<Record<Severity, (text: string) => string>> = { danger: colour.red, suspect: colour.yellow, note: colour.dim };
const VERDICTS: Readonly<Record<AuditDocument['verdict'], string>> = {
  clean: colour.green('clean: nothing was found that a model should not contain'),
  suspect: colour.yellow('suspect: something was found that a model can do without'),
  dangerous: colour.red('dangerous: something was found that runs code or reads files of yours'),
};

function printAudit(voice: Voice, { model, format, files, findings, verdict }: AuditDocument): void {
  voice.say(`${colour.dim('file'.padEnd(8))} ${safeText(model)}`);
  voice.say(`${colour.dim('format'.padEnd(8))} ${format ?? 'not known'}`);
  const bytes = files.filter(({ name }) => !files.some((other) => name.startsWith(`${other.name}/`))).reduce((sum, file) => sum + file.byteLength, 0);
  voice.say(`${colour.dim('looked'.padEnd(8))} at ${files.length} ${files.length === 1 ? 'file' : 'files and members'}, ${formatBytes(bytes)}`);
  voice.say('');
  for (const { rule, severity, message, file, offset } of findings) {
    voice.say(
      `${PAINT[severity](severity.padEnd(8))} ${safeText(file)}${offset === undefined ? '' : `, byte ${offset}`}: ${safeText(message)} ${colour.dim(`(${rule})`)}`,
    );
    if (severity !== 'note') voice.say(`${''.padEnd(8)} ${RULES[rule].advice}`);
  }
  if (findings.length > 0) voice.say('');
  voice.say(VERDICTS[verdict]);
}
