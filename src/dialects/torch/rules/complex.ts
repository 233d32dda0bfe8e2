/**
 * Complex numbers: each a tensor of real parts and one of imaginary parts, on which the other rules work. Fourier transforms are products with
 * matrices of cosines and sines, which every target and runtime has.
 *
 * @see https://pytorch.org/docs/stable/fft.html for what is scaled by how much
 */
import type { Value } from '../../../model/builder.js';
import { listedTensor } from '../../../model/numbers.js';
import { reshape, sliceAxis } from '../../../model/tensor.js';
import { partOf } from '../../complex-parts.js';
import { halfOf, MOST_TRANSFORMED, mirrored, type Transform, turns } from '../../fourier.js';
import type { Call } from '../call.js';
import { ComplexItem, type Item, List, TensorItem } from '../items.js';
import { asItem, type Rule, type Rules, rule } from '../rule.js';

interface Parts {
  readonly re: Value;
  readonly im: Value;
}

/** Null for a tensor of real numbers. */
function partsOf(call: Call, name: string): Parts | null {
  const item = call.item(name);
  if (item instanceof ComplexItem) return item.parts();
  if (!(item instanceof TensorItem)) return null;
  const value = item.unread;
  if (value.dtype !== 'complex64' && value.dtype !== 'complex128') return null;
  if (!value.constant) throw call.decline(`its ${name} is ${value.dtype}, which files hold only as parts`);
  const [re, im] = [0, 1].map((place) => call.build.constant(partOf(value.constant!, place))) as [Value, Value];
  return { re, im };
}

/** With zeros beside numbers that are real. */
function bothParts(call: Call, name: string): Parts {
  const parts = partsOf(call, name);
  if (parts) return parts;
  const re = call.tensor(name);
  return { re, im: call.add('Mul', [re, call.scalar(0, re)], {}, 'im') };
}

const made = (re: Value, im: Value) => new ComplexItem(re, im);

const valueMade = (item: Item | Value): Value => (asItem(item) as TensorItem).value;

/** The same for each part: what moves elements, and sums of them. */
function apart(own: Rule): Rule {
  const run = (call: Call) => {
    const parts = partsOf(call, 'self');
    if (!parts) return own.run(call);
    const each = (part: Value) => valueMade(own.run(call.withGiven({ self: new TensorItem(part) })));
    return made(each(parts.re), each(parts.im));
  };
  return { parameters: own.parameters, run };
}

const MOVES = [
  ...['view', 'reshape', '_unsafe_view', 'unsqueeze', 'squeeze', 'flatten', 'unflatten', 'permute', 'transpose', 't', 'slice', 'select', 'narrow', 'expand'],
  ...['clone', 'contiguous', 'detach', 'alias', 'roll', 'flip', 'sum', 'mean', 'neg', 'repeat', 'index_select'],
] as const;

/** Of the two operands either may be real. */
function sum(own: Rule): Rule {
  const run = (call: Call) => {
    if (!partsOf(call, 'self') && !partsOf(call, 'other')) return own.run(call);
    const [a, b] = [bothParts(call, 'self'), bothParts(call, 'other')];
    const each = (x: Value, y: Value) => valueMade(own.run(call.withGiven({ self: new TensorItem(x), other: new TensorItem(y) })));
    return made(each(a.re, b.re), each(a.im, b.im));
  };
  return { parameters: own.parameters, run };
}

function product(own: Rule): Rule {
  const run = (call: Call) => {
    const [a, b] = [partsOf(call, 'self'), partsOf(call, 'other')];
    if (!a && !b) return own.run(call);
    const each = (x: Value, y: Value) => valueMade(own.run(call.withGiven({ self: new TensorItem(x), other: new TensorItem(y) })));
    if (!a || !b) {
      const [real, parts] = [call.tensor(a ? 'other' : 'self'), (a ?? b)!];
      return made(each(parts.re, real), each(parts.im, real));
    }
    const re = call.add('Sub', [each(a.re, b.re), each(a.im, b.im)], {}, 're');
    return made(re, call.add('Add', [each(a.re, b.im), each(a.im, b.re)], {}, 'im'));
  };
  return { parameters: own.parameters, run };
}

