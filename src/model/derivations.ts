/**
 * Weights that nets work out from those of their files, each way under a name: documents of architectures, and modules in PyTorch, repeat
 * them. A net's own class keeps what they are worked out from.
 */
import { ModelError } from '../errors.js';
import { toFloat64Array } from './cast.js';
import { DTYPE_BYTES } from './dtype.js';
import { computedTensor, elementCount, permute, reshape, sliceAxis, type Tensor, tensorByteLength, tensorBytes } from './tensor.js';

type Settings = Readonly<Record<string, number>>;
type Derivation = (from: readonly Tensor[], settings: Settings, name: string) => Tensor;

/** What PyTorch's normalize divides by at least. */
const SHORTEST = 1e-12;
const IMAGENET_STD = [0.229, 0.224, 0.225];
/** More places than any window has. */
const MAX_MASK = 2 ** 28;

const DERIVATIONS = {
  /** What each pair of tokens of a window adds, from a table [differences, heads] of a row for each difference of places: [heads, tokens, tokens]. */
  'pair-bias': ([table], { side = 0 }, name) => {
    fits(table, 2, ([rows]) => rows === (2 * side - 1) ** 2, `a table of ${side} x ${side} places`);
    return pairs(table, name, side * side, () => relativeIndex(side));
  },

  /** The same of windows before whose tokens stands a class: three rows more, from it, to it, and of itself. */
  'class-pair-bias': ([table], { side = 0 }, name) => {
    fits(table, 2, ([rows]) => rows === (2 * side - 1) ** 2 + 3, `a table of ${side} x ${side} places and a class`);
    const rows = table.shape[0]!;
    return pairs(table, name, side * side + 1, () => {
      const index = relativeIndex(side);
      const all = Array.from({ length: side * side + 1 }, (_, i) => i - 1);
      const rowOf = (from: number, to: number) => (from < 0 ? (to < 0 ? rows - 1 : rows - 3) : to < 0 ? rows - 2 : index[from * side * side + to]!);
      return all.flatMap((from) => all.map((to) => rowOf(from, to)));
    });
  },

  /** By how far tokens lie apart, whatever the direction, from a table [heads, side * side]; every `stride` places somebody asks: [heads, asking, tokens]. */
  'distance-bias': ([table], { side = 0, stride = 1 }, name) => {
    fits(table, 2, ([, columns]) => columns === side * side && stride > 0, `a table of ${side} x ${side} places`);
    const heads = table.shape[0]!;
    return picked(table, name, [heads, Math.ceil(side / stride) ** 2, side * side], () => {
      const places = placesOf(side);
      const asking = places.filter(([y, x]) => y % stride === 0 && x % stride === 0);
      const index = asking.flatMap(([y, x]) => places.map(([v, u]) => Math.abs(y - v) * side + Math.abs(x - u)));
      return Array.from({ length: heads }, (_, head) => index.map((column) => head * side * side + column)).flat();
    });
  },

  /** Kernels with a mean of 0 and a variance of 1 for each channel that they make, times its gain and a factor. */
  standardised: ([kernel, gain], { epsilon = 0, factor = 1 }, name) => {
    fits(kernel, 4, () => true, 'a kernel');
    const { shape } = kernel;
    if (gain) fits(gain, 4, ([out]) => out === shape[0] && elementCount(gain.shape) === out, 'a gain of each channel');
    return worked([kernel, ...(gain ? [gain] : [])], name, shape, ([values, gains]) => {
      const count = elementCount(shape.slice(1));
      return standard(values!, shape, epsilon).map((value, i) => value * (gains?.[Math.floor(i / count)] ?? 1) * factor);
    });
  },

  /** A matrix whose rows are of length 1. */
  'unit-rows': ([matrix], _, name) => {
    fits(matrix, 2, () => true, 'a matrix');
    const [rows, columns] = matrix.shape as [number, number];
    return worked([matrix], name, matrix.shape, ([values]) => {
      for (let row = 0; row < rows; row++) {
        const part = values!.subarray(row * columns, (row + 1) * columns);
        const length = Math.max(Math.sqrt(part.reduce((sum, value) => sum + value * value, 0)), SHORTEST);
        for (let i = 0; i < columns; i++) part[i]! /= length;
      }
      return values!;
    });
  },

  /** Factors from their logarithms, which go up to a limit. */
  'from-logarithms': ([logits], { limit = Number.POSITIVE_INFINITY }, name) =>
    worked([given(logits)], name, given(logits).shape, ([values]) => values!.map((value) => Math.exp(Math.min(value, limit)))),

  /**
   * What each pair of tokens adds, from a small net over the differences of places: [heads, tokens, tokens]. Where the file has no table of
   * these, they are logarithms, scaled so that the farthest of a window in which they were learned is log2(9) / 3.
   */
  'learned-pair-bias': ([first, bias, second, coordinates], { window = 0, farthest = window }, name) => {
    fits(first, 2, ([, inputs]) => inputs === 2, 'a matrix over two numbers');
    const hidden = first.shape[0]!;
    fits(bias, 1, ([length]) => length === hidden, `${hidden} numbers`);
    fits(second, 2, ([, inputs]) => inputs === hidden, `a matrix over ${hidden} features`);
    const [side, tokens, heads] = [2 * window - 1, window * window, second.shape[0]!];
    if (coordinates) fits(coordinates, 4, (shape) => shape.join() === [1, side, side, 2].join(), `a table of ${window} x ${window} places`);
    return worked([first, bias, second, ...(coordinates ? [coordinates] : [])], name, [heads, tokens, tokens], ([a, b, c, told]) => {
      const spread = (i: number) => {
        const far = farthest === 1 ? 0 : ((i - (window - 1)) / (farthest - 1)) * 8;
        return (Math.sign(far) * Math.log2(Math.abs(far) + 1)) / 3;
      };
      const table = Array.from({ length: side * side }, (_, row) => {
        const [y, x] = told ? [told[2 * row]!, told[2 * row + 1]!] : [spread(Math.floor(row / side)), spread(row % side)];
        const between = Array.from({ length: hidden }, (_, h) => Math.max(0, a![2 * h]! * y + a![2 * h + 1]! * x + b![h]!));
        return Array.from({ length: heads }, (_, head) => 16 / (1 + Math.exp(-between.reduce((total, value, h) => total + value * c![head * hidden + h]!, 0))));
      });
      const index = relativeIndex(window);
      return Float64Array.from({ length: heads * index.length }, (_, i) => table[index[i % index.length]!]![Math.floor(i / index.length)]!);
    });
  },

  /** Biases of queries and values side by side, with zeros for keys between. */
  'query-value-bias': ([queries, values], _, name) => {
    fits(queries, 1, ([length]) => given(values).shape.join() === String(length), 'as many numbers as for values');
    const length = queries.shape[0]!;
    return worked([queries, given(values)], name, [3 * length], ([q, v]) => {
      const all = new Float64Array(3 * length);
      all.set(q!);
      all.set(v!, 2 * length);
      return all;
    });
  },

  /** Biases of queries, keys and values, with zeros for keys, whatever is there. */
  'without-keys': ([bias], _, name) => {
    fits(bias, 1, ([length]) => length! % 3 === 0, 'a third for keys');
    return computedTensor(name, bias.dtype, bias.shape, bias.origin, async () => {
      const bytes = (await tensorBytes(bias)).slice();
      return bytes.fill(0, bytes.byteLength / 3, (2 * bytes.byteLength) / 3);
    });
  },

  /** Where each place is, as sines and cosines of its height and width, and a dense layer over them: [1, channels, height, width]. */
  places: ([kernel, bias], { height = 0, width = 0 }, name) => {
    fits(kernel, 4, ([, waves, ...window]) => waves! % 4 === 0 && window.join() === '1,1', 'a dense layer over waves');
    const [channels, waves] = kernel.shape as [number, number];
    fits(bias, 1, ([length]) => length === channels, `${channels} numbers`);
    const half = waves / 2;
    const wave = (at: number, size: number, i: number) => {
      const angle = ((at + 1) / (size + 1e-6)) * 2 * Math.PI;
      const slowed = angle / 10_000 ** ((2 * Math.floor(i / 2)) / half);
      return i % 2 === 0 ? Math.sin(slowed) : Math.cos(slowed);
    };
    return worked([kernel, bias], name, [1, channels, height, width], ([matrix, shift]) => {
      const rows = Array.from({ length: height }, (_, y) => Array.from({ length: half }, (__, i) => wave(y, height, i)));
      const columns = Array.from({ length: width }, (_, x) => Array.from({ length: half }, (__, i) => wave(x, width, i)));
      const dot = (waved: readonly number[], from: number) => waved.reduce((sum, value, i) => sum + value * matrix![from + i]!, 0);
      const all = new Float64Array(channels * height * width);
      for (let c = 0, at = 0; c < channels; c++) {
        const vertical = rows.map((waved) => dot(waved, c * waves) + shift![c]!);
        const horizontal = columns.map((waved) => dot(waved, c * waves + half));
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) all[at++] = vertical[y]! + horizontal[x]!;
      }
      return all;
    });
  },

  /** By what a normalisation of pixels multiplies: one over their deviations, and (`twice`, or where -1 says to look, and they are ImageNet's) once more. */
  'one-over-deviations': ([variance], { twice = 0 }, name) => {
    const channels = elementCount(given(variance).shape);
    return worked([given(variance)], name, [channels, 1, 1], ([values]) => {
      const isAgain = channels === 3 && (twice < 0 ? IMAGENET_STD.every((std, i) => Math.abs(values![i]! - std) < 1e-4) : twice > 0);
      // Keras divides by 1e-7 at least.
      return values!.map((value, i) => 1 / (Math.max(Math.sqrt(value), 1e-7) * (isAgain ? Math.sqrt(IMAGENET_STD[i]!) : 1)));
    });
  },

  /** Tensors one below the other. */
  joined: (from, _, name) => {
    const [first] = from;
    const same = ({ dtype, shape }: Tensor) => dtype === first!.dtype && shape.slice(1).join() === first!.shape.slice(1).join() && shape.length > 0;
    if (!first || !from.every(same)) throw new ModelError('malformed', 'its parts do not fit below each other', { tensor: name });
    const shape = [from.reduce((sum, part) => sum + part.shape[0]!, 0), ...first.shape.slice(1)];
    return computedTensor(name, first.dtype, shape, first.origin, async () => {
      const bytes = new Uint8Array(from.reduce((sum, part) => sum + tensorByteLength(part), 0));
      let at = 0;
      for (const part of from) {
        bytes.set(await tensorBytes(part), at);
        at += tensorByteLength(part);
      }
      return bytes;
    });
  },

  /** Rows from `start` to the one before `end`. */
  rows: ([tensor], { start = 0, end = 0 }) => {
    const [count = 0] = given(tensor).shape;
    if (!(start >= 0 && end >= start && end <= count)) throw new ModelError('malformed', `rows ${start} to ${end} of ${count}`, { tensor: given(tensor).name });
    return sliceAxis(given(tensor), 0, start, end);
  },

  /** Keeps tokens apart that only a roll brought into one window: -100 where they come from different sides; [windows, 1, tokens, tokens]. */
  'roll-mask': (_, { side = 0, height = 0, width = 0, down = 0, right = 0 }, name) => {
    const region = (at: number, size: number, shift: number) => (shift === 0 || at >= size - shift ? 2 : at < size - side ? 0 : 1);
    const [rows, columns, tokens] = [height / side, width / side, side * side];
    if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows * columns * tokens * tokens > MAX_MASK)
      throw new ModelError('malformed', `windows of ${side} do not cover ${height} x ${width} places`, { tensor: name });
    const regionOf = (window: number, token: number) => {
      const y = Math.floor(window / columns) * side + Math.floor(token / side);
      const x = (window % columns) * side + (token % side);
      return 3 * region(y, height, down) + region(x, width, right);
    };
    return computedTensor(name, 'float32', [rows * columns, 1, tokens, tokens], { file: '' }, async () => {
      const values = new Float32Array(rows * columns * tokens * tokens);
      for (let window = 0; window < rows * columns; window++) {
        const regions = Array.from({ length: tokens }, (_, token) => regionOf(window, token));
        for (const [i, a] of regions.entries()) {
          for (const [j, b] of regions.entries()) values[(window * tokens + i) * tokens + j] = a === b ? 0 : -100;
        }
      }
      return new Uint8Array(values.buffer);
    });
  },
} satisfies Readonly<Record<string, Derivation>>;

