/**
 * Every pair of neighbouring operators as the stock runtimes compute it, with their optimisations and without, against our evaluator. What
 * differs is a fault of a writer or of a runtime, and is to be written around, refused, or listed here with its reason.
 */
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isFloatDType } from '../../src/model/dtype.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import type { Value } from '../../src/model/ops/array.js';
import type { Engine, NdArray } from '../../src/verify/engine.js';
import { ortCpu } from '../../src/verify/engines/ort-cpu.js';
import { ortWasm } from '../../src/verify/engines/ort-wasm.js';
import { ortWebgpu } from '../../src/verify/engines/ort-webgpu.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { tfjsWebgpu } from '../../src/verify/engines/tfjs-webgpu.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { portRunner } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { tfjs, tfjsGraph } from '../../src/writers/tfjs/index.js';
import type { Writer } from '../../src/writers/writer.js';
import { numbers } from '../caffe-net.js';
import { type Chain, chain, joined, STARTS, type Start } from './chains.js';
import { type Draft, NEIGHBOURS } from './neighbours.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
/** Of an output's scale; float16 and the 8-bit integers have a step of their own. */
const ROUNDING = 3e-5;
const HALF_ROUNDING = 4e-3;
/** How many times as far as a rounding moves a net's outputs, where that is more: runtimes add in another order, and approximate functions. */
const MOVED = 20;
/** Nets in one file. */
const BATCH = 48;

/** What runs a written net: a format, a runtime of it, and whether it may rewrite the graph first. */
export interface Stock {
  readonly name: string;
  readonly writer: Writer;
  readonly file: string;
  readonly engine: Engine;
  readonly asWritten?: boolean;
}

const stock = (writer: Writer, engine: Engine, asWritten = false): Stock => ({
  name: `${writer.name} in ${engine.name}${asWritten ? ', not optimised' : ''}`,
  writer,
  file: writer === onnx ? 'net.onnx' : 'model.json',
  engine,
  asWritten,
});

export const STOCK: readonly Stock[] = [
  ...[ortCpu, ortWasm, ortWebgpu].flatMap((engine) => [stock(onnx, engine), stock(onnx, engine, true)]),
  ...[tfjsCpu, tfjsWasm, tfjsWebgpu].flatMap((engine) => [stock(tfjsGraph, engine), stock(tfjs, engine)]),
];

/** Differences that are known, by the names of stock and net: faults of a runtime that it tells in words, or that no written file meets. */
export const KNOWN: readonly { readonly stock: RegExp; readonly net: RegExp; readonly why: string }[] = [
  {
    stock: /^onnx in ort-(cpu|wasm)$/,
    net: /^Transpose channels first > Resize linear$/,
    why: 'ONNX Runtime 1.30 moves two Transposes behind a Resize that interpolates, and does not load what it made',
  },
  {
    stock: /^onnx in ort/,
    net: /^Pad channels > MeanVarianceNormalization$/,
    why: 'ONNX Runtime 1.30 divides by a deviation of zero, where ONNX adds 1e-9: NaN, which no verdict lets pass',
  },
  {
    stock: /^onnx in ort/,
    net: /^(Swish > RoiAlign|RoiAlign > Swish)$/,
    why: 'ONNX Runtime 1.30 has no RoiAlign of opset 22, and a Swish raises the file to 24: it does not load, and says so',
  },
  { stock: /in tfjs-wasm$/, net: /^Einsum$/, why: 'TensorFlow.js 4.22 has no Einsum on WebAssembly, and says so' },
];

/** A net and what is fed to it. */
export interface Trial extends Chain {
  readonly start: Start;
}

export interface Finding {
  readonly stock: string;
  readonly net: string;
  /** How far apart they are, in scales of the output; or what the runtime said. */
  readonly apart: number | string;
  readonly why?: string;
}

/** A net of these settings from the first start that they take. */
function trial(makers: Parameters<typeof chain>[0], seed: number, layout: 'nchw' | 'nhwc', branches = false): Trial | null {
  for (const start of STARTS) {
    const made = chain(makers, seed, { layout, start, branches });
    if (made) return { ...made, start };
  }
  return null;
}

