/** Conv and ConvTranspose. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { newValue } from './array.js';
import { readBias, readRows } from './operands.js';
import { number, type Operator } from './operator.js';
import { addProducts } from './products.js';
import { inputPositions, layerWindow, spatialShape, transposedWindow, type Window } from './window.js';

/** Elements of a packed tile: 512 KiB of float64 stay in a core's cache while all rows of weights pass over them. */
const TILE_ELEMENTS = 2 ** 16;

/** @see https://onnx.ai/onnx/operators/onnx__Conv.html */
export const conv: Operator = async (layer, [x]) => {
  const kernel = layer.weights.kernel!;
  const [batch, channels] = x!.shape as [number, number];
  const group = number(layer, 'group');
  const [outChannels, groupIn] = kernel.shape as [number, number];
  if (groupIn * group !== channels || outChannels % group !== 0) {
    throw new ModelError('engine', `${channels} channels flow in, but the kernel [${kernel.shape}] in ${group} groups takes ${groupIn * group}`);
  }
  const window = layerWindow(layer, x!.shape);
  const bias = await readBias(layer, outChannels);
  const y = newValue([batch, outChannels, ...spatialShape(window, x!.shape.length)]);
  const positions = elementCount(window.map((axis) => axis.outSize));
  const depth = elementCount(kernel.shape.slice(1));
  for (let i = 0; i < batch * outChannels; i++) y.data.fill(bias[i % outChannels]!, i * positions, (i + 1) * positions);

  const tile = new Float64Array(depth * Math.max(2, Math.min(positions, Math.floor(TILE_ELEMENTS / depth))));
  const perTile = tile.length / depth;
  const inSize = elementCount(window.map((axis) => axis.inSize));
  const pack = packer(window, groupIn);
  const perGroup = outChannels / group;
  for await (const { start, count, data } of readRows(kernel)) {
    for (let row = start; row < start + count; ) {
      const g = Math.floor(row / perGroup);
      const rows = Math.min(start + count, (g + 1) * perGroup) - row;
      for (let n = 0; n < batch; n++) {
        const plane = x!.data.subarray((n * channels + g * groupIn) * inSize, (n * channels + (g + 1) * groupIn) * inSize);
        for (let position = 0; position < positions; position += perTile) {
          const packed = Math.min(perTile, positions - position);
          pack(plane, position, packed, tile);
          const target = { data: y.data, start: (n * outChannels + row) * positions + position, strideA: positions, strideB: 1 };
          addProducts(data, (row - start) * depth, rows, tile, packed, depth, target);
        }
      }
      row += rows;
    }
  }
  return y;
};

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
 * Every input element adds its multiple of the kernel to the output.
 *
 * @see https://onnx.ai/onnx/operators/onnx__ConvTranspose.html, kernel [in, out/group, ...]
 */
export const convTranspose: Operator = async (layer, [x]) => {
  const kernel = layer.weights.kernel!;
  const [batch, channels] = x!.shape as [number, number];
  const group = number(layer, 'group');
  const groupOut = kernel.shape[1]!;
  const outChannels = groupOut * group;
  if (kernel.shape[0] !== channels || channels % group !== 0) {
    throw new ModelError('engine', `${channels} channels flow in, but the kernel [${kernel.shape}] in ${group} groups does not take them`);
  }
  const window = transposedWindow(layer, x!.shape);
  const bias = await readBias(layer, outChannels);
  const y = newValue([batch, outChannels, ...spatialShape(window, x!.shape.length)]);
  const outSize = elementCount(window.map((axis) => axis.outSize));
  const inSize = elementCount(window.map((axis) => axis.inSize));
  const depth = elementCount(kernel.shape.slice(1));
  for (let i = 0; i < batch * outChannels; i++) y.data.fill(bias[i % outChannels]!, i * outSize, (i + 1) * outSize);
  for await (const { start, count, data } of readRows(kernel)) {
    for (let c = start; c < start + count; c++) {
      const firstOut = Math.floor(c / (channels / group)) * groupOut;
      for (let n = 0; n < batch; n++) {
        const plane = x!.data.subarray((n * channels + c) * inSize, (n * channels + c + 1) * inSize);
        const target = y.data.subarray((n * outChannels + firstOut) * outSize, (n * outChannels + firstOut + groupOut) * outSize);
        scatter(window, plane, data.subarray((c - start) * depth, (c - start + 1) * depth), target);
      }
    }
  }
  return y;
};

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
