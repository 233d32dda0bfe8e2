/**
 * Each layer alone. In a net that makes much of a rounding, what two right answers may differ by is wide, and a fault hides in it: another epsilon
 * in one of fifty normalisations. So what the file's runtime makes of each layer is held to what our evaluator makes of the very values that flowed
 * into it there, which no rounding before it has moved.
 */
import { isModelError } from '../errors.js';
import { type DType, isFloatDType } from '../model/dtype.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { listedTensor } from '../model/numbers.js';
import { toValue, type Value } from '../model/ops/array.js';
import { inferMap, makersOf } from '../model/ops/index.js';
import { readOperand } from '../model/ops/operands.js';
import { isChannelsLast, toChannelsFirst } from '../model/ports.js';
import { permuteArray } from './array.js';
import { errorOf, evaluateSegment, hiddenBehind, type Segment, scaleOf } from './causes/segment.js';
import { multiplications } from './effort.js';
import { withInner } from './inner.js';
import type { VerifyOptions } from './options.js';
import type { TrialReport } from './report.js';
import { APPROXIMATED, coins, HALF_UNIT } from './rounding.js';
import type { RunSample } from './samples.js';
import type { Subject } from './subject.js';
import { MARGIN, type Tolerances } from './tolerance.js';

/** Of an output's scale: what rounding does to most nets is less, and every known fault more. */
const WIDE = 1e-4;
/** Of a layer's scale: what runtimes were seen to differ by on one layer, and several times that. */
const ALLOWED = 2e-5;
/** What moves this much by a rounding of what it reads proves nothing. */
const UNSTEADY = 1e-2;
const SAMPLES = 2;
const BUDGET = 1e8;
/** A sum of some hundred products, each of which is rounded. */
const NUDGE = 4 * HALF_UNIT.float32;

const HIDDEN = 'in the outputs it hides in what rounding does to this net';

export interface AloneRun {
  readonly samples: readonly RunSample[];
  readonly tolerances: Tolerances;
  /** Whether outputs are out of their tolerance, and the layer is looked for that makes them so. */
  readonly differs?: boolean;
}

export interface LayerAlone {
  readonly trial: TrialReport;
  /** The first that differs, and on which sample. */
  readonly first: { readonly layer: Layer; readonly sample: RunSample } | null;
}

