/**
 * Complex numbers, which the layer map has not: their real and their imaginary part flow beside each other, from a Fourier transform to what makes real
 * numbers of them.
 */
import { ModelError } from '../../errors.js';
import type { Value } from '../../model/builder.js';
import { angleOf } from '../angle.js';
import { partOf } from '../complex-parts.js';
import { halfOf, MOST_TRANSFORMED, mirrored, type Transform, turns } from '../fourier.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

export class Complex {
  constructor(
    readonly real: Value,
    readonly imaginary: Value,
  ) {}
}

type ComplexRule = (operation: TfOperation, inputs: readonly (Value | Complex)[]) => Value | Complex;

/** Nodes that treat elements alike wherever they lie: they do to each part what they do to real numbers. */
const PART_BY_PART: ReadonlySet<string> = new Set([
  ...['Identity', 'StopGradient', 'Reshape', 'Transpose', 'ExpandDims', 'Squeeze', 'StridedSlice', 'Slice', 'ConcatV2', 'Pack', 'GatherV2', 'Pad', 'Tile'],
  ...['BroadcastTo', 'Add', 'AddV2', 'AddN', 'Sub', 'Neg', 'Sum', 'Mean', 'BiasAdd', 'ReverseV2', 'Roll', 'ZerosLike'],
]);

/** @returns null for a node that neither makes complex numbers nor reads any */
export function complexOf(operation: TfOperation, inputs: readonly (Value | Complex)[], plain: TfRule | undefined): Value | Complex | null {
  const { op } = operation.node;
  const isRead = inputs.some((input) => input instanceof Complex || isComplexConstant(input));
  const isMade = Object.hasOwn(RULES, op) && (op !== 'Cast' || operation.dtype('DstT') === 'complex64') && (isRead || MAKERS.has(op));
  if (!isRead && !isMade) return null;
  const whole = inputs.map((input) => (input instanceof Complex ? input : isComplexConstant(input) ? partsOf(operation, input) : input));
  if (Object.hasOwn(RULES, op)) return RULES[op]!(operation, whole);
  if (!plain || !PART_BY_PART.has(op)) throw operation.decline('it reads complex numbers');
  const part = (name: 'real' | 'imaginary') => {
    const made = plain(operation.named(`${operation.name}/${name}`).reading(whole.map((input) => (input instanceof Complex ? input[name] : input))));
    return made as Value;
  };
  return new Complex(part('real'), part('imaginary'));
}

/** Nodes that make complex numbers of real ones. */
const MAKERS: ReadonlySet<string> = new Set(['RFFT', 'RFFT2D', 'Complex', 'Cast']);

function isComplexConstant({ dtype }: Value): boolean {
  return dtype === 'complex64' || dtype === 'complex128';
}

/** The parts of a constant, which lie in turn. */
function partsOf(operation: TfOperation, { constant }: Value): Complex {
  if (constant?.dtype !== 'complex64') throw operation.decline('complex numbers flow in');
  const [real, imaginary] = [0, 1].map((place) => operation.build.constant(partOf(constant, place))) as [Value, Value];
  return new Complex(real, imaginary);
}

function complex(operation: TfOperation, value: Value | Complex | undefined): Complex {
  if (value instanceof Complex) return value;
  throw operation.decline(value ? 'real numbers flow in, where it takes complex ones' : 'it has fewer inputs');
}

/** A product of what lies along the last axis with a matrix of cosines or sines. */
function turned(operation: TfOperation, x: Value, how: Transform, part: (angle: number) => number, weight?: (place: number) => number): Value {
  return operation.before('MatMul', [x, operation.build.numbers('float32', [...turns(how, part, weight)], [how.from, how.to])]);
}

const negated = (angle: number) => -Math.sin(angle);

/** How many numbers lie along the last axis. */
function lengthOf(operation: TfOperation, x: Value): number {
  const size = operation.sizes(x).at(-1);
  if (typeof size === 'number' && size >= 1 && size <= MOST_TRANSFORMED) return size;
  throw operation.decline(
    typeof size === 'number' ? `it transforms ${size} numbers, and up to ${MOST_TRANSFORMED} become a product` : 'how many numbers it transforms is not known',
  );
}

function checked(operation: TfOperation, length: number | undefined): number {
  if (length !== undefined && length >= 1 && length <= MOST_TRANSFORMED) return length;
  throw operation.decline(`it makes ${length} numbers of others, and up to ${MOST_TRANSFORMED} become a product`);
}

/** Real numbers become half of their spectrum, of as many of them as are asked for: others are left out, or zeros behind them. */
function ofReal(operation: TfOperation, x: Value, length: number | undefined): Complex {
  const of = checked(operation, length);
  const how = { from: lengthOf(operation, x), of, to: halfOf(of), scale: 1 };
  return new Complex(turned(operation, x, how, Math.cos), turned(operation, x, how, negated));
}

