/** `weighbridge shrink`: convert with narrower weights, and a table of what that saved and what it cost. */
import { basename } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { memorySink } from '../../bytes/byte-sink.js';
import { chooseWriter } from '../../convert.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { isGood } from '../../report/verdict.js';
import type { Better } from '../../shrink/index.js';
import type { WeightReport } from '../../verify/report.js';
import { type Agreement, loadedForm, type ShrinkTotals, totalsOf, worstAgreement } from '../../verify/savings.js';
import type { AnyWriter } from '../../writers/index.js';
import type { ConvertDocument } from '../convert-document.js';
import { addEditOptions } from '../edits.js';
import { recordOptions } from '../given.js';
import { areSeveral, OUTPUT_OPTIONS } from '../many/conversions.js';
import { addManyOptions, type ManyFlags } from '../many/index.js';
import { addSourceOptions, parseBytes, parseShare, parseWhole } from '../options.js';
import { colour, formatBytes, formatNumber, makeVoice, safeText, table } from '../print.js';
import type { Progress } from '../progress.js';
import { type ConvertFlags, compressOption, convertMany, outputOption, runConvert, withOutput } from './convert.js';
import { addVerifyOptions, readGiven } from './verify.js';

export interface ShrinkFlags extends ConvertFlags {
  readonly step?: number;
  readonly block?: number;
  readonly palette?: number;
  readonly method?: 'round' | 'best';
  readonly count?: 'disk' | 'wire' | 'memory';
  readonly budget?: number;
  readonly minAgreement?: number;
}

/** What `shrink --json` prints. */
export interface ShrinkDocument extends Omit<ConvertDocument, 'schema'> {
  readonly schema: 'weighbridge/shrink@1';
  readonly weights: readonly WeightReport[];
  readonly totals: ShrinkTotals;
  /** Null where no limit was given. */
  readonly budget: { readonly byteLength: number; readonly count: 'disk' | 'wire' | 'memory'; readonly taken: number; readonly met: boolean } | null;
  /** Null where the output is no list of classes, or nothing was run. */
  readonly agreement: (Agreement & { readonly minimum: number | null; readonly met: boolean }) | null;
}

const FOUR_BIT_NAMES: Readonly<Record<string, 'int4' | 'uint4'>> = { int4: 'int4', i4: 'int4', q4: 'int4', uint4: 'uint4', u4: 'uint4' };
/** The opset that codes of 4 bits came with. */
const FOUR_BITS_OPSET = 21;

const COUNTED = { disk: 'on disk', wire: 'on the wire', memory: 'after loading' } as const;

/** Formats whose files are cut into small ones. */
const IN_SHARDS = /^(tfjs|safetensors)/;
const SHARDS_HINT = 'where it is each file that must stay below a size: TensorFlow.js models come in shards of 4 MiB, safetensors in those of --shard-size';

/** What each target is shrunk to when nothing is said: the smallest that keeps most nets' predictions. */
const DEFAULT_DTYPES: Readonly<Record<string, string>> = { onnx: 'int8', tfjs: 'uint8', 'tfjs-graph': 'uint8', safetensors: 'float16', npz: 'float16' };

