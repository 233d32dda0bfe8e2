/** Operators that cut pictures into windows and put them together: Col2Im, DeformConv, MaxUnpool, CenterCropPad. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { newValue, pickElements, type Value } from './array.js';
import { readBias, readOperand } from './operands.js';
import { int, ints, operator, optional } from './operator.js';
import { checkedAxes } from './rules.js';
import { completeWindow, windowedShape } from './window.js';

const filled = (given: readonly number[] | undefined, rank: number, value: number) => given ?? new Array<number>(rank).fill(value);

/** Columns [batch, channels x window, places] summed into a picture: what a window saw goes back to where it was seen. */
export const col2Im = operator({
  op: 'Col2Im',
  slots: ['x', 'image?', 'block?'],
  attributes: { image: optional(ints()), block: optional(ints()), dilations: optional(ints()), pads: optional(ints()), strides: optional(ints()) },
  shape({ x, image: givenImage, block: givenBlock }, { image, block }, { fresh }) {
    const sizes: readonly (Dim | null)[] | undefined = image ?? givenImage?.elements;
    const window = block ?? givenBlock?.elements;
    const rank = sizes?.length ?? givenImage?.shape[0];
    if (typeof rank !== 'number') throw new ModelError('unsupported', 'how many axes it makes is known only when the model runs');
    const whole = window?.every((size) => typeof size === 'number') ? elementCount(window as readonly number[]) : undefined;
    const channels = whole && typeof x.shape[1] === 'number' ? x.shape[1] / whole : fresh(0, 1);
    return [[x.shape[0]!, channels, ...Array.from({ length: rank }, (_, i) => sizes?.[i] ?? fresh(0, 2 + i))]];
  },
  onnx: { since: 18, inputs: { image: { since: 18 }, block: { since: 18 } } },
  compute({ x, image: givenImage, block: givenBlock }, given) {
    const image = given.image ?? [...givenImage!.data];
    const block = given.block ?? [...givenBlock!.data];
    const rank = image.length;
    const [strides, dilations, pads] = [filled(given.strides, rank, 1), filled(given.dilations, rank, 1), filled(given.pads, 2 * rank, 0)];
    const counts = image.map((size, i) => Math.floor((size + pads[i]! + pads[i + rank]! - dilations[i]! * (block[i]! - 1) - 1) / strides[i]!) + 1);
    const [batch, window, places] = [x.shape[0]!, elementCount(block), elementCount(counts)];
    const channels = x.shape[1]! / window;
    const y = newValue([batch, channels, ...image]);
    const plane = elementCount(image);
    for (let c = 0; c < batch * channels; c++) {
      for (let w = 0; w < window; w++) {
        const tap = unflatten(w, block);
        for (let p = 0; p < places; p++) {
          const at = unflatten(p, counts).map((index, i) => index * strides[i]! - pads[i]! + tap[i]! * dilations[i]!);
          if (at.some((index, i) => index < 0 || index >= image[i]!)) continue;
          y.data[c * plane + flatten(at, image)]! += x.data[(c * window + w) * places + p]!;
        }
      }
    }
    return [y];
  },
});

function unflatten(place: number, shape: readonly number[]): number[] {
  let rest = place;
  return shape
    .toReversed()
    .map((size) => {
      const index = rest % size;
      rest = Math.floor(rest / size);
      return index;
    })
    .reverse();
}

const flatten = (at: readonly number[], shape: readonly number[]) => at.reduce((place, index, i) => place * shape[i]! + index, 0);

/** A convolution each of whose taps is moved by an offset that flows in, and may be weighted by a mask. */
export const deformConv = operator({
  op: 'DeformConv',
  slots: ['x', 'kernel', 'offset', 'bias?', 'mask?'],
  weights: ['kernel', 'bias'],
  attributes: { kernel_shape: ints(), strides: ints(), pads: ints(), dilations: ints(), group: int(1), offset_group: int(1) },
  complete: ({ kernel }, given) => completeWindow({ ...(kernel ? { kernel } : {}) }, given),
  shape: ({ x, kernel }, attributes) => [windowedShape(x.shape, kernel.shape[0]!, { ...attributes, auto_pad: 'NOTSET' })],
  onnx: { since: 19 },
  async run(slots, { strides, pads, dilations, group, offset_group }) {
    const [x, kernel, offset] = await Promise.all([readOperand(slots.x), readOperand(slots.kernel), readOperand(slots.offset)]);
    const mask = slots.mask && (await readOperand(slots.mask));
    const [batch, channels, height, width] = x.shape as [number, number, number, number];
    const [outChannels, groupIn, kernelHeight, kernelWidth] = kernel.shape as [number, number, number, number];
    const [rows, columns] = offset.shape.slice(2) as [number, number];
    const bias = await readBias(slots.bias, outChannels);
    const taps = kernelHeight * kernelWidth;
    const y = newValue([batch, outChannels, rows, columns]);
    const perOffset = channels / offset_group;
    for (let n = 0; n < batch; n++) {
      for (let p = 0; p < rows * columns; p++) {
        const [row, column] = [Math.floor(p / columns), p % columns];
        const seen = new Float64Array(channels * taps);
        for (let c = 0; c < channels; c++) {
          const g = Math.floor(c / perOffset);
          for (let t = 0; t < taps; t++) {
            const moved = (part: number) => offset.data[((n * offset_group + g) * 2 * taps + 2 * t + part) * rows * columns + p]!;
            const top = row * strides[0]! - pads[0]! + Math.floor(t / kernelWidth) * dilations[0]! + moved(0);
            const left = column * strides[1]! - pads[1]! + (t % kernelWidth) * dilations[1]! + moved(1);
            const weight = mask?.data[((n * offset_group + g) * taps + t) * rows * columns + p] ?? 1;
            seen[c * taps + t] = weight * between(x, (n * channels + c) * height * width, height, width, top, left);
          }
        }
        for (let o = 0; o < outChannels; o++) {
          const first = Math.floor(o / (outChannels / group)) * groupIn * taps;
          let sum = bias[o]!;
          for (let k = 0; k < groupIn * taps; k++) sum += kernel.data[o * groupIn * taps + k]! * seen[first + k]!;
          y.data[(n * outChannels + o) * rows * columns + p] = sum;
        }
      }
    }
    return [y];
  },
});

