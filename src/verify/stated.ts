/**
 * Activations where no input reaches them. A ReLU6 in the place of a ReLU, deep in a net whose values stay small, shows in no output; but the file says
 * what stands there. What it states in the place of each activation is held to the source's on a ramp of numbers, far beyond what flows in the net.
 * So is the epsilon of each normalisation, be it one layer of the file or several, which shows nothing beside variances that are large, and decides all where one is small; and what is done
 * with one number, such as an epsilon that is added in a layer of its own, on numbers of that one's size.
 */
import { isModelError } from '../errors.js';
import { isFloatDType } from '../model/dtype.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import { evaluateLayer } from '../model/ops/evaluate.js';
import { inferMap, type ValueType } from '../model/ops/index.js';
import { elementCount } from '../model/tensor.js';
import { listed } from '../words.js';
import { Allowance } from './allowance.js';
import { toArray } from './array.js';
import { isSingleActivation } from './causes/activations.js';
import { readStated, type Stated } from './causes/as-stated.js';
import { reportOf } from './causes/explain.js';
import { allValues, errorOf, type Segment, scaleOf } from './causes/segment.js';
import { shown } from './causes/settings.js';
import { tryCauses } from './causes/trial.js';
import type { CauseReport, TrialReport } from './report.js';
import type { Subject } from './subject.js';
import { compareWeight } from './weight-pair.js';
import type { WrittenModel } from './written/written.js';

/** Of the ramp's scale. Constants that the file has narrowed with its weights, such as a slope in bfloat16, move what it makes by as much. */
const ALLOWED = { exact: 2e-5, narrowed: 1e-2 } as const;
/** Up to which numbers a function is looked at: an exponential of more is infinite in float32, of which others may be made. */
const MOST = 80;
/** The same of functions made of straight lines, which nothing overflows. */
const FAR = 1e6;
const STRAIGHT: ReadonlySet<string> = new Set(['Relu', 'LeakyRelu', 'ThresholdedRelu', 'Clip', 'HardSigmoid', 'HardSwish', 'Abs', 'Neg']);
const WITH_A_NUMBER: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div']);
/** Times the number that is added or multiplied. */
const NEAR = 4;
/** Of an epsilon, beyond how formats round it. */
const SAME_EPSILON = 1e-3;
/** Numbers on each side of zero. */
const STEPS = 200;
const TRIAL_STEPS = 1e9;

export interface StatedOtherwise {
  readonly trial: TrialReport;
  readonly layer: Layer;
  readonly cause: CauseReport;
}

/**
 * The first activation or epsilon that the file states otherwise; null where there is none, or the file does not say what stands in their places.
 *
 * @param isNarrowed whether the file's constants may be the source's, rounded
 */
export async function tryStated({ map, target, written }: Subject, isNarrowed: boolean): Promise<StatedOtherwise | null> {
  // A number that was rounded with the weights is another one of its own size, and an epsilon that stands as a weight.
  const functions = map.layers.filter((layer) => isSingleActivation(layer) || (!isNarrowed && isWithNumber(layer)));
  if (!written || (functions.length === 0 && !map.layers.some(({ attributes }) => 'epsilon' in attributes))) return null;
  // In a file that has some of the names only, a function may be spread over others of its layers.
  if (!written.isOurs && map.layers.some((layer) => written.valueOf(layer) === undefined)) return null;
  const stated = await readStated(target, map, written.partners);
  if (!stated) return null;
  const allowed = isNarrowed ? ALLOWED.narrowed : ALLOWED.exact;
  const types = inferMap(map);
  for (const layer of functions) {
    const number = isWithNumber(layer) ? await numberOf(layer) : null;
    // Whole numbers are divided otherwise than those of the ramp, and beside zero there is none.
    if (number !== null && (!isFloatDType(types.get(layer.inputs[0]!)?.dtype ?? 'float32') || !(Math.abs(number) > 0))) continue;
    const values = new Map([[layer.inputs[0]!, rampFor(layer, types, number)]]);
    const segment: Segment = { map, layers: [layer], values, types, others: new Map() };
    const found = await statedOtherwise(segment, layer, stated, allowed);
    if (!found) continue;
    const findings = await tryCauses([{ segment, target: found.made }], { allowed, allowance: new Allowance(TRIAL_STEPS), stated });
    const [what, where] =
      number === null
        ? ['activations beyond what the inputs reach', 'where none of the inputs that were run reaches']
        : ['what the file does with single numbers', `which shows in numbers of the size of ${shown(number)}`];
    const message = `layer "${layer.name}" (${layer.op}) is another function in the file (${found.what}), ${where}`;
    return {
      trial: { kind: 'stated', what, passed: false, message },
      layer,
      cause: reportOf(findings, layer.name, { by: 'values', side: 'file' }),
    };
  }
  return otherEpsilon(map, written, stated, isNarrowed);
}