/** Each setting of an operator alone. */
export function singles(layout: 'nchw' | 'nhwc'): Trial[] {
  return NEIGHBOURS.flatMap((make, i) => trial([make], i, layout) ?? []);
}

export function* pairs(layout: 'nchw' | 'nhwc', { sample = 1 } = {}): Generator<Trial> {
  let count = 0;
  for (const [i, first] of NEIGHBOURS.entries()) {
    for (const [j, second] of NEIGHBOURS.entries()) {
      if (count++ % sample !== 0) continue;
      const made = trial([first, second], i * NEIGHBOURS.length + j, layout);
      if (made) yield made;
    }
  }
}

/** Random rows of four, some with several outputs. */
export function* rows(layout: 'nchw' | 'nhwc', count: number): Generator<Trial> {
  const random = numbers(99);
  for (let made = 0, seed = 0; made < count; seed++) {
    const makers = Array.from({ length: 4 }, () => NEIGHBOURS[Math.floor(((random() + 1) / 2) * NEIGHBOURS.length)]!);
    const row = trial(makers, seed, layout, seed % 3 === 0);
    if (!row) continue;
    made++;
    yield row;
  }
}

/** Runs all nets in each stock. */
export async function findings(
  stocks: readonly Stock[],
  nets: Iterable<Trial>,
  progress?: (tried: number) => void,
): Promise<{ tried: Map<string, number>; found: Finding[] }> {
  const tried = new Map(stocks.map(({ name }) => [name, 0]));
  const found: Finding[] = [];
  let count = 0;
  for (const batch of batches(nets)) {
    const usable: Prepared[] = [];
    for (const net of batch) {
      const one = await prepared(net, 1).catch((error: Error) => error.message);
      if (typeof one === 'string') found.push({ stock: 'our evaluator', net: net.title, apart: one });
      else if (one) usable.push(one);
    }
    for (const one of stocks) {
      const obstacles = await Promise.all(usable.map(({ net }) => one.writer.check(net.map, OPTIONS)));
      const written = usable.filter((_, i) => obstacles[i]!.length === 0);
      tried.set(one.name, tried.get(one.name)! + written.length);
      found.push(...(await differing(one, written)));
    }
    count += batch.length;
    progress?.(count);
  }
  return { tried, found };
}

function* batches(nets: Iterable<Trial>): Generator<Trial[]> {
  let batch: Trial[] = [];
  for (const net of nets) {
    batch.push(net);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

export interface Prepared {
  readonly net: Trial;
  readonly feeds: readonly NdArray[];
  readonly expected: readonly NdArray[];
  /** How far apart two right answers may be, in scales of the output. */
  readonly tolerance: number;
}

/** Null where nothing that can be compared comes out. */
export async function prepared(net: Trial, seed: number): Promise<Prepared | null> {
  const [port] = net.map.inputs;
  const feeds = [{ shape: port!.shape as readonly number[], data: fed(net.start, net.drafts[0], seed) }];
  const expected = await runLayers(net.map, feeds, () => {});
  if (!expected.some(({ data }) => Array.from(data as Float64Array).some(isPlain))) return null;
  const rounded = await runLayers(net.map, feeds, () => {}, { made: (_, value) => nudged(value) });
  const moved = Math.max(...expected.map((wanted, i) => apartFrom(wanted, rounded[i])));
  return { net, feeds, expected, tolerance: Math.max(roundingOf(net), MOVED * moved) };
}

/** Every value moved by what float32 rounds the largest by, up and down, for sums of products lose as much. */
function nudged(value: Value): Value {
  if (value.dtype !== undefined && !isFloatDType(value.dtype)) return value;
  const step = value.data.reduce((most, element) => (isPlain(element) ? Math.max(most, Math.abs(element)) : most), 0) * 2 ** -24;
  return { ...value, data: value.data.map((element, i) => element + ((i * 2654435761) & 64 ? step : -step)) };
}

function fed({ shape, dtype }: Start, first: Draft | undefined, seed: number): Float32Array {
  const random = numbers(seed * 7919 + 3);
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    const value = random();
    if (dtype === 'bool') return value > 0 ? 1 : 0;
    if (dtype === 'uint8') return Math.floor((value + 1) * 127.9);
    if (dtype !== 'float32') return Math.floor((value + 1) * 4) - (dtype === 'int32' ? 4 : 0);
    if (first?.domain === 'unit') return 0.5 + 0.4 * value;
    return first?.domain === 'above one' ? 2.1 + value : 2 * value;
  });
}

