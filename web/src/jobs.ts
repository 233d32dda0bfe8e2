/** What the page has its worker do. The core is the library's; here is only what a page needs around it. */
import { blobFileSet, blobSource } from '../../src/bytes/blob-file-set.js';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { directorySink } from '../../src/bytes/directory-sink.js';
import type { FileSet } from '../../src/bytes/file-set.js';
import { readNpz } from '../../src/containers/npy.js';
import { crc32Of, type StoredMember, writeZip } from '../../src/containers/zip-writer.js';
import { type ConvertOptions, type ConvertResult, convert } from '../../src/convert.js';
import { diffFiles } from '../../src/diff/diff.js';
import { isModelError, ModelError } from '../../src/errors.js';
import { describeModel, type ModelDocument } from '../../src/inspect.js';
import type { LayerMap, ModelFile, Notice } from '../../src/model/layer-map.js';
import { narrowDType } from '../../src/model/narrow-form.js';
import type { GivenPreparation } from '../../src/model/preparation.js';
import { elementCount, type Tensor } from '../../src/model/tensor.js';
import { readers } from '../../src/readers/index.js';
import { type OpenOptions, openModel } from '../../src/readers/open.js';
import type { Subject } from '../../src/report/format.js';
import { diffMain, renderDiff } from '../../src/report/html/diff.js';
import { html as htmlReport, reportMain } from '../../src/report/html/index.js';
import { type Markup, html as markup } from '../../src/report/html/markup.js';
import { histogram, mosaic } from '../../src/report/html/pictures.js';
import { predictions } from '../../src/report/html/predictions.js';
import type { SampleCollector } from '../../src/report/samples.js';
import type { Adapter } from '../../src/verify/engine.js';
import type { Report } from '../../src/verify/report.js';
import type { VerifyOptions } from '../../src/verify/verify.js';
import { writers } from '../../src/writers/index.js';
import { staged } from './staging.js';

/** Files of one model, as they were given together. */
export interface GivenModel {
  readonly blobs: ReadonlyMap<string, Blob>;
  /** Null where the model is a folder. */
  readonly main: string | null;
  readonly label: string;
  readonly options: OpenOptions;
}

export interface Target {
  readonly name: string;
  readonly title: string;
  readonly extension: string;
  readonly dtypes: readonly string[];
  readonly options: readonly string[];
  readonly carriesWiring: boolean;
  /** Whether weights can be kept in codes of 8 bits. */
  readonly hasCodes: boolean;
}

export interface Opened {
  readonly document: ModelDocument;
  /** What the format of the source is called. */
  readonly formatTitle: string;
  readonly targets: readonly Target[];
  /** Of all files that the model is made of. */
  readonly byteLength: number;
}

export interface Converted {
  /** The main file first. */
  readonly files: readonly { readonly name: string; readonly file: File }[];
  readonly warnings: readonly Notice[];
  readonly changes: readonly string[];
  readonly elapsedMs: number;
  readonly dtype: string;
  /** Bytes of all files when they are packed by gzip; null where that says nothing new. */
  readonly onWire: number | null;
}

export interface ConvertRequest {
  /** Of the main file, or of the folder that the target is. */
  readonly name: string;
  readonly options: ConvertOptions;
  /** Kernels and tables in codes this many of their standard deviations apart. */
  readonly step?: number;
}

export interface Verified {
  readonly report: Report;
  /** What the report shows, as markup for this page. */
  readonly shown: string;
  /** The report as a page of its own. */
  readonly page: string;
}

export interface VerifyRequest {
  readonly device: Device;
  readonly layers: boolean;
  /** Recorded arrays of the original framework, an .npz file. */
  readonly golden?: Blob;
}

export interface PicturesRequest {
  readonly pictures: ReadonlyMap<string, Blob>;
  readonly preparation?: GivenPreparation;
  readonly labels: readonly string[];
}

export type OnProgress = (what: string, done: number, total: number) => void;

