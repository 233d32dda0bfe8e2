/** Conv and ConvTranspose. */
import { ModelError } from '../../errors.js';
import { multiplyDims } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { newValue } from './array.js';
import { divideProducts, isWorthKernels, type Multiplier, ROWS } from './multiplier.js';
import { readBias, readOperand, readRows } from './operands.js';
import { int, ints, operator, type Shaped } from './operator.js';
import { columnTable, MOST_BYTES } from './product-task.js';
import { addProducts } from './products.js';
import { checkChannelwise } from './rules.js';
import {
  checkedSizes,
  completeWindow,
  inputPositions,
  spatialShape,
  threeAxes,
  transposedSize,
  WINDOW,
  type Window,
  type WindowAxis,
  windowedShape,
  windowOver,
} from './window.js';

/** Elements of a packed tile: 512 KiB of float64 stay in a core's cache while all rows of weights pass over them. */
const TILE_ELEMENTS = 2 ** 16;

/** Channels that flow in against those that a kernel takes. @throws ModelError 'malformed' */
function checkChannels(op: string, x: Shaped, expected: Dim): void {
  const found = x.shape[1]!;
  if (typeof found === 'string' || typeof expected === 'string' || found === expected) return;
  throw new ModelError('malformed', `${op} takes ${expected} channels, but ${found} flow in (shape [${x.shape}])`);
}

/** kernel [out, in/group, ...window]. @see https://onnx.ai/onnx/operators/onnx__Conv.html */
export const conv = operator({
  op: 'Conv',
  slots: ['x', 'kernel', 'bias?'],
  weights: ['kernel', 'bias'],
  attributes: { ...WINDOW, dilations: ints(), group: int(1) },
  complete: completeWindow,
  shape({ x, kernel, bias }, attributes) {
    checkChannels('Conv', x, multiplyDims(kernel.shape[1]!, attributes.group));
    checkChannelwise('Conv', kernel.shape[0]!, { bias });
    return [windowedShape(x.shape, kernel.shape[0]!, attributes)];
  },
  narrow: { kernel: 0 },
  onnx: {},
  async run({ x, kernel, bias: stored }, attributes, { multiplier }) {
    const input = await readOperand(x);
    const [batch, channels] = input.shape as [number, number];
    const { group } = attributes;
    const [outChannels, groupIn] = kernel.shape as [number, number];
    if (groupIn * group !== channels || outChannels % group !== 0) {
      throw new ModelError('engine', `${channels} channels flow in, but the kernel [${kernel.shape}] in ${group} groups takes ${groupIn * group}`);
    }
    const window = windowOver(attributes, input.shape);
    const bias = await readBias(stored, outChannels);
    const y = newValue([batch, outChannels, ...spatialShape(window, input.shape.length)]);
    const positions = elementCount(window.map((axis) => axis.outSize));
    const depth = elementCount(kernel.shape.slice(1));
    for (let i = 0; i < batch * outChannels; i++) y.data.fill(bias[i % outChannels]!, i * positions, (i + 1) * positions);
    const inSize = elementCount(window.map((axis) => axis.inSize));
    const perGroup = outChannels / group;
    const fits = (groupIn * inSize + ROWS * (positions + 2 * depth)) * 8 < MOST_BYTES;
    const add =
      fits && isWorthKernels(perGroup, depth, positions)
        ? kernelProducts(window, { data: input.data, groupIn, inSize }, multiplier)
        : (perGroup <= FEW_ROWS ? tapProducts : plainProducts)(window, { data: input.data, groupIn, inSize });
    for await (const { start, count, data } of readRows(kernel)) {
      for (let row = start; row < start + count; ) {
        const g = Math.floor(row / perGroup);
        const rows = Math.min(start + count, (g + 1) * perGroup) - row;
        const weights = data.subarray((row - start) * depth, (row - start + rows) * depth);
        for (let n = 0; n < batch; n++) {
          await add(weights, rows, (n * channels + g * groupIn) * inSize, y.data, (n * outChannels + row) * positions);
        }
        row += rows;
      }
      await add.done();
    }
    return [y];
  },
});

