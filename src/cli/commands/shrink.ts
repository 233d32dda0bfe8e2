/** `weighbridge shrink`: convert with narrower weights, and a table of what that saved and what it cost. */
import { basename } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { chooseWriter } from '../../convert.js';
import { ModelError } from '../../errors.js';
import { isGood } from '../../report/verdict.js';
import type { WeightReport } from '../../verify/report.js';
import { type Agreement, loadedForm, type ShrinkTotals, totalsOf, worstAgreement } from '../../verify/savings.js';
import type { AnyWriter } from '../../writers/index.js';
import { addEditOptions } from '../edits.js';
import { addSourceOptions, parseBytes, parseShare, parseWhole } from '../options.js';
import { colour, formatBytes, formatNumber, makeVoice, safeText, table } from '../print.js';
import { type ConvertDocument, type ConvertFlags, compressOption, runConvert } from './convert.js';
import { addVerifyOptions } from './verify.js';

export interface ShrinkFlags extends ConvertFlags {
  readonly step?: number;
  readonly budget?: number;
  readonly minAgreement?: number;
}

/** What `shrink --json` prints. */
export interface ShrinkDocument extends Omit<ConvertDocument, 'schema'> {
  readonly schema: 'weighbridge/shrink@1';
  readonly weights: readonly WeightReport[];
  readonly totals: ShrinkTotals;
  /** Null where no limit was given. */
  readonly budget: { readonly byteLength: number; readonly met: boolean } | null;
  /** Null where the output is no list of classes, or nothing was run. */
  readonly agreement: (Agreement & { readonly minimum: number | null; readonly met: boolean }) | null;
}

/** Formats whose files are cut into small ones. */
const IN_SHARDS = /^(tfjs|safetensors)/;
const SHARDS_HINT = 'where it is each file that must stay below a size: TensorFlow.js models come in shards of 4 MiB, safetensors in those of --shard-size';

/** What each target is shrunk to when nothing is said: the smallest that keeps most nets' predictions. */
const DEFAULT_DTYPES: Readonly<Record<string, string>> = { onnx: 'int8', tfjs: 'uint8', 'tfjs-graph': 'uint8', safetensors: 'float16', npz: 'float16' };

export function registerShrink(program: Command): Command {
  const command = program
    .command('shrink <model>')
    .description('convert with narrower weights, and show layer by layer what it saved and what it cost')
    .requiredOption('-o, --output <path>', 'output; its extension chooses the format')
    .addOption(new Option('--to <format>', 'target format (see: weighbridge formats)'))
    .addOption(new Option('--dtype <dtype>', 'dtype of the large weights; when left out int8 for ONNX, uint8 for TensorFlow.js, float16 for others'))
    .addOption(
      new Option(
        '--step <deviations>',
        'ONNX, TensorFlow.js: codes of 8 bits in wide steps, of so many standard deviations of a weight (0.7, say): few levels, which --compress gzip makes small',
      ).argParser(parseStep),
    )
    .addOption(new Option('--layout <layout>', 'axis order of inputs and outputs').choices(['source', 'nchw', 'nhwc']).default('source'))
    .addOption(new Option('--opset <version>', 'ONNX operator set, 13 to 21').argParser(parseWhole))
    .option('--external-data', 'ONNX: weights in a file of their own beside the model')
    .addOption(
      new Option('--names <names>', 'weights-only targets: names and layouts of the source, or canonical ones')
        .choices(['source', 'canonical'])
        .default('source'),
    )
    .addOption(new Option('--shard-size <size>', 'safetensors: largest file').argParser(parseBytes))
    .addOption(new Option('--budget <size>', 'most that the output may take on disk, such as 60MB; else the exit code is 1').argParser(parseBytes))
    .addOption(
      new Option('--min-agreement <share>', 'least share of inputs with the same top class, such as 0.99; else the exit code is 1').argParser(parseShare),
    )
    .addOption(compressOption())
    .option('--force', 'overwrite existing output');
  addEditOptions(command);
  addSourceOptions(command);
  addVerifyOptions(command);
  return command.action(async (path: string, flags: ShrinkFlags) => {
    const voice = makeVoice(flags);
    if (flags.output === '-') throw new ModelError('usage', 'what was shrunk is read back and judged, so it needs a path: stdout will not do.');
    const writer = chooseWriter(basename(flags.output), flags.to);
    if (flags.minAgreement !== undefined && writer.carries === 'weights') {
      throw new ModelError('usage', `--min-agreement is about predictions, and ${writer.title} files hold weights without wiring.`);
    }
    const dtype = flags.step !== undefined ? undefined : (flags.dtype ?? DEFAULT_DTYPES[writer.name]);
    const rewrite = flags.step === undefined ? undefined : await byStep(writer, flags, flags.step);
    const document = judge(await runConvert(voice, path, { ...flags, dtype, rewrite, verify: true }), flags);
    if (voice.asJson) voice.json(document);
    else printShrink(voice.say, document);
    if (!document.report || !isGood(document.report) || document.budget?.met === false || document.agreement?.met === false) process.exitCode = 1;
  });
}

