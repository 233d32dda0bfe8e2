/**
 * Follows the rows of a batch through a net: along which axis of each value they lie, and that no layer mixes them.
 *
 * One rule for each kind of operator. What is not known to keep rows apart is an obstacle, never a guess.
 */
import { isModelError } from '../errors.js';
import { multiplyDims } from '../model/dims.js';
import type { AttributeValue, Dim, Layer, LayerMap } from '../model/layer-map.js';
import { inferLayer, makeLayer, operatorOf, type ValueType } from '../model/ops/index.js';
import { portValueShape } from '../model/ports.js';

/** The axis along which a value has its rows, and how many places of it each row takes: those of a row lie together. */
export interface Rows {
  readonly axis: number;
  readonly each: number;
}

export interface RowCount {
  /** As the source has it. */
  readonly own: number;
  readonly wanted: Dim;
}

export interface Obstacle {
  readonly layer: Layer;
  readonly problem: string;
}

export interface Followed {
  /** Those of the net, with the new number of rows where they had the old one. */
  readonly layers: readonly Layer[];
  readonly obstacles: readonly Obstacle[];
}

type Shape = readonly Dim[];
const UNKNOWN: ValueType = { dtype: null, shape: null };

/** A layer, what flows in, and what it makes, with the source's own number of rows. */
interface Place {
  readonly layer: Layer;
  readonly own: number;
  readonly shapes: readonly Shape[];
  readonly rows: readonly (Rows | null)[];
  readonly made: readonly Shape[];
}

/** Rows of each output, and attributes that change; a sentence where rows are not kept apart. */
type Outcome =
  | {
      readonly rows: readonly (Rows | null)[];
      readonly attributes?: Readonly<Record<string, AttributeValue | undefined>>;
      /** Instead of its own. */
      readonly inputs?: readonly string[];
      /** Layers that make what it reads now. */
      readonly before?: readonly Layer[];
    }
  | string;
type Rule = (place: Place) => Outcome;

/**
 * @param map with the wanted number of rows at its inputs
 * @param types of all values with the source's own number
 * @param starts rows of the inputs that have them
 */
export function followRows(
  map: Pick<LayerMap, 'inputs' | 'layers'>,
  types: ReadonlyMap<string, ValueType>,
  starts: ReadonlyMap<string, Rows>,
  { own, wanted }: RowCount,
): Followed {
  const rows = new Map<string, Rows>(starts);
  const now = new Map<string, ValueType>(map.inputs.map((port) => [port.value, { dtype: port.valueDType ?? 'float32', shape: portValueShape(port) }]));
  const lost = new Set<string>();
  const obstacles: Obstacle[] = [];
  const follow = (layer: Layer): readonly Layer[] => {
    const stop = (problem: string) => {
      obstacles.push({ layer, problem });
      for (const value of layer.outputs) lost.add(value);
      return [layer];
    };
    // What is behind an obstacle says nothing new.
    if (layer.inputs.some((value) => lost.has(value)) || layer.foreign?.captures.some((value) => lost.has(value))) {
      for (const value of layer.outputs) lost.add(value);
      return [layer];
    }
    const flowing = layer.inputs.map((value) => rows.get(value) ?? null);
    if (layer.foreign) {
      if ([...flowing, ...layer.foreign.captures.map((value) => rows.get(value))].some(Boolean))
        return stop('is not understood, so its rows cannot be followed');
      for (const [i, value] of layer.outputs.entries()) now.set(value, layer.foreign.types[i] ?? UNKNOWN);
      return [layer];
    }
    const shapes = layer.inputs.map((value) => types.get(value)?.shape ?? []);
    const made = layer.outputs.map((value) => types.get(value)?.shape ?? []);
    let changed = layer;
    let before: readonly Layer[] = [];
    let found: readonly (Rows | null)[] | null = null;
    if (flowing.some((each) => each !== null)) {
      const rule = RULES.get(layer.op) ?? (operatorOf(layer.op)?.axes === 'any' ? elementByElement : null);
      if (!rule) return stop('is not known to treat the rows of a batch apart');
      const isKnown = [...layer.inputs, ...layer.outputs].every((value) => value === '' || types.get(value)?.shape);
      if (!isKnown) return stop('has to do with a value whose shape is not known');
      const outcome = rule({ layer, own, shapes, rows: flowing, made });
      if (typeof outcome === 'string') return stop(outcome);
      found = outcome.rows;
      before = outcome.before ?? [];
      if (outcome.attributes || outcome.inputs)
        changed = { ...layer, attributes: changedAttributes(layer, outcome.attributes), inputs: outcome.inputs ?? layer.inputs };
    }
    try {
      for (const each of [...before, changed]) {
        const results = inferLayer(
          each,
          each.inputs.map((value) => now.get(value) ?? UNKNOWN),
        );
        for (const [i, value] of each.outputs.entries()) now.set(value, results[i] ?? UNKNOWN);
      }
    } catch (error) {
      if (!isModelError(error)) throw error;
      return stop(`does not fit: ${error.problem}`);
    }
    for (const [i, value] of layer.outputs.entries()) {
      const [old, after] = [made[i]!, now.get(value)?.shape ?? null];
      const held = found ? found[i]! : repeated(layer, old, after, own, wanted);
      const expected = held ? old.with(held.axis, multiplyDims(wanted, held.each)) : old;
      if (after && !sameSizes(after, expected)) {
        return stop(held ? `makes [${after}], where [${expected}] is expected` : `makes [${after}] instead of [${old}] and has no rows to follow`);
      }
      if (held) rows.set(value, held);
    }
    return [...before, changed];
  };
  return { layers: map.layers.flatMap(follow), obstacles };
}