/** What flows in: [batch x groups][groupIn][inSize]. */
interface Planes {
  readonly data: Float64Array;
  readonly groupIn: number;
  readonly inSize: number;
}

/** Adds to `y`, from a place on, the sums [rows][positions] of some rows of weights over the planes of a group; `done` waits for all. */
interface AddProducts {
  (weights: Float64Array, rows: number, plane: number, y: Float64Array, at: number): Promise<void>;
  done(): Promise<void>;
}

function kernelProducts(window: Window, { data, groupIn, inSize }: Planes, multiplier: Multiplier): AddProducts {
  const places = windowPlaces(window);
  const count = elementCount(window.map((axis) => axis.outSize));
  const columns = { channelSize: inSize, table: multiplier.shareTable(columnTable(places, multiplier.precision)), window: places.length / count, count };
  const planes = multiplier.share(data);
  const division = divideProducts(multiplier);
  const add = (weights: Float64Array, rows: number, plane: number, y: Float64Array, at: number) =>
    division.add(weights, rows, { ...columns, plane: planes.subarray(plane, plane + groupIn * inSize) }, (sums, stride, first, taken) => {
      for (let row = 0; row < taken; row++) {
        const [from, to] = [row * stride, at + (first + row) * count];
        for (let i = 0; i < count; i++) y[to + i]! += sums[from + i]!;
      }
    });
  return Object.assign(add, { done: () => division.done() });
}

/** For each place of the window, then each place of the output: the index in a channel, -1 in the padding. */
function windowPlaces([d, h, w]: Window): Int32Array {
  const [depths, heights, widths] = [inputPositions(d), inputPositions(h), inputPositions(w)];
  const positions = d.outSize * h.outSize * w.outSize;
  const places = new Int32Array(d.kernel * h.kernel * w.kernel * positions);
  for (let tap = 0; tap < places.length / positions; tap++) {
    const [kd, kh, kw] = [Math.floor(tap / (h.kernel * w.kernel)), Math.floor(tap / w.kernel) % h.kernel, tap % w.kernel];
    for (let line = 0; line < d.outSize * h.outSize; line++) {
      const z = depths[Math.floor(line / h.outSize) * d.kernel + kd]!;
      const row = heights[(line % h.outSize) * h.kernel + kh]!;
      fillLine(places, tap * positions + line * w.outSize, w, widths, kw, z < 0 || row < 0 ? -1 : (z * h.inSize + row) * w.inSize);
    }
  }
  return places;
}

/** The places of one line; those of the line that is read begin at `start`, and -1 is outside of the picture. */
function fillLine(places: Int32Array, at: number, { kernel, outSize }: WindowAxis, widths: Int32Array, tap: number, start: number): void {
  for (let column = 0; column < outSize; column++) {
    const place = widths[column * kernel + tap]!;
    places[at + column] = start < 0 || place < 0 ? -1 : start + place;
  }
}

/** Of as few rows packing costs more than it saves: depthwise convolutions. */
const FEW_ROWS = 2;

/** The same tap by tap, along the lines of the picture. */
function tapProducts([d, h, w]: Window, { data, groupIn, inSize }: Planes): AddProducts {
  const [depths, heights, widths] = [inputPositions(d), inputPositions(h), inputPositions(w)];
  const positions = d.outSize * h.outSize * w.outSize;
  // For each tap the columns at which it is inside of the picture.
  const inside = Array.from({ length: w.kernel }, (_, tap) => {
    const columns = Array.from({ length: w.outSize }, (_, column) => column).filter((column) => widths[column * w.kernel + tap]! >= 0);
    return [columns[0] ?? 0, (columns.at(-1) ?? -1) + 1] as const;
  });
  const add = async (weights: Float64Array, rows: number, plane: number, y: Float64Array, at: number) => {
    let k = 0;
    for (let row = 0; row < rows; row++) {
      for (let channel = 0; channel < groupIn; channel++) {
        for (let kd = 0; kd < d.kernel; kd++) {
          for (let kh = 0; kh < h.kernel; kh++) {
            for (let kw = 0; kw < w.kernel; kw++) {
              const weight = weights[k++]!;
              const [first, last] = inside[kw]!;
              for (let line = 0; line < d.outSize * h.outSize; line++) {
                const [z, x] = [depths[Math.floor(line / h.outSize) * d.kernel + kd]!, heights[(line % h.outSize) * h.kernel + kh]!];
                if (z < 0 || x < 0) continue;
                let from = plane + channel * inSize + (z * h.inSize + x) * w.inSize + widths[first * w.kernel + kw]!;
                const to = at + row * positions + line * w.outSize;
                for (let column = first; column < last; column++, from += w.stride) y[to + column]! += weight * data[from]!;
              }
            }
          }
        }
      }
    }
  };
  return Object.assign(add, { done: async () => {} });
}