/** Between the four elements around a place; those outside of the picture are zero. */
function between({ data }: Value, plane: number, height: number, width: number, top: number, left: number): number {
  const [row, column] = [Math.floor(top), Math.floor(left)];
  const at = (r: number, c: number) => (r < 0 || c < 0 || r >= height || c >= width ? 0 : data[plane + r * width + c]!);
  const [dr, dc] = [top - row, left - column];
  return (1 - dr) * ((1 - dc) * at(row, column) + dc * at(row, column + 1)) + dr * ((1 - dc) * at(row + 1, column) + dc * at(row + 1, column + 1));
}

/** Puts elements back where a MaxPool found them; all others are zero. */
export const maxUnpool = operator({
  op: 'MaxUnpool',
  slots: ['x', 'indices', 'output_shape?'],
  attributes: { output_shape: optional(ints()), kernel_shape: ints(), strides: ints(), pads: ints() },
  complete: (_, given) => completeWindow({}, given),
  shape({ x, output_shape: flowing }, { output_shape, kernel_shape, strides, pads }, { fresh }) {
    const wanted = output_shape ?? flowing?.elements;
    if (wanted) return [wanted.map((size, axis) => size ?? fresh(0, axis))];
    if (flowing) return [x.shape.map((_, axis) => fresh(0, axis))];
    return [[...x.shape.slice(0, 2), ...unpooledSizes(x.shape.slice(2), kernel_shape, strides, pads, (axis) => fresh(0, axis))]];
  },
  sign: ({ x }) => x,
  onnx: { since: 9, inputs: { output_shape: { since: 9 } } },
  compute({ x, indices, output_shape: flowing }, { output_shape, kernel_shape, strides, pads }) {
    // Places are counted in the picture that was pooled, which may be smaller than the one that is asked for.
    const pooled = unpooledSizes(x.shape.slice(2), kernel_shape, strides, pads, () => 0) as number[];
    const wanted = output_shape ?? (flowing ? [...flowing.data] : [...x.shape.slice(0, 2), ...pooled]);
    const y = newValue(wanted);
    const [from, to] = [elementCount(pooled), elementCount(wanted.slice(2))];
    indices.data.forEach((place, i) => {
      const at = unflatten(place % from, pooled);
      y.data[Math.floor(place / from) * to + flatten(at, wanted.slice(2))] = x.data[i]!;
    });
    return [y];
  },
});

function unpooledSizes(
  sizes: readonly Dim[],
  kernel: readonly number[],
  strides: readonly number[],
  pads: readonly number[],
  free: (axis: number) => Dim,
): Dim[] {
  return sizes.map((size, i) => (typeof size === 'number' ? (size - 1) * strides[i]! - pads[i]! - pads[i + kernel.length]! + kernel[i]! : free(2 + i)));
}

/** Cut or padded with zeros on both sides to a size; an odd element goes to the end. */
export const centerCropPad = operator({
  op: 'CenterCropPad',
  slots: ['x', 'shape?'],
  attributes: { shape: optional(ints()), axes: optional(ints()) },
  shape({ x, shape: given }, { shape, axes }, { fresh }) {
    const wanted = shape ?? given?.elements;
    const along = checkedAxes(axes, x.shape.length);
    return [x.shape.map((size, axis) => (along.includes(axis) ? (wanted?.[along.indexOf(axis)] ?? fresh(0, axis)) : size))];
  },
  sign: ({ x }) => x,
  onnx: { since: 18, inputs: { shape: { since: 18 } } },
  compute({ x, shape: given }, { shape, axes }) {
    const wanted = shape ?? [...given!.data];
    const along = checkedAxes(axes, x.shape.length);
    return [
      pickElements(
        x,
        x.shape.map((size, axis) => {
          const to = along.includes(axis) ? wanted[along.indexOf(axis)]! : size;
          const start = size > to ? Math.floor((size - to) / 2) : -Math.floor((to - size) / 2);
          return Array.from({ length: to }, (_, i) => (start + i >= 0 && start + i < size ? start + i : -1));
        }),
      ),
    ];
  },
});