export type DerivationName = keyof typeof DERIVATIONS;

export const derivationNames: readonly string[] = Object.keys(DERIVATIONS);

export function isDerivation(name: string): name is DerivationName {
  return Object.hasOwn(DERIVATIONS, name);
}

/**
 * A weight that is worked out when somebody reads it.
 *
 * @throws ModelError 'malformed' where its parts are not of the shapes that it takes
 */
export function derive(name: string, by: DerivationName, from: readonly Tensor[], settings: Settings = {}): Tensor {
  return { ...(DERIVATIONS[by] as Derivation)(from, settings, name), name, stored: undefined, derived: { by, from, settings } };
}

/**
 * The same weight again, from other parts: those of a file that was written.
 *
 * @returns undefined where a part is not there, or the weight was not worked out
 */
export function derivedAgain(tensor: Tensor, partOf: (part: Tensor) => Tensor | undefined): Tensor | undefined {
  const { derived, stored, shape, name } = tensor;
  if (!derived || !isDerivation(derived.by)) return undefined;
  const parts = derived.from.map((part) => (part.derived ? derivedAgain(part, partOf) : partOf(part)));
  if (!parts.every((part) => part !== undefined)) return undefined;
  const made = derive(name, derived.by, parts, derived.settings);
  if (!stored) return made;
  return stored.turned ? turnedBack(made, shape) : reshape(made, shape);
}