function quotient(own: Rule): Rule {
  const run = (call: Call) => {
    const parts = partsOf(call, 'self');
    if (partsOf(call, 'other')) throw call.decline('it divides by complex numbers');
    if (!parts) return own.run(call);
    const each = (part: Value) => valueMade(own.run(call.withGiven({ self: new TensorItem(part) })));
    return made(each(parts.re), each(parts.im));
  };
  return { parameters: own.parameters, run };
}

const square = (call: Call, x: Value) => call.add('Mul', [x, x], {}, 'square');

function magnitude(own: Rule): Rule {
  const run = (call: Call) => {
    const parts = partsOf(call, 'self');
    if (!parts) return own.run(call);
    return call.add('Sqrt', [call.add('Add', [square(call, parts.re), square(call, parts.im)], {}, 'sum')]);
  };
  return { parameters: own.parameters, run };
}

const real = rule('self', (call) => partsOf(call, 'self')?.re ?? call.item('self'));
const imaginary = rule('self', (call) => bothParts(call, 'self').im);

const conjugate = rule('self', (call) => {
  const parts = partsOf(call, 'self');
  return parts ? made(parts.re, call.add('Neg', [parts.im], {}, 'im')) : call.item('self');
});

const viewAsReal = rule('self', (call) => {
  const { re, im } = bothParts(call, 'self');
  const axis = call.rank(re);
  const columns = [re, im].map((part) => call.add('Unsqueeze', [part], { axes: [axis] }, 'column'));
  return call.add('Concat', columns, { axis });
});

const viewAsComplex = rule('self', (call) => {
  const whole = call.tensorItem('self');
  const x = whole.value;
  const axis = call.rank(x) - 1;
  if (call.size(x, axis) !== 2) throw call.decline(`its last axis has ${call.size(x, axis)} numbers, expected 2`);
  const part = (place: number) => {
    if (x.constant) return call.build.constant(reshape(sliceAxis(x.constant, axis, place, place + 1), (x.shape as readonly number[]).slice(0, -1)));
    return call.add('Gather', [x, call.build.numbers('int64', place)], { axis }, place === 0 ? 're' : 'im');
  };
  return new ComplexItem(part(0), part(1), whole);
});

/** cos and ±sin of the angle by which place j turns in frequency k, over the axis. */
function matrices(call: Call, transform: Transform, isInverse: boolean, like: Value, weight?: (place: number) => number): [Value, Value] {
  const shape = [transform.from, transform.to];
  const matrix = (name: string, part: (angle: number) => number) =>
    call.build.constant(listedTensor(`${call.layerName()}.${name}`, like.dtype ?? 'float32', shape, turns(transform, part, weight), call.build.origin));
  return [matrix('cos', Math.cos), matrix('sin', (angle) => (isInverse ? Math.sin(angle) : -Math.sin(angle)))];
}

function along(call: Call, x: Value, axis: number, matrix: Value, step: string): Value {
  const last = call.transposed(x, axis, -1);
  return call.transposed(call.add('MatMul', [last, matrix], {}, step), axis, -1);
}

/** How many numbers a transform is of. @throws ModelError 'unsupported' where those are too many */
export function sized(call: Call, size: number): number {
  if (!(Number.isInteger(size) && size > 0 && size <= MOST_TRANSFORMED))
    throw call.decline(`it transforms ${size} numbers, and up to ${MOST_TRANSFORMED} become a product`);
  return size;
}

/** Of real numbers: the frequencies up to half of the size, which tell the others, or all. */
function ofReal(call: Call, x: Value, axis: number, n: number, scale: number, isHalf: boolean): Parts {
  const of = sized(call, n);
  const transform = { from: call.size(x, axis), of, to: isHalf ? halfOf(of) : of, scale };
  const [cos, sin] = matrices(call, transform, false, x);
  return { re: along(call, x, axis, cos, 're'), im: along(call, x, axis, sin, 'im') };
}

function ofComplex(call: Call, { re, im }: Parts, axis: number, n: number, scale: number, isInverse: boolean): Parts {
  const of = sized(call, n);
  const [cos, sin] = matrices(call, { from: call.size(re, axis), of, to: of, scale }, isInverse, re);
  const product = (x: Value, matrix: Value) => along(call, x, axis, matrix, 'turned');
  return {
    re: call.add('Sub', [product(re, cos), product(im, sin)], {}, 're'),
    im: call.add('Add', [product(re, sin), product(im, cos)], {}, 'im'),
  };
}

