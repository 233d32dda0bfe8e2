/** Tries causes on one layer: with what flowed into it, which of them gives what was found? */
import type { Layer } from '../../model/layer-map.js';
import type { Value } from '../../model/ops/array.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { operatorOf } from '../../model/ops/index.js';
import { elementCount, sliceAxis } from '../../model/tensor.js';
import { type Allowance, stepsOf } from '../allowance.js';
import type { Stated } from './as-stated.js';
import type { Cause, Suspect } from './cause.js';
import { picked } from './edit.js';
import { fits } from './fitted.js';
import { fitInput } from './fitted-input.js';
import { families } from './list.js';
import { allValues, type Explained, errorOf, inputsOf, type Segment, scaleOf } from './segment.js';

export interface Findings {
  /** Of the layer's scale, before anything is changed. */
  readonly error: number;
  /** What explains it, equally well; empty where nothing does. */
  readonly explained: readonly Explained[];
  readonly tried: number;
  /** Whether it is a fit, and not one of the known mistakes. */
  readonly isFitted: boolean;
  /** Whether what it may cost was spent before all were tried. */
  readonly isCut: boolean;
  /** Channels that were looked at, where not all were. */
  readonly channels: { readonly count: number; readonly of: number } | null;
}

export interface TrialLimits {
  /** An error up to which numbers are the same. */
  readonly allowed: number;
  readonly allowance: Allowance;
  /** Layers of the segment that are suspected; all where left out. */
  readonly suspects?: ReadonlySet<Layer>;
  /** What the file itself says; nothing where it is not to blame, or cannot be read. */
  readonly stated?: Stated | null;
}

/** Multiplications that all causes of a layer may take together; beyond it they are tried on some of its output channels. */
const BUDGET = 4e8;
/** About as many as there are of a convolution. */
const CAUSES = 250;
/** A cause leaves no more of an error than this part. */
const PART = 0.25;
/** As good as the best: within a few roundings of float32. */
const AS_GOOD = { times: 4, noise: 1e-6 };
const MOST_NAMED = 4;

/** @param samples the same segment on several inputs, with what was found of each; causes that explain the first are held to the others as well */
export async function tryCauses(samples: readonly { readonly segment: Segment; readonly target: Value }[], limits: TrialLimits): Promise<Findings> {
  const [first, ...more] = samples as [(typeof samples)[number], ...(typeof samples)[number][]];
  const { segment, target } = first;
  const known = await allValues(segment.layers, segment.values);
  const base = known.get(segment.layers.at(-1)!.outputs[0]!)!;
  const before = errorOf(base, target, scaleOf(base));
  let tried = 0;
  let isCut = false;
  let channels: Findings['channels'] = null;
  const explained: (Explained & { readonly trial: Trial; readonly cause: Cause; readonly index: number })[] = [];
  for (const layer of segment.layers.toReversed()) {
    // Hundreds of layers may be hidden: a recurrent one is as many as it has steps.
    if (isCut) break;
    const trial = limits.suspects?.has(layer) === false ? null : prepare(segment, layer, known, target, base);
    if (!trial) continue;
    if (trial.part) channels ??= { count: trial.part.count, of: trial.part.of };
    for (const [index, cause] of causesOf(trial.suspect, limits.stated).entries()) {
      if (limits.allowance.isSpent) {
        isCut = true;
        break;
      }
      limits.allowance.spend(trial.steps);
      tried++;
      const error = await trial.errorWith(cause);
      if (error !== null && error <= limits.allowed && error <= before * PART)
        explained.push({ kind: cause.kind, what: cause.what, layer: layer.name, error, trial, cause, index });
    }
  }
  let best = explained;
  // Where all that was found is no number, whatever gives none explains it: there the other inputs decide.
  const isBlind = !target.data.some(Number.isFinite);
  for (const sample of best.length > 1 || isBlind ? more : []) {
    const again = await allValues(sample.segment.layers, sample.segment.values);
    const own = again.get(sample.segment.layers.at(-1)!.outputs[0]!)!;
    const kept: typeof explained = [];
    for (const each of best) {
      const trial = prepare(sample.segment, each.trial.suspect.layer, again, sample.target, own);
      const cause = trial && causesOf(trial.suspect, limits.stated)[each.index];
      const error = cause?.what === each.what ? await trial!.errorWith(cause) : each.error;
      if (error !== null && error <= limits.allowed) kept.push({ ...each, error: Math.max(each.error, error) });
    }
    if (kept.length > 0 || isBlind) best = kept;
  }
  if (best.length === 0) {
    const fitted = await fitInput(samples, limits.allowed);
    // The layer's own weights, as they are stored, may be what is scaled.
    if (fitted) return { error: before, isFitted: true, explained: [fitted], tried: tried + 1, isCut, channels };
    const whole = await statedWhole(segment, known, target, base, limits);
    for (const fit of fits) {
      tried++;
      const value = fit.made(base, target);
      if (!value) continue;
      const error = errorOf(value, target, Math.max(scaleOf(base), scaleOf(target)));
      if (!(error <= limits.allowed && error <= before * PART)) continue;
      const said = fit.told?.(base, target);
      return {
        error: before,
        isFitted: true,
        explained: [{ kind: fit.kind, what: said ? `${fit.what}: ${said}` : fit.what, layer: segment.layers.at(-1)!.name, error }, ...whole],
        tried,
        isCut,
        channels,
      };
    }
    if (whole.length > 0) return { error: before, isFitted: true, explained: whole, tried: tried + 1, isCut, channels };
  }
  return { error: before, isFitted: false, explained: named(best), tried, isCut, channels };
}

