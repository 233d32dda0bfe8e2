/** `weighbridge verify`: a converted file against its source, or against recorded outputs. */
import { basename, dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { memorySource } from '../../bytes/byte-source.js';
import { readNpy, readNpz } from '../../containers/npy.js';
import { looksLikeZip } from '../../containers/zip.js';
import type { ConvertResult } from '../../convert.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, ModelFile } from '../../model/layer-map.js';
import type { GivenPreparation } from '../../model/preparation.js';
import type { Tensor } from '../../model/tensor.js';
import { fileSource, type NodeFileSet, nodeFileSet } from '../../node/index.js';
import { openModel, recognise } from '../../readers/open.js';
import { isGood } from '../../report/verdict.js';
import type { GivenInputs } from '../../verify/feeds.js';
import type { PlacedFault, VerifyOptions } from '../../verify/options.js';
import type { Report } from '../../verify/report.js';
import { writeBisected } from '../bisected.js';
import { commandHost } from '../engine-host.js';
import { withHashes } from '../hashes.js';
import { addSourceOptions, type CommonFlags, type OpenedFiles, openFiles, parsePositive, parsePreparation, parseWhole, type SourceFlags } from '../options.js';
import { openPictureFolder } from '../picture-folder.js';
import { makeVoice } from '../print.js';
import { printReport } from '../print-report.js';
import { type Progress, startProgress } from '../progress.js';
import { addReportOptions, planReports, type ReportFlags, type ReportPlan } from '../report-files.js';

export interface VerifyFlags extends ReportFlags {
  readonly golden?: string;
  readonly inputs?: string;
  /** How pictures of `inputs` are prepared. */
  readonly preprocess?: GivenPreparation;
  readonly samples?: number;
  readonly seed?: number;
  readonly engine?: string;
  readonly device?: 'auto' | 'cpu' | 'gpu';
  readonly layers?: boolean;
  readonly first?: boolean;
  readonly requireWitness?: boolean;
  readonly atol?: number;
  readonly rtol?: number;
}

/** How both sides are run and compared; shared with `convert`. */
export function addVerifyOptions(command: Command): Command {
  command
    .addOption(
      new Option('--golden <file.npz>', 'recorded inputs and outputs of the original framework: arrays input and output, or input:<name> and output:<name>'),
    )
    .addOption(new Option('--inputs <file|folder>', 'inputs to use instead of generated ones: .npy, .npz by input name, or a folder of pictures (PNG, JPEG)'))
    .addOption(new Option('--samples <count>', 'how many inputs to generate').argParser(parseWhole))
    .addOption(new Option('--seed <number>', 'seed of the generated inputs').argParser(parseWhole))
    .addOption(new Option('--engine <name>', 'engine that runs the written file (see: weighbridge engines)'))
    .addOption(
      new Option(
        '--device <device>',
        'what the written file runs on; gpu: the whole net on a GPU, or failure; auto: a hardware GPU where there is one',
      ).choices(['auto', 'cpu', 'gpu']),
    )
    .addOption(new Option('--layers', 'also compare what each layer makes, and name the first that differs'))
    .addOption(new Option('--first', 'with --layers (which it implies): stop at the first layer that differs'))
    .addOption(new Option('--require-witness', 'fail (exit code 1) where no independent witness takes part: recorded outputs, or a runtime on the original'))
    .addOption(new Option('--atol <number>', 'absolute tolerance').argParser(parsePositive))
    .addOption(new Option('--rtol <number>', "tolerance relative to an output's largest value").argParser(parsePositive));
  return addReportOptions(command);
}

/** @param pictures the option that names them */
export function preprocessOption(pictures = '--inputs'): Option {
  return new Option(
    '--preprocess <settings>',
    `how pictures of ${pictures} are prepared, where it is not as usual: mean=..., std=... or scale=..., range=1, order=bgr, resize=256 (the shorter side) or stretch, filter=bicubic, antialias=no, crop=224`,
  ).argParser(parsePreparation);
}

export function registerVerify(program: Command): Command {
  const command = program
    .command('verify <expected> [actual]')
    .description('run a model and its conversion, or any two files that can be run, or one file with --golden, and compare what they predict');
  addSourceOptions(command);
  addVerifyOptions(command);
  command.addOption(preprocessOption());
  command.addOption(new Option('--bisect <folder>', 'where the two differ: write the smallest files that still show it, for a bug report'));
  return command.action(async (expected: string, given: string | undefined, flags: CommonFlags & SourceFlags & VerifyFlags & { readonly bisect?: string }) => {
    const voice = makeVoice(flags);
    if (given === undefined && flags.golden === undefined)
      throw new ModelError('usage', `what is ${expected} to be compared with? Name a second file, or recorded outputs with --golden.`);
    const actual = given ?? expected;
    if (flags.labels !== undefined && flags.report === undefined)
      throw new ModelError('usage', '--labels names classes in an HTML report, and no --report asks for one.');
    const reports = await planReports(flags, [expected, actual, ...companionsOf(flags)]);
    const progress = startProgress(voice);
    const { files, options, path } = await openFiles(expected, flags);
    const target = await nodeFileSet(actual);
    try {
      const placed: PlacedFault[] = [];
      const onPlaced = (fault: PlacedFault) => void placed.push(fault);
      const hooks = { ...reports.hooks, ...(flags.bisect === undefined ? {} : { onPlaced }) };
      const { compared, model, map, written } = await compareOpened({ files, options, path, target }, flags, progress, { ...reports, hooks });
      // A file's weights are its own.
      const own = given === undefined ? { ...compared, weights: null } : compared;
      const report = await withHashes(own, { expected: files, actual: target }, isKept(flags));
      progress.stop();
      if (voice.asJson) voice.json(report);
      else printReport(voice.say, report, voice.verbose);
      if (!isGood(report)) process.exitCode = 1;
      if (flags.bisect !== undefined && report.verdict !== 'match')
        await writeBisected(voice, flags.bisect, { map, target: written, placed: placed[0] ?? null });
      const subject = { expected, actual, architecture: map?.architecture?.name ?? null };
      const keep = [expected, actual, ...companionsOf(flags), ...(files.openedPaths?.() ?? []), ...target.openedPaths()];
      await reports.write(voice, report, { subject, model, map, target: { path: actual, format: written.format }, keep });
    } finally {
      progress.stop();
      await files.close();
      await target.close();
    }
  });
}

type Hooks = ReportPlan['hooks'] & Pick<VerifyOptions, 'onPlaced'>;

interface OpenedPair extends Pick<OpenedFiles, 'files' | 'options' | 'path'> {
  readonly target: NodeFileSet;
}

async function compareOpened(
  { files, options, path, target }: OpenedPair,
  flags: VerifyFlags,
  progress: Progress,
  reports: { readonly hooks: Hooks; readonly nameClasses: ReportPlan['nameClasses'] } | null,
) {
  const model = await openModel(files, options);
  reports?.nameClasses(model);
  const { name: format } = await recognise(target);
  const source = { files, path, ...prototxtOf(model) };
  const { verifyFiles } = await import('../../verify/files.js');
  const written = { files: target, path: target.path, format };
  const { report: compared, map } = await verifyFiles({ source, model, target: written }, (own) => verifyOptions(flags, progress, reports?.hooks ?? {}, own));
  return { compared, model, map, written };
}

/** Compares two files, or one with what was recorded, as the command does, without printing anything. */
export async function comparePair(expected: string, actual: string, flags: SourceFlags & VerifyFlags): Promise<Report> {
  const { files, options, path } = await openFiles(expected, flags);
  const target = await nodeFileSet(actual);
  const progress = startProgress(makeVoice({ quiet: true }));
  try {
    const { compared } = await compareOpened({ files, options, path, target }, flags, progress, null);
    return expected === actual ? { ...compared, weights: null } : compared;
  } finally {
    progress.stop();
    await files.close();
    await target.close();
  }
}

/** The prototxt that a Caffe model was read with, for a runtime that reads it itself. */
export function prototxtOf({ details }: ModelFile): { prototxt?: string } {
  return details.wiring?.endsWith('.prototxt') ? { prototxt: details.wiring } : {};
}

/** Verifies what `convert` has just written. */
export async function verifyWritten(
  path: string,
  flags: CommonFlags & SourceFlags & VerifyFlags & { readonly output: string },
  result: ConvertResult,
  progress: Progress,
  reports: ReportPlan,
): Promise<Report> {
  const { files, path: opened } = await openFiles(path, flags);
  // What was created first is the main file: it has another name than the output where that is a folder, or was cut into shards.
  const main = join(dirname(flags.output), result.files[0]!.name);
  const target = await nodeFileSet(main);
  try {
    const { model, map, edited, writer } = result;
    const prototxt = result.files.find(({ name }) => name.endsWith('.prototxt'))?.name;
    const { verifyConversion } = await import('../../verify/verify.js');
    const source = { files, path: opened, ...prototxtOf(model) };
    const report = await verifyConversion(
      { source, model, map, edited, target: { files: target, path: main, format: writer.name, ...(prototxt ? { prototxt } : {}) } },
      await verifyOptions(ofNet(flags, edited), progress, reports.hooks, map),
    );
    return await withHashes(report, { expected: files, actual: target }, isKept(flags));
  } finally {
    await files.close();
    await target.close();
  }
}

/** A net that prepares pictures itself is given them as they are, of its size. */
function ofNet<Flags extends VerifyFlags>(flags: Flags, edited: ConvertResult['edited']): Flags {
  const isEmbedded = edited?.changes.some(({ transform }) => transform === 'embed-preprocessing');
  return isEmbedded && flags.preprocess ? { ...flags, preprocess: { ...flags.preprocess, values: null } } : flags;
}

/** Whether the report outlives what is printed. */
function isKept({ json, report }: CommonFlags & VerifyFlags): boolean {
  return json === true || (report ?? []).length > 0;
}

/** Files that the command reads beside the models. */
export function companionsOf({ prototxt, config, arch, golden, inputs, labels }: SourceFlags & VerifyFlags): string[] {
  return [prototxt, config, arch, golden, inputs, labels].filter((path) => path !== undefined);
}

async function verifyOptions(flags: VerifyFlags, progress: Progress, hooks: Hooks, map: LayerMap | null) {
  const inputs = await readInputs(flags, progress, map);
  return {
    golden: flags.golden === undefined ? undefined : await readArrays(flags.golden),
    inputs: inputs?.arrays,
    inputNotes: inputs?.notes,
    samples: flags.samples,
    seed: flags.seed,
    engine: flags.engine,
    device: flags.device,
    host: commandHost(),
    layers: flags.layers === true || flags.first === true,
    first: flags.first,
    requireWitness: flags.requireWitness,
    atol: flags.atol,
    rtol: flags.rtol,
    ...hooks,
    onProgress: (phase: string, done: number, total: number) => progress.step(phase, done, total),
  };
}

/** What `--inputs` names, for this net. @throws ModelError 'usage' where `--preprocess` has no pictures to be about */
async function readInputs({ inputs: path, preprocess, samples }: VerifyFlags, progress: Progress, map: LayerMap | null) {
  const folder = path === undefined ? null : await openPictureFolder(path);
  const isSaid = preprocess !== undefined && (preprocess.values !== null || Object.keys(preprocess.framing).length > 0);
  if (!folder && isSaid) throw new ModelError('usage', '--preprocess is about pictures, and --inputs names no folder of them.');
  if (!folder) return path === undefined ? null : { arrays: await readArrays(path), notes: [] };
  if (!map) throw new ModelError('usage', 'pictures are prepared for a net whose wiring is read, and this one is only run: give --inputs arrays (.npy, .npz).');
  const { pictureInputs } = await import('../../verify/pictures/index.js');
  return pictureInputs(folder, map, preprocess, samples, (done, total) => progress.step('reading pictures', done, total));
}

/** The inputs that a user gives, as a net takes them; null where there are none. */
export async function readGiven(flags: VerifyFlags, progress: Progress, map: LayerMap): Promise<GivenInputs | null> {
  const { givenInputs, recordedInputs } = await import('../../verify/feeds.js');
  if (flags.golden !== undefined) return recordedInputs(await readArrays(flags.golden), map);
  const inputs = await readInputs(flags, progress, map);
  return inputs && givenInputs(inputs.arrays, map);
}

/** Arrays of an .npz file, or the one of an .npy file. */
async function readArrays(path: string): Promise<Map<string, Tensor>> {
  const file = await fileSource(path);
  const source = memorySource(await file.read(0, file.byteLength), path);
  await file.close();
  const head = await source.read(0, Math.min(4, source.byteLength));
  if (looksLikeZip(head)) return readNpz(source);
  return new Map([['input', await readNpy(source, basename(path))]]);
}