/** To real numbers: each frequency but the first, and the one at the half of an even size, stands for the one that mirrors it, too. */
function toReal(call: Call, { re, im }: Parts, axis: number, n: number, scale: number): Value {
  const of = sized(call, n);
  const [cos, sin] = matrices(call, { from: call.size(re, axis), of, to: of, scale }, true, re, mirrored(of));
  return call.add('Sub', [along(call, re, axis, cos, 're'), along(call, im, axis, sin, 'im')]);
}

/** The factor of one axis. */
function scaleFor(call: Call, n: number, isInverse: boolean): number {
  const norm = call.has('norm') ? call.text('norm') : 'backward';
  if (norm === 'ortho') return 1 / Math.sqrt(n);
  if (norm !== 'backward' && norm !== 'forward') throw call.decline(`its norm is "${norm}"`);
  return (norm === 'forward') === isInverse ? 1 : 1 / n;
}

/** The axes of a call over several, each with the size that is asked for, or null for its own. */
function axesOf(call: Call, rank: number, usual: readonly number[] | null): { axis: number; size: number | null }[] {
  const sizes = call.has('s') ? call.numbers('s') : null;
  const all = Array.from({ length: rank }, (_, axis) => axis);
  const axes = call.has('dim') ? call.numbers('dim') : (usual ?? (sizes ? all.slice(rank - sizes.length) : all));
  if (sizes && sizes.length !== axes.length) throw call.decline(`it has ${sizes.length} sizes for ${axes.length} axes`);
  return axes.map((axis, i) => ({ axis: call.axisOf(axis, rank), size: sizes && sizes[i] !== -1 ? sizes[i]! : null }));
}

const one = (call: Call, rank: number) => [{ axis: call.axisOf(call.number('dim'), rank), size: call.has('n') ? call.number('n') : null }];
const two = (call: Call, rank: number) => axesOf(call, rank, [-2, -1]);
const many = (call: Call, rank: number) => axesOf(call, rank, null);
const SIGNATURES = new Map([
  [one, 'self, n=None, dim=-1, norm=None'],
  [two, 'self, s=None, dim=None, norm=None'],
  [many, 'self, s=None, dim=None, norm=None'],
]);
type AxesOf = typeof one;

const complexToComplex = (axes: AxesOf, isInverse: boolean): Rule =>
  rule(SIGNATURES.get(axes)!, (call) => {
    let parts = bothParts(call, 'self');
    for (const { axis, size } of axes(call, call.rank(parts.re))) {
      const n = size ?? call.size(parts.re, axis);
      parts = ofComplex(call, parts, axis, n, scaleFor(call, n, isInverse), isInverse);
    }
    return made(parts.re, parts.im);
  });

const realToComplex = (axes: AxesOf): Rule =>
  rule(SIGNATURES.get(axes)!, (call) => {
    const x = call.tensor('self');
    const asked = axes(call, call.rank(x)).map(({ axis, size }) => ({ axis, n: size ?? call.size(x, axis) }));
    const last = asked.pop()!;
    let parts = ofReal(call, x, last.axis, last.n, scaleFor(call, last.n, false), true);
    for (const { axis, n } of asked) parts = ofComplex(call, parts, axis, n, scaleFor(call, n, false), false);
    return made(parts.re, parts.im);
  });

const complexToReal = (axes: AxesOf): Rule =>
  rule(SIGNATURES.get(axes)!, (call) => {
    let parts = bothParts(call, 'self');
    const asked = axes(call, call.rank(parts.re));
    const last = asked.pop()!;
    for (const { axis, size } of asked) {
      const n = size ?? call.size(parts.re, axis);
      parts = ofComplex(call, parts, axis, n, scaleFor(call, n, true), true);
    }
    const n = last.size ?? 2 * (call.size(parts.re, last.axis) - 1);
    return toReal(call, parts, last.axis, n, scaleFor(call, n, true));
  });

/** By which power of all sizes together decompositions scale. */
const NORMALISATIONS = [0, -0.5, -1];

function decomposedAxes(call: Call, rank: number, sizeOf: (axis: number, isLast: boolean) => number): { axis: number; n: number; scale: number }[] {
  const power = NORMALISATIONS[call.number('normalization')];
  if (power === undefined) throw call.decline(`its normalization is ${call.number('normalization')}`);
  const axes = call.numbers('dim').map((axis) => call.axisOf(axis, rank));
  return axes.map((axis, i) => {
    const n = sizeOf(axis, i === axes.length - 1);
    return { axis, n, scale: n ** power };
  });
}