/** @throws ModelError 'usage' where the target keeps no codes, or a dtype is asked for as well */
async function byStep(writer: AnyWriter, { dtype }: ShrinkFlags, step: number): Promise<ConvertFlags['rewrite']> {
  const { CODE_FORMS, shrinkByStep } = await import('../../shrink/index.js');
  const form = CODE_FORMS[writer.name];
  if (!form)
    throw new ModelError('usage', `--step means nothing for ${writer.title} files, which keep no codes; it is for ${Object.keys(CODE_FORMS).join(', ')}.`);
  if (dtype !== undefined) throw new ModelError('usage', '--dtype and --step both say what weights become: give one of them.');
  return (progress) => (map) => shrinkByStep(map, form, step, (done, total) => progress.step('measuring weights', done, total));
}

function judge(converted: ConvertDocument, { budget, minAgreement }: ShrinkFlags): ShrinkDocument {
  const weights = converted.report?.weights?.tensors ?? [];
  const agreement = converted.report && worstAgreement(converted.report);
  if (minAgreement !== undefined && !agreement) {
    throw new ModelError('usage', 'no output of this model is a list of classes, so --min-agreement has nothing to judge. The output was written.');
  }
  return {
    ...converted,
    schema: 'weighbridge/shrink@1',
    weights,
    totals: totalsOf(converted, weights),
    budget: budget === undefined ? null : { byteLength: budget, met: converted.target.byteLength <= budget },
    agreement: agreement && { ...agreement, minimum: minAgreement ?? null, met: agreement.share >= (minAgreement ?? 0) },
  };
}

function printShrink(say: (text: string) => void, document: ShrinkDocument): void {
  const { weights, totals, budget, agreement, target } = document;
  const right = (title: string) => ({ title, align: 'right' as const });
  if (weights.length > 0) {
    const rows = weights.map(({ layer, role, method, dtype, byteLengthBefore, byteLengthAfter, relativeError, maxAbsolute }) => [
      layer,
      // Tensors that were moved by name have no role of their own.
      role.startsWith(layer) ? role.slice(layer.length).replace(/^[./]/, '') : role,
      method === 'rounded' ? `rounded to ${dtype}` : method,
      formatBytes(byteLengthBefore),
      formatBytes(byteLengthAfter),
      relativeError === null ? '?' : formatNumber(relativeError),
      maxAbsolute === null ? '?' : formatNumber(maxAbsolute),
    ]);
    const columns = [{ title: 'layer' }, { title: 'role' }, { title: 'method' }, right('before'), right('after'), right('error (rms)'), right('largest')];
    say(`\n${table(columns, rows)}`);
  }
  say('');
  const factor = totals.onDisk.before / totals.onDisk.after;
  const size = factor >= 1 ? `${factor.toFixed(2)} times smaller` : `${(1 / factor).toFixed(2)} times larger`;
  say(`on disk        ${formatBytes(totals.onDisk.before)} -> ${formatBytes(totals.onDisk.after)}, ${size}`);
  const { wireByteLength } = target;
  say(
    `on the wire    ${formatBytes(totals.onWire.before)} -> ${formatBytes(totals.onWire.after)}${wireByteLength === null ? ' as it is; --compress gzip writes what is sent' : ''}`,
  );
  if (totals.loaded) {
    say(`after loading  ${formatBytes(totals.loaded.before)} -> ${formatBytes(totals.loaded.after)} of weights: ${loadedForm(target.format)}`);
  }
  if (agreement) {
    const verdict = agreement.minimum === null ? '' : `, at least ${agreement.minimum} wanted: ${agreement.met ? colour.green('met') : colour.red('not met')}`;
    say(`top-1          the same for ${agreement.same} of ${agreement.of} inputs (output ${safeText(agreement.output)})${verdict}`);
  }
  if (budget) {
    say(`budget         ${formatBytes(budget.byteLength)}: ${budget.met ? colour.green('met') : colour.red('not met')}`);
    if (!budget.met && !IN_SHARDS.test(target.format)) say(`               ${SHARDS_HINT}`);
  }
}

function parseStep(text: string): number {
  const step = Number(text);
  if (!(step > 0 && step <= 4)) throw new InvalidArgumentError('a number of standard deviations is expected, from 0.02 to 4, such as 0.7.');
  return step;
}