/** Those that differ, each looked at alone. */
async function differing(one: Stock, tries: readonly Prepared[]): Promise<Finding[]> {
  if (tries.length === 0) return [];
  const made = await run(one, tries);
  if (typeof made === 'string') {
    if (tries.length === 1) return [finding(one, tries[0]!, made)];
    const middle = tries.length >> 1;
    return [...(await differing(one, tries.slice(0, middle))), ...(await differing(one, tries.slice(middle)))];
  }
  const found: Finding[] = [];
  for (const [i, { net }] of tries.entries()) {
    const apart = made[i]!;
    if (apart <= tries[i]!.tolerance) continue;
    // Where a rounding decides what comes out, another input does not show it.
    const again = await prepared(net, 2);
    const other = again === null ? [apart] : await run(one, [again]);
    if (typeof other === 'string' || !(other[0]! <= (again?.tolerance ?? 0))) found.push(finding(one, tries[i]!, apart));
  }
  return found;
}

function roundingOf({ drafts }: Trial): number {
  return drafts.some(({ attributes }) => attributes?.to === 'float16') ? HALF_ROUNDING : ROUNDING;
}

function finding(one: Stock, { net }: Prepared, apart: number | string): Finding {
  const known = KNOWN.find((entry) => entry.stock.test(one.name) && entry.net.test(net.title));
  return { stock: one.name, net: net.title, apart, ...(known ? { why: known.why } : {}) };
}

/** How far each net is from what is expected of it; a message where the file does not run. */
async function run({ writer, file, engine, asWritten }: Stock, tries: readonly Prepared[]): Promise<number[] | string> {
  const map: LayerMap = tries.length === 1 ? tries[0]!.net.map : joined(tries.map(({ net }) => net.map));
  try {
    const sink = memorySink();
    await writer.write(map, sink, file, OPTIONS);
    await sink.commit();
    const files = memoryFileSet(Object.fromEntries(sink.files), sink.files.has(file) ? file : null);
    const written = await findWrittenFormat(writer.name)!.open(files, map.layers);
    const session = await engine.open({ files, ...(asWritten ? { asWritten } : {}) });
    try {
      const made = await portRunner(session, map, written.layoutOf)(tries.flatMap(({ feeds }) => feeds));
      let at = 0;
      return tries.map(({ expected }) => Math.max(...expected.map((wanted) => apartFrom(wanted, made[at++]))));
    } finally {
      await session.close();
    }
  } catch (error) {
    return String((error as Error).message).split('\n')[0]!;
  }
}

const isPlain = (value: number) => Math.abs(value) < 1e30;

/** Of the scale; what is not finite, or close to it, is a matter of each runtime's own. */
function apartFrom(wanted: NdArray, made: NdArray | undefined): number {
  if (made?.data.length !== wanted.data.length) return Number.POSITIVE_INFINITY;
  const values = Array.from(wanted.data as Float64Array);
  // Below it float32 keeps fewer digits the smaller a number is.
  if (!values.some((value) => isPlain(value) && (value === 0 || Math.abs(value) > 2 ** -120))) return 0;
  const scale = values.reduce((most, value) => (isPlain(value) ? Math.max(most, Math.abs(value)) : most), 0) || 1;
  return values.reduce((worst, value, i) => {
    if (!isPlain(value)) return worst;
    const difference = Math.abs(value - Number(made.data[i])) / scale;
    return difference <= worst ? worst : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }, 0);
}