/** Null where the outputs are held to little anyway, unless they differ, or the file's runtime does not show the map's layers. */
export async function tryAlone(subject: Subject, { samples, tolerances, differs = false }: AloneRun, options: VerifyOptions): Promise<LayerAlone | null> {
  const { map, target, written } = subject;
  const asked = samples.slice(0, SAMPLES);
  if (target.format !== 'onnx' || !written?.isOurs || asked.length === 0 || multiplications(map) * asked.length > BUDGET) return null;
  if (!differs && tolerances.correctness('reference').rtol <= WIDE) return null;
  const what = 'each layer alone';
  try {
    return await withInner(subject, map, options, async ({ source, run }) => {
      let compared = 0;
      const types = inferMap(map);
      for (const sample of asked) {
        const values = new Map<string, Value>(map.inputs.map((port, i) => [port.value, ofPort(sample.feeds[i]!, port)]));
        await source.visit(
          sample.feeds,
          0,
          map.layers.filter((layer) => source.layers.has(layer)),
          async (layer, found) => {
            const [output] = layer.outputs as [string];
            // Whole numbers are divided and shifted as such.
            const dtype = types.get(output)?.dtype;
            values.set(output, dtype ? { ...toValue(found), dtype } : toValue(found));
          },
        );
        for (const segment of segments(map, source.layers, values)) {
          const layer = segment.layers.at(-1)!;
          const apart = await apartOf(segment, values.get(layer.outputs[0]!)!);
          if (apart === null) continue;
          compared++;
          if (apart.error <= apart.allowed) continue;
          const message = `layer "${layer.name}" (${layer.op}) makes of what flows into it something else than it should: ${apart.error.toExponential(1)} of its scale, allowed ${apart.allowed.toExponential(1)}; ${HIDDEN}`;
          return { trial: { kind: 'alone', what, passed: false, message }, first: { layer, sample } };
        }
        const given = await run(sample.feeds);
        for (const [i, port] of map.outputs.entries()) {
          const layer = map.layers.find(({ outputs }) => outputs[0] === port.value);
          const [made, output] = [values.get(port.value), given[i]];
          if (!layer || !made || !output || !source.layers.has(layer)) continue;
          const error = errorOf(made, ofPort(output, port), scaleOf(made));
          if (!(error > ALLOWED)) continue;
          const message = `output "${port.name}" is not what layer "${layer.name}" (${layer.op}) makes, but ${error.toExponential(1)} of its scale away; ${HIDDEN}`;
          return { trial: { kind: 'alone', what, passed: false, message }, first: { layer, sample } };
        }
      }
      if (compared === 0) return null;
      return { trial: { kind: 'alone', what, passed: true, message: `${what}: each makes of what flows into it what it should` }, first: null };
    });
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/** Every layer that is shown with those before it that are not, and what flows into them. */
function* segments(map: LayerMap, shown: ReadonlySet<Layer>, values: ReadonlyMap<string, Value>): Iterable<Segment> {
  const types = inferMap(map);
  const makers = makersOf(map.layers);
  const places = new Map(map.layers.map((layer, i) => [layer, i]));
  for (const layer of map.layers) {
    if (!shown.has(layer) || !values.has(layer.outputs[0]!)) continue;
    const { hidden } = hiddenBehind(makers, layer, (maker, value) => shown.has(maker) && maker.outputs[0] === value && values.has(value));
    const layers = [...hidden].sort((a, b) => places.get(a)! - places.get(b)!);
    // Of thousands of values the few that it reads: they are gone through for each segment.
    const flowing = layers.flatMap(({ inputs }) => inputs.flatMap((name) => (values.has(name) ? [[name, values.get(name)!] as const] : [])));
    yield { map, layers, values: new Map(flowing), types, others: new Map() };
  }
}

/** Null where nothing can be told of the layer: numbers that are none, an operator that the evaluator lacks, a step. */
async function apartOf(segment: Segment, found: Value): Promise<{ readonly error: number; readonly allowed: number } | null> {
  try {
    const base = await evaluateSegment(segment);
    // Runtimes approximate such functions to a part of the size at which they saturate: what is all but zero tells nothing.
    const scale = Math.max(scaleOf(base), segment.layers.some(({ op }) => APPROXIMATED.has(op)) ? 1 : 0);
    // Beyond 2^53 the evaluator does not count exactly, and what wraps around there is another number.
    if (![base, found, ...segment.values.values()].every(isCounted)) return null;
    const isWhole = [base, found].every(({ data }) => data.every(Number.isFinite));
    if (!isWhole || scale === 0 || base.data.length !== found.data.length) return null;
    const error = errorOf(base, found, scale);
    if (error <= ALLOWED || (await isTied(segment, base, found))) return { error: Math.min(error, ALLOWED), allowed: ALLOWED };
    const moved = errorOf(base, await evaluateSegment(nudged(segment)), scale);
    const allowed = Math.max(ALLOWED, MARGIN * moved);
    return allowed < UNSTEADY ? { error, allowed } : null;
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/**
 * Codes are steps of whole numbers, which no rounding of what flows in moves; that of the scales does. Where it turns the code that the evaluator gives into
 * the one that was found, the number lies between the two, and both are right.
 */
export async function isTied(segment: Segment, base: Value, found: Value): Promise<boolean> {
  if (!isCode(segment.types.get(segment.layers.at(-1)!.outputs[0]!)?.dtype)) return false;
  const open = new Set([...base.data.keys()].filter((i) => base.data[i] !== found.data[i]));
  for await (const layers of withScalesNudged(segment.layers)) {
    const { data } = await evaluateSegment({ ...segment, layers });
    for (const i of open) if (data[i] === found.data[i]) open.delete(i);
    if (open.size === 0) return true;
  }
  return false;
}

/** The layers with one of their weights, each in its turn, larger and smaller by a rounding or two. */
async function* withScalesNudged(layers: readonly Layer[]): AsyncIterable<readonly Layer[]> {
  for (const layer of layers) {
    for (const [role, tensor] of Object.entries(layer.weights)) {
      if (!isFloatDType(tensor.dtype)) continue;
      const { data } = await readOperand(tensor);
      for (const factor of [1 + 2 * NUDGE, 1 - 2 * NUDGE]) {
        const value = data.map((element) => element * factor);
        const weights = { ...layer.weights, [role]: listedTensor(tensor.name, 'float64', tensor.shape, value, tensor.origin) };
        yield layers.map((one) => (one === layer ? { ...layer, weights } : one));
      }
    }
  }
}

const isCode = (dtype: DType | null | undefined) => dtype === 'int8' || dtype === 'uint8' || dtype === 'int16' || dtype === 'uint16';

function nudged(segment: Segment): Segment {
  const coin = coins(1);
  const values = new Map(
    [...segment.values].map(([name, value]) => [name, isFloat(value) ? { ...value, data: value.data.map((x) => x * (1 + (coin() ? NUDGE : -NUDGE))) } : value]),
  );
  return { ...segment, values };
}

const isCounted = (value: Value) => isFloat(value) || value.data.every((x) => Math.abs(x) <= Number.MAX_SAFE_INTEGER);

const isFloat = ({ dtype = 'float32' }: Value) => isFloatDType(dtype);

function ofPort(array: Parameters<typeof toValue>[0], port: LayerMap['inputs'][number]): Value {
  const first = isChannelsLast(port.layout) && array.shape.length > 2 ? permuteArray(array, toChannelsFirst(array.shape.length)) : array;
  return { ...toValue(first), ...(port.valueDType ? { dtype: port.valueDType } : {}) };
}
