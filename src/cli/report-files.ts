/** `--report`: which files are asked for, checked before any work, and written when the verification is done. */
import { realpath, stat } from 'node:fs/promises';
import { basename, extname, resolve, sep } from 'node:path';
import { type Command, Option } from 'commander';
import type { ByteSink } from '../bytes/byte-sink.js';
import { ModelError } from '../errors.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { fileSink } from '../node/file-sink.js';
import { identityOf, nodeFileSet } from '../node/index.js';
import type { ReportFormat, Subject } from '../report/format.js';
import type { SampleCollector } from '../report/samples.js';
import type { Report } from '../verify/report.js';
import type { VerifyOptions } from '../verify/verify.js';
import type { Voice } from './print.js';
import { type Progress, startProgress } from './progress.js';
import { writeText } from './text-file.js';

export interface ReportFlags {
  readonly report?: readonly string[];
  readonly labels?: string;
}

/** What was verified, for a report to look at again. */
export interface Verified {
  readonly subject: Subject;
  readonly model: ModelFile;
  readonly map: LayerMap | null;
  /** Path and format of the written file. */
  readonly target: { readonly path: string; readonly format: string };
  /** Files that were read or written, which no report may replace. */
  readonly keep: readonly string[];
}

/** The reports that were asked for. */
export interface ReportPlan {
  /** Listens to the verification where a report shows more than its findings. */
  readonly hooks: Pick<VerifyOptions, 'onMap' | 'onSample'>;
  /** Takes the names of classes from the model, before anything is run. */
  nameClasses(model: Pick<ModelFile, 'labels'>): void;
  /** Renders and writes all of them, or none, and tells where they are. */
  write(voice: Voice, report: Report, verified: Verified): Promise<void>;
}

export function addReportOptions(command: Command): Command {
  return command
    .optionsGroup('Reports:')
    .addOption(
      new Option(
        '--report <file>',
        'also write a report: .html (page with plots and pictures), .md, .xml (JUnit) or .json; may be given several times',
      ).argParser((path: string, earlier: readonly string[] = []) => [...earlier, path]),
    )
    .addOption(new Option('--labels <file>', 'names of the classes, one a line or in JSON: for an HTML report, and for the file that is written'));
}

/**
 * Checks everything that can be checked before any work is done.
 *
 * @param others paths of the command that a report must not replace
 * @throws ModelError 'usage' for an extension that no format has, a missing folder, or a report in the place of a model
 */
export async function planReports({ report: paths = [] }: ReportFlags, others: readonly string[]): Promise<ReportPlan> {
  if (paths.length === 0) return { hooks: {}, nameClasses: () => {}, write: async () => {} };
  const { reportFormats } = await import('../report/index.js');
  const files = paths.map((path) => ({ path, format: chooseFormat(path, reportFormats) }));
  const known = new Set<string>();
  for (const { path } of files) {
    if (known.has(resolve(path))) throw new ModelError('usage', 'is asked for twice', { file: path });
    known.add(resolve(path));
    for (const other of others) await refuseToReplace(path, other);
  }
  const sinks: ByteSink[] = [];
  // Opened once before any work, only to find out whether it can be.
  for (const { path } of files) await (await fileSink(path, { force: true })).abort();
  const wantsExhibits = files.some(({ format }) => format.exhibits);
  let collector: SampleCollector | null = null;
  let compared: LayerMap | null = null;
  let names: readonly string[] = [];
  const { collectSamples } = await import('../report/samples.js');
  return {
    hooks: wantsExhibits
      ? {
          onMap(map) {
            compared = map;
            collector = collectSamples(map.inputs, map.outputs, names);
          },
          onSample: (feeds, expected, actual) => collector?.add(feeds, expected, actual),
        }
      : {},
    nameClasses: ({ labels }) => {
      names = labels?.names ?? [];
    },
    async write(voice, report, { subject, model, map, target, keep }) {
      const progress = startProgress(voice);
      try {
        const exhibits = wantsExhibits ? await readBack({ model, map: compared ?? map, target }, collector, progress) : null;
        for (const { path, format } of files) {
          const sink = await fileSink(path, { force: true, keep: () => keep });
          sinks.push(sink);
          const file = await sink.create(basename(path));
          await file.write(new TextEncoder().encode(await format.render({ report, subject, exhibits })));
          await file.close();
        }
        for (const sink of sinks) await sink.commit();
      } catch (error) {
        for (const sink of sinks) await sink.abort();
        throw error;
      } finally {
        progress.stop();
      }
      for (const path of paths) voice.tell(`report   ${path}`);
    },
  };
}

/** A single page, checked before any work and written when it is made. */
export interface PagePlan {
  /** @param keep files that were read, which the page may not replace */
  write(text: string, keep: readonly string[]): Promise<void>;
}

/** @throws ModelError 'usage' as `planReports` */
export async function planPage(path: string, others: readonly string[]): Promise<PagePlan> {
  if (extname(path).toLowerCase() !== '.html') throw new ModelError('usage', 'a page is named .html', { file: path });
  for (const other of others) await refuseToReplace(path, other);
  await (await fileSink(path, { force: true })).abort();
  return { write: (text, keep) => writeText(path, text, { keep }) };
}

async function readBack({ model, map, target }: Pick<Verified, 'model' | 'map' | 'target'>, collector: SampleCollector | null, progress: Progress) {
  const [{ collectExhibits }, { findWrittenFormat }] = await Promise.all([import('../report/collect.js'), import('../verify/written/index.js')]);
  const files = await nodeFileSet(target.path);
  try {
    const written = (await findWrittenFormat(target.format)?.open(files, map?.layers ?? [])) ?? null;
    return await collectExhibits({ model, map, written }, collector?.samples ?? [], (done, total) => progress.step('weights for the report', done, total));
  } finally {
    await files.close();
  }
}

function chooseFormat(path: string, formats: readonly ReportFormat[]): ReportFormat {
  const format = formats.find(({ extension }) => extension === extname(path).toLowerCase());
  if (format) return format;
  const known = formats.map(({ extension, title }) => `${extension} (${title})`).join(', ');
  throw new ModelError('usage', `the extension does not say which kind of report to write. Known: ${known}.`, { file: path });
}

/** A report may replace an older one, but neither a file that the command reads or writes nor one inside a model's folder. */
async function refuseToReplace(path: string, other: string): Promise<void> {
  const [report, model] = await Promise.all([truePath(path), truePath(other)]);
  const isFolder = (await stat(other).catch(() => null))?.isDirectory() === true;
  if (report === model || identityOf(path) === identityOf(other) || (isFolder && report.startsWith(model + sep))) {
    throw new ModelError('usage', `a report would replace or lie inside ${other}. Choose another place.`, { file: path });
  }
}

async function truePath(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}
