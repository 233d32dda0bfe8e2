/**
 * OpenCV's own Caffe importer as a witness for Caffe models: it reads the original prototxt and caffemodel, and shares no code
 * with our reader.
 *
 * It runs as WebAssembly (opencv-wasm 4.3.0; the newer builds of others crash on VGG16's fc6 or have no Caffe importer). Its
 * bindings make no matrices of more than two axes and show no names, hence `Reshaper` and `caffeWiring`.
 */
import type { FileSet } from '../../bytes/file-set.js';
import { decodeLatin1 } from '../../bytes/latin1.js';
import { isModelError, ModelError } from '../../errors.js';
import { openModel } from '../../readers/open.js';
import { type Availability, type Engine, type EngineModel, missingPackage, type NdArray, type Session } from '../engine.js';
import { fromCompanion } from './companion.js';
import { installLine } from './install.js';
import { type CaffeWiring, caffeWiring } from './opencv-prototxt.js';
import { type FileContent, runtimeFile } from './runtime-file.js';

/** The part of opencv-wasm that is used; its own type files call all of it `any`. */
interface OpenCv {
  Mat: new (rows: number, cols: number, type: number) => Mat;
  Size: new (width: number, height: number) => object;
  Scalar: new (a: number, b: number, c: number, d: number) => object;
  CV_32F: number;
  blobFromImage(image: Mat, scale: number, size: object, mean: object, swapChannels: boolean, crop: boolean, depth: number): Mat;
  readNetFromCaffe(prototxt: string, caffemodel?: string): Net;
  exceptionFromPtr(pointer: number): { msg: string };
  getBuildInformation(): string;
  FS_createDataFile(folder: string, name: string, bytes: FileContent, canRead: boolean, canWrite: boolean, canOwn: boolean): unknown;
  FS_unlink(name: string): void;
}

interface Mat {
  readonly matSize: readonly number[];
  readonly data32F: Float32Array;
  isContinuous(): boolean;
  clone(): Mat;
  delete(): void;
}

interface Net {
  setInput(blob: Mat, name: string): void;
  forward(layer: string): Mat;
  delete(): void;
}

/** A WebAssembly heap ends at 2 GiB, and OpenCV holds a layer twice while it reads; VGG19's 575 MB fit. */
const MAX_MODEL_BYTES = 900e6;

/** A prototxt of a thousand layers takes 300 kB. */
const MAX_PROTOTXT_BYTES = 16e6;

let loading: Promise<{ readonly cv: OpenCv }> | undefined;
/** Set when the WebAssembly instance has aborted; it cannot be used again in this process. */
let broken: string | undefined;
let filesMade = 0;

export const opencv: Engine = {
  name: 'opencv',
  formats: ['caffe'],
  device: 'cpu',

  async availability(): Promise<Availability> {
    try {
      const { cv } = await load();
      if (broken) return { available: false, detail: broken };
      const version = /OpenCV ([\d.]+)/.exec(cv.getBuildInformation())?.[1] ?? 'of unknown version';
      return { available: true, detail: `OpenCV ${version} (opencv-wasm), CPU` };
    } catch (error) {
      return { available: false, detail: missingPackage(error, installLine()) };
    }
  },

  async open(model: EngineModel): Promise<Session> {
    const file = model.files.label;
    if (!model.prototxt || !model.files.main) {
      throw new ModelError('engine', 'OpenCV is no witness here: it needs the prototxt beside the caffemodel', { file });
    }
    const prototxt = await model.files.open(model.prototxt);
    const caffemodel = await model.files.open(await weightsName(model.files, model.files.main, model.prototxt));
    if (prototxt.byteLength > MAX_PROTOTXT_BYTES || caffemodel.byteLength > MAX_MODEL_BYTES) {
      throw new ModelError('engine', `OpenCV is no witness here: it reads models of at most ${MAX_MODEL_BYTES / 1e6} MB`, { file });
    }
    const head = await caffemodel.read(0, Math.min(8, caffemodel.byteLength));
    if (decodeLatin1(head).startsWith('\x89HDF')) {
      throw new ModelError('engine', 'OpenCV is no witness here: it does not read a caffemodel stored as HDF5', { file });
    }
    const text = new TextDecoder().decode(await prototxt.read(0, prototxt.byteLength));
    const wiring = caffeWiring(text, model.prototxt);
    const { cv } = await load().catch((error: unknown) => {
      throw new ModelError('engine', `OpenCV could not be loaded; ${installLine()}`, { file }, error);
    });
    const readAnew = async () => {
      const weights = await runtimeFile(caffemodel);
      return guard(cv, file, () => {
        try {
          return readNet(cv, wiring.text, weights.content);
        } finally {
          weights.check();
        }
      });
    };
    return openSession({ cv, readAnew, wiring, file, inner: model.layers === true }, await readAnew());
  },
};

