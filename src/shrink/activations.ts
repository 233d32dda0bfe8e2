/** `--activations`: a net that computes in 8 bits, with ranges of what flows in it from inputs that mean something. */
import { ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import type { GivenInputs } from '../verify/feeds.js';
import { beforeSoftmax } from './before-softmax.js';
import { seenValues } from './calibrate.js';
import { codedWeight } from './coded.js';
import { inFloat32 } from './in-float32.js';
import { distance, MAX_NET_BYTES, outputsOf } from './outputs.js';
import { withQdq } from './qdq.js';
import { planQdq, type QdqPlan, withPadsMerged } from './qdq-plan.js';
import { type ActivationCodes, codesFor, RANGE_METHODS, type RangeHistogram, type RangeMethod } from './ranges.js';
import { fewRows, keptBack, placesOf } from './rows.js';
import type { Shrunk } from './shrunk.js';
import { codableWeights, withWeights } from './weights.js';

export interface ActivationOptions {
  readonly dtype: ActivationCodes['dtype'];
  readonly inputs: GivenInputs;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

/** Inputs that are looked at, at most, and those of them that ways to choose a range are judged on. */
const MOST_RUNS = 512;
const JUDGED_ROWS = 64;

/**
 * @param net batch normalisation is folded by now
 * @throws ModelError 'usage' where the net computes in 8 bits already, or nothing in it can
 */
export async function shrinkActivations(net: LayerMap, { dtype, inputs, onProgress }: ActivationOptions): Promise<Shrunk> {
  const map = withPadsMerged(inFloat32(net));
  if (map.layers.some(({ op }) => op === 'QuantizeLinear'))
    throw new ModelError('usage', 'the net computes in integers already: it has QuantizeLinear layers.');
  const plan = planQdq(map);
  if (plan.products.length === 0) throw new ModelError('usage', 'the net has no convolution or dense layer of float32 that ONNX Runtime computes in 8 bits.');
  const runs = Math.min(inputs.runs, MOST_RUNS);
  const places = placesOf(inputs, runs);
  const values = new Set(plan.coded.values());
  // Half of the inputs choose ranges, and the others between ways to choose them; a net that is too large for that has all of them looked at.
  const mayTry = runs > 1 && bytesOf(map) <= MAX_NET_BYTES;
  const seen = await seenValues(map, values, inputs, mayTry ? places.filter((_, i) => i % 2 === 0) : places, (done, total) =>
    onProgress?.('running the net on inputs', done, total),
  );
  const rest = await codedRest(map, plan);
  const made = (method: RangeMethod) => withQdq(rest, plan, codesOf(seen, method, dtype));
  const tried = mayTry ? await tryRanges(map, made, keptBack(inputs, runs), onProgress) : [];
  const [best] = tried.toSorted((a, b) => a.error - b.error);
  const method = best?.method ?? RANGE_METHODS[0]!;
  const message = `${sentence(map, plan, dtype)}; ranges by ${method} of ${rowsOf(inputs, runs)} inputs${told(tried)}${fewRows(inputs.rows)}`;
  const layers = [...plan.products, ...plan.others].map(({ name }) => name);
  return { map: await made(method), claims: ['in-codes'], change: { transform: 'shrink', message, layers } };
}

function codesOf(seen: ReadonlyMap<string, RangeHistogram>, method: RangeMethod, dtype: ActivationCodes['dtype']): Map<string, ActivationCodes> {
  return new Map([...seen].map(([value, histogram]) => [value, codesFor(histogram.range(method), dtype)]));
}

/** Kernels and tables of layers that stay in float32, in codes as those of any net. */
async function codedRest(map: LayerMap, { products }: QdqPlan): Promise<LayerMap> {
  const others = codableWeights(map).filter(({ layer }) => !products.includes(layer));
  const made = new Map<Tensor, Tensor>();
  for (const { tensor, axis } of others) made.set(tensor, await codedWeight(tensor, axis, 'channels', 'full'));
  const layers = withWeights(map, made).layers.map((layer, i) => (products.includes(map.layers[i]!) ? map.layers[i]! : layer));
  return { ...map, layers };
}

interface Tried {
  readonly method: RangeMethod;
  readonly error: number;
}

async function tryRanges(
  map: LayerMap,
  made: (method: RangeMethod) => Promise<LayerMap>,
  inputs: GivenInputs,
  onProgress: ActivationOptions['onProgress'],
): Promise<Tried[]> {
  const exact = await outputsOf(beforeSoftmax(map), inputs, JUDGED_ROWS);
  const tried: Tried[] = [];
  for (const method of RANGE_METHODS) {
    tried.push({ method, error: distance(exact, await outputsOf(beforeSoftmax(await made(method)), inputs, JUDGED_ROWS)) });
    onProgress?.('choosing ranges', tried.length, RANGE_METHODS.length);
  }
  return tried;
}

function sentence(map: LayerMap, { products, others }: QdqPlan, dtype: string): string {
  const wide = map.layers.filter((layer) => ['Conv', 'ConvTranspose', 'Gemm', 'MatMul'].includes(layer.op) && !products.includes(layer));
  const names = wide.slice(0, 5).map(({ name }) => `"${name}"`);
  const rest = wide.length === 0 ? '' : `, ${wide.length} of them in float32 (${names.join(', ')}${wide.length > 5 ? ', ...' : ''})`;
  return `${products.length} convolutions and dense layers and ${others.length} layers between them compute in 8 bits, activations in ${dtype}${rest}`;
}

function told(tried: readonly Tried[]): string {
  if (tried.length === 0) return '';
  return ` (error of the output on others: ${tried.map(({ method, error }) => `${method} ${(100 * Math.sqrt(error)).toPrecision(2)} %`).join(', ')})`;
}

function rowsOf(inputs: GivenInputs, runs: number): number {
  return Math.min(inputs.rows, runs * inputs.batch);
}

function bytesOf({ layers }: LayerMap): number {
  return layers.flatMap(({ weights }) => Object.values(weights)).reduce((sum, { shape }) => sum + elementCount(shape) * 4, 0);
}
