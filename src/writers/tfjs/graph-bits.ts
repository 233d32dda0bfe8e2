/** Rules of graph models for the bits of whole numbers: each bit is a number along an axis of its own, behind the others. */
import { identity } from '../../model/axis-order.js';
import { NARROW_RANGES } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { Formula, type GraphRule } from './formula.js';
import type { Lowering } from './lowering.js';
import { common, inPlace } from './rules.js';
import type { FileValue } from './target.js';

/** Of two bits. */
const TOGETHER: Readonly<Record<string, (a: FileValue, b: FileValue, f: Formula) => FileValue>> = {
  BitwiseAnd: (a, b, f) => f.mul(a, b),
  BitwiseOr: (a, b, f) => f.two('Maximum', a, b),
  BitwiseXor: (a, b, f) => f.compare('NotEqual', a, b),
};

/** Of numbers of 32 and 64 bits, which are counted up to 2^24 and not beyond, as all arithmetic on them is. */
const COUNTED_BITS = 24;

/** What a number counts whose bit is set, the last one for the sign where there is one. */
function powersOf(layer: Layer, lowering: Lowering): { readonly powers: readonly number[]; readonly isSigned: boolean } {
  const { dtype } = lowering.types.get(layer.outputs[0]!)!;
  const range = NARROW_RANGES[dtype!];
  const isSigned = !dtype!.startsWith('u');
  const count = range ? Math.log2(range[1] - range[0] + 1) : COUNTED_BITS + Number(isSigned);
  return { powers: identity(count).map((bit) => 2 ** bit), isSigned };
}

/** Halved and rounded down as often as the place says, a negative number has the bits of its two's complement. */
function bitsOf(x: FileValue, powers: readonly number[], f: Formula): FileValue {
  const apart = f.graph.reshape(x, [...x.shape, 1]);
  return f.two('FloorMod', f.one('Floor', f.div(apart, f.graph.floats('powers', powers))), 2);
}

const together: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { powers, isSigned } = powersOf(layer, lowering);
  const { values, place } = common(layer.inputs, lowering);
  const [a, b] = values.map((value) => bitsOf(value, powers, f)) as [FileValue, FileValue];
  const bits = TOGETHER[layer.op]!(a, b, f);
  const counts = powers.map((power, bit) => (isSigned && bit === powers.length - 1 ? -power : power));
  return inPlace(place, f.reduce('Sum', f.mul(bits, graph.floats('counts', counts)), [bits.shape.length - 1], false));
};

/** Unsigned numbers wrap around behind it. */
const not: GraphRule = (layer, lowering, graph) => {
  const place = lowering.place(layer.inputs[0]!);
  return inPlace(place, new Formula(graph).sub(-1, place.value));
};

/** What leaves the range at the upper end is gone; a number is moved by all of its bits at most. */
const shift: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { dtype } = lowering.types.get(layer.outputs[0]!)!;
  if (!NARROW_RANGES[dtype!])
    return lowering.decline(`BitShift of ${dtype} values; TensorFlow.js computes in float32, which has the bits of numbers of 8 and 16 bits`);
  const { powers } = powersOf(layer, lowering);
  const { values, place } = common(layer.inputs, lowering);
  const [x, places] = values as [FileValue, FileValue];
  const factor = f.one('Round', f.two('Pow', 2, f.two('Minimum', places, powers.length)));
  const made = layer.attributes.direction === 'LEFT' ? f.two('FloorMod', f.mul(x, factor), 2 ** powers.length) : f.one('Floor', f.div(x, factor));
  return inPlace(place, made);
};

export const BIT_RULES: Readonly<Record<string, GraphRule>> = {
  ...Object.fromEntries(Object.keys(TOGETHER).map((op) => [op, together])),
  BitwiseNot: not,
  BitShift: shift,
};