export function registerShrink(program: Command): Command {
  const command = program
    .command('shrink <models...>')
    .description('convert with narrower weights, and show layer by layer what it saved and what it cost')
    .addOption(outputOption())
    .addOption(new Option('--to <format>', 'target format (see: weighbridge formats)'))
    .addOption(
      new Option(
        '--dtype <dtype>',
        'dtype of the large weights; when left out int8 for ONNX, uint8 for TensorFlow.js, float16 for others; ONNX has int4 and uint4 too',
      ),
    )
    .addOption(
      new Option(
        '--step <deviations>',
        'ONNX, TensorFlow.js: codes of 8 bits in wide steps, of so many standard deviations of a weight (0.7, say): few levels, which --compress gzip makes small',
      ).argParser(parseStep),
    )
    .addOption(new Option('--block <values>', 'int4, uint4: values that share a scale, at most').argParser(parseBlock).default(undefined, '32'))
    .addOption(
      new Option('--palette <values>', 'ONNX: each weight is one of so many values, 2 to 256, which are chosen so that it loses least').argParser(parsePalette),
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
    .addOption(
      new Option(
        '--method <how>',
        'ONNX, TensorFlow.js: best works codes out on half of the inputs (--inputs, --golden), where the other half says that they are better than rounding',
      )
        .choices(['round', 'best'])
        .default('round'),
    )
    .addOption(
      new Option(
        '--budget <size>',
        'most that the output may take, such as 60MB; what each weight becomes is searched for, and where it cannot be met the exit code is 1',
      ).argParser(parseBytes),
    )
    .addOption(new Option('--count <what>', 'bytes that the budget is about; wire means --compress gzip').choices(['disk', 'wire', 'memory']).default('disk'))
    .addOption(
      new Option(
        '--min-agreement <share>',
        'least share of inputs with the same top class, such as 0.99: the smallest net that keeps it is searched for; else the exit code is 1',
      ).argParser(parseShare),
    )
    .addOption(compressOption())
    .option('--force', 'overwrite existing output');
  addEditOptions(command);
  addSourceOptions(command);
  addVerifyOptions(command);
  const given = recordOptions(command, OUTPUT_OPTIONS);
  addManyOptions(command);
  return command.action(async (models: readonly string[], all: ShrinkFlags & ManyFlags) => {
    if (areSeveral(models)) return convertMany('shrink', models, all, given());
    const [path] = models;
    await withOutput(path!, all, (output) => shrinkOne(path!, { ...all, output }));
  });
}

async function shrinkOne(path: string, flags: ShrinkFlags): Promise<void> {
  const voice = makeVoice(flags);
  if (flags.output === '-') throw new ModelError('usage', 'what was shrunk is read back and judged, so it needs a path: stdout will not do.');
  const writer = chooseWriter(basename(flags.output), flags.to);
  if (flags.minAgreement !== undefined && writer.carries === 'weights') {
    throw new ModelError('usage', `--min-agreement is about predictions, and ${writer.title} files hold weights without wiring.`);
  }
  const rewrite = (await bySearch(writer, flags)) ?? (await toFour(writer, flags)) ?? (await toPalettes(writer, flags)) ?? (await byStep(writer, flags));
  const dtype = rewrite ? undefined : (flags.dtype ?? DEFAULT_DTYPES[writer.name]);
  const compress = flags.compress ?? (flags.count === 'wire' && flags.budget !== undefined ? 'gzip' : undefined);
  const document = judge(await runConvert(voice, path, { ...flags, compress, dtype, rewrite, verify: true }), flags);
  if (voice.asJson) voice.json(document);
  else printShrink(voice.say, document);
  if (!document.report || !isGood(document.report) || document.budget?.met === false || document.agreement?.met === false) process.exitCode = 1;
}

/** Undefined where codes of 4 bits are not asked for. @throws ModelError 'usage' where they cannot be had */
async function toFour(writer: AnyWriter, { dtype, block, opset, step, method }: ShrinkFlags): Promise<ConvertFlags['rewrite']> {
  const name = FOUR_BIT_NAMES[dtype?.toLowerCase() ?? ''];
  const refused = (problem: string) => new ModelError('usage', problem);
  if (!name) {
    if (block !== undefined) throw refused('--block is about codes of 4 bits: give --dtype int4 or uint4 with it.');
    return undefined;
  }
  const { DEFAULT_BLOCK, FOUR_BITS, shrinkToFour } = await import('../../shrink/index.js');
  if (!FOUR_BITS.has(writer.name)) throw refused(`${writer.title} files are not written in "${dtype}". Possible: ${writer.dtypes.join(', ')}.`);
  if (opset !== undefined && opset < FOUR_BITS_OPSET)
    throw refused(`${name} came with opset ${FOUR_BITS_OPSET}, and --opset ${opset} is older: leave --opset out, or choose --dtype int8.`);
  if (step !== undefined) throw refused('--dtype and --step both say what weights become: give one of them.');
  if (method === 'best') throw refused(`--method best works out codes of 8 bits, not ${name}: leave one of them out.`);
  return (progress) => async (map) => shrinkToFour(map, name, block ?? DEFAULT_BLOCK, (phase, done, total) => progress.step(phase, done, total));
}

/** Undefined where no palettes are asked for. @throws ModelError 'usage' where they cannot be had */
async function toPalettes(writer: AnyWriter, { dtype, palette, step, method }: ShrinkFlags): Promise<ConvertFlags['rewrite']> {
  if (palette === undefined) return undefined;
  const { PALETTES, shrinkToPalettes } = await import('../../shrink/palettes.js');
  if (!PALETTES.has(writer.name))
    throw new ModelError('usage', `--palette means nothing for ${writer.title} files; ${NO_PALETTES[writer.name] ?? 'they have no such form of weights'}.`);
  const other = dtype !== undefined ? '--dtype' : step !== undefined ? '--step' : method === 'best' ? '--method best' : null;
  if (other) throw new ModelError('usage', `--palette and ${other} both say what weights become: give one of them.`);
  return (progress) => async (map) => shrinkToPalettes(map, palette, (phase, done, total) => progress.step(phase, done, total));
}

const NO_PALETTES: Readonly<Record<string, string>> = {
  tfjs: 'its layers have no gather among their weights: --step makes weights as small on the wire',
  'tfjs-graph': 'TensorFlow.js would look every weight up again for each prediction: --step makes weights as small on the wire',
};

/** Undefined where neither a step nor a method is asked for. @throws ModelError 'usage' where the target keeps no codes, or a dtype is asked for as well */
async function byStep(writer: AnyWriter, flags: ShrinkFlags): Promise<ConvertFlags['rewrite']> {
  const { dtype, step } = flags;
  const isBest = flags.method === 'best';
  if (step === undefined && !isBest) return undefined;
  const { CODE_FORMS, shrinkByStep } = await import('../../shrink/index.js');
  const form = CODE_FORMS[writer.name];
  const option = step === undefined ? '--method best' : '--step';
  if (!form)
    throw new ModelError('usage', `${option} means nothing for ${writer.title} files, which keep no codes; it is for ${Object.keys(CODE_FORMS).join(', ')}.`);
  if (dtype !== undefined && !(step === undefined && dtype === DEFAULT_DTYPES[writer.name]))
    throw new ModelError('usage', `--dtype and ${option} both say what weights become: give one of them.`);
  return (progress) => async (map) => shrinkByStep(map, form, step ?? 'full', await better(flags, progress, map));
}

/** @throws ModelError 'usage' where there are no inputs to work codes out with */
async function better(flags: ShrinkFlags, progress: Progress, map: LayerMap): Promise<Better> {
  const onProgress: Better['onProgress'] = (phase, done, total) => progress.step(phase, done, total);
  if (flags.method !== 'best') return { inputs: null, onProgress };
  const inputs = await readGiven(flags, progress, map);
  if (!inputs)
    throw new ModelError('usage', '--method best works codes out on inputs that mean something: give --inputs (arrays or a folder of pictures) or --golden.');
  return { inputs, onProgress };
}

/** Undefined where nothing is searched for: no limit, a dtype that was asked for, a target without codes, or no inputs to measure agreement on. */
async function bySearch(writer: AnyWriter, flags: ShrinkFlags): Promise<ConvertFlags['rewrite']> {
  const { budget, count, minAgreement, dtype } = flags;
  const { CODE_FORMS, FOUR_BITS, shrinkBySearch } = await import('../../shrink/index.js');
  const form = CODE_FORMS[writer.name];
  // Nothing but fewer layers makes a net smaller in memory: runtimes widen weights when they load them.
  const limit = budget === undefined || count === 'memory' ? null : { byteLength: budget, count: count ?? 'disk' };
  if (!form || dtype !== undefined || flags.step !== undefined || flags.palette !== undefined || (limit === null && minAgreement === undefined))
    return undefined;
  if (limit === null && flags.inputs === undefined && flags.golden === undefined) return undefined;
  return (progress) => async (map) => {
    const inputs = await readGiven(flags, progress, map);
    return shrinkBySearch(map, {
      form,
      fours: FOUR_BITS.has(writer.name) && (flags.opset ?? FOUR_BITS_OPSET) >= FOUR_BITS_OPSET,
      budget: limit,
      minAgreement: minAgreement ?? null,
      ...(limit?.count === 'disk' ? { measure: (net: LayerMap) => writtenBytes(writer, net, flags) } : {}),
      inputs,
      onProgress: (phase, done, total) => progress.step(phase, done, total),
    });
  };
}

/** What is recorded beside a net: versions, names and hashes of its source. */
const METADATA_BYTES = 1024;

/** Bytes that a net takes as the target writes it. */
async function writtenBytes(writer: AnyWriter, map: LayerMap, { output, layout, opset, externalData }: ShrinkFlags): Promise<number> {
  if (writer.carries !== 'model') return 0;
  const sink = memorySink();
  await writer.write({ ...map, source: undefined }, sink, basename(output), {
    dtype: 'source',
    layout: layout ?? 'source',
    opset,
    externalData,
    metadata: async () => ({}),
  });
  const files = await sink.commit();
  return files.reduce((sum, { byteLength }) => sum + byteLength, METADATA_BYTES);
}

function judge(converted: ConvertDocument, { budget, count, minAgreement }: ShrinkFlags): ShrinkDocument {
  const weights = converted.report?.weights?.tensors ?? [];
  const agreement = converted.report && worstAgreement(converted.report);
  if (minAgreement !== undefined && !agreement) {
    throw new ModelError('usage', 'no output of this model is a list of classes, so --min-agreement has nothing to judge. The output was written.');
  }
  const totals = totalsOf(converted, weights);
  const taken = count === 'memory' ? (totals.loaded?.after ?? totals.onDisk.after) : count === 'wire' ? totals.onWire.after : totals.onDisk.after;
  return {
    ...converted,
    schema: 'weighbridge/shrink@1',
    weights,
    totals,
    budget: budget === undefined ? null : { byteLength: budget, count: count ?? 'disk', taken, met: taken <= budget },
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
    const near = budget.met ? '' : `, by ${(100 * (budget.taken / budget.byteLength - 1)).toFixed(1)} %`;
    say(`budget         ${formatBytes(budget.byteLength)} ${COUNTED[budget.count]}: ${budget.met ? colour.green('met') : colour.red('not met')}${near}`);
    if (!budget.met && budget.count === 'disk' && !IN_SHARDS.test(target.format)) say(`               ${SHARDS_HINT}`);
  }
}

function parseStep(text: string): number {
  const step = Number(text);
  if (!(step > 0 && step <= 4)) throw new InvalidArgumentError('a number of standard deviations is expected, from 0.02 to 4, such as 0.7.');
  return step;
}

function parseBlock(text: string): number {
  const block = Number(text);
  if (!(Number.isInteger(block) && block >= 2 && block <= 4096)) throw new InvalidArgumentError('a number of values is expected, from 2 to 4096, such as 32.');
  return block;
}

function parsePalette(text: string): number {
  const size = Number(text);
  if (!(Number.isInteger(size) && size >= 2 && size <= 256)) throw new InvalidArgumentError('a number of values is expected, from 2 to 256, such as 16.');
  return size;
}