interface Session {
  readonly given: GivenModel;
  readonly model: ModelFile;
  readonly map: LayerMap | null;
  converted?: {
    readonly result: ConvertResult;
    /** By their names in the output's folder. */
    readonly blobs: ReadonlyMap<string, Blob>;
    readonly main: string;
    /** What the output is called as a whole. */
    readonly folder: string;
  };
}

let session: Session | null = null;

function current(): Session {
  if (!session) throw new Error('no model is open');
  return session;
}

function filesOf({ blobs, main, label }: GivenModel): FileSet {
  return blobFileSet(blobs, main, label);
}

export const jobs = {
  /** In place of the one before, unless it cannot be read. */
  async open(given: GivenModel): Promise<Opened> {
    const model = await openModel(filesOf(given), given.options);
    const document = await describeModel(model);
    const map = document.layers.length > 0 ? await model.map() : null;
    session = { given, model, map };
    const targets = writers.map(({ name, title, extensions, dtypes, options, carries }) => ({
      name,
      title,
      extension: extensions[0]?.startsWith('.') ? extensions[0] : '',
      dtypes,
      options,
      carriesWiring: carries === 'model',
      hasCodes: dtypes.some((dtype) => dtype === 'int8' || dtype === 'uint8'),
    }));
    const formatTitle = readers.find(({ name }) => name === model.format)?.title ?? model.format;
    return { document, formatTitle, targets, byteLength: model.files.reduce((sum, name) => sum + (given.blobs.get(name)?.size ?? 0), 0) };
  },

  /** Reads every weight: statistics, and what is odd about them. */
  async weights(_: null, onProgress: OnProgress): Promise<ModelDocument> {
    return describeModel(current().model, { weights: true, onProgress: (done, total) => onProgress('reading weights', done, total) });
  },

  /** The distribution of a layer's weights, and its filters where they can be looked at: markup. */
  async layer(name: string): Promise<string> {
    const { map } = current();
    const layer = map?.layers.find((candidate) => candidate.name === name);
    if (!map || !layer) return '';
    const [{ histogramPair }, { firstFilters }] = await Promise.all([import('../../src/report/histogram.js'), import('../../src/report/filters.js')]);
    const shown: Markup[] = [];
    for (const [role, source] of Object.entries(layer.weights)) {
      if (elementCount(source.shape) < 2) continue;
      shown.push(histogram(await histogramPair({ layer: '', role, source, written: null, writtenDType: null }), null, true));
    }
    const filters = layer.op === 'Conv' ? await firstFilters({ ...map, layers: [layer] }, () => undefined) : null;
    return markup`${filters ? markup`<div class="mosaics">${mosaic(filters.source, 'filters')}</div>` : null}<div class="histograms">${shown}</div>`.text;
  },

  async convert({ name, options, step }: ConvertRequest, onProgress: OnProgress): Promise<Converted> {
    const own = current();
    const place = await staged();
    const memory = memorySink();
    const startedAt = performance.now();
    const result = await convert(filesOf(own.given), place ? directorySink(place.folder) : memory, name, {
      ...own.given.options,
      ...options,
      ...(step === undefined ? {} : { rewrite: await coded(options.to!, step) }),
      onProgress: (done, total) => onProgress('writing', done, total),
    });
    const elapsedMs = performance.now() - startedAt;
    const files: { name: string; file: File }[] = [];
    for (const written of result.files) {
      const last = written.name.split('/').at(-1)!;
      files.push({
        name: written.name,
        file: place ? await place.file(written.name) : new File([memory.files.get(written.name)! as Uint8Array<ArrayBuffer>], last),
      });
    }
    // What was created first is the main file; a format that is a folder puts the folder's name before all of them.
    const prefix = result.files[0]!.name.replace(/[^/]*$/, '');
    const blobs = new Map(files.map(({ name: path, file }) => [path.slice(prefix.length), file as Blob]));
    own.converted = { result, blobs, main: result.files[0]!.name.slice(prefix.length), folder: prefix.slice(0, -1) || name.replace(/\.\w+$/, '') };
    const dtypes =
      step === undefined
        ? own.model.tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor.dtype)
        : result.map!.layers.flatMap(({ weights }) => Object.values(weights).map(narrowDType));
    return {
      files,
      warnings: result.warnings,
      changes: (result.edited?.changes ?? []).map(({ message }) => message),
      elapsedMs,
      dtype: result.dtype === 'source' ? [...new Set(dtypes)].join(', ') : result.dtype,
      onWire: step === undefined ? null : await packedBytes(files, onProgress),
    };
  },

  /** All files of what was converted in one archive, as browsers that cannot write into a folder save them. */
  async pack(_: null, onProgress: OnProgress): Promise<File> {
    const { converted } = current();
    const place = await staged({ keep: true });
    const memory = memorySink();
    const name = `${converted!.folder}.zip`;
    const sink = place ? directorySink(place.folder) : memory;
    const file = await sink.create(name);
    await writeZip(
      [...converted!.blobs].map(([path, blob]) => blobMember(`${converted!.folder}/${path}`, blob)),
      file,
      counting(converted!.blobs, onProgress),
    );
    await sink.commit();
    return place ? place.file(name) : new File([memory.files.get(name)! as Uint8Array<ArrayBuffer>], name);
  },

  async verify({ device, layers, golden }: VerifyRequest, onProgress: OnProgress): Promise<Verified> {
    const recorded = golden && (await readNpz(blobSource(golden, 'recorded arrays')));
    const { report, collector, map } = await runVerification({ device, layers, golden: recorded }, onProgress);
    const { model, converted, given } = current();
    const { findWrittenFormat } = await import('../../src/verify/written/index.js');
    const { collectExhibits } = await import('../../src/report/collect.js');
    const written = (await findWrittenFormat(converted!.result.writer.name)?.open(blobFileSet(converted!.blobs, converted!.main), map?.layers ?? [])) ?? null;
    const exhibits = await collectExhibits({ model, map, written }, collector?.samples ?? [], (done, total) =>
      onProgress('weights for the report', done, total),
    );
    const subject: Subject = { expected: given.label, actual: converted!.result.files[0]!.name, architecture: map?.architecture?.name ?? null };
    const document = { report, subject, exhibits };
    return { report, shown: reportMain(document).text, page: await htmlReport.render(document) };
  },

  /** What both sides say of pictures: markup. */
  async pictures({ pictures, preparation, labels }: PicturesRequest, onProgress: OnProgress): Promise<string> {
    const { map } = current();
    if (!map) throw new ModelError('usage', 'pictures are prepared for a net whose wiring is known, and of this one only the weights are.');
    const { pictureInputs } = await import('../../src/verify/pictures/index.js');
    const folder = {
      label: 'pictures',
      names: [...pictures.keys()].sort(),
      labels: null,
      bytes: async (name: string) => new Uint8Array(await pictures.get(name)!.arrayBuffer()),
    };
    const { arrays, notes } = await pictureInputs(folder, map, preparation);
    const { report, collector } = await runVerification({ device: 'cpu', layers: false, inputs: arrays }, onProgress, labels);
    return markup`${predictions(collector?.samples ?? [], report)}${notes.map((note) => markup`<p class="note">${note}</p>`)}`.text;
  },

  async diff({ a, b }: { readonly a: GivenModel; readonly b: GivenModel }, onProgress: OnProgress): Promise<{ shown: string; page: string; equal: boolean }> {
    const document = await diffFiles(filesOf(a), filesOf(b), {
      a: a.options,
      b: b.options,
      histograms: true,
      onProgress: (done, total) => onProgress('comparing', done, total),
    });
    return { shown: diffMain(document).text, page: await renderDiff(document), equal: document.verdict.equal };
  },

  /** What WebGPU would compute on, by its driver's name; null where there is nothing. */
  async adapter(_: null): Promise<Adapter | null> {
    const { bestAdapter } = await import('../../src/verify/engines/gpu.js');
    const best = await bestAdapter().catch(() => null);
    return best?.adapter ?? null;
  },
};