function ofComplex(operation: TfOperation, { real, imaginary }: Complex, isInverse: boolean): Complex {
  const of = lengthOf(operation, real);
  const how = { from: of, of, to: of, scale: isInverse ? 1 / of : 1 };
  const sine = isInverse ? Math.sin : negated;
  const product = (part: Value, angle: (value: number) => number) => turned(operation, part, how, angle);
  return new Complex(
    operation.before('Sub', [product(real, Math.cos), product(imaginary, sine)]),
    operation.before('Add', [product(real, sine), product(imaginary, Math.cos)]),
  );
}

/** The last two axes in each other's place. */
function swapped(operation: TfOperation, { real, imaginary }: Complex): Complex {
  const rank = operation.rank(real);
  const perm = Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  return new Complex(operation.before('Transpose', [real], { perm }), operation.before('Transpose', [imaginary], { perm }));
}

function product(operation: TfOperation, a: Complex, b: Complex): Complex {
  const times = (x: Value, y: Value) => operation.before('Mul', [x, y]);
  return new Complex(
    operation.before('Sub', [times(a.real, b.real), times(a.imaginary, b.imaginary)]),
    operation.before('Add', [times(a.real, b.imaginary), times(a.imaginary, b.real)]),
  );
}

const RULES: Readonly<Record<string, ComplexRule>> = {
  RFFT: (operation) => ofReal(operation, operation.input(0), operation.known(1, 'length')[0]),
  RFFT2D: (operation) => {
    const [rows, columns] = operation.known(1, 'length');
    const x = operation.input(0);
    const across = ofReal(operation, x, columns);
    const height = operation.sizes(x).at(-2);
    if (height !== rows) throw operation.decline(`it is of ${rows} rows where ${height} flow in`);
    return rows === 1 ? across : swapped(operation, ofComplex(operation, swapped(operation, across), false));
  },
  FFT: (operation, [x]) => ofComplex(operation, complex(operation, x), false),
  IFFT: (operation, [x]) => ofComplex(operation, complex(operation, x), true),
  /** Of half a spectrum, the other half of which mirrors it. */
  IRFFT: (operation, [x]) => {
    const { real, imaginary } = complex(operation, x);
    const of = checked(operation, operation.known(1, 'length')[0]);
    const from = lengthOf(operation, real);
    const how = { from, of, to: of, scale: 1 / of };
    const part = (value: Value, angle: (value: number) => number) => turned(operation, value, how, angle, mirrored(of));
    return operation.add('Add', [part(real, Math.cos), part(imaginary, negated)]);
  },
  Complex: (operation) => new Complex(operation.input(0), operation.input(1)),
  Cast: (operation, [x]) => {
    operation.passOver('Truncate');
    if (operation.dtype('DstT') === 'complex64' && !(x instanceof Complex)) {
      const real = x!.dtype === 'float32' ? x! : operation.before('Cast', [x!], { to: 'float32' });
      return new Complex(real, operation.before('Mul', [real, operation.scalar(0, real)]));
    }
    const { real } = complex(operation, x);
    const to = operation.dtype('DstT');
    if (to !== 'float32') throw operation.decline(`it makes ${to} of complex numbers`);
    return operation.add('Identity', [real]);
  },
  Real: (operation, [x]) => operation.add('Identity', [complex(operation, x).real]),
  Imag: (operation, [x]) => operation.add('Identity', [complex(operation, x).imaginary]),
  Conj: (operation, [x]) => new Complex(complex(operation, x).real, operation.before('Neg', [complex(operation, x).imaginary])),
  ComplexAbs: (operation, [x]) => {
    const { real, imaginary } = complex(operation, x);
    const squares = [real, imaginary].map((part) => operation.before('Mul', [part, part]));
    return operation.add('Sqrt', [operation.before('Add', squares)]);
  },
  Angle: (operation, [x]) => {
    const { real, imaginary } = complex(operation, x);
    return angleOf(
      imaginary,
      real,
      (value) => operation.scalar(value, real),
      (op, ...inputs) => operation.before(op, inputs),
      (op, ...inputs) => operation.add(op, inputs),
    );
  },
  Mul: (operation, [a, b]) => product(operation, complex(operation, a), complex(operation, b)),
  Square: (operation, [x]) => product(operation, complex(operation, x), complex(operation, x)),
  Exp: (operation, [x]) => {
    const { real, imaginary } = complex(operation, x);
    const size = operation.before('Exp', [real]);
    return new Complex(
      operation.before('Mul', [size, operation.before('Cos', [imaginary])]),
      operation.before('Mul', [size, operation.before('Sin', [imaginary])]),
    );
  },
};

/** Nodes that are translated for complex numbers alone. */
export const COMPLEX_NODES: readonly string[] = ['RFFT', 'RFFT2D', 'FFT', 'IFFT', 'IRFFT', 'Complex', 'Real', 'Imag', 'Conj', 'ComplexAbs', 'Angle'];

/** @throws ModelError 'unsupported' for an output of complex numbers */
export function checkReal(name: string, value: unknown, file: string): void {
  if (value instanceof Complex)
    throw new ModelError('unsupported', `the output "${name}" is of complex numbers, which no target has: end the net in its real and imaginary parts`, {
      file,
    });
}