/** Who names the prototxt means the caffemodel beside it as well. */
async function weightsName(files: FileSet, main: string, prototxt: string): Promise<string> {
  return main === prototxt ? ((await openModel(files)).details.weights ?? main) : main;
}

/** A Slice (4.3) keeps the sizes of what it was fed first, and gives of a larger batch no more rows than that had. */
const KEEPS_SIZES = /\btype\s*:\s*"?slice\b/i;

interface SessionOf {
  readonly cv: OpenCv;
  readonly wiring: CaffeWiring;
  readonly file: string;
  /** Whether every layer's first output is shown, by the layer's name. */
  readonly inner: boolean;
  readAnew(): Promise<Net>;
}

function openSession({ cv, wiring, file, inner, readAnew }: SessionOf, first: Net): Session {
  let net: Net | null = first;
  let sizes: string | null = null;
  const keepsSizes = KEEPS_SIZES.test(wiring.text);
  const reshaper = new Reshaper(cv);
  const outputs = new Map(wiring.outputs.map(({ name, layer }) => [name, layer]));
  const intermediates = inner ? wiring.layers.filter((name) => !outputs.has(name)) : undefined;
  const shown = new Set(intermediates);
  const layerOf = (name: string): string => {
    const layer = outputs.get(name) ?? (shown.has(name) ? name : undefined);
    if (layer === undefined) throw new ModelError('engine', `OpenCV has no output and no layer "${name}"`, { file });
    return layer;
  };
  return {
    inputs: wiring.inputs.map(({ name, shape }) => ({
      name,
      shape: shape.map((size, axis) => (axis === 0 ? null : size)),
      layout: shape.length === 4 ? 'nchw' : 'other',
    })),
    outputs: wiring.outputs.map(({ name }) => ({ name, shape: [] })),
    intermediates,
    /** The batch as it is fed: the prototxt's is often another one, and OpenCV takes any. */
    async run(feeds, wanted = [...outputs.keys()]) {
      const layers = wanted.map(layerOf);
      const fedSizes = wiring.inputs.map(({ name }) => fed(feeds, name, file).shape.join()).join(';');
      if (keepsSizes && sizes !== null && sizes !== fedSizes) {
        net?.delete();
        net = null;
      }
      sizes = fedSizes;
      net ??= await readAnew();
      const own = net;
      const values = guard(cv, file, () => {
        for (const { name } of wiring.inputs) {
          const { shape, data } = fed(feeds, name, file);
          own.setInput(reshaper.blob(shape, Float32Array.from(data as ArrayLike<number | bigint>, Number)), name);
        }
        return layers.map((layer) => readMat(own.forward(layer)));
      });
      return new Map(wanted.map((name, i) => [name, values[i]!]));
    },
    async close() {
      reshaper.close();
      net?.delete();
    },
  };
}

function fed(feeds: ReadonlyMap<string, NdArray>, name: string, file: string): NdArray {
  const feed = feeds.get(name);
  if (!feed) throw new ModelError('engine', `nothing was fed to the input "${name}"`, { file });
  return feed;
}

/** Makes blobs of any shape: a two-axis matrix goes through a network of one Reshape layer. */
class Reshaper {
  private readonly nets = new Map<string, Net>();

  constructor(private readonly cv: OpenCv) {}

  /** @returns a blob that belongs to the reshaper */
  blob(shape: readonly number[], data: Float32Array): Mat {
    const { cv } = this;
    const cols = shape.at(-1)!;
    const rows = data.length / cols;
    const image = new cv.Mat(rows, cols, cv.CV_32F);
    image.data32F.set(data);
    const flat = cv.blobFromImage(image, 1, new cv.Size(0, 0), new cv.Scalar(0, 0, 0, 0), false, false, cv.CV_32F);
    const net = this.net(shape, rows, cols);
    net.setInput(flat, 'flat');
    image.delete();
    flat.delete();
    return net.forward('shaped');
  }

