/**
 * The original Keras file for TensorFlow.js: its configuration and weights, opened with h5wasm, the HDF Group's own library, so that a
 * mistake of our HDF5 reader shows too. Weights go to TensorFlow.js's layers in their order, as they do in Keras.
 */
import type { ByteSource } from '../../bytes/byte-source.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { EngineModel } from '../engine.js';
import { fromCompanion } from './companion.js';
import { type FileContent, runtimeFile } from './runtime-file.js';
import type { Core } from './tfjs-sessions.js';

type H5 = typeof import('h5wasm');
type Group = InstanceType<H5['Group']>;
type Dataset = InstanceType<H5['Dataset']>;
type LayersModel = import('@tensorflow/tfjs-layers').LayersModel;
type Layer = LayersModel['layers'][number];
type Json = Readonly<Record<string, unknown>>;

export interface Original {
  readonly config: string;
  /** Of the Keras that wrote it. */
  readonly version: string | null;
  /** Gives a model made from the configuration its weights. */
  fill(core: Core, net: LayersModel): void;
  close(): void;
}

export async function readOriginal(model: EngineModel): Promise<Original> {
  const { files, path } = model;
  const source = await files.open(files.main!);
  const isArchive = looksLikeZip(await source.read(0, Math.min(4, source.byteLength)));
  try {
    const original = isArchive ? await readArchive(model) : readLegacy(await openHdf5(path, source));
    return { ...original, fill: (core, net) => legibly(() => original.fill(core, net)) };
  } catch (error) {
    throw legible(error);
  }
}

function legibly<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw legible(error);
  }
}

