/** A scale and a shift of the net's input, worked out from what its first layer gives: any numbers, and not those alone that are known. */
import { newValue, type Value } from '../../model/ops/array.js';
import { elementCount } from '../../model/tensor.js';
import { readsInput } from './cause.js';
import { type Explained, errorOf, evaluateSegment, type Segment, scaleOf } from './segment.js';

interface Sample {
  readonly segment: Segment;
  readonly target: Value;
}

/** Channels that have numbers of their own; where there are more, all have the same. */
const MOST_CHANNELS = 4;
/** A part of a column that is left when what the others explain is taken off, below which it tells nothing. */
const DEPENDENT = 1e-9;

/**
 * The scale and the shift of each channel with which the layer gives what was found, as far as it is linear in its input; null where none does.
 * By least squares over all samples: what a channel alone, and a one in its place, add to the layer's value.
 */
export async function fitInput(samples: readonly Sample[], allowed: number): Promise<Explained | null> {
  const [{ segment }] = samples as [Sample];
  const layer = segment.layers.at(-1)!;
  const value = layer.inputs[0];
  const x = segment.values.get(value ?? '');
  if (!value || !x || x.shape.length < 2 || !readsInput({ map: segment.map, layer })) return null;
  const channels = x.shape[1]!;
  const groups = channels <= MOST_CHANNELS ? channels : 1;
  const columns: Float64Array[] = [];
  const wanted: Float64Array[] = [];
  for (const { segment: each, target } of samples) {
    const own = each.values.get(value)!;
    const through = async (input: Value) => (await evaluateSegment({ ...each, values: new Map(each.values).set(value, input) })).data;
    const still = await through(newValue(own.shape));
    const base = await through(own);
    if (target.data.length !== base.length) return null;
    const made: Float64Array[] = [];
    for (const of of [(v: number) => v, () => 1]) {
      for (let group = 0; group < groups; group++) made.push(minus(await through(ofGroup(own, group, groups, of)), still));
    }
    for (const [i, column] of made.entries()) columns[i] = joined(columns[i], column);
    wanted.push(minus(target.data, base));
  }
  const solved = solve(columns, wanted.reduce<Float64Array | undefined>(joined, undefined)!);
  if (!solved.every(Number.isFinite)) return null;
  const scales = Array.from({ length: groups }, (_, group) => 1 + solved[group]!);
  const shifts = Array.from({ length: groups }, (_, group) => solved[groups + group]!);
  let most = 0;
  for (const { segment: each, target } of samples) {
    const own = each.values.get(value)!;
    const inner = elementCount(own.shape.slice(2));
    const groupOf = (i: number) => (groups === 1 ? 0 : Math.floor(i / inner) % channels);
    const changed = { ...own, data: own.data.map((v, i) => scales[groupOf(i)]! * v + shifts[groupOf(i)]!) };
    const made = await evaluateSegment({ ...each, values: new Map(each.values).set(value, changed) });
    most = Math.max(most, errorOf(made, target, Math.max(scaleOf(made), scaleOf(target))));
  }
  if (!(most <= allowed)) return null;
  const isScaled = scales.some((scale) => Math.abs(scale - 1) > 1e-4);
  const size = scaleOf(x) || 1;
  const isShifted = shifts.some((shift) => Math.abs(shift) > 1e-4 * size);
  if (!isScaled && !isShifted) return null;
  const told = [...(isScaled ? [`times ${shown(scales)}`] : []), ...(isShifted ? [`plus ${shown(shifts)}`] : [])].join(', ');
  return { kind: isShifted && !isScaled ? 'input-mean' : 'input-scale', what: `input ${told}`, layer: layer.name, error: most };
}

function shown(numbers: readonly number[]): string {
  const said = [...new Set(numbers.map((number) => `${Number(number.toPrecision(4))}`))];
  return said.length === 1 ? said[0]! : `[${numbers.map((number) => Number(number.toPrecision(4)))}]`;
}

/** One group of channels alone, or something in its place; the others are zero. */
function ofGroup(x: Value, group: number, groups: number, of: (value: number) => number): Value {
  const [channels, inner] = [x.shape[1]!, elementCount(x.shape.slice(2))];
  return { ...x, data: x.data.map((value, i) => (groups === 1 || Math.floor(i / inner) % channels === group ? of(value) : 0)) };
}

function minus(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value - b[i]!);
}

function joined(a: Float64Array | undefined, b: Float64Array): Float64Array {
  if (!a) return b;
  const both = new Float64Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Least squares by orthogonalisation; a column that tells nothing beside the others gets zero. */
function solve(columns: readonly Float64Array[], wanted: Float64Array): number[] {
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const basis: { readonly at: number; readonly vector: Float64Array; readonly parts: ReadonlyMap<number, number> }[] = [];
  for (const [at, column] of columns.entries()) {
    const parts = new Map([[at, 1]]);
    const vector = Float64Array.from(column);
    for (const earlier of basis) {
      const part = dot(earlier.vector, vector);
      for (let i = 0; i < vector.length; i++) vector[i]! -= part * earlier.vector[i]!;
      for (const [place, weight] of earlier.parts) parts.set(place, (parts.get(place) ?? 0) - part * weight);
    }
    const norm = Math.sqrt(dot(vector, vector));
    if (!(norm > DEPENDENT * Math.sqrt(dot(column, column)))) continue;
    basis.push({ at, vector: vector.map((value) => value / norm), parts: new Map([...parts].map(([place, weight]) => [place, weight / norm])) });
  }
  const solved = columns.map(() => 0);
  for (const { vector, parts } of basis) {
    const share = dot(vector, wanted);
    for (const [place, weight] of parts) solved[place]! += share * weight;
  }
  return solved;
}
