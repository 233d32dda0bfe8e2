/**
 * How much each pixel counts where TensorFlow makes pictures larger or smaller in a way that ONNX's Resize has not. Both axes are
 * independent of each other, so that each is a product with a matrix [made, given].
 *
 * @see https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/kernels/image: resize_bicubic_op.cc, resize_area_op.cc,
 *   scale_and_translate_op.cc
 */

/** One row for each element that is made, with a weight for each that is given. */
export type Weights = readonly Float64Array[];

const { fround } = Math;

/** How far apart in the given elements two neighbours lie that are made, in float32 as TensorFlow works it out. */
function stepOf(given: number, made: number, corners: boolean): number {
  return corners && made > 1 ? fround((given - 1) / (made - 1)) : fround(given / made);
}

function inside(place: number, given: number): number {
  return Math.min(given - 1, Math.max(0, place));
}

/** Parts of an element that integers count places in. */
const PARTS = 1024;

/**
 * What lies between two elements, with places in whole parts of an element.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/kernels/internal/reference/resize_bilinear.h, ResizeBilinearInteger
 */
export function integerLinearWeights(given: number, made: number, corners: boolean, centers: boolean): Weights {
  const [from, to] = corners && made > 1 ? [given - 1, made - 1] : [given, made];
  const step = Math.floor((PARTS * from + Math.floor(to / 2)) / to);
  return Array.from({ length: made }, (_, i) => {
    const at = centers ? i * step + Math.floor(step / 2) - PARTS / 2 : i * step;
    const [low, high] = [Math.max(0, Math.trunc(at / PARTS)), Math.min(given - 1, Math.trunc((at + PARTS - 1) / PARTS))];
    const row = new Float64Array(given);
    row[low]! += 1 - (at / PARTS - low);
    row[high]! += at / PARTS - low;
    return row;
  });
}

/** Of so many steps between two elements are the weights of the bicubic known. */
const CUBIC_STEPS = 1024;

/** Keys's cubic between four elements; with half pixels what lies beyond the border does not count, before it is the border. */
export function cubicWeights(given: number, made: number, corners: boolean, centers: boolean): Weights {
  const step = stepOf(given, made, corners);
  const a = centers ? -0.5 : -0.75;
  const near = (x: number) => fround(((a + 2) * x - (a + 3)) * x * x + 1);
  const far = (x: number) => fround(((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a);
  return Array.from({ length: made }, (_, i) => {
    const at = centers ? fround(fround(fround(i + 0.5) * step) - 0.5) : fround(i * step);
    const first = Math.floor(at);
    const rest = roundHalfToEven(fround(fround(at - first) * CUBIC_STEPS)) / CUBIC_STEPS;
    const row = new Float64Array(given);
    for (const [k, weight] of [far(rest), near(rest), near(1 - rest), far(1 - rest)].entries()) {
      const place = inside(first - 1 + k, given);
      if (!centers || place === first - 1 + k) row[place]! += weight;
    }
    return centers ? normalised(row) : row;
  });
}

function roundHalfToEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** The mean of what lies under each element that is made, parts of elements as parts. */
export function areaWeights(given: number, made: number, corners: boolean): Weights {
  const step = stepOf(given, made, corners);
  return Array.from({ length: made }, (_, i) => {
    const [from, to] = [fround(i * step), fround((i + 1) * step)];
    const row = new Float64Array(given);
    for (let place = Math.floor(from); place < Math.ceil(to); place++) {
      const [start, end] = [Math.max(place, from), Math.min(place + 1, to)];
      row[inside(place, given)]! += (end - start) / step;
    }
    return row;
  });
}

interface Kernel {
  readonly radius: number;
  /** @param x how far it is, zero or more */
  weight(x: number): number;
}

const lanczos = (radius: number): Kernel => ({
  radius,
  weight: (x) => (x > radius ? 0 : x <= 1e-3 ? 1 : (radius * Math.sin(Math.PI * x) * Math.sin((Math.PI * x) / radius)) / (Math.PI * Math.PI * x * x)),
});

/** By the names that ScaleAndTranslate gives them. */
const KERNELS: Readonly<Record<string, Kernel>> = {
  lanczos1: lanczos(1),
  lanczos3: lanczos(3),
  lanczos5: lanczos(5),
  gaussian: { radius: 1.5, weight: (x) => (x >= 1.5 ? 0 : Math.exp((-x * x) / (2 * 0.5 * 0.5))) },
  box: { radius: 1, weight: (x) => (x < 0.5 ? 1 : x === 0.5 ? 0.5 : 0) },
  triangle: { radius: 1, weight: (x) => Math.max(0, 1 - x) },
  keyscubic: { radius: 2, weight: (x) => (x >= 2 ? 0 : x >= 1 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : (1.5 * x - 2.5) * x * x + 1) },
  mitchellcubic: {
    radius: 2,
    weight: (x) => (x >= 2 ? 0 : x >= 1 ? (((-7 / 18) * x + 2) * x - 10 / 3) * x + 16 / 9 : ((7 / 6) * x - 2) * x * x + 8 / 9),
  },
};

export const KERNEL_NAMES: readonly string[] = Object.keys(KERNELS);

/**
 * A kernel around the place that each element has among those given; zeros where that is outside.
 *
 * @param kernel one of `KERNEL_NAMES`
 * @param smooths whether the kernel is wider where the picture becomes smaller
 */
export function kernelWeights(given: number, made: number, kernel: string, scale: number, shift: number, smooths: boolean): Weights {
  const { radius, weight } = KERNELS[kernel]!;
  const step = fround(1 / fround(scale));
  const wide = smooths ? Math.max(step, 1) : 1;
  return Array.from({ length: made }, (_, i) => {
    const row = new Float64Array(given);
    const at = fround(fround((i + 0.5) * step) + fround(-step * fround(shift)));
    if (at < 0 || at > given) return row;
    const [first, last] = [Math.max(0, Math.ceil(at - radius * wide - 0.5)), Math.min(given - 1, Math.floor(at + radius * wide - 0.5))];
    for (let place = first; place <= last; place++) row[place] = weight(Math.abs((place + 0.5 - at) / wide));
    return normalised(row);
  });
}

/** Weights that are one together. */
function normalised(row: Float64Array): Float64Array {
  const total = row.reduce((sum, weight) => sum + weight, 0);
  return Math.abs(total) < 1000 * 1.1754943508222875e-38 ? row : row.map((weight) => weight / total);
}
