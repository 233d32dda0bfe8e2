/** Resize: enlarging and shrinking by interpolation. */
import { divideDim, multiplyDims } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { aroundAxis, newValue, type Value } from './array.js';
import { floats, operator, word } from './operator.js';

/** One axis after another, which nearest and (multi)linear interpolation allow. */
export const resize = operator({
  op: 'Resize',
  slots: ['x', 'roi?', 'scales?', 'sizes?'],
  attributes: {
    scales: floats(),
    mode: word('nearest', 'linear'),
    coordinate_transformation_mode: word('asymmetric', 'half_pixel', 'pytorch_half_pixel', 'align_corners'),
    nearest_mode: word('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'),
  },
  shape: ({ x }, { scales }) => [
    x.shape.map((size, axis) =>
      Number.isInteger(scales[axis]!) || typeof size === 'string' ? scaledSize(size, scales[axis]!) : Math.floor(size * scales[axis]!),
    ),
  ],
  sign: ({ x }) => x,
  axes: ({ scales }, order) => ({ scales: order.map((axis) => scales[axis]!) }),
  onnx: {
    since: 11,
    inputs: { scales: { since: 11 } },
    rest: {
      cubic_coeff_a: { type: 'float', value: -0.75 },
      exclude_outside: { type: 'int', value: 0 },
      extrapolation_value: { type: 'float', value: 0 },
      antialias: { type: 'int', value: 0, since: 18 },
      keep_aspect_ratio_policy: { type: 'string', value: 'stretch', since: 18 },
    },
  },
  compute: ({ x }, attributes) => [attributes.scales.reduce((y, scale, axis) => (scale === 1 ? y : resizeAxis(attributes, y, axis, scale)), x)],
});

function scaledSize(size: Dim, scale: number): Dim {
  if (Number.isInteger(scale)) return multiplyDims(size, scale);
  return Number.isInteger(1 / scale) ? divideDim(size, 1 / scale) : `${size} times ${scale}`;
}

interface Resizing {
  readonly mode: string;
  readonly coordinate_transformation_mode: string;
  readonly nearest_mode: string;
}

/** @see https://onnx.ai/onnx/operators/onnx__Resize.html, where the coordinate formulas stand */
function resizeAxis(resizing: Resizing, x: Value, axis: number, scale: number): Value {
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const outSize = Math.floor(size * scale);
  const y = newValue(x.shape.with(axis, outSize));
  const round = resizing.mode === 'nearest' ? nearestRule(resizing) : Math.floor;
  const clamp = (at: number) => Math.max(0, Math.min(size - 1, at));
  for (let i = 0; i < outSize; i++) {
    const at = sourceCoordinate(resizing, i, scale, size, outSize);
    const lower = round(at);
    const share = resizing.mode === 'nearest' ? 0 : at - lower;
    for (let o = 0; o < outer; o++) {
      const low = (o * size + clamp(lower)) * inner;
      const high = (o * size + clamp(lower + 1)) * inner;
      const target = (o * outSize + i) * inner;
      for (let n = 0; n < inner; n++) y.data[target + n] = (1 - share) * x.data[low + n]! + share * x.data[high + n]!;
    }
  }
  return y;
}

function sourceCoordinate({ coordinate_transformation_mode }: Resizing, i: number, scale: number, size: number, outSize: number): number {
  switch (coordinate_transformation_mode) {
    case 'asymmetric':
      return i / scale;
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return outSize > 1 ? (i + 0.5) / scale - 0.5 : 0;
    default:
      return outSize > 1 ? (i * (size - 1)) / (outSize - 1) : 0;
  }
}

function nearestRule({ nearest_mode }: Resizing): (at: number) => number {
  switch (nearest_mode) {
    case 'floor':
      return Math.floor;
    case 'ceil':
      return Math.ceil;
    case 'round_prefer_floor':
      return (at) => Math.ceil(at - 0.5);
    default:
      return (at) => Math.floor(at + 0.5);
  }
}
