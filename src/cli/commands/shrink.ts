/** `weighbridge shrink`: convert with narrower weights, and a table of what that saved and what it cost. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ModelError } from '../../errors.js';
import type { SearchRecord } from '../../model/edited.js';
import { shownName } from '../../node/remote/location.js';
import { judgeShrunk, LEAST_STEP, MOST_STEP, planShrink, type ShrinkDocument, type ShrinkLimits } from '../../node/shrink-file.js';
import { COUNTED_WORDS, errorWords } from '../../report/searched.js';
import { isGood } from '../../report/verdict.js';
import { loadedForm } from '../../verify/savings.js';
import { writers } from '../../writers/index.js';
import { addEditOptions } from '../edits.js';
import { recordOptions } from '../given.js';
import { namedFlags, OUTPUT_OPTIONS } from '../many/conversions.js';
import { addManyOptions, areSeveral, type ManyFlags } from '../many/options.js';
import { addSourceOptions, modelsNamed, parseBytes, parseShare, parseWhole } from '../options.js';
import { colour, formatBytes, formatLimit, formatNumber, makeVoice, safeText, table } from '../print.js';
import { type ConvertFlags, compressOption, convertMany, outputOption, runConvert, withOutput } from './convert.js';
import { addVerifyOptions } from './verify.js';

export interface ShrinkFlags extends ConvertFlags, ShrinkLimits {}

/** Formats whose files are cut into small ones. */
const IN_SHARDS = /^(tfjs|safetensors)/;
const SHARDS_HINT =
  'where it is each file that must stay below a size: TensorFlow.js models come in shards of 4 MiB and safetensors of 5 GB, or of --shard-size';

export function registerShrink(program: Command): Command {
  const command = program
    .command('shrink <models...>')
    .description('convert with narrower weights, and show layer by layer what it saved and what it cost')
    .addOption(outputOption())
    .addOption(new Option('--to <format>', `target format: ${writers.map(({ name }) => name).join(', ')}`))
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
      new Option(
        '--svd <energy>',
        "large dense layers become two of lower rank, with such a part of their kernel's sum of squares (0.95, say), where that makes them smaller; what --dtype and the others say comes behind it",
      ).argParser(parseShare),
    )
    .addOption(new Option('--rank <rank>', 'the same with a rank, up to 512').argParser(parseWhole))
    .addOption(
      new Option('--palette <values>', 'ONNX: each weight is one of so many values, 2 to 256, which are chosen so that it loses least').argParser(parsePalette),
    )
    .addOption(new Option('--layout <layout>', 'axis order of inputs and outputs').choices(['source', 'nchw', 'nhwc']).default('source'))
    .addOption(new Option('--opset <version>', 'ONNX operator set, 13 to 26').argParser(parseWhole))
    .option('--external-data', 'ONNX: weights in a file of their own beside the model')
    .addOption(
      new Option('--names <names>', 'weights-only targets: names and layouts of the source, or canonical ones')
        .choices(['source', 'canonical'])
        .default(undefined, 'source'),
    )
    .addOption(new Option('--shard-size <size>', 'safetensors, TensorFlow.js: largest file').argParser(parseBytes))
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
        '--activations <dtype>',
        'ONNX: compute in 8 bits as well (static quantisation, QDQ): ranges of what flows in the net come from --inputs or --golden, kernels are int8, biases int32; --budget and --min-agreement judge the outcome and search for nothing',
      ).choices(['uint8', 'int8']),
    )
    .addOption(
      new Option(
        '--budget <size>',
        'most that the output may take, such as 60MB; what each weight becomes is searched for, and where it cannot be met the exit code is 1',
      ).argParser(parseBudget),
    )
    .addOption(
      new Option('--count <what>', 'bytes that the budget is about; wire means --compress gzip').choices(['disk', 'wire', 'memory']).default(undefined, 'disk'),
    )
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
  return command.action(async (names: readonly string[], named: ShrinkFlags & ManyFlags) => {
    const { models, flags: all } = modelsNamed(names, named);
    if (areSeveral(models, all)) return convertMany('shrink', models, all, given());
    const [path] = models;
    const flags = namedFlags(all, path!);
    await withOutput(path!, flags, (output) => shrinkOne(path!, { ...flags, output }));
  });
}