/** What decompositions leave of them. */
const decomposed: Rules = {
  _fft_r2c: rule('self, dim, normalization, onesided', (call) => {
    const x = call.tensor('self');
    const axes = decomposedAxes(call, call.rank(x), (axis) => call.size(x, axis));
    const last = axes.pop()!;
    let parts = ofReal(call, x, last.axis, last.n, last.scale, call.flag('onesided'));
    for (const { axis, n, scale } of axes) parts = ofComplex(call, parts, axis, n, scale, false);
    return made(parts.re, parts.im);
  }),
  _fft_c2c: rule('self, dim, normalization, forward', (call) => {
    let parts = bothParts(call, 'self');
    for (const { axis, n, scale } of decomposedAxes(call, call.rank(parts.re), (axis) => call.size(parts.re, axis)))
      parts = ofComplex(call, parts, axis, n, scale, !call.flag('forward'));
    return made(parts.re, parts.im);
  }),
  _fft_c2r: rule('self, dim, normalization, last_dim_size', (call) => {
    let parts = bothParts(call, 'self');
    const { re } = parts;
    const axes = decomposedAxes(call, call.rank(re), (axis, isLast) => (isLast ? call.number('last_dim_size') : call.size(re, axis)));
    const last = axes.pop()!;
    for (const { axis, n, scale } of axes) parts = ofComplex(call, parts, axis, n, scale, true);
    return toReal(call, parts, last.axis, last.n, last.scale);
  }),
};

/** By half of its size, so that frequency zero comes into the middle, or back. */
const shifted = (own: Rule, isBack: boolean): Rule =>
  rule('self, dim=None', (call) => {
    const x = partsOf(call, 'self')?.re ?? call.tensor('self');
    const axes = call.has('dim') ? call.numbers('dim').map((axis) => call.axisOf(axis, call.rank(x))) : call.shape(x).map((_, axis) => axis);
    const shifts = axes.map((axis) => (isBack ? Math.ceil(call.size(x, axis) / 2) : Math.floor(call.size(x, axis) / 2)));
    return own.run(call.withGiven({ shifts: new List(shifts), dims: new List([...axes]) }));
  });

/** @param rules those of real numbers, by name */
export function complexRules(rules: Rules): Rules {
  const moves = MOVES.filter((name) => rules[name]).map((name) => [name, apart(rules[name]!)]);
  const roll = apart(rules.roll!);
  return {
    ...Object.fromEntries(moves),
    add: sum(rules.add!),
    sub: sum(rules.sub!),
    mul: product(rules.mul!),
    div: quotient(rules.div!),
    abs: magnitude(rules.abs!),
    angle: rule('self', (call) => {
      const { re, im } = bothParts(call, 'self');
      return rules.atan2!.run(call.withGiven({ self: new TensorItem(im), other: new TensorItem(re) }));
    }),
    real,
    imag: imaginary,
    conj: conjugate,
    _conj: conjugate,
    conj_physical: conjugate,
    _conj_physical: conjugate,
    resolve_conj: rule('self', (call) => call.item('self')),
    is_complex: rule('self', (call) => partsOf(call, 'self') !== null),
    view_as_real: viewAsReal,
    view_as_complex: viewAsComplex,
    complex: rule('real, imag', (call) => made(call.tensor('real'), call.tensor('imag'))),
    polar: rule('abs, angle', (call) => {
      const [radius, angle] = [call.tensor('abs'), call.tensor('angle')];
      const part = (op: string, step: string) => call.add('Mul', [radius, call.add(op, [angle], {}, step)], {}, step);
      return made(part('Cos', 're'), part('Sin', 'im'));
    }),
    fft_fft: complexToComplex(one, false),
    fft_ifft: complexToComplex(one, true),
    fft_fft2: complexToComplex(two, false),
    fft_ifft2: complexToComplex(two, true),
    fft_fftn: complexToComplex(many, false),
    fft_ifftn: complexToComplex(many, true),
    fft_rfft: realToComplex(one),
    fft_rfft2: realToComplex(two),
    fft_rfftn: realToComplex(many),
    fft_irfft: complexToReal(one),
    fft_irfft2: complexToReal(two),
    fft_irfftn: complexToReal(many),
    fft_fftshift: shifted(roll, false),
    fft_ifftshift: shifted(roll, true),
    ...decomposed,
  };
}
