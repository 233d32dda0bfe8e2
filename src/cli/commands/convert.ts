/** `weighbridge convert`: one model in, one out, verified. */
import { statSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import type { WrittenFile } from '../../bytes/byte-sink.js';
import { type ConvertOptions, type ConvertResult, chooseWriter, convert } from '../../convert.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { narrowDType } from '../../model/narrow-form.js';
import { elementCount } from '../../model/tensor.js';
import { type Compression, compressFile, SUFFIX } from '../../node/compress.js';
import { fileSink, fileSource, sha256File } from '../../node/index.js';
import { isGood } from '../../report/verdict.js';
import type { Report } from '../../verify/report.js';
import type { ConvertDocument } from '../convert-document.js';
import { addEditOptions, type EditFlags, editsOf } from '../edits.js';
import { recordOptions } from '../given.js';
import { areSeveral, OUTPUT_OPTIONS, outputOf, planConversions } from '../many/conversions.js';
import { addManyOptions, type ManyFlags, runMany } from '../many/index.js';
import { checkOutputs, makeFolders } from '../many/outputs.js';
import { printNotices } from '../notices.js';
import { addSourceOptions, type CommonFlags, openFiles, parseBytes, parseWhole, type SourceFlags } from '../options.js';
import { errColour, formatBytes, formatCount, formatTime, makeVoice, safeText, type Voice } from '../print.js';
import { printReport } from '../print-report.js';
import { type Progress, startProgress } from '../progress.js';
import { planReports, type ReportPlan } from '../report-files.js';
import { addVerifyOptions, companionsOf, type VerifyFlags, verifyWritten } from './verify.js';

export interface ConvertFlags extends CommonFlags, SourceFlags, EditFlags, VerifyFlags {
  /** Set by then: the command works it out where it was left out. */
  readonly output: string;
  readonly to?: string;
  readonly dtype?: string;
  readonly layout?: 'source' | 'nchw' | 'nhwc';
  readonly opset?: number;
  readonly externalData?: boolean;
  readonly float16Compute?: boolean;
  readonly names?: 'source' | 'canonical';
  readonly shardSize?: number;
  readonly force?: boolean;
  readonly compress?: Compression | 'none';
  /** What `shrink` puts in place of the net's weights. */
  readonly rewrite?: (progress: Progress) => ConvertOptions['rewrite'];
  /** False with --no-verify. */
  readonly verify: boolean;
}

export function registerConvert(program: Command): Command {
  const command = program
    .command('convert <models...>')
    .description('convert models, then prove that the results predict the same')
    .addOption(outputOption("'-' for stdout"))
    .addOption(new Option('--to <format>', 'target format (see: weighbridge formats)'))
    .addOption(new Option('--dtype <dtype>', 'dtype of the stored weights; the source keeps its own when left out'))
    .addOption(new Option('--layout <layout>', 'axis order of inputs and outputs').choices(['source', 'nchw', 'nhwc']).default('source'))
    .addOption(new Option('--opset <version>', 'ONNX operator set, 13 to 21').argParser(parseWhole))
    .option('--external-data', 'ONNX: weights in a file of their own beside the model')
    .option('--float16-compute', 'ONNX float16: compute in float16 too, not only store')
    .addOption(
      new Option('--names <names>', 'weights-only targets: names and layouts of the source, or canonical ones')
        .choices(['source', 'canonical'])
        .default('source'),
    )
    .addOption(new Option('--shard-size <size>', 'safetensors: largest file, such as 500MB; larger models become shards with an index').argParser(parseBytes))
    .addOption(compressOption())
    .option('--force', 'overwrite existing output')
    .option('--no-verify', 'only convert: neither run both sides afterwards nor record a hash of the source');
  addEditOptions(command);
  addSourceOptions(command);
  addVerifyOptions(command);
  const given = recordOptions(command, OUTPUT_OPTIONS);
  addManyOptions(command);
  return command.action(async (models: readonly string[], flags: ConvertFlags & ManyFlags) => {
    if (areSeveral(models)) return convertMany('convert', models, flags, given());
    const voice = makeVoice(flags);
    const [path] = models;
    const document = await withOutput(path!, flags, (output) => runConvert(voice, path!, { ...flags, output }));
    if (voice.asJson) voice.json(document);
    if (document.report ? !isGood(document.report) : flags.requireWitness) process.exitCode = 1;
  });
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
  const { files, options, pathOf } = await openFiles(path, flags);
  const progress = startProgress(voice);
  try {
    const read = () => [path, ...companionsOf(flags), ...(files.openedPaths?.() ?? [])];
    const sink = await fileSink(flags.output, { force: flags.force, keep: read });
    let hashes: Promise<Record<string, string>> = Promise.resolve({});
    const startedAt = performance.now();
    const result = await convert(files, sink, name, {
      ...options,
      to: writer.name,
      dtype: flags.dtype,
      layout: flags.layout,
      opset: flags.opset,
      externalData: flags.externalData,
      float16Compute: flags.float16Compute,
      names: flags.names,
      shardBytes: flags.shardSize,
      ...editsOf(flags),
      rewrite: flags.rewrite?.(progress),
      sourceHashes: () => hashes,
      onRead: (model) => {
        reports.nameClasses(model);
        // Hashing costs more than converting; whoever wants speed alone goes without.
        if (!flags.verify) return;
        hashes = hashFiles(model.files, pathOf);
        hashes.catch(() => {}); // Awaited when the last weight is written; until then a failure is not unhandled.
      },
      onProgress: (done, total) => progress.bytes('writing', done, total),
    });
    const elapsedMs = performance.now() - startedAt;
    const { model, map } = result;
    const changes = result.edited?.changes ?? [];
    const own = model.tensors.filter(({ beside }) => !beside);
    const parameterCount = own.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
    const dtypes = [...new Set(own.map(({ tensor }) => tensor.dtype))];
    const targetDType = result.dtype !== 'source' ? result.dtype : flags.rewrite ? storedDTypes(result.map!) : dtypes.join(' ');
    const layers = map ? `${map.layers.length} layers   ` : '';
    say(
      `read     ${path}   ${model.format}${model.producer ? ` (${safeText(model.producer)})` : ''}   ${layers}${formatCount(parameterCount)} parameters   ${dtypes.join(' ')}`,
    );
    for (const { message } of changes) say(`changed  ${safeText(message)}`);
    say(`wrote    ${flags.output}   ${writer.title}   ${formatBytes(totalBytes(result.files))}   ${targetDType}   ${formatTime(elapsedMs)}`);
    if (map?.architecture) voice.tell(errColour.dim(`recognised as ${map.architecture.name}`));
    for (const sentence of map?.architecture?.assumed ?? []) voice.tell(errColour.dim(`assumed: ${sentence}`));
    printNotices(voice, result.warnings);
    let report: Report | null = null;
    try {
      if (flags.verify && !toStdout) report = await verifyAfter(voice, path, flags, result, progress, say, reports);
    } catch (error) {
      progress.stop();
      await removeWritten(flags.output, result.files);
      voice.tell(errColour.dim(`${flags.output} was removed, because it could not be verified; --no-verify keeps such files`));
      throw error;
    }
    // The model is written and judged by now; a report that cannot be written is an error, but takes neither back.
    if (report) {
      const subject = { expected: path, actual: flags.output, architecture: map?.architecture?.name ?? null };
      const keep = [...read(), ...result.files.map((file) => join(dirname(flags.output), file.name))];
      await reports.write(voice, report, { subject, model, map, target: { path: flags.output, format: writer.name }, keep });
    }
    const wire = compression ? await compressWritten(flags.output, result.files, compression, flags.force === true, progress) : [];
    progress.stop();
    if (wire.length > 0)
      say(`packed   ${flags.output}${SUFFIX[compression!]}   ${wire.length > 1 ? `${wire.length} files   ` : ''}${formatBytes(totalBytes(wire))}`);
    return {
      schema: 'weighbridge/convert@1',
      source: {
        path,
        format: model.format,
        producer: model.producer,
        architecture: map?.architecture?.name ?? null,
        parameterCount,
        byteLength: model.files.reduce((sum, file) => sum + statSync(pathOf(file)).size, 0),
      },
      target: { format: writer.name, dtype: targetDType, byteLength: totalBytes(result.files), wireByteLength: wire.length > 0 ? totalBytes(wire) : null },
      files: voice.asJson && !toStdout ? await describeFiles(flags.output, [...result.files, ...wire]) : [],
      changes,
      warnings: result.warnings,
      elapsedMs,
      report,
    };
  } finally {
    progress.stop();
    await files.close();
  }
}

async function verifyAfter(
  voice: Voice,
  path: string,
  flags: ConvertFlags,
  result: ConvertResult,
  progress: Progress,
  say: (text: string) => void,
  reports: ReportPlan,
): Promise<Report | null> {
  const { findWrittenFormat } = await import('../../verify/written/index.js');
  if (!findWrittenFormat(result.writer.name)) {
    voice.warn(`${result.writer.title} files cannot be verified yet, so this one was not`);
    return null;
  }
  const report = await verifyWritten(path, flags, result, progress, reports);
  progress.stop();
  if (!voice.asJson) printReport(say, report, voice.verbose);
  return report;
}

/** The written files compressed, beside them. */
async function compressWritten(
  output: string,
  files: readonly WrittenFile[],
  compression: Compression,
  force: boolean,
  progress: Progress,
): Promise<readonly WrittenFile[]> {
  const folder = dirname(output);
  const sink = await fileSink(`${output}${SUFFIX[compression]}`, { force, keep: () => files.map(({ name }) => join(folder, name)) });
  const total = totalBytes(files);
  let done = 0;
  try {
    for (const { name } of files) {
      const source = await fileSource(join(folder, name));
      const target = await sink.create(name + SUFFIX[compression]);
      await compressFile(source, target, compression, (byteLength) => {
        done += byteLength;
        progress.bytes('compressing', done, total);
      });
      await target.close();
      await source.close();
    }
    return await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** What a net is stored in whose weights were chosen one by one. */
function storedDTypes({ layers }: LayerMap): string {
  return [...new Set(layers.flatMap(({ weights }) => Object.values(weights)).map(narrowDType))].join(' ');
}

/** What could not be done leaves nothing behind. */
async function removeWritten(output: string, files: readonly WrittenFile[]): Promise<void> {
  for (const { name } of files) await rm(join(dirname(output), name), { force: true });
  // The folder, where the format is one; it stays where there is something else in it.
  await rmdir(output).catch(() => {});
}

async function hashFiles(names: readonly string[], pathOf: (name: string) => string): Promise<Record<string, string>> {
  const entries = await Promise.all(names.map(async (name) => [name, await sha256File(pathOf(name))] as const));
  return Object.fromEntries(entries);
}

async function describeFiles(output: string, files: readonly WrittenFile[]) {
  const folder = dirname(output);
  return Promise.all(
    files.map(async ({ name, byteLength }) => {
      const path = join(folder, name);
      return { path, byteLength, sha256: await sha256File(path) };
    }),
  );
}

function totalBytes(files: readonly WrittenFile[]): number {
  return files.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
