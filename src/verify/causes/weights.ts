/** How a weight lies in its file: orders of axes, flips, channels, features of a flattened picture, values of another layer. */
import type { Layer } from '../../model/layer-map.js';
import { makersOf } from '../../model/ops/index.js';
import { elementCount, flip, permute, reshape, type Tensor } from '../../model/tensor.js';
import { axisNames, type Cause, type Family, otherOrders, type Suspect, withWeights } from './cause.js';
import { divisors, inverse, MOST_HELD, misread, rolled, shuffled, worked } from './edit.js';

/** Axes beyond which not every order of them is tried. */
const MOST_AXES = 5;

/** A weight's values in another arrangement. */
export const arrangement: Family = function* (suspect) {
  for (const [role, tensor] of Object.entries(suspect.layer.weights)) {
    yield* orders(suspect.layer, role, tensor);
    yield* flips(suspect, role, tensor);
    yield* flattened(suspect, role, tensor);
    yield* moved(suspect.layer, role, tensor);
  }
};

function* orders(layer: Layer, role: string, tensor: Tensor): Iterable<Cause> {
  const rank = tensor.shape.length;
  if (rank < 2 || rank > MOST_AXES) return;
  const names = axisNames(layer, role, rank);
  const own = Array.from({ length: rank }, (_, axis) => axis);
  for (const read of storedOrders(rank, role)) {
    for (const lies of [own, ...otherOrders(rank)].filter((order) => `${order}` !== `${read}`)) {
      const isSameShape = lies.every((from, place) => tensor.shape[from] === tensor.shape[read[place]!]);
      const turned = lies.flatMap((from, place) => (from === read[place] ? [] : [names[read[place]!]!]));
      const listed = (order: readonly number[]) => `[${order.map((axis) => names[axis]).join(', ')}]`;
      const what = isSameShape ? `${role} with ${turned.join(' and ')} exchanged` : `${role} laid out as ${listed(lies)} and read as ${listed(read)}`;
      const kind = rank === 2 ? 'matrix-transposed' : turned.every((name) => SPATIAL.has(name)) ? 'kernel-transposed' : 'axes-exchanged';
      yield { kind, what, layer: withWeights(layer, { [role]: misread(tensor, lies, read) }) };
    }
  }
}

const SPATIAL: ReadonlySet<string> = new Set(['depth', 'height', 'width']);

/** Orders of axes that files have a weight in: the map's, and those of channels-last frameworks. */
function storedOrders(rank: number, role: string): number[][] {
  const own = Array.from({ length: rank }, (_, axis) => axis);
  if (role !== 'kernel') return [own];
  return rank === 2 ? [own, [1, 0]] : [own, [...own.slice(2), 1, 0], [...own.slice(2), 0, 1]];
}

function* flips({ layer }: Suspect, role: string, tensor: Tensor): Iterable<Cause> {
  const { shape } = tensor;
  const names = axisNames(layer, role, shape.length);
  const spatial = [...shape.keys()].slice(2).filter((axis) => shape[axis]! > 1);
  for (let mask = 2 ** spatial.length - 1; mask > 0; mask--) {
    const axes = spatial.filter((_, i) => mask & (1 << i));
    const what = axes.length === spatial.length && axes.length > 1 ? `${role} flipped (${listed(axes, names)})` : `${role} mirrored (${listed(axes, names)})`;
    yield { kind: 'kernel-flipped', what, layer: withWeights(layer, { [role]: flip(tensor, axes) }) };
  }
  for (const axis of [0, 1]) {
    if ((shape[axis] ?? 1) < 2) continue;
    yield { kind: 'channels-reversed', what: `${role} with its ${names[axis]} in reverse`, layer: withWeights(layer, { [role]: flip(tensor, [axis]) }) };
  }
}

const listed = (axes: readonly number[], names: readonly string[]) => axes.map((axis) => names[axis]).join(' and ');

/** The order of a picture's features in the matrix that reads them once they are flattened. */
function* flattened({ map, layer, types }: Suspect, role: string, tensor: Tensor): Iterable<Cause> {
  const axis = { Gemm: 1, MatMul: 0 }[layer.op];
  if (role !== 'kernel' || axis === undefined) return;
  const makers = makersOf(map.layers);
  let value = layer.inputs[0] ?? '';
  let sizes: readonly number[] | null = null;
  for (let steps = 0; steps < 6 && sizes === null; steps++) {
    const shape = types.get(value)?.shape?.slice(1) ?? [];
    if (shape.length > 1 && shape.every((size) => typeof size === 'number') && elementCount(shape as number[]) === tensor.shape[axis])
      sizes = shape as number[];
    value = makers.get(value)?.inputs[0] ?? '';
  }
  if (!sizes) return;
  const names = sizes.length === 3 ? ['channels', 'height', 'width'] : sizes.map((_, i) => `axis ${i}`);
  for (const order of otherOrders(sizes.length)) {
    const what = `features of ${role} flattened as [${order.map((place) => names[place]).join(', ')}]`;
    yield { kind: 'flatten-order', what, layer: withWeights(layer, { [role]: shuffled(tensor, axis, sizes, order) }) };
  }
}