async function otherEpsilon({ layers }: LayerMap, written: WrittenModel, stated: Stated, isNarrowed: boolean): Promise<StatedOtherwise | null> {
  for (const layer of layers) {
    const [wanted, own] = [layer.attributes.epsilon, stated.alone(layer)];
    const found = own?.op === layer.op ? own.attributes.epsilon : isNarrowed ? undefined : await addedBeforeRoot(stated.group(layer));
    if (typeof wanted !== 'number' || typeof found !== 'number' || Math.abs(found - wanted) <= SAME_EPSILON * Math.max(Math.abs(found), wanted)) continue;
    // Where the variance is another one as well, the two may make up for each other.
    const { variance } = layer.weights;
    const stored = variance && written.weight(layer, 'variance');
    if (variance && (!stored || (await compareWeight(variance, stored)).problem !== null)) continue;
    const what = `epsilon ${found} for ${wanted}`;
    const message = `layer "${layer.name}" (${layer.op}) has another epsilon in the file (${what}), which shows where a variance is small`;
    const explained = [{ kind: 'epsilon', what, layer: layer.name, error: 0 }];
    return {
      trial: { kind: 'stated', what: 'what the file states of its normalisations', passed: false, message },
      layer,
      cause: {
        layer: layer.name,
        side: 'file',
        by: 'values',
        error: null,
        explainedBy: explained,
        tried: 1,
        message: `layer "${layer.name}": explained by: ${what}`,
      },
    };
  }
  return null;
}

/** The one number that several layers, which stand for a normalisation, add to what they take the root of. */
async function addedBeforeRoot(group: readonly Layer[]): Promise<number | undefined> {
  const rooted = new Set(group.filter(({ op }) => op === 'Sqrt' || op === 'Pow').map(({ inputs }) => inputs[0]));
  const [found, ...more] = group.filter((layer) => isWithNumber(layer) && rooted.has(layer.outputs[0]));
  if (!found || more.length > 0 || (found.op !== 'Add' && found.op !== 'Sub')) return undefined;
  const number = await numberOf(found);
  return found.op === 'Add' ? number : -number;
}

/**
 * Activations of the file that follow one another are looked at together; where others are among them, names alone do not tell what stands for which.
 * Neither do they where the file adds or multiplies more than one number: the source may do the rest in its next layer.
 */
async function statedOtherwise(
  { values }: Segment,
  layer: Layer,
  stated: Stated,
  allowed: number,
): Promise<{ readonly made: Value; readonly what: string } | null> {
  const own = stated.chain(layer);
  const [first, ...more] = own;
  if (!first || !(isWithNumber(layer) ? more.length === 0 && isWithNumber(first) : own.every(isSingleActivation))) return null;
  const ramp = values.get(layer.inputs[0]!)!;
  try {
    const [[base], known] = [await evaluateLayer(layer, [ramp]), await allValues(own, new Map([[first.inputs[0]!, ramp]]))];
    const made = known.get(own.at(-1)!.outputs[0]!);
    if (!base || !made || made.data.length !== base.data.length || errorOf(base, made, scaleOf(base)) <= allowed) return null;
    const ops = listed(own.map(({ op }) => op));
    const what = more.length === 0 && first.op === layer.op ? `${first.op} with other settings` : `${ops} for ${layer.op}`;
    return { made, what };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/** Whether a layer adds or multiplies one number, and does nothing else. */
function isWithNumber({ op, inputs, weights: { operand, ...more } }: Layer): boolean {
  return WITH_A_NUMBER.has(op) && inputs.length === 1 && operand !== undefined && elementCount(operand.shape) === 1 && Object.keys(more).length === 0;
}

async function numberOf({ weights }: Layer): Promise<number> {
  return Number((await toArray(weights.operand!)).data[0]);
}

function rampFor({ op, inputs: [value = ''] }: Layer, types: ReadonlyMap<string, ValueType>, number: number | null): Value {
  const most = STRAIGHT.has(op) ? FAR : MOST;
  const data = number === null ? (RAMPS.get(most) ?? makeRamp(most)) : Float64Array.from(PARTS, (part) => NEAR * number * part);
  if (number === null) RAMPS.set(most, data);
  return { shape: [1, data.length], data, dtype: types.get(value)?.dtype ?? 'float32' };
}

/** From -1 to 1. */
const PARTS: readonly number[] = Array.from({ length: 2 * STEPS + 1 }, (_, i) => (i - STEPS) / STEPS);

/** By how far they go: the same for each of thousands of activations. */
const RAMPS = new Map<number, Float64Array>();

/** Numbers that lie closer the nearer they are to zero. */
function makeRamp(most: number): Float64Array {
  return Float64Array.from(PARTS, (part) => Math.sign(part) * most ** Math.abs(part) * Math.abs(part));
}
