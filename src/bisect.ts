/**
 * The smallest files that still show a fault, for a bug report: the layer that differs first, cut out of the original and out of the written
 * file, with what flows into it. That they show it is found by running them.
 */
import { memorySink } from './bytes/byte-sink.js';
import { memoryFileSet } from './bytes/file-set.js';
import { encodeNpyHeader } from './containers/npy.js';
import { isModelError, ModelError } from './errors.js';
import { layerGroup } from './model/groups.js';
import type { Layer, LayerMap } from './model/layer-map.js';
import type { Value } from './model/ops/array.js';
import { makeLayer, makersOf } from './model/ops/index.js';
import { toChannelsFirst, toChannelsLast } from './model/ports.js';
import { constantTensor, type Tensor, tensorBytes } from './model/tensor.js';
import { openModel } from './readers/open.js';
import { between, type Start } from './transforms/between.js';
import { typedValues } from './verify/array.js';
import { selectEngine } from './verify/engines/index.js';
import type { PlacedFault, WrittenTarget } from './verify/options.js';
import { npz } from './writers/npz.js';
import { onnx } from './writers/onnx/index.js';
import type { WriteOptions } from './writers/writer.js';

export interface Bisected {
  /** By name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What `verify` is to be given, in this order. */
  readonly command: readonly string[];
  /** Layers of the original that are left, and how many it has. */
  readonly layers: { readonly left: number; readonly of: number };
  /** A sentence on what was left out, and why. */
  readonly note: string | null;
}

/**
 * @param map the original, as it was read
 * @param target the written file
 * @param placed where the fault begins
 * @throws ModelError 'unsupported' where no part of the files shows the fault
 */
export async function bisect(map: LayerMap, target: WrittenTarget, placed: PlacedFault): Promise<Bisected> {
  const written = await (await openModel(target.files, { prototxt: target.prototxt })).map();
  const refused: string[] = [];
  for (const whole of [false, true]) {
    try {
      return await cutBoth(map, written, placed, whole);
    } catch (error) {
      if (!isModelError(error)) throw error;
      refused.push(error.message);
    }
  }
  throw new ModelError('unsupported', `no part of the files shows the fault: ${[...new Set(refused)].join('; ')}`, { file: target.files.label });
}

/** @param whole from the net's own inputs on, not from what flows into the layer */
async function cutBoth(map: LayerMap, written: LayerMap, placed: PlacedFault, whole: boolean): Promise<Bisected> {
  const { output, allowed } = placed;
  const inputs = whole ? placed.fed : placed.inputs;
  const starts = new Map(inputs.map(({ value, array }) => [value, startOf(array)]));
  const own = new Map(
    inputs.map(({ value, written: name, array }) => [
      valueIn(written, name) ??
        insidePort(
          written,
          map.inputs.findIndex((port) => port.value === value),
        ) ??
        value,
      startOf(array),
    ]),
  );
  const end = endIn(written, map, placed);
  if (end === undefined) throw new ModelError('unsupported', 'the written file does not keep what the layer makes');
  const original = named(
    between(map, starts, output.value),
    inputs.map(({ value }) => value),
    output.value,
  );
  // A layer that the file has lost gives what flows into it.
  const passed = `${end}/passed`;
  const pass = makeLayer({ name: passed, op: 'Identity', inputs: [end], outputs: [passed] });
  const cut = own.has(end)
    ? named(between({ ...written, layers: [...written.layers, pass] }, own, passed), [...own.keys()], passed)
    : named(between(written, own, end), [...own.keys()], end);
  const files = new Map<string, Uint8Array>();
  const arrays = inputs.map(({ array }, i) => tensorOf(inputName(i), array));
  const made = await Promise.all([original, cut].map((net) => onnxOf(net)));
  const [before, after] = [await run(made[0]!, arrays), await run(made[1]!, arrays)];
  files.set('written.onnx', made[1]!);
  const layers = { left: original.layers.length, of: map.layers.length };
  if (differs(before, after, allowed)) {
    files.set('original.onnx', made[0]!);
    const [name, bytes] = await inputsFile(arrays);
    files.set(name, bytes);
    return { files, command: ['original.onnx', 'written.onnx', '--inputs', name], layers, note: null };
  }
  // The original in ONNX is written by us as well: where that is at fault, or our reading of it, what the layer should make is all there is.
  if (!differs(placed.wanted, after, allowed)) throw new ModelError('unsupported', 'what was cut out gives what is expected');
  files.set('golden.npz', await npzOf([...arrays.map((tensor) => ({ ...tensor, name: `input:${tensor.name}` })), tensorOf(`output:${OUTPUT}`, placed.wanted)]));
  const note = 'the original written as ONNX gives what the written file does, so what it should give is in golden.npz instead';
  return { files, command: ['written.onnx', '--golden', 'golden.npz'], layers, note };
}