/** Channels dealt out by groups, or moved on. */
function* moved(layer: Layer, role: string, tensor: Tensor): Iterable<Cause> {
  const { shape } = tensor;
  const names = axisNames(layer, role, shape.length);
  for (const axis of shape.keys()) {
    const size = shape[axis]!;
    if (size === 1) continue;
    // Places of a window have no groups.
    if (axis > 1) {
      if (elementCount(shape) <= MOST_HELD)
        for (const by of [1, -1]) {
          const what = `${role} moved on by one of its ${names[axis]}`;
          yield { kind: 'shifted', what, layer: withWeights(layer, { [role]: rolled(tensor, axis, by) }) };
        }
      continue;
    }
    const groups = [...new Set([...divisors(size), Number(layer.attributes.group ?? 1)])].filter((count) => count > 1 && count < size && size % count === 0);
    for (const count of groups) {
      const what = `${role} with its ${names[axis]} shuffled by groups of ${size / count}`;
      yield { kind: 'channels-shuffled', what, layer: withWeights(layer, { [role]: shuffled(tensor, axis, [count, size / count], [1, 0]) }) };
    }
    if (elementCount(shape) > MOST_HELD) continue;
    for (const by of [1, -1]) {
      const what = `${role} moved on by one of its ${names[axis]}`;
      yield { kind: 'shifted', what, layer: withWeights(layer, { [role]: rolled(tensor, axis, by) }) };
    }
    const halves = groups.includes(2) ? [2, ...groups.filter((count) => count === layer.attributes.group && count !== 2)] : groups;
    for (const count of halves.slice(0, 2)) {
      const what = `${role} with its groups of ${size / count} ${names[axis]} exchanged`;
      yield { kind: 'groups-exchanged', what, layer: withWeights(layer, { [role]: rolled(tensor, axis, size / count) }) };
    }
  }
  if (shape.length < 2 || elementCount(shape) > MOST_HELD) return;
  for (const order of storedOrders(shape.length, role)) {
    const stored = permute(tensor, order);
    for (const by of [1, -1]) {
      const what = `values of ${role} read one element too ${by > 0 ? 'late' : 'early'}`;
      const moved = (atEnd: (values: Float64Array, i: number) => number) =>
        permute(
          worked(stored, (values) => values.map((_, i) => values[i + by] ?? atEnd(values, i))),
          inverse(order),
        );
      yield { kind: 'span', what, layer: withWeights(layer, { [role]: moved(() => 0) }) };
      yield { kind: 'span', what: `${what}, around the end`, layer: withWeights(layer, { [role]: moved((values) => values.at(by > 0 ? 0 : -1)!) }) };
      yield { kind: 'span', what: `${what}, the one at the end twice`, layer: withWeights(layer, { [role]: moved((values, i) => values[i]!) }) };
    }
  }
}

/** Layers that are looked at for weights that may have been taken in the place of another's. */
const MOST_LAYERS = 24;

/** The weights of another layer, all or one of them; one may have another role there, as the bias of a dense layer is an operand where it is added apart. */
export const ofAnotherLayer: Family = function* ({ map, layer }) {
  const roles = Object.keys(layer.weights);
  const at = map.layers.indexOf(layer);
  const distance = (other: Layer) => Math.abs(map.layers.indexOf(other) - at);
  const near = map.layers
    .filter((other) => other !== layer)
    .map((other) => ({ other, fitting: roles.map((role) => ({ role, own: layer.weights[role]!, from: rolesLike(layer.weights[role]!, role, other) })) }))
    .filter(({ fitting }) => fitting.some(({ from }) => from.length > 0))
    .sort((a, b) => distance(a.other) - distance(b.other));
  for (const { other, fitting } of near.slice(0, MOST_LAYERS)) {
    const shared = fitting.filter(({ role, own }) => `${other.weights[role]?.shape}` === `${own.shape}`).map(({ role }) => role);
    if (shared.length > 1) {
      const weights = Object.fromEntries(shared.map((role) => [role, other.weights[role]!]));
      yield { kind: 'weights-of-another', what: `weights of layer "${other.name}"`, layer: withWeights(layer, weights) };
    }
    for (const { role, own, from } of fitting) {
      for (const its of from) {
        const what = its === role ? `${role} of layer "${other.name}"` : `${role}: the ${its} of layer "${other.name}"`;
        yield { kind: 'weights-of-another', what, layer: withWeights(layer, { [role]: reshape(other.weights[its]!, own.shape) }) };
      }
    }
  }
};

/** Roles in which another layer has a weight of a shape, the same one first; in another role what has more than one value, but for axes of one. */
function rolesLike({ shape, dtype }: Tensor, role: string, { weights }: Layer): string[] {
  const sizes = shape.filter((size) => size !== 1);
  const isLike = (its: string, other: Tensor) =>
    (its === role && `${other.shape}` === `${shape}`) ||
    (sizes.length > 0 && other.dtype === dtype && `${other.shape.filter((size) => size !== 1)}` === `${sizes}`);
  return Object.keys(weights)
    .filter((its) => isLike(its, weights[its]!))
    .sort((a, b) => Number(b === role) - Number(a === role));
}