function turnedBack(made: Tensor, shape: readonly number[]): Tensor {
  const before = reshape(made, shape.toReversed());
  return permute(before, [1, 0]);
}

/** For each pair of tokens of a window, the row of a table that has one for each difference of places. */
export function relativeIndex(side: number): number[] {
  const places = placesOf(side);
  return places.flatMap(([y, x]) => places.map(([v, u]) => (y - v + side - 1) * (2 * side - 1) + (x - u + side - 1)));
}

function placesOf(side: number): (readonly [number, number])[] {
  return Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side] as const);
}

/** Each row with a mean of 0 and a variance of 1, in place. */
function standard(values: Float64Array, shape: readonly number[], epsilon: number): Float64Array {
  const count = elementCount(shape.slice(1));
  for (let start = 0; start < values.length; start += count) {
    const row = values.subarray(start, start + count);
    const mean = row.reduce((sum, value) => sum + value, 0) / count;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    for (let i = 0; i < count; i++) row[i] = (row[i]! - mean) / Math.sqrt(variance + epsilon);
  }
  return values;
}

/** @param rowsOf the table's row for each pair */
function pairs(table: Tensor, name: string, tokens: number, rowsOf: () => readonly number[]): Tensor {
  const heads = table.shape[1]!;
  return picked(table, name, [heads, tokens, tokens], () => {
    const rows = rowsOf();
    return Array.from({ length: heads }, (_, head) => rows.map((row) => row * heads + head)).flat();
  });
}