/** The same in plain loops: of few rows, or little work, and what kernels are tested against. */
export function plainProducts(window: Window, { data, groupIn, inSize }: Planes): AddProducts {
  const positions = elementCount(window.map((axis) => axis.outSize));
  const depth = groupIn * window.reduce((product, { kernel }) => product * kernel, 1);
  const tile = new Float64Array(depth * Math.max(2, Math.min(positions, Math.floor(TILE_ELEMENTS / depth))));
  const perTile = tile.length / depth;
  const pack = packer(window, groupIn);
  const add = async (weights: Float64Array, rows: number, plane: number, y: Float64Array, at: number) => {
    const planes = data.subarray(plane, plane + groupIn * inSize);
    for (let position = 0; position < positions; position += perTile) {
      const packed = Math.min(perTile, positions - position);
      pack(planes, position, packed, tile);
      addProducts(weights, 0, rows, tile, packed, depth, { data: y, start: at + position, strideA: positions, strideB: 1 });
    }
  };
  return Object.assign(add, { done: async () => {} });
}

/**
 * Makes the function that lays what the kernel sees at output positions [position, position + count) out as rows of
 * [channels, kernel positions], zeros where it is padding.
 */
function packer(window: Window, channels: number) {
  const [d, h, w] = window;
  const depths = inputPositions(d);
  const heights = inputPositions(h);
  const widths = inputPositions(w);
  const inSize = d.inSize * h.inSize * w.inSize;
  const kernelSize = d.kernel * h.kernel * w.kernel;
  const offsets = new Int32Array(kernelSize);
  return (plane: Float64Array, position: number, count: number, tile: Float64Array): void => {
    let at = 0;
    for (let p = position; p < position + count; p++) {
      const column = p % w.outSize;
      const line = Math.floor(p / w.outSize) % h.outSize;
      const slab = Math.floor(p / (w.outSize * h.outSize));
      let k = 0;
      for (let kd = 0; kd < d.kernel; kd++) {
        const z = depths[slab * d.kernel + kd]!;
        for (let kh = 0; kh < h.kernel; kh++) {
          const row = heights[line * h.kernel + kh]!;
          for (let kw = 0; kw < w.kernel; kw++) {
            const col = widths[column * w.kernel + kw]!;
            offsets[k++] = z < 0 || row < 0 || col < 0 ? -1 : (z * h.inSize + row) * w.inSize + col;
          }
        }
      }
      for (let c = 0; c < channels; c++) {
        const base = c * inSize;
        for (k = 0; k < kernelSize; k++) {
          const offset = offsets[k]!;
          tile[at++] = offset < 0 ? 0 : plane[base + offset]!;
        }
      }
    }
  };
}

/**
 * Every input element adds its multiple of the kernel to the output; kernel [in, out/group, ...window].
 *
 * @see https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
 */