/** The library's errors are a stack of its own calls, the innermost last: "#003: H5X.c line 3 in H5X_f(): what was found". */
function legible(error: unknown): unknown {
  const { message } = error as Error;
  if (!message?.startsWith('HDF5-DIAG')) return error;
  const found = message
    .match(/#\d+: .*/g)
    ?.at(-1)
    ?.replace(/^.*?\(\): /, '');
  return new ModelError('engine', `the HDF Group's library does not read it: ${found ?? 'it is damaged'}`, {}, error);
}

/** @param path where the source lies on disk */
async function openHdf5(path: string | undefined, source: ByteSource): Promise<{ file: InstanceType<H5['File']>; check: () => void; close: () => void }> {
  if (path !== undefined && typeof process !== 'undefined') {
    const h5wasm = await importH5Node();
    // Else it prints what it finds wrong, and goes on with nothing.
    (await h5wasm.ready).activate_throwing_error_handler();
    const file = new h5wasm.File(path, 'r') as unknown as InstanceType<H5['File']>;
    return { file, check() {}, close: () => file.close() };
  }
  const h5wasm = await importH5();
  const { FS, activate_throwing_error_handler } = await h5wasm.ready;
  activate_throwing_error_handler();
  const name = `model-${crypto.randomUUID()}.h5`;
  const { content, check } = await runtimeFile(source);
  (FS as unknown as EmscriptenFiles).createDataFile('/', name, content, true, false, true);
  try {
    const file = new h5wasm.File(name, 'r');
    const close = () => {
      file.close();
      FS.unlink(name);
    };
    return { file, check, close };
  } catch (error) {
    FS.unlink(name);
    check();
    throw error;
  }
}

/** What h5wasm's types leave out. */
interface EmscriptenFiles {
  createDataFile(folder: string, name: string, content: FileContent, canRead: boolean, canWrite: boolean, canOwn: boolean): void;
}

/** Lists of names in attributes say which datasets a layer has, in which order. */
function readLegacy({ file, check, close }: Awaited<ReturnType<typeof openHdf5>>): Original {
  try {
    const text = (name: string) => (typeof file.attrs[name]?.value === 'string' ? (file.attrs[name].value as string) : null);
    const config = text('model_config');
    if (config === null) throw new ModelError('engine', 'the file holds weights without a configuration');
    if (text('backend') === 'theano') throw new ModelError('engine', 'the file was saved under Theano, whose convolutions TensorFlow.js does not compute');
    const fill = (core: Core, net: LayersModel) => {
      const holder = file.get('model_weights') as Group;
      const saved = new Set(namesOf(holder, 'layer_names'));
      for (const layer of net.layers) {
        const group = saved.has(layer.name) ? (holder.get(layer.name) as Group) : null;
        const names = group === null ? [] : namesOf(group, 'weight_names');
        setWeights(
          core,
          layer,
          names.map((name) => group!.get(name) as Dataset),
        );
      }
      check();
    };
    return { config, version: text('keras_version'), fill, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where a layer's variables lie below its group: recurrent ones have them in their cells. */
const CELLS = ['', 'cell/', 'forward_layer/cell/', 'backward_layer/cell/'];

/** Groups say by class and count, in the order of the configuration, which layer they are of. */
async function readArchive({ files }: EngineModel): Promise<Original> {
  const archive = await openZip(await files.open(files.main!));
  const sourceOf = async (name: string): Promise<ByteSource> => {
    const entry = archive.get(name);
    if (!entry) throw new ModelError('engine', `the archive has no ${name}`);
    return entry.source();
  };
  const decode = async (name: string) => {
    const source = await sourceOf(name);
    return new TextDecoder().decode(await source.read(0, source.byteLength));
  };
  const config = await decode('config.json');
  const { keras_version } = JSON.parse(await decode('metadata.json')) as Json;
  const { file, check, close } = await openHdf5(undefined, await sourceOf('model.weights.h5'));
  const fill = (core: Core, net: LayersModel) => {
    const entry = JSON.parse(config) as Json;
    const variables = variablesOf(file);
    // tf.keras 2.12 met each layer that has weights twice, and counted it each time.
    const once = placesOf(net, entry, 1);
    const held = (path: string) => CELLS.flatMap((cell) => variables.get(path + cell) ?? []);
    const fits = [...once].every(([path, layer]) => layer.weights.length === 0 || held(path).length > 0);
    const places = fits ? once : placesOf(net, entry, 2);
    for (const [path, layer] of places) setWeights(core, layer, held(path));
    check();
  };
  return { config, version: typeof keras_version === 'string' ? keras_version : null, fill, close };
}

/** Variables by the path of their layer. On Windows, names of groups were joined by backslashes; tf.keras 2.12 had another word for layers. */
function variablesOf(root: Group): Map<string, Dataset[]> {
  const found = new Map<string, Dataset[]>();
  const visit = (group: Group, path: string) => {
    for (const key of group.keys()) {
      const child = group.get(key);
      if (child === null || !('keys' in child)) continue;
      const names = (child as Group).keys().toSorted((a, b) => Number(a) - Number(b));
      const word = key.replaceAll('\\', '/').replaceAll('_layer_checkpoint_dependencies', 'layers');
      if (key !== 'vars') visit(child as Group, `${path}${word}/`);
      else if (names.length > 0)
        found.set(
          path,
          names.map((name) => (child as Group).get(name) as Dataset),
        );
    }
  };
  visit(root, '');
  return found;
}

/** Layers by the paths of their variables. @param step by how much a layer that has weights is counted on */
function placesOf(net: { readonly layers: readonly Layer[] }, { config }: Json, step: 1 | 2, prefix = ''): Map<string, Layer> {
  const entries = (Array.isArray(config) ? config : (config as Json).layers) as readonly Json[];
  const counts = new Map<string, number>();
  const places = new Map<string, Layer>();
  for (const entry of entries) {
    const word = snakeCase(String(entry.class_name));
    const count = counts.get(word) ?? 0;
    const name = String((entry.config as Json).name ?? entry.name);
    const layer = net.layers.find((own) => own.name === name);
    counts.set(word, count + ((layer?.weights.length ?? 0) > 0 ? step : 1));
    const path = `${prefix}layers/${word}${count === 0 ? '' : `_${count}`}/`;
    if (layer && 'layers' in layer) for (const [inner, own] of placesOf(layer as unknown as LayersModel, entry, step, path)) places.set(inner, own);
    else if (layer) places.set(path, layer);
  }
  return places;
}

/** 'PReLU' to 'p_re_lu', as Keras names its groups. */
function snakeCase(name: string): string {
  const words = name.replace(/\W/g, '').replace(/(.)([A-Z][a-z]+)/g, '$1_$2');
  return words.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}

function setWeights(core: Core, layer: Layer, datasets: readonly Dataset[]): void {
  // States of random generators come with layers that TensorFlow.js has no weights for.
  if (layer.weights.length === 0) return;
  const tensors = datasets.map((dataset) => core.tensor(readValues(dataset), dataset.shape as number[], 'float32'));
  try {
    layer.setWeights(tensors);
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}

/** Elements that are read at a time, a mebibyte: h5wasm holds what it reads in a memory that never becomes smaller, and takes its time to begin. */
const MOST_AT_ONCE = 2 ** 18;

function readValues(dataset: Dataset): Float32Array {
  const [rows = 1, ...rest] = (dataset.shape ?? []) as number[];
  const rowLength = rest.reduce((a, b) => a * b, 1);
  if (rows * rowLength <= MOST_AT_ONCE) return toFloat32(dataset.value);
  const values = new Float32Array(rows * rowLength);
  const perRead = Math.max(1, Math.floor(MOST_AT_ONCE / rowLength));
  for (let row = 0; row < rows; row += perRead) {
    values.set(toFloat32(dataset.slice([[row, Math.min(rows, row + perRead)], ...rest.map((size): [number, number] => [0, size])])), row * rowLength);
  }
  return values;
}

function toFloat32(value: unknown): Float32Array {
  if (value instanceof Float32Array) return value;
  return typeof value === 'number' ? Float32Array.of(value) : Float32Array.from(value as ArrayLike<number>, Number);
}

function namesOf(group: { attrs: Record<string, { value: unknown }> }, attribute: string): string[] {
  const value = group.attrs[attribute]?.value;
  if (Array.isArray(value)) return value.map(String);
  if (value !== undefined && value !== null && !(ArrayBuffer.isView(value) && value.byteLength === 0)) return [String(value)];
  const pieces: string[] = [];
  for (let i = 0; group.attrs[`${attribute}${i}`]; i++) pieces.push(...(group.attrs[`${attribute}${i}`]!.value as unknown[]).map(String));
  return pieces;
}

async function importH5Node(): Promise<typeof import('h5wasm/node')> {
  try {
    return await import('h5wasm/node');
  } catch (error) {
    return fromCompanion(error, 'h5wasm/node');
  }
}

async function importH5(): Promise<H5> {
  try {
    return await import('h5wasm');
  } catch (error) {
    return fromCompanion(error, 'h5wasm');
  }
}