/** Elements of a tensor by their places in it, of its dtype. */
function picked(tensor: Tensor, name: string, shape: readonly number[], indexOf: () => readonly number[]): Tensor {
  return computedTensor(name, tensor.dtype, shape, tensor.origin, async () => {
    const index = indexOf();
    const bytes = await tensorBytes(tensor);
    const width = DTYPE_BYTES[tensor.dtype];
    const out = new Uint8Array(index.length * width);
    for (const [i, from] of index.entries()) out.set(bytes.subarray(from * width, (from + 1) * width), i * width);
    return out;
  });
}

/** float32 numbers from those of other tensors. */
function worked(from: readonly Tensor[], name: string, shape: readonly number[], compute: (values: readonly Float64Array[]) => Float64Array): Tensor {
  return computedTensor(name, 'float32', shape, from[0]!.origin, async () => {
    const values = await Promise.all(from.map(async (tensor) => toFloat64Array(await tensorBytes(tensor), tensor.dtype)));
    return new Uint8Array(Float32Array.from(compute(values)).buffer);
  });
}

function given(tensor: Tensor | undefined): Tensor {
  if (!tensor) throw new ModelError('malformed', 'a weight that is worked out has too few parts');
  return tensor;
}

function fits(tensor: Tensor | undefined, rank: number, test: (shape: readonly number[]) => boolean, expected: string): asserts tensor is Tensor {
  const { name, shape } = given(tensor);
  if (shape.length !== rank || !test(shape)) throw new ModelError('malformed', `is of shape [${shape}], and not ${expected}`, { tensor: name });
}
