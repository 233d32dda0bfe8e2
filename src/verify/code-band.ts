/**
 * How far apart two right runs of a net lie whose source computes in integer codes. Its kernels multiply in fixed point and look functions up in
 * tables, so that a value which lies near the middle between two codes goes to either; what is worked out of it differs from there on.
 *
 * Measured with our evaluator: every value is moved by a part of a step before it is rounded to a code, by a seeded coin, and once the last
 * codes before the outputs are a step higher. What kernels in integers lose was measured on TensorFlow Lite 2.21, with and without XNNPACK.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import { isHuge } from './effort.js';
import { type Arithmetic, runLayers } from './reference/session.js';
import { coins } from './rounding.js';
import type { Feeds } from './side.js';

/** Codes that are held to 8 or 16 bits. */
const SPANS: ReadonlySet<number> = new Set([254, 255, 65534, 65535]);
/** Part of a step by which kernels in integers miss a middle: sums of codes by up to a hundredth, roots and exponentials by more. */
const PART = 0.1;
const SEEDS = [1, 2, 3, 4, 5, 6] as const;
/** Two right runs were at most 1.6 times as far apart as the seeds show. */
const MARGIN = 2;
/** A step itself, as float32 has it. */
const ONE = 1 + 1e-6;
/** The largest part of an output's scale that this lets pass: a kernel of XNNPACK that takes no notice of a zero point was 0.25 off. */
export const MOST_OF_CODES = 0.1;

/** The layers that round to codes: behind each, what it makes is held to the whole numbers of 8 or 16 bits. */
export function codingLayers({ layers }: LayerMap): ReadonlySet<Layer> {
  const makers = new Map(layers.flatMap((layer) => layer.outputs.map((output) => [output, layer] as const)));
  const coding = new Set<Layer>();
  for (const { op, inputs, attributes } of layers) {
    const [low, high] = [Number(attributes.min), Number(attributes.max)];
    if (op !== 'Clip' || !Number.isInteger(low) || !SPANS.has(high - low)) continue;
    const made = makers.get(inputs[0]!);
    if (made?.op === 'Round') coding.add(made);
  }
  return coding;
}

/** The codes that no other rounding stands behind. */
function lastOf({ layers, outputs }: LayerMap, coding: ReadonlySet<Layer>): ReadonlySet<Layer> {
  const wanted = new Set(outputs.map(({ value }) => value));
  const last = new Set<Layer>();
  for (const layer of layers.toReversed()) {
    if (!layer.outputs.some((output) => wanted.has(output))) continue;
    if (coding.has(layer)) last.add(layer);
    else for (const input of layer.inputs) wanted.add(input);
  }
  return last;
}

/**
 * How far each output may be off, of its scale, where codes near the middle between two go to the other.
 *
 * @returns null for a net that rounds to no codes, or is too large for the evaluator
 * @throws ModelError 'engine' for an operator that the evaluator lacks
 */
export async function rtolsOfCodes(map: LayerMap, feeds: Feeds): Promise<readonly number[] | null> {
  const coding = codingLayers(map);
  if (coding.size === 0 || isHuge(map)) return null;
  const last = lastOf(map, coding);
  const run = (arithmetic: Arithmetic) => runLayers(map, feeds, () => {}, arithmetic);
  const exact = await run({});
  const most = exact.map(() => 0);
  const compare = (made: typeof exact, margin: number) => {
    for (const [i, { data }] of exact.entries()) {
      let [scale, apart] = [0, 0];
      for (let at = 0; at < data.length; at++) {
        scale = Math.max(scale, Math.abs(Number(data[at])));
        apart = Math.max(apart, Math.abs(Number(made[i]!.data[at]) - Number(data[at])));
      }
      most[i] = Math.max(most[i]!, (margin * apart) / (scale || 1));
    }
  };
  for (const seed of SEEDS) compare(await run(movedBefore(coding, coins(seed))), MARGIN);
  compare(await run({ made: (layer, value) => (layer && last.has(layer) ? shifted(value, () => 1) : value) }), ONE);
  return most;
}

function movedBefore(coding: ReadonlySet<Layer>, coin: () => boolean): Arithmetic {
  return { read: (layer, inputs) => (coding.has(layer) ? inputs.map((value) => value && shifted(value, () => (coin() ? PART : -PART))) : inputs) };
}

function shifted(value: Value, by: () => number): Value {
  return { ...value, data: Float64Array.from(value.data as ArrayLike<number>, (each) => each + by()) };
}
