/**
 * How TensorFlow's resize weighs pixels: kernels that reach so far to both sides of a new pixel's centre, over the area that it covers
 * ("area"), or over all the pixels that it stands for (antialias).
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/kernels/image/sampling_kernels.h and scale_and_translate_op.cc
 */
import { cubicWeights } from '../../model/ops/sampling.js';

interface Kernel {
  readonly radius: number;
  /** By the distance, which is not negative. */
  weight(x: number): number;
}

const lanczos = (radius: number): Kernel => ({
  radius,
  weight: (x) => (x > radius ? 0 : x <= 1e-3 ? 1 : (radius * Math.sin(Math.PI * x) * Math.sin((Math.PI * x) / radius)) / (Math.PI * x) ** 2),
});

const KERNELS: Readonly<Record<string, Kernel>> = {
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - x) },
  // Keys's cubic with a = -0.5.
  bicubic: { radius: 2, weight: (x) => (x >= 2 ? 0 : cubicWeights(x % 1, -0.5)[x < 1 ? 1 : 0]!) },
  lanczos3: lanczos(3),
  lanczos5: lanczos(5),
  gaussian: { radius: 1.5, weight: (x) => (x >= 1.5 ? 0 : Math.exp(-(x ** 2) / 0.5)) },
  mitchellcubic: {
    radius: 2,
    weight: (x) => (x >= 2 ? 0 : x >= 1 ? (((-7 / 18) * x + 2) * x - 10 / 3) * x + 16 / 9 : ((7 / 6) * x - 2) * x * x + 8 / 9),
  },
};

export const INTERPOLATIONS = ['bilinear', 'nearest', 'bicubic', 'area', 'lanczos3', 'lanczos5', 'gaussian', 'mitchellcubic'] as const;

/** [from, to]: what each old pixel weighs in each new one; the weights of a new one add up to 1. */
export function resamplingMatrix(from: number, to: number, interpolation: string, antialias: boolean): Float32Array {
  const matrix = new Float32Array(from * to);
  const scale = from / to;
  const isTabled = interpolation === 'bicubic' && !antialias;
  for (let i = 0; i < to; i++) {
    const weights =
      interpolation === 'area'
        ? areaWeights(i * scale, (i + 1) * scale, from)
        : interpolation === 'nearest'
          ? [[Math.min(from - 1, Math.floor(Math.fround((i + 0.5) * Math.fround(scale)))), 1] as const]
          : kernelWeights(isTabled ? tabled((i + 0.5) * scale) : (i + 0.5) * scale, from, interpolation, antialias ? scale : 1);
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [place, weight] of weights) matrix[place * to + i]! += weight / total;
  }
  return matrix;
}

/** Its bicubic kernel has a table of weights for so many places between two pixels. @see resize_bicubic_op.cc, kTableSize */
const TABLE_SIZE = 1024;

function tabled(centre: number): number {
  return Math.round((centre - 0.5) * TABLE_SIZE) / TABLE_SIZE + 0.5;
}

/** Whether all places that this enlarges to are in the table. */
export function isInTable(from: number, to: number): boolean {
  const times = to / from;
  return Number.isInteger(Math.log2(times)) && times >= 1 && times * 2 <= TABLE_SIZE;
}

type Weighed = readonly (readonly [place: number, weight: number])[];

/** How much of each pixel lies between the ends. */
function areaWeights(start: number, end: number, from: number): Weighed {
  const first = Math.floor(start);
  return Array.from({ length: Math.ceil(end) - first }, (_, k) => {
    const place = first + k;
    return [Math.min(place, from - 1), Math.min(end, place + 1) - Math.max(start, place)] as const;
  });
}

/** Pixels whose centres a kernel around `centre` reaches, those outside the picture left out. */
function kernelWeights(centre: number, from: number, interpolation: string, scale: number): Weighed {
  const { radius, weight } = KERNELS[interpolation]!;
  const reach = radius * Math.max(scale, 1);
  const first = Math.max(0, Math.ceil(centre - reach - 0.5));
  const last = Math.min(from - 1, Math.floor(centre + reach - 0.5));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => [first + k, weight(Math.abs(first + k + 0.5 - centre) / Math.max(scale, 1))] as const);
}
