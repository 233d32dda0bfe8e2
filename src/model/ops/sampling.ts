/** Operators that read pictures at places between their elements: GridSample, AffineGrid, RoiAlign. */

import { freshElements } from './arrangement.js';
import { newValue, type Value } from './array.js';
import { float, int, ints, operator, optional, word } from './operator.js';

/** Coefficients of the cubic of Keys for the four neighbours of a place that lies `t` beyond the second. */
export function cubicWeights(t: number, a: number): readonly [number, number, number, number] {
  const near = (x: number) => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** A grid holds places in [-1, 1], the last axis first. */
export const gridSample = operator({
  op: 'GridSample',
  slots: ['x', 'grid'],
  attributes: { mode: word('linear', 'nearest', 'cubic'), padding_mode: word('zeros', 'border', 'reflection'), align_corners: int(0) },
  shape: ({ x, grid }) => [[x.shape[0]!, x.shape[1]!, ...grid.shape.slice(1, -1)]],
  onnx: { since: 16, spellings: { mode: [{ before: 20, words: { linear: 'bilinear', cubic: 'bicubic' } }] } },
  compute({ x, grid }, { mode, padding_mode, align_corners }) {
    const [batch, channels, ...sizes] = x.shape as [number, number, ...number[]];
    const rank = sizes.length;
    const places = grid.shape.slice(1, -1).reduce((a, b) => a * b, 1);
    const plane = sizes.reduce((a, b) => a * b, 1);
    const y = newValue([batch, channels, ...grid.shape.slice(1, -1)]);
    const shown = (normal: number, size: number) => (align_corners ? ((normal + 1) / 2) * (size - 1) : ((normal + 1) * size - 1) / 2);
    for (let n = 0; n < batch; n++) {
      for (let p = 0; p < places; p++) {
        // Each axis: the neighbours that count, and how much.
        const taps = sizes.map((size, axis) => {
          const at = shown(grid.data[(n * places + p) * rank + (rank - 1 - axis)]!, size);
          const settled = mode === 'cubic' ? at : settle(at, size, padding_mode, align_corners !== 0);
          return neighbours(settled, mode).map(([index, share]) => [placeOf(index, size, padding_mode, align_corners !== 0), share] as const);
        });
        for (let c = 0; c < channels; c++) {
          const visit = (axis: number, offset: number, share: number): number => {
            if (axis === rank) return share * x.data[(n * channels + c) * plane + offset]!;
            return taps[axis]!.reduce(
              (sum, [index, part]) => (index < 0 || part === 0 ? sum : sum + visit(axis + 1, offset * sizes[axis]! + index, share * part)),
              0,
            );
          };
          y.data[(n * channels + c) * places + p] = visit(0, 0, 1);
        }
      }
    }
    return [y];
  },
});

function settle(at: number, size: number, padding: string, align: boolean): number {
  if (padding === 'border') return Math.max(0, Math.min(size - 1, at));
  return padding === 'reflection' ? Math.max(0, Math.min(size - 1, reflected(at, size, align))) : at;
}

function placeOf(index: number, size: number, padding: string, align: boolean): number {
  if (index >= 0 && index < size) return index;
  if (padding === 'zeros') return -1;
  const inside = padding === 'border' ? index : reflected(index, size, align);
  return Math.max(0, Math.min(size - 1, Math.round(inside)));
}

/** Mirrored at the centres of the border elements, or at their outer edges. */
function reflected(at: number, size: number, align: boolean): number {
  const [low, high] = align ? [0, size - 1] : [-0.5, size - 0.5];
  const span = high - low;
  if (span <= 0) return 0;
  const distance = Math.abs(at - low) % (2 * span);
  return low + (distance > span ? 2 * span - distance : distance);
}

function neighbours(at: number, mode: string): readonly (readonly [index: number, share: number])[] {
  if (mode === 'nearest') return [[roundHalf(at), 1]];
  const low = Math.floor(at);
  if (mode === 'linear') {
    return [
      [low, low + 1 - at],
      [low + 1, at - low],
    ];
  }
  return cubicWeights(at - low, -0.75).map((share, i) => [low - 1 + i, share] as const);
}

function roundHalf(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** A grid for GridSample from matrices [batch, 2, 3] or [batch, 3, 4]. */
export const affineGrid = operator({
  op: 'AffineGrid',
  slots: ['theta', 'size?'],
  attributes: { size: optional(ints()), align_corners: int(0) },
  shape({ size: given }, { size }, { fresh }) {
    const sizes = (size ?? given?.elements ?? freshElements(given, fresh)).map((element, axis) => element ?? fresh(0, axis));
    return [[sizes[0]!, ...sizes.slice(2), sizes.length - 2]];
  },
  onnx: { since: 20, inputs: { size: { since: 20 } } },
  compute({ theta, size: given }, { size, align_corners }) {
    const [batch, , ...sizes] = (size ?? [...given!.data]) as [number, number, ...number[]];
    const rank = sizes.length;
    const count = sizes.reduce((a, b) => a * b, 1);
    const y = newValue([batch, ...sizes, rank]);
    for (let n = 0; n < batch; n++) {
      for (let p = 0; p < count; p++) {
        let rest = p;
        const at = sizes.toReversed().map((length) => {
          const index = rest % length;
          rest = Math.floor(rest / length);
          // A single place is the middle, as in PyTorch; ONNX Runtime (1.30) has it at the far corner.
          return align_corners ? (length === 1 ? 0 : (2 * index) / (length - 1) - 1) : (2 * index + 1) / length - 1;
        });
        for (let row = 0; row < rank; row++) {
          const start = (n * rank + row) * (rank + 1);
          y.data[(n * count + p) * rank + row] = at.reduce((sum, place, i) => sum + theta.data[start + i]! * place, theta.data[start + rank]!);
        }
      }
    }
    return [y];
  },
});

/** Regions [count, 4] of pictures, each as one picture of a fixed size. */
export const roiAlign = operator({
  op: 'RoiAlign',
  slots: ['x', 'rois', 'batch'],
  attributes: {
    mode: word('avg', 'max'),
    output_height: int(1),
    output_width: int(1),
    sampling_ratio: int(0),
    spatial_scale: float(1),
    coordinate_transformation_mode: word('half_pixel', 'output_half_pixel'),
  },
  shape: ({ x, rois }, { output_height, output_width }) => [[rois.shape[0]!, x.shape[1]!, output_height, output_width]],
  onnx: {
    since: 10,
    newer: { coordinate_transformation_mode: 16 },
    newerWords: { coordinate_transformation_mode: { half_pixel: 16 } },
    defaults: { coordinate_transformation_mode: { before: 16, value: 'output_half_pixel' } },
  },
  compute({ x, rois, batch }, { mode, output_height: rows, output_width: columns, sampling_ratio, spatial_scale, coordinate_transformation_mode }) {
    const [, channels, height, width] = x.shape as [number, number, number, number];
    const isHalf = coordinate_transformation_mode === 'half_pixel';
    const y = newValue([rois.shape[0]!, channels, rows, columns]);
    for (let r = 0; r < rois.shape[0]!; r++) {
      const corners = Array.from(rois.data.subarray(4 * r, 4 * r + 4), (corner) => corner * spatial_scale - (isHalf ? 0.5 : 0)) as [
        number,
        number,
        number,
        number,
      ];
      const extent = (from: number, to: number) => (isHalf ? to - from : Math.max(to - from, 1));
      const [binHeight, binWidth] = [extent(corners[1], corners[3]) / rows, extent(corners[0], corners[2]) / columns];
      const [down, across] = [binHeight, binWidth].map((bin) => (sampling_ratio > 0 ? sampling_ratio : Math.ceil(bin))) as [number, number];
      for (let c = 0; c < channels; c++) {
        const plane = (batch.data[r]! * channels + c) * height * width;
        for (let i = 0; i < rows * columns; i++) {
          const [row, column] = [Math.floor(i / columns), i % columns];
          let [sum, largest] = [0, Number.NEGATIVE_INFINITY];
          for (let s = 0; s < down * across; s++) {
            const top = corners[1] + row * binHeight + ((Math.floor(s / across) + 0.5) * binHeight) / down;
            const left = corners[0] + column * binWidth + (((s % across) + 0.5) * binWidth) / across;
            const [value, highest] = bilinear(x, plane, height, width, top, left);
            sum += value;
            largest = Math.max(largest, highest);
          }
          y.data[(r * channels + c) * rows * columns + i] = mode === 'avg' ? sum / Math.max(1, down * across) : largest;
        }
      }
    }
    return [y];
  },
});

/** What lies between four elements, and the largest of their shares. */
function bilinear(x: Value, plane: number, height: number, width: number, top: number, left: number): readonly [number, number] {
  if (top < -1 || top > height || left < -1 || left > width) return [0, 0];
  const [row, column] = [Math.min(Math.max(top, 0), height - 1), Math.min(Math.max(left, 0), width - 1)];
  const [r0, c0] = [Math.floor(row), Math.floor(column)];
  const [r1, c1] = [Math.min(r0 + 1, height - 1), Math.min(c0 + 1, width - 1)];
  const [dr, dc] = [row - r0, column - c0];
  const at = (r: number, c: number) => x.data[plane + r * width + c]!;
  const shares = [(1 - dr) * (1 - dc) * at(r0, c0), (1 - dr) * dc * at(r0, c1), dr * (1 - dc) * at(r1, c0), dr * dc * at(r1, c1)];
  return [shares.reduce((a, b) => a + b), Math.max(...shares)];
}