export type Jobs = typeof jobs;

/** `auto`: on a GPU where it can; `gpu`: through WebGPU, though a program stands in for the GPU. */
export type Device = 'auto' | 'gpu' | 'cpu';

async function coded(format: string, step: number): Promise<ConvertOptions['rewrite']> {
  const { CODE_FORMS, shrinkByStep } = await import('../../src/shrink/index.js');
  return (map) => shrinkByStep(map, CODE_FORMS[format]!, step);
}

/** What a web server's gzip makes of files. */
async function packedBytes(files: Converted['files'], onProgress: OnProgress): Promise<number> {
  let packed = 0;
  for (const [i, { file }] of files.entries()) {
    onProgress('packing, to see how small it gets', i, files.length);
    for await (const chunk of chunksOf(file.stream().pipeThrough(new CompressionStream('gzip')))) packed += chunk.byteLength;
  }
  return packed;
}

function blobMember(name: string, blob: Blob): StoredMember {
  const pieces = [{ byteLength: blob.size, chunks: () => chunksOf(blob.stream()) }];
  return { name, pieces, crc32: () => crc32Of(pieces) };
}

/** Not every browser iterates over a stream by itself. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
}

function counting(blobs: ReadonlyMap<string, Blob>, onProgress: OnProgress): (byteLength: number) => void {
  const total = [...blobs.values()].reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  return (byteLength) => {
    done += byteLength;
    onProgress('packing', done, total);
  };
}

interface Asked {
  readonly device: Device;
  readonly layers: boolean;
  readonly golden?: ReadonlyMap<string, Tensor>;
  readonly inputs?: ReadonlyMap<string, Tensor>;
}

/** Verifies what was converted last. Where a GPU cannot compute the net, the CPU does, and a note says so. */
async function runVerification({ device, ...asked }: Asked, onProgress: OnProgress, labels: readonly string[] = []) {
  const { given, model, converted } = current();
  if (!converted) throw new Error('nothing was converted yet');
  const { result, blobs, main } = converted;
  await useTfjsWasm();
  const { verifyConversion } = await import('../../src/verify/verify.js');
  const { collectSamples } = await import('../../src/report/samples.js');
  const { prototxt } = given.options;
  const written = [...blobs.keys()].find((name) => name.endsWith('.prototxt'));
  const { map } = result;
  const run = async (on: Device) => {
    let collector: SampleCollector | null = null;
    let compared = map;
    const options: VerifyOptions = {
      ...asked,
      device: on,
      onProgress,
      onMap(seen) {
        compared = seen;
        collector = collectSamples(seen.inputs, seen.outputs, labels);
      },
      onSample: (feeds, expected, actual) => collector?.add(feeds, expected, actual),
    };
    const report = await verifyConversion(
      {
        source: { files: filesOf(given), ...(prototxt ? { prototxt } : {}) },
        model,
        map,
        edited: result.edited,
        target: { files: blobFileSet(blobs, main), format: result.writer.name, ...(written ? { prototxt: written } : {}) },
      },
      options,
    );
    return { report, collector: collector as SampleCollector | null, map: compared };
  };
  if (device === 'cpu') return run('cpu');
  try {
    return await run(device);
  } catch (error) {
    if (!isModelError(error, 'engine')) throw error;
    const { report, ...rest } = await run('cpu');
    return { report: { ...report, notes: [...report.notes, `computed on the CPU, because the GPU could not: ${error.problem}`] }, ...rest };
  }
}

async function useTfjsWasm(): Promise<void> {
  const [{ setTfjsWasmPaths }, plain, simd, threaded] = await Promise.all([
    import('../../src/verify/engines/tfjs-wasm.js'),
    import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'),
    import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'),
    import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url'),
  ]);
  setTfjsWasmPaths({
    'tfjs-backend-wasm.wasm': plain.default,
    'tfjs-backend-wasm-simd.wasm': simd.default,
    'tfjs-backend-wasm-threaded-simd.wasm': threaded.default,
  });
}