async function shrinkOne(path: string, flags: ShrinkFlags): Promise<void> {
  const voice = makeVoice(flags);
  if (flags.compress === 'none' && flags.count === 'wire')
    throw new ModelError('usage', '--count wire is about files as they are sent, compressed, and --compress none has none: leave one of them out.');
  const { rewrite, ...planned } = await planShrink(flags.output, { ...flags, compress: flags.compress === 'none' ? undefined : flags.compress });
  const given = { ...flags, ...planned, compress: planned.compress ?? flags.compress, rewrite, verify: true };
  const document = judgeShrunk(await runConvert(voice, path, given), flags);
  if (voice.asJson) voice.json(document);
  else printShrink(voice.say, document);
  if (!document.report || !isGood(document.report) || document.budget?.met === false || document.agreement?.met === false) process.exitCode = 1;
  else voice.next(['evaluate', flags.output, '--data', 'pictures/', '--against', shownName(path)], 'tells what it costs on pictures of yours');
}

function printShrink(say: (text: string) => void, document: ShrinkDocument): void {
  const { weights, totals, budget, agreement, target } = document;
  const right = (title: string) => ({ title, align: 'right' as const });
  if (weights.length > 0) {
    // Steps and zeros of activations are weights to a file, and none to people.
    const shown = weights.filter(({ role, count }) => role !== 'value' || count > 1);
    const rows = shown.map(({ layer, role, method, dtype, byteLengthBefore, byteLengthAfter, relativeError, maxAbsolute }) => [
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
  const search = document.changes.find((change) => change.search)?.search;
  if (search) printSearch(say, search);
  say('');
  const factor = totals.onDisk.before / totals.onDisk.after;
  const size = factor >= 1 ? `${factor.toFixed(2)} times smaller` : `${(1 / factor).toFixed(2)} times larger`;
  say(`on disk        ${formatBytes(totals.onDisk.before)} -> ${formatBytes(totals.onDisk.after)}, ${size}`);
  const { wireByteLength } = target;
  say(
    `on the wire    ${formatBytes(totals.onWire.before)} -> ${formatBytes(totals.onWire.after)}${wireByteLength === null ? ' as it is; --compress gzip writes what is sent' : ''}`,
  );
  if (totals.loaded) {
    say(
      `after loading  ${formatBytes(totals.loaded.before)} -> ${formatBytes(totals.loaded.after)} of weights: ${loadedForm(target.format, target.dtype.split(' ').includes('int32'))}`,
    );
  }
  if (agreement) {
    const verdict = agreement.minimum === null ? '' : `, at least ${agreement.minimum} wanted: ${agreement.met ? colour.green('met') : colour.red('not met')}`;
    say(`top-1          the same for ${agreement.same} of ${agreement.of} inputs (output ${safeText(agreement.output)})${verdict}`);
  }
  if (budget) {
    const near = budget.met ? '' : `, by ${(100 * (budget.taken / budget.byteLength - 1)).toFixed(1)} %`;
    say(`budget         ${formatLimit(budget.byteLength)} ${COUNTED_WORDS[budget.count]}: ${budget.met ? colour.green('met') : colour.red('not met')}${near}`);
    if (!budget.met && budget.count === 'disk' && !IN_SHARDS.test(target.format)) say(`               ${SHARDS_HINT}`);
  }
}

/** From the most bytes to the fewest, with what was chosen marked. */
function printSearch(say: (text: string) => void, { count, ways }: SearchRecord): void {
  const rows = ways.map((way) => [
    way.isChosen ? '>' : '',
    formatBytes(way.bytes),
    errorWords(way),
    way.agreement === null ? '' : `${(100 * way.agreement).toFixed(1)} %`,
    way.levels,
  ]);
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = [
    { title: '' },
    right(COUNTED_WORDS[count]),
    right('error'),
    right('same top-1'),
    { title: 'what weights become (bytes and errors are estimated)', wraps: true },
  ];
  say(`\n${table(columns, rows)}`);
}

function parseStep(text: string): number {
  const step = Number(text);
  if (!(step >= LEAST_STEP && step <= MOST_STEP))
    throw new InvalidArgumentError(`a number of standard deviations is expected, from ${LEAST_STEP} to ${MOST_STEP}, such as 0.7.`);
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

/** Fewer bytes than any model's: '64' was meant to have a unit. */
const LEAST_BUDGET = 1024;

function parseBudget(text: string): number {
  const byteLength = parseBytes(text);
  if (byteLength < LEAST_BUDGET) throw new InvalidArgumentError(`${byteLength} bytes hold no model: say a size with its unit, such as 64MB or 64KB.`);
  return byteLength;
}