/** The written file's value in the place of what a layer makes: by its name, as an output of the net, or as what the next layer reads. */
function endIn(written: LayerMap, map: LayerMap, { output: { value, written: name, place }, readers }: PlacedFault): string | undefined {
  const found = place === null ? valueIn(written, name) : undefined;
  if (found !== undefined) return found;
  const port = place ?? map.outputs.findIndex((each) => each.value === value);
  if (port >= 0) return insideOutput(written, port);
  const makers = makersOf(written.layers);
  return readers.map((reader) => makers.get(valueIn(written, reader.written) ?? '')?.inputs[reader.at]).find((read) => read !== undefined);
}

/** The value of this name; or, of a node that our reader makes several layers of, what the last of them makes. */
function valueIn(written: LayerMap, name: string | undefined): string | undefined {
  if (name === undefined || makersOf(written.layers).has(name) || written.inputs.some(({ value }) => value === name)) return name;
  return layerGroup(written, name).at(-1)?.outputs[0];
}

/** The value of an input as the net has it: behind a Transpose, where its users have its channels last. */
function insidePort({ inputs, layers }: LayerMap, place: number): string | undefined {
  const value = inputs[place]?.value;
  const turned = layers.find((layer) => layer.op === 'Transpose' && layer.inputs[0] === value && isTurn(layer, toChannelsFirst));
  return turned?.outputs[0] ?? value;
}

/** The same of an output. */
function insideOutput({ outputs, layers }: LayerMap, place: number): string | undefined {
  const value = outputs[place]?.value;
  const turned = layers.find((layer) => layer.op === 'Transpose' && layer.outputs[0] === value && isTurn(layer, toChannelsLast));
  return turned?.inputs[0] ?? value;
}

function isTurn({ attributes }: Layer, order: (rank: number) => readonly number[]): boolean {
  const perm = attributes.perm as readonly number[];
  return `${perm}` === `${order(perm.length)}`;
}

const OUTPUT = 'y';
const inputName = (i: number) => (i === 0 ? 'x' : `x${i}`);

/** Ports by short names, the same in both files. */
function named(map: LayerMap, inputs: readonly string[], output: string): LayerMap {
  return {
    ...map,
    inputs: map.inputs.map((port) => ({ ...port, name: inputName(inputs.indexOf(port.value)) })),
    outputs: map.outputs.filter(({ value }) => value === output).map((port) => ({ ...port, name: OUTPUT })),
  };
}

function startOf({ shape, dtype = 'float32' }: Value): Start {
  return { shape, dtype };
}

function tensorOf(name: string, { shape, data, dtype = 'float32' }: Value): Tensor {
  const values = typedValues({ shape, data }, dtype);
  return constantTensor(name, dtype, shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength), { file: name });
}

const WRITE: WriteOptions = { dtype: 'source', layout: 'source', metadata: async () => ({}) };

async function onnxOf(map: LayerMap): Promise<Uint8Array> {
  const obstacles = await onnx.check(map, WRITE);
  if (obstacles.length > 0) throw obstacles[0]!;
  const sink = memorySink();
  await onnx.write(map, sink, 'cut.onnx', WRITE);
  await sink.commit();
  return sink.files.get('cut.onnx')!;
}

async function npzOf(tensors: readonly Tensor[]): Promise<Uint8Array> {
  const sink = memorySink();
  await npz.write(tensors, sink, 'arrays.npz', WRITE);
  await sink.commit();
  return sink.files.get('arrays.npz')!;
}

/** One array as .npy, several as .npz by their names. */
async function inputsFile(arrays: readonly Tensor[]): Promise<[name: string, bytes: Uint8Array]> {
  if (arrays.length > 1) return ['inputs.npz', await npzOf(arrays)];
  const [tensor] = arrays as [Tensor];
  const [head, body] = [encodeNpyHeader(tensor.dtype, tensor.shape), await tensorBytes(tensor)];
  const bytes = new Uint8Array(head.byteLength + body.byteLength);
  bytes.set(head);
  bytes.set(body, head.byteLength);
  return ['inputs.npy', bytes];
}

async function run(bytes: Uint8Array, arrays: readonly Tensor[]): Promise<Pick<Value, 'shape'> & { readonly data: ArrayLike<number | bigint> }> {
  const { engine } = await selectEngine('onnx');
  const session = await engine.open({ files: memoryFileSet({ 'cut.onnx': bytes }, 'cut.onnx') });
  try {
    const { toArray } = await import('./verify/array.js');
    const feeds = new Map<string, Awaited<ReturnType<typeof toArray>>>();
    for (const tensor of arrays) if (session.inputs.some(({ name }) => name === tensor.name)) feeds.set(tensor.name, await toArray(tensor));
    return [...(await session.run(feeds)).values()][0]!;
  } finally {
    await session.close();
  }
}

interface Compared {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

function differs(a: Compared, b: Compared, allowed: number): boolean {
  if (a.data.length !== b.data.length) return true;
  let [scale, most] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [Number(a.data[i]), Number(b.data[i])];
    if (Number.isFinite(x)) scale = Math.max(scale, Math.abs(x));
    if (Object.is(x, y)) continue;
    const difference = Math.abs(x - y);
    if (Number.isNaN(difference)) return true;
    most = Math.max(most, difference);
  }
  return most > allowed * (scale || 1);
}