/** Names of free sizes that are worked out anew may be spelt otherwise; numbers may not. */
function sameSizes(after: Shape, expected: Shape): boolean {
  return (
    after.length === expected.length && after.every((size, axis) => size === expected[axis] || (typeof size === 'string' && typeof expected[axis] === 'string'))
  );
}

/** Constants that are repeated for as many rows as a shape says: each row is like any other. */
function repeated({ op }: Layer, before: Shape, after: Shape | null, own: number, wanted: Dim): Rows | null {
  if ((op !== 'Expand' && op !== 'ConstantOfShape') || !after || sameSizes(after, before)) return null;
  const axis = after.findIndex((size, i) => size !== before[i]);
  return before[axis] === own && after[axis] === wanted ? { axis, each: 1 } : null;
}

function changedAttributes(layer: Layer, change: Readonly<Record<string, AttributeValue | undefined>> = {}): Layer['attributes'] {
  const attributes = Object.entries({ ...layer.attributes, ...change }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(attributes) as Layer['attributes'];
}

const whole = (all: Place, rows: Rows): Outcome => ({ rows: all.made.map(() => rows) });
const front = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
const MIXES = 'mixes the rows of a batch';

/** The rows of the first input, where no other has any. */
function only({ rows }: Place): Rows | null {
  return rows[0] && rows.slice(1).every((each) => each === null) ? rows[0] : null;
}

/** Element by element, each operand repeated as broadcasting has it. */
const elementByElement: Rule = (place) => {
  const { layer, shapes, rows, made } = place;
  const fromBack = rows.flatMap((each, i) => (each ? [{ place: shapes[i]!.length - each.axis, each: each.each }] : []));
  const [{ place: at, each }] = fromBack as [{ place: number; each: number }];
  if (fromBack.some((other) => other.place !== at || other.each !== each)) return MIXES;
  const others = [...shapes.filter((_, i) => !rows[i]), ...Object.values(layer.weights).map(({ shape }) => shape)];
  if (others.some((shape) => (shape.at(-at) ?? 1) !== 1 && shape.length >= at)) return 'has constants of its own for each row';
  return whole(place, { axis: made[0]!.length - at, each });
};

/** Operators over pictures: rows first, then channels. */
const overPictures: Rule = (place) => {
  const rows = only(place);
  return rows?.axis === 0 ? whole(place, rows) : MIXES;
};

/** Operators along axes that an attribute names; `kept`: whether the axes stay, with one place each. */
const along =
  (
    axesOf: (attributes: Layer['attributes'], rank: number) => readonly number[] | undefined,
    keeps: (attributes: Layer['attributes']) => boolean = () => true,
  ): Rule =>
  (place) => {
    const rows = only(place);
    const [shape] = place.shapes;
    const axes = axesOf(place.layer.attributes, shape!.length)?.map((axis) => front(axis, shape!.length));
    if (!rows || !axes || axes.includes(rows.axis)) return MIXES;
    const gone = keeps(place.layer.attributes) ? 0 : axes.filter((axis) => axis < rows.axis).length;
    return whole(place, { ...rows, axis: rows.axis - gone });
  };

/** Axes of which a Slice takes a part; from the beginning to whatever end is all. */
function slicedAxes({ axes, starts, ends, steps }: Layer['attributes']): readonly number[] | undefined {
  const [from, to, by] = [starts, ends, steps] as (readonly number[] | undefined)[];
  const cut = (axes ?? from?.map((_, axis) => axis)) as readonly number[] | undefined;
  return cut?.filter((_, i) => from?.[i] !== 0 || (by?.[i] ?? 1) !== 1 || !(Number(to?.[i]) >= 2 ** 31 - 1));
}

const oneAxis = along(({ axis }) => [axis as number]);
const untilEnd = along(({ axis }, rank) => Array.from({ length: rank - front(axis as number, rank) }, (_, i) => front(axis as number, rank) + i));

const concat: Rule = (place) => {
  const { rows, shapes, layer, made } = place;
  const at = front(layer.attributes.axis as number, made[0]!.length);
  const first = rows.findIndex((each) => each !== null);
  const held = rows[first]!;
  if (at === held.axis) return 'puts rows one behind the other';
  if (rows.some((each) => each && (each.axis !== held.axis || each.each !== held.each))) return MIXES;
  const alike = rows.findIndex((each, i) => !each && shapes[i]![held.axis] !== 1);
  if (alike >= 0) return `takes "${layer.inputs[alike]}" [${shapes[alike]}], which has as many rows as the source, whatever flows in`;
  const before = rows.flatMap((each, i) =>
    each ? [] : [forEachRow(layer, i, { like: layer.inputs[first]!, rank: made[0]!.length, axis: at, size: shapes[i]![at]! })],
  );
  const repeated = new Map(before.map(({ part, layers }) => [part, layers.at(-1)!.outputs[0]!]));
  return {
    rows: [held],
    inputs: layer.inputs.map((value, i) => repeated.get(i) ?? value),
    before: before.flatMap(({ layers }) => layers),
  };
};

/** A constant of one row (a class token) as one for each: added to as many rows of zeros, which are made beside those that are there. */
function forEachRow(layer: Layer, part: number, { like, rank, axis, size }: { like: string; rank: number; axis: number; size: Dim }) {
  const name = `${layer.name}/rows_${part}`;
  const pads = new Array<number>(2 * rank).fill(0).with(axis, size as number);
  const room = makeLayer({ name: `${name}/room`, op: 'Pad', inputs: [like], outputs: [`${name}/room`], attributes: { pads } });
  const zeros = { starts: [0], ends: [size as number], axes: [axis] };
  const cut = makeLayer({ name: `${name}/zeros`, op: 'Slice', inputs: [`${name}/room`], outputs: [`${name}/zeros`], attributes: zeros });
  const sum = makeLayer({ name, op: 'Add', inputs: [`${name}/zeros`, layer.inputs[part]!], outputs: [name] });
  return { part, layers: [room, cut, sum] };
}

const product: Rule = ({ layer, shapes, rows, made }) => {
  const operands = [...shapes, ...Object.values(layer.weights).map(({ shape }) => shape)];
  const held = [rows[0] ?? null, rows[1] ?? null];
  if (operands.some(({ length }) => length < 2)) return MIXES;
  // Rows of the left matrix, columns of the right one, or matrices side by side; never the axis that is summed.
  const places = held.map((each, i) => each && operands[i]!.length - each.axis);
  if (places[0] === 1 || places[1] === 2) return MIXES;
  if (held[0] && held[1] && (places[0] !== places[1] || places[0]! < 3 || held[0].each !== held[1].each)) return MIXES;
  const at = places[0] ?? places[1]!;
  const other = held[0] ? (held[1] ? null : operands[1]!) : operands[0]!;
  if (at > 2 && other && (other.at(-at) ?? 1) !== 1 && other.length >= at) return 'has matrices of its own for each row';
  return { rows: [{ axis: made[0]!.length - at, each: (held[0] ?? held[1])!.each }] };
};

/** Where rows lie once the same elements have another shape: behind as many elements as before, and so each with all that is its own. */
function regrouped(before: Shape, after: Shape, { axis }: Rows, own: number): Rows | null {
  const outer = before.slice(0, axis).reduce<number>((product, size) => product * Number(size), 1);
  for (let at = 0, passed = 1; at < after.length; passed *= Number(after[at++])) {
    const each = Number(after[at]) / own;
    if (passed === outer && Number.isInteger(each) && each > 0) return { axis: at, each };
  }
  return null;
}

const reshape: Rule = (place) => {
  const { layer, shapes, made, own } = place;
  const rows = only(place);
  if (!rows) return MIXES;
  const [before, after] = [shapes[0]!, made[0]!];
  const moved = regrouped(before, after, rows, own);
  if (!moved) return `makes [${after}] of [${before}], where rows cannot be told apart`;
  const given = layer.attributes.shape as readonly number[] | undefined;
  // A shape that is worked out from sizes follows by itself, and is looked at where it arrives.
  if (!given) return { rows: [moved] };
  const numbers = given.map((size, axis) => (size <= 0 || axis === moved.axis ? after[axis]! : size));
  const others = numbers.every((size, axis) => axis === moved.axis || typeof size === 'number');
  const copies = moved.axis === rows.axis && moved.each === rows.each && !layer.attributes.allowzero;
  if (!copies && !others) return `makes [${after}], of which another size is free as well`;
  const shape = (copies ? given : (numbers as number[])).map((size, axis) => (axis === moved.axis ? (copies ? 0 : -1) : size));
  return { rows: [moved], attributes: { shape } };
};

const flatten: Rule = (place) => {
  const rows = only(place);
  const [before, after] = [place.shapes[0]!, place.made[0]!];
  const at = front(place.layer.attributes.axis as number, before.length);
  if (!rows) return MIXES;
  // [rows, ...] before the cut, with nothing but ones before them.
  const outer = before.slice(0, Math.min(rows.axis, at)).every((size) => size === 1);
  const inRow = before.slice(rows.axis + 1, at).reduce<number>((product, size) => product * (size as number), rows.each);
  return rows.axis < at && outer && Number.isInteger(inRow)
    ? { rows: [{ axis: 0, each: inRow }] }
    : `makes [${after}] of [${before}], where rows cannot be told apart`;
};

const transpose: Rule = (place) => {
  const rows = only(place);
  return rows ? whole(place, { ...rows, axis: (place.layer.attributes.perm as readonly number[]).indexOf(rows.axis) }) : MIXES;
};

const squeeze: Rule = (place) => {
  const rows = only(place);
  const axes = (place.layer.attributes.axes as readonly number[] | undefined)?.map((axis) => front(axis, place.shapes[0]!.length));
  if (!rows || !axes || axes.includes(rows.axis)) return 'takes away the axis of the rows';
  return whole(place, { ...rows, axis: rows.axis - axes.filter((axis) => axis < rows.axis).length });
};

const unsqueeze: Rule = (place) => {
  const rows = only(place);
  const axes = (place.layer.attributes.axes as readonly number[] | undefined)?.map((axis) => front(axis, place.made[0]!.length)).toSorted((a, b) => a - b);
  if (!rows || !axes) return MIXES;
  return whole(place, { ...rows, axis: axes.reduce((at, axis) => (axis <= at ? at + 1 : at), rows.axis) });
};

const expand: Rule = (place) => {
  const rows = only(place);
  const shape = place.layer.attributes.shape as readonly number[] | undefined;
  if (!rows) return MIXES;
  const axis = rows.axis + place.made[0]!.length - place.shapes[0]!.length;
  if (place.made[0]![axis] !== place.shapes[0]![rows.axis]) return 'repeats rows';
  const at = shape && shape.length - (place.made[0]!.length - axis);
  return { rows: [{ ...rows, axis }], ...(shape && at! >= 0 ? { attributes: { shape: shape.with(at!, 1) } } : {}) };
};

const gather: Rule = ({ layer, shapes, rows, made }) => {
  const isWeight = layer.weights.table !== undefined;
  const [table, indices] = isWeight ? [layer.weights.table!.shape, shapes[0]!] : [shapes[0]!, shapes[1] ?? []];
  const [ofTable, ofIndices] = isWeight ? [null, rows[0] ?? null] : [rows[0] ?? null, rows[1] ?? null];
  const at = front(layer.attributes.axis as number, table.length);
  if (ofTable && ofIndices) return MIXES;
  if (ofIndices) return { rows: made.map(() => ({ ...ofIndices, axis: at + ofIndices.axis })) };
  if (ofTable!.axis === at) return 'picks rows';
  return { rows: made.map(() => ({ ...ofTable!, axis: ofTable!.axis < at ? ofTable!.axis : ofTable!.axis - 1 + indices.length })) };
};

/** Numbers for each axis, of which that of the rows must do nothing. */
const eachAxis =
  (name: string, resting: number): Rule =>
  (place) => {
    const rows = only(place);
    const values = place.layer.attributes[name] as readonly number[] | undefined;
    const rank = place.shapes[0]!.length;
    if (!rows || !values) return MIXES;
    return values[rows.axis] === resting && (values[rows.axis + rank] ?? resting) === resting ? whole(place, rows) : 'changes the number of rows';
  };

const resize: Rule = (place) => {
  const rows = only(place);
  const { scales, sizes, axes, roi } = place.layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  const [before, after] = [place.shapes[0]!, place.made[0]!];
  if (!rows || roi || before[rows.axis] !== after[rows.axis]) return 'changes the number of rows';
  if (axes ? !axes.map((axis) => front(axis, before.length)).includes(rows.axis) : scales && !sizes) return whole(place, rows);
  if (!sizes || axes) return MIXES;
  // Factors that are exact say the same as sizes, and nothing of rows.
  const factors = after.map((size, axis) => (size as number) / (before[axis] as number));
  const isExact = factors.every((factor) => Number.isInteger(factor) || Number.isInteger(Math.log2(factor)));
  if (isExact) return { rows: [rows], attributes: { sizes: undefined, scales: factors } };
  const others = before.map((_, axis) => axis).filter((axis) => axis !== rows.axis);
  return { rows: [rows], attributes: { axes: others, sizes: others.map((axis) => sizes[axis]!) } };
};

const quantise: Rule = (place) => {
  const rows = only(place);
  const scale = place.layer.weights.scale?.shape ?? place.shapes[1] ?? [];
  const isOne = scale.every((size) => size === 1);
  if (!rows || (!isOne && front(place.layer.attributes.axis as number, place.shapes[0]!.length) === rows.axis)) return 'has constants of its own for each row';
  return whole(place, rows);
};

/** Sizes are no rows; what is made of them is looked at where it shapes something. */
const sizes: Rule = ({ made }) => ({ rows: made.map(() => null) });

const PICTURES = [
  ...['Conv', 'ConvTranspose', 'Gemm', 'BatchNormalization', 'LRN', 'InstanceNormalization', 'GroupNormalization', 'ConvInteger', 'QLinearConv'],
  ...['MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool', 'DepthToSpace', 'SpaceToDepth'],
];
const REDUCTIONS = ['Mean', 'Sum', 'Max', 'Min', 'Prod', 'L1', 'L2', 'LogSum', 'LogSumExp', 'SumSquare'].map((kind) => `Reduce${kind}`);

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...PICTURES.map((op) => [op, overPictures] as const),
  ...REDUCTIONS.map(
    (op) =>
      [
        op,
        along(
          ({ axes }) => axes as readonly number[] | undefined,
          ({ keepdims }) => keepdims !== 0,
        ),
      ] as const,
  ),
  ...['Softmax', 'LogSoftmax', 'Hardmax', 'LpNormalization', 'Split', 'TopK'].map((op) => [op, oneAxis] as const),
  ...['ArgMax', 'ArgMin'].map(
    (op) =>
      [
        op,
        along(
          ({ axis }) => [axis as number],
          ({ keepdims }) => keepdims !== 0,
        ),
      ] as const,
  ),
  ...['LayerNormalization', 'RMSNormalization'].map((op) => [op, untilEnd] as const),
  ['MeanVarianceNormalization', along(({ axes }) => axes as readonly number[])],
  ['Slice', along(slicedAxes)],
  ['Concat', concat],
  ['MatMul', product],
  ['Reshape', reshape],
  ['Flatten', flatten],
  ['Transpose', transpose],
  ['Squeeze', squeeze],
  ['Unsqueeze', unsqueeze],
  ['Expand', expand],
  ['Gather', gather],
  ['Pad', eachAxis('pads', 0)],
  ['Tile', eachAxis('repeats', 1)],
  ['Resize', resize],
  ['QuantizeLinear', quantise],
  ['DequantizeLinear', quantise],
  ['Shape', sizes],
  ['Size', sizes],
]);