export const convTranspose = operator({
  op: 'ConvTranspose',
  slots: ['x', 'kernel', 'bias?'],
  weights: ['kernel', 'bias'],
  // Padding in numbers: what auto_pad and output_shape say is worked out by readers.
  attributes: { ...WINDOW, dilations: ints(), group: int(1), output_padding: ints() },
  complete: completeWindow,
  shape({ x, kernel, bias }, { group, ...window }) {
    const [batch, , ...spatial] = x.shape;
    checkChannels('ConvTranspose', x, kernel.shape[0]!);
    checkChannelwise('ConvTranspose', multiplyDims(kernel.shape[1]!, group), { bias });
    const sizes = spatial.map((size, i) => {
      const extent = (window.kernel_shape[i]! - 1) * window.dilations[i]! + 1;
      return transposedSize(size, window.strides[i]!, extent, window.output_padding[i]!, window.pads[i]! + window.pads[i + spatial.length]!);
    });
    return [[batch!, multiplyDims(kernel.shape[1]!, group), ...checkedSizes(spatial, sizes)]];
  },
  narrow: { kernel: 1 },
  onnx: {},
  async run({ x, kernel, bias: stored }, attributes) {
    const input = await readOperand(x);
    const [batch, channels] = input.shape as [number, number];
    const { group } = attributes;
    const groupOut = kernel.shape[1]!;
    const outChannels = groupOut * group;
    if (kernel.shape[0] !== channels || channels % group !== 0) {
      throw new ModelError('engine', `${channels} channels flow in, but the kernel [${kernel.shape}] in ${group} groups does not take them`);
    }
    if (attributes.auto_pad !== 'NOTSET')
      throw new ModelError('engine', `the reference evaluator knows ConvTranspose with auto_pad NOTSET, not ${attributes.auto_pad}`);
    const window = threeAxes(
      input.shape.slice(2).map((inSize, axis): WindowAxis => {
        const { strides, dilations, pads, output_padding, kernel_shape } = attributes;
        const [begin, end] = [pads[axis]!, pads[axis + kernel_shape.length]!];
        const extent = (kernel_shape[axis]! - 1) * dilations[axis]! + 1;
        const outSize = transposedSize(inSize, strides[axis]!, extent, output_padding[axis]!, begin + end) as number;
        return { inSize, outSize, kernel: kernel_shape[axis]!, stride: strides[axis]!, dilation: dilations[axis]!, begin, end };
      }),
    );
    const bias = await readBias(stored, outChannels);
    const y = newValue([batch, outChannels, ...spatialShape(window, input.shape.length)]);
    const outSize = elementCount(window.map((axis) => axis.outSize));
    const inSize = elementCount(window.map((axis) => axis.inSize));
    const depth = elementCount(kernel.shape.slice(1));
    for (let i = 0; i < batch * outChannels; i++) y.data.fill(bias[i % outChannels]!, i * outSize, (i + 1) * outSize);
    for await (const { start, count, data } of readRows(kernel)) {
      for (let c = start; c < start + count; c++) {
        const firstOut = Math.floor(c / (channels / group)) * groupOut;
        for (let n = 0; n < batch; n++) {
          const plane = input.data.subarray((n * channels + c) * inSize, (n * channels + c + 1) * inSize);
          const target = y.data.subarray((n * outChannels + firstOut) * outSize, (n * outChannels + firstOut + groupOut) * outSize);
          scatter(window, plane, data.subarray((c - start) * depth, (c - start + 1) * depth), target);
        }
      }
    }
    return [y];
  },
});

/** Adds one input channel, [...in sizes], times its kernel, [out channels, ...kernel sizes], to the output channels. */
function scatter([d, h, w]: Window, plane: Float64Array, kernel: Float64Array, target: Float64Array): void {
  const kernelSize = d.kernel * h.kernel * w.kernel;
  const outSize = d.outSize * h.outSize * w.outSize;
  for (let k = 0; k < kernelSize; k++) {
    const kd = Math.floor(k / (h.kernel * w.kernel)) * d.dilation - d.begin;
    const kh = (Math.floor(k / w.kernel) % h.kernel) * h.dilation - h.begin;
    const kw = (k % w.kernel) * w.dilation - w.begin;
    let at = 0;
    for (let z = kd; z < kd + d.inSize * d.stride; z += d.stride) {
      for (let row = kh; row < kh + h.inSize * h.stride; row += h.stride) {
        for (let col = kw; col < kw + w.inSize * w.stride; col += w.stride) {
          const element = plane[at++]!;
          if (z < 0 || row < 0 || col < 0 || z >= d.outSize || row >= h.outSize || col >= w.outSize) continue;
          const place = (z * h.outSize + row) * w.outSize + col;
          for (let channel = k, out = place; channel < kernel.length; channel += kernelSize, out += outSize) {
            target[out]! += element * kernel[channel]!;
          }
        }
      }
    }
  }
}