  close(): void {
    for (const net of this.nets.values()) net.delete();
    this.nets.clear();
  }

  private net(shape: readonly number[], rows: number, cols: number): Net {
    const key = shape.join();
    const known = this.nets.get(key);
    if (known) return known;
    const dims = shape.map((size) => `dim: ${size}`).join(' ');
    const net = readNet(
      this.cv,
      `input: "flat" input_dim: 1 input_dim: 1 input_dim: ${rows} input_dim: ${cols}
       layer { name: "shaped" type: "Reshape" bottom: "flat" top: "shaped" reshape_param { shape { ${dims} } } }`,
    );
    this.nets.set(key, net);
    return net;
  }
}

/** Lets OpenCV read a network from its file system in memory, and clears that again. */
function readNet(cv: OpenCv, prototxt: string, caffemodel?: FileContent): Net {
  const stem = `model${filesMade++}`;
  const files = [`${stem}.prototxt`, ...(caffemodel ? [`${stem}.caffemodel`] : [])];
  const bytes = [new TextEncoder().encode(prototxt), ...(caffemodel ? [caffemodel] : [])];
  for (const [i, name] of files.entries()) cv.FS_createDataFile('/', name, bytes[i]!, true, false, true);
  try {
    return cv.readNetFromCaffe(...(files as [string, string?]));
  } finally {
    for (const name of files) cv.FS_unlink(`/${name}`);
  }
}

/** Copies a matrix out of the WebAssembly heap and frees it. */
function readMat(mat: Mat): NdArray {
  const whole = mat.isContinuous() ? mat : mat.clone();
  const array = { shape: [...mat.matSize], data: whole.data32F.slice() };
  if (whole !== mat) whole.delete();
  mat.delete();
  return array;
}

/** Runs OpenCV code; its exceptions (thrown as addresses) and aborts become 'engine' errors. */
function guard<T>(cv: OpenCv, file: string, work: () => T): T {
  if (broken) throw new ModelError('engine', broken, { file });
  try {
    return work();
  } catch (error) {
    if (isModelError(error)) throw error;
    if (typeof error === 'number') throw new ModelError('engine', `OpenCV failed: ${cv.exceptionFromPtr(error).msg.trim()}`, { file }, error);
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
      broken = `OpenCV crashed earlier in this process (${error.message})`;
      throw new ModelError('engine', `OpenCV crashed (${error.message})`, { file }, error);
    }
    throw error;
  }
}

/**
 * Imports opencv-wasm once. It comes boxed, because the module has a `then` that never settles when it is awaited.
 *
 * On import the module binds `console`, and on Node it hooks itself to the process so that any unhandled rejection anywhere
 * prints and aborts; the first is muted, the second undone.
 */
function load(): Promise<{ readonly cv: OpenCv }> {
  loading ??= quietly(async () => {
    const imported = await importOpenCv();
    const cv = imported.cv ?? imported.default!.cv;
    return { cv };
  });
  return loading;
}

interface OpenCvModule {
  readonly cv?: OpenCv;
  readonly default?: { readonly cv: OpenCv };
}

async function importOpenCv(): Promise<OpenCvModule> {
  try {
    return (await import('opencv-wasm')) as unknown as OpenCvModule;
  } catch (error) {
    return fromCompanion(error, 'opencv-wasm');
  }
}

async function quietly<T>(work: () => Promise<T>): Promise<T> {
  const { log, warn } = console;
  let muted = false;
  const mutable =
    (print: (...parts: unknown[]) => void) =>
    (...parts: unknown[]) => {
      if (!muted) print.apply(console, parts);
    };
  const hooks = ['uncaughtException', 'unhandledRejection'] as const;
  const host = typeof process === 'undefined' ? undefined : process;
  const before = hooks.map((hook) => new Set<unknown>(host?.listeners(hook as 'uncaughtException')));
  console.log = mutable(log);
  console.warn = mutable(warn);
  try {
    return await work();
  } finally {
    console.log = log;
    console.warn = warn;
    muted = true;
    for (const [i, hook] of hooks.entries()) {
      for (const listener of host?.listeners(hook as 'uncaughtException') ?? []) {
        if (!before[i]!.has(listener)) host!.removeListener(hook, listener as () => void);
      }
    }
  }
}