/** Where no mistake that is known explains it: whether the file states something else in the place of a layer, the last one where none is suspected, and that does. */
async function statedWhole(segment: Segment, known: ReadonlyMap<string, Value>, target: Value, base: Value, limits: TrialLimits): Promise<Explained[]> {
  const { stated, suspects = new Set([segment.layers.at(-1)!]) } = limits;
  const explained: Explained[] = [];
  for (const layer of stated ? suspects : []) {
    const trial = segment.layers.includes(layer) ? prepare(segment, layer, known, target, base) : null;
    for (const cause of trial ? stated!.whole(trial.suspect) : []) {
      const error = await trial!.errorWith(cause);
      if (error !== null && error <= limits.allowed) explained.push({ kind: cause.kind, what: cause.what, layer: layer.name, error });
    }
  }
  return explained;
}

/** Those that are as good as the best one, each said once. */
export function named(explained: readonly Explained[]): Explained[] {
  const least = Math.min(...explained.map(({ error }) => error));
  const equal = explained.filter(({ error }) => error <= Math.max(AS_GOOD.times * least, AS_GOOD.noise));
  const said = new Set<string>();
  const once = equal.filter(({ what, layer }) => !said.has(`${layer} ${what}`) && said.add(`${layer} ${what}`));
  return once.slice(0, MOST_NAMED).map(({ kind, what, layer, error }) => ({ kind, what, layer, error }));
}

function causesOf(suspect: Suspect, stated: Stated | null | undefined): Cause[] {
  return [...(stated?.settings(suspect) ?? []), ...families.flatMap((family) => [...family(suspect)])];
}

interface Trial {
  readonly suspect: Suspect;
  /** Output channels that are looked at; null where all are. */
  readonly part: Part | null;
  /** What one cause costs. */
  readonly steps: number;
  /** Of the layer's scale; null where the cause cannot be of this layer. */
  errorWith(cause: Cause): Promise<number | null>;
}

interface Part {
  readonly start: number;
  readonly count: number;
  readonly of: number;
}

function prepare(segment: Segment, layer: Layer, known: ReadonlyMap<string, Value>, target: Value, base: Value): Trial | null {
  const operator = operatorOf(layer.op);
  if (!operator || layer.foreign) return null;
  const { map, types } = segment;
  const inputs = inputsOf(layer, known);
  const suspect: Suspect = { map, layer, operator, inputs, types, known, others: segment.others };
  const rest = segment.layers.slice(segment.layers.indexOf(layer) + 1);
  const own = known.get(layer.outputs[0]!)!;
  const part = partFor(layer, own, rest, base, target);
  // What overflows is compared by its own scale.
  const scale = Math.max(scaleOf(base), scaleOf(target));
  const wanted = part ? picked(target, 1, range(part)) : target;
  const stepsFor = (each: Layer) => stepsOf(each, (value) => known.get(value)?.shape);
  return {
    suspect,
    part,
    steps: [layer, ...rest].reduce((sum, each) => sum + stepsFor(each), 0) * (part ? part.count / part.of : 1),
    async errorWith(cause) {
      try {
        const changed = cause.layer ?? layer;
        const read = cause.read ? await cause.read(inputs) : inputs;
        if (!read) return null;
        const isSame = changed === layer && read === inputs;
        const whole = !part || isSame || cause.compute !== undefined;
        const outputs = cause.compute
          ? await cause.compute()
          : isSame
            ? layer.outputs.map((name) => known.get(name)!)
            : await evaluateLayer(part ? partOf(changed, part) : changed, read);
        if (!outputs) return null;
        const aim = whole && part ? target : wanted;
        const value = cause.made ? await cause.made(outputs[0]!) : outputs[0]!;
        if (!value) return null;
        const after = new Map(known);
        for (const [i, name] of layer.outputs.entries()) if (outputs[i]) after.set(name, i === 0 ? value : outputs[i]);
        const made = rest.length === 0 ? value : (await allValues(rest, after)).get(rest.at(-1)!.outputs[0]!)!;
        return errorOf(made, aim, scale);
      } catch {
        // A layer that cannot be so is none that was found.
        return null;
      }
    },
  };
}

/** Which output channels are looked at, where all of them would take too long: those around the one that is furthest off. */
function partFor(layer: Layer, own: Value, rest: readonly Layer[], base: Value, target: Value): Part | null {
  const { kernel } = layer.weights;
  const isSliceable = (layer.op === 'Conv' && layer.attributes.group === 1) || layer.op === 'Gemm';
  if (!kernel || !isSliceable || `${base.shape}` !== `${target.shape}` || !rest.every(isSingle)) return null;
  const of = kernel.shape[0]!;
  const perRow = elementCount(kernel.shape.slice(1)) * (elementCount(own.shape) / of);
  const count = Math.max(1, Math.floor(BUDGET / CAUSES / perRow));
  if (count >= of) return null;
  const inner = elementCount(base.shape.slice(2));
  let [worst, at] = [-1, 0];
  for (let i = 0; i < base.data.length; i++) {
    const difference = Math.abs(base.data[i]! - target.data[i]!);
    if (difference > worst) [worst, at] = [difference, Math.floor(i / inner) % of];
  }
  return { start: Math.min(of - count, Math.max(0, at - Math.floor(count / 2))), count, of };
}

/** Element by element, of one value. */
function isSingle({ op, weights }: Layer): boolean {
  return Object.keys(weights).length === 0 && operatorOf(op)?.axes === 'any' && operatorOf(op)?.slots.filter((slot) => !slot.endsWith('?')).length === 1;
}

const range = ({ start, count }: Part) => Array.from({ length: count }, (_, i) => start + i);

function partOf(layer: Layer, { start, count }: Part): Layer {
  const weights = Object.fromEntries(Object.entries(layer.weights).map(([role, tensor]) => [role, sliceAxis(tensor, 0, start, start + count)]));
  return { ...layer, weights };
}
