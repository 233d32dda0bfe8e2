/** `weighbridge convert`: one model in, one out, verified. */
import { basename, dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { type ConvertResult, chooseWriter } from '../../convert.js';
import { ModelError } from '../../errors.js';
import type { DTypeName } from '../../model/dtype.js';
import { type Compression, compressWritten, SUFFIX } from '../../node/compress.js';
import {
  type ConvertDocument,
  type ConvertFileOptions,
  convertOpened,
  describeConversion,
  parameterCountOf,
  sourceDTypesOf,
  storedDTypeOf,
  totalBytes,
} from '../../node/convert-file.js';
import { companionsOf, openFiles } from '../../node/open-files.js';
import { shownName } from '../../node/remote/location.js';
import type { ShrinkPlan } from '../../node/shrink-file.js';
import { isGood } from '../../report/verdict.js';
import { writers } from '../../writers/index.js';
import type { TargetName } from '../../writers/writer.js';
import { addEditOptions, type EditFlags } from '../edits.js';
import { commandHost } from '../engine-host.js';
import { recordOptions } from '../given.js';
import { frameworkOf } from '../golden/frameworks.js';
import { namedFlags, OUTPUT_OPTIONS, outputOf, planConversions } from '../many/conversions.js';
import { runMany } from '../many/index.js';
import { addManyOptions, areSeveral, type ManyFlags } from '../many/options.js';
import { checkOutputs, makeFolders } from '../many/outputs.js';
import { printNotices } from '../notices.js';
import { addSourceOptions, type CommonFlags, modelsNamed, parseBytes, parseWhole, type SourceFlags } from '../options.js';
import { errColour, formatBytes, formatCount, formatTime, makeVoice, safeText, type Voice } from '../print.js';
import { printReport } from '../print-report.js';
import { startProgress, watching } from '../progress.js';
import { planReports } from '../report-files.js';
import { addVerifyOptions, isKept, type VerifyFlags } from './verify.js';

export interface ConvertFlags extends CommonFlags, SourceFlags, EditFlags, VerifyFlags {
  /** Set by then: the command works it out where it was left out. */
  readonly output: string;
  readonly to?: TargetName;
  readonly dtype?: DTypeName;
  readonly layout?: 'source' | 'nchw' | 'nhwc';
  readonly opset?: number;
  readonly externalData?: boolean;
  readonly float16Compute?: boolean;
  readonly names?: 'source' | 'canonical';
  readonly shardSize?: number;
  readonly force?: boolean;
  readonly compress?: Compression | 'none';
  /** What `shrink` puts in place of the net's weights. */
  readonly rewrite?: ShrinkPlan['rewrite'];
  /** False with --no-verify. */
  readonly verify: boolean;
}

export function registerConvert(program: Command): Command {
  const command = program
    .command('convert <models...>')
    .description('convert models, then prove that the results predict the same')
    .addOption(outputOption("'-' for stdout"))
    .addOption(new Option('--to <format>', `target format: ${writers.map(({ name }) => name).join(', ')}`))
    .addOption(
      new Option(
        '--dtype <dtype>',
        'dtype of the stored weights: float32, float16 (fp16, half), bfloat16 (bf16), float64, int8 (q8), uint8 or uint16, as the target has it; the source keeps its own when left out',
      ),
    )
    .addOption(new Option('--layout <layout>', 'axis order of inputs and outputs').choices(['source', 'nchw', 'nhwc']).default('source'))
    .addOption(new Option('--opset <version>', 'ONNX operator set, 13 to 26').argParser(parseWhole))
    .option('--external-data', 'ONNX: weights in a file of their own beside the model')
    .option('--float16-compute', 'ONNX float16: compute in float16 too, not only store')
    .addOption(
      // Without a default: of a format that can hold the net, names ask for its weights alone.
      new Option('--names <names>', "weights alone (safetensors, npz, pytorch): the source's names and layouts, or canonical ones").choices([
        'source',
        'canonical',
      ]),
    )
    .addOption(new Option('--shard-size <size>', 'safetensors, TensorFlow.js: largest file, such as 500MB; larger models become shards').argParser(parseBytes))
    .addOption(compressOption())
    .option('--force', 'overwrite existing output')
    .option('--no-verify', 'only convert: neither run both sides afterwards nor record a hash of the source');
  addEditOptions(command);
  addSourceOptions(command);
  addVerifyOptions(command);
  const given = recordOptions(command, OUTPUT_OPTIONS);
  addManyOptions(command);
  return command.action(async (names: readonly string[], named: ConvertFlags & ManyFlags) => {
    const { models, flags: all } = modelsNamed(names, named);
    if (areSeveral(models, all)) return convertMany('convert', models, all, given());
    const voice = makeVoice(all);
    const [path] = models;
    const flags = namedFlags(all, path!);
    const document = await withOutput(path!, flags, (output) => runConvert(voice, path!, { ...flags, output }));
    if (voice.asJson) voice.json(document);
    if (document.report ? !isGood(document.report) : flags.requireWitness) process.exitCode = 1;
    else if (flags.output !== '-') tellNext(voice, path!, outputOf(path!, flags), document);
  });
}

/** What is known least of: whether anybody but us says that it is right, then what it costs to have it smaller. */
function tellNext(voice: Voice, path: string, output: string, { source, target, report }: ConvertDocument): void {
  const both = [shownName(path), output];
  if (!report) voice.next(['verify', ...both], 'proves that both predict the same');
  else if (!report.witness.independent && frameworkOf(source.format) !== undefined)
    voice.next(['golden', shownName(path), '-o', 'record.py'], 'is a script that records the word of the framework itself, for verify --golden');
  else if (!report.witness.independent)
    voice.next(['verify', ...both, '--golden', 'recorded.npz'], 'takes the word of the framework itself (weighbridge golden)');
  else if (target.format === 'onnx' || target.format === 'tfjs')
    voice.next(['shrink', shownName(path), '--to', target.format, '-o', 'small/'], 'makes it smaller, with what it costs');
  else voice.next(['diff', ...both], 'shows tensor by tensor what became of what');
}

/** @param more what else it may be */
export function outputOption(more?: string): Option {
  const also = more === undefined ? '' : `; ${more}`;
  return new Option(
    '-o, --output <path>',
    `output; its extension chooses the format; with --to a folder (out/), in which several models keep their names${also}`,
  );
}

/** Runs with where the model goes to; a folder that was named for it is made, and taken away again where nothing came to lie in it. */
export async function withOutput<T>(model: string, flags: { readonly output?: string; readonly to?: string }, run: (output: string) => Promise<T>): Promise<T> {
  const output = outputOf(model, flags);
  const removeEmpty = output === flags.output ? () => {} : makeFolders([output]);
  return run(output).finally(removeEmpty);
}

/** @throws ModelError 'usage' before anything is written, where not every model can have an output of its own */
export async function convertMany(name: string, models: readonly string[], flags: ConvertFlags & ManyFlags, given: readonly string[]): Promise<void> {
  const jobs = await planConversions(name, models, flags, given);
  const targets = jobs.map((job) => ({ model: job.models[0]!, output: job.output!, force: flags.force === true }));
  checkOutputs(targets);
  const removeEmpty = makeFolders(targets.map(({ output }) => output));
  await runMany(jobs, flags).finally(removeEmpty);
}

export function compressOption(): Option {
  return new Option('--compress <how>', 'also write the files as they go over the wire, beside them: .gz or .br').choices(['gzip', 'br', 'none']);
}

/** Converts, prints as it goes (unless JSON is asked for) and gives what happened. */
export async function runConvert(voice: Voice, path: string, flags: ConvertFlags): Promise<ConvertDocument> {
  const toStdout = flags.output === '-';
  if (toStdout && flags.to === undefined) throw new ModelError('usage', 'writing to stdout needs --to, because no extension says which format is meant.');
  // stdout carries the model itself, so everything else goes to stderr.
  const say = toStdout ? voice.tell : voice.asJson ? () => {} : voice.say;
  const name = toStdout ? 'model' : basename(flags.output);
  const writer = chooseWriter(name, flags.to);
  if ((flags.report || flags.requireWitness) && (toStdout || !flags.verify)) {
    const option = flags.report ? '--report' : '--require-witness';
    throw new ModelError('usage', `${option} is about the verification, and ${toStdout ? 'a model on stdout is not read back' : '--no-verify leaves it out'}.`);
  }
  const compression = flags.compress === 'none' ? undefined : flags.compress;
  if (compression && toStdout) throw new ModelError('usage', '--compress writes beside the model, and stdout has no such place.');
  const reports = await planReports(flags, [path, flags.output, ...companionsOf(flags)]);
  const progress = startProgress(voice);
  const source = await openFiles(path, { ...flags, ...watching(progress) }).finally(() => progress.clear());
  const options: ConvertFileOptions = {
    ...flags,
    ...watching(progress),
    compress: compression,
    shardBytes: flags.shardSize,
    hashes: isKept(flags),
    host: commandHost(),
  };
  try {
    const conversion = await convertOpened(source, flags.output, options, {
      ...reports.hooks,
      rewrite: flags.rewrite?.((phase, done, total) => progress.step(phase, done, total)),
      onRead: reports.nameClasses,
      onWritten: (result, elapsedMs) => printWritten(voice, say, source.label, flags, result, elapsedMs),
      onRemoved(isBack) {
        progress.stop();
        const before = isBack ? 'what was there before is there again; ' : '';
        voice.tell(errColour.dim(`${flags.output} was removed, because it could not be verified; ${before}--no-verify keeps such files`));
      },
    });
    const { result, report } = conversion;
    const { model, map } = result;
    if (report) {
      progress.stop();
      if (!voice.asJson) printReport(say, report, voice.verbose);
      // The model is written and judged by now; a report that cannot be written is an error, but takes neither back.
      const subject = { expected: source.label, actual: flags.output, architecture: map?.architecture?.name ?? null };
      const written = result.files.map((file) => join(dirname(flags.output), file.name));
      const keep = [path, ...companionsOf(flags), ...(source.files.openedPaths?.() ?? []), ...written];
      await reports.write(voice, report, { subject, model, map, target: { path: flags.output, format: writer.name }, keep });
    } else if (flags.verify && !toStdout) {
      voice.warn(`${writer.title} files cannot be verified yet, so this one was not`);
    }
    const wire = compression
      ? await compressWritten(flags.output, result.files, compression, flags.force === true, (done, total) => progress.bytes('compressing', done, total))
      : [];
    progress.stop();
    if (wire.length > 0)
      say(
        `packed   ${join(dirname(flags.output), basename(flags.output))}${SUFFIX[compression!]}   ${wire.length > 1 ? `${wire.length} files   ` : ''}${formatBytes(totalBytes(wire))}`,
      );
    return await describeConversion(source, flags.output, conversion, wire, voice.asJson && !toStdout);
  } finally {
    progress.stop();
    await source.files.close();
  }
}

function printWritten(voice: Voice, say: (text: string) => void, path: string, flags: ConvertFlags, result: ConvertResult, elapsedMs: number): void {
  const { model, map, edited, writer } = result;
  const layers = map ? `${map.layers.length} layers   ` : '';
  say(
    `read     ${path}   ${model.format}${model.producer ? ` (${safeText(model.producer)})` : ''}   ${layers}${formatCount(parameterCountOf(model))} parameters   ${sourceDTypesOf(model)}`,
  );
  for (const { message } of edited?.changes ?? []) say(`changed  ${safeText(message)}`);
  say(`wrote    ${flags.output}   ${writer.title}   ${formatBytes(totalBytes(result.files))}   ${storedDTypeOf(result)}   ${formatTime(elapsedMs)}`);
  if (map?.architecture) voice.tell(errColour.dim(`recognised as ${map.architecture.name}`));
  for (const sentence of map?.architecture?.assumed ?? []) voice.tell(errColour.dim(`assumed: ${sentence}`));
  printNotices(voice, result.warnings);
}
