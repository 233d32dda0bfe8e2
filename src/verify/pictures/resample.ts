/**
 * Pictures in another size.
 *
 * With antialiasing as PIL does it, bit for bit: one axis after the other, weights in fixed point, bytes in between. Without it as
 * OpenCV and TensorFlow do: each point from the pixels beside it, in floating point.
 *
 * @see https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c
 */
import type { Picture } from '../../containers/pictures.js';
import type { Framing } from '../../model/preparation.js';

/** Values of 0 to 255, of which only antialiased ones are whole. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array | Float32Array;
}

/** Fixed point of PIL's weights: 32 bits less 8 of a pixel and 2 for what overshoots. */
const ONE = 2 ** 22;

interface Filter {
  /** How far it reaches, in pixels of the larger picture. */
  readonly reach: number;
  readonly weight: (distance: number) => number;
}

/** PIL's cubic has a = -0.5. */
const A = -0.5;
const FILTERS: Readonly<Record<'bilinear' | 'bicubic', Filter>> = {
  bilinear: { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2,
    weight: (distance) => {
      const x = Math.abs(distance);
      if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
    },
  },
};

export function resample(picture: Picture, width: number, height: number, { filter, antialias }: Pick<Framing, 'filter' | 'antialias'>): Pixels {
  if (width === picture.width && height === picture.height) return picture;
  if (filter === 'nearest') return nearest(picture, width, height);
  const across = width === picture.width ? picture : alongAxis(picture, 'x', width, FILTERS[filter], antialias);
  return height === picture.height ? across : alongAxis(across, 'y', height, FILTERS[filter], antialias);
}

function nearest({ width: w, height: h, channels, data }: Picture, width: number, height: number): Pixels {
  const made = new Uint8Array(width * height * channels);
  const columns = nearestOf(w, width);
  let at = 0;
  for (const row of nearestOf(h, height)) {
    for (const column of columns) {
      const from = (row * w + column) * channels;
      for (let c = 0; c < channels; c++) made[at++] = data[from + c]!;
    }
  }
  return { width, height, channels, data: made };
}

/**
 * Which pixel of `from` is taken for each of `to`. Middles are added up one after the other, as PIL does: where one lies between two pixels, the sum's rounding decides.
 *
 * @see https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Geometry.c, ImagingScaleAffine
 */
function nearestOf(from: number, to: number): number[] {
  const step = from / to;
  let middle = step / 2;
  return Array.from({ length: to }, () => {
    const taken = Math.min(from - 1, Math.floor(middle));
    middle += step;
    return taken;
  });
}

interface Tap {
  readonly start: number;
  readonly weights: readonly number[];
}

/** Which pixels of `from` make each of `to`, and with which weights. */
function taps(from: number, to: number, { reach, weight }: Filter, antialias: boolean): Tap[] {
  const scale = from / to;
  const spread = antialias ? Math.max(1, scale) : 1;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    if (!antialias) return plainTap(centre - 0.5, from, reach, weight);
    const start = Math.max(0, Math.trunc(centre - reach * spread + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach * spread + 0.5));
    const weights = Array.from({ length: end - start }, (_, k) => weight((start + k - centre + 0.5) / spread));
    const sum = weights.reduce((total, value) => total + value, 0);
    return { start, weights: weights.map((value) => fixed(sum === 0 ? value : value / sum)) };
  });
}

/** Beyond the border the last pixel goes on. */
function plainTap(centre: number, size: number, reach: number, weight: (distance: number) => number): Tap {
  const first = Math.floor(centre) - reach + 1;
  const start = Math.min(size - 1, Math.max(0, first));
  const last = Math.min(size - 1, Math.max(0, first + 2 * reach - 1));
  const weights = new Array<number>(last - start + 1).fill(0);
  for (let k = 0; k < 2 * reach; k++) weights[Math.min(last, Math.max(start, first + k)) - start]! += weight(first + k - centre);
  return { start, weights };
}

function fixed(value: number): number {
  return Math.trunc(value * ONE + (value < 0 ? -0.5 : 0.5));
}

function alongAxis(pixels: Pixels, axis: 'x' | 'y', to: number, filter: Filter, antialias: boolean): Pixels {
  const { channels, data } = pixels;
  const [width, height] = axis === 'x' ? [to, pixels.height] : [pixels.width, to];
  const list = taps(axis === 'x' ? pixels.width : pixels.height, to, filter, antialias);
  const step = axis === 'x' ? channels : pixels.width * channels;
  const made = antialias ? new Uint8ClampedArray(width * height * channels) : new Float32Array(width * height * channels);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const { start, weights } = list[axis === 'x' ? x : y]!;
      const from = axis === 'x' ? (y * pixels.width + start) * channels : (start * pixels.width + x) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = antialias ? ONE / 2 : 0;
        for (let k = 0; k < weights.length; k++) sum += data[from + c + k * step]! * weights[k]!;
        made[at++] = antialias ? Math.floor(sum / ONE) : sum;
      }
    }
  }
  const bytes = made instanceof Uint8ClampedArray ? new Uint8Array(made.buffer) : made;
  return { width, height, channels, data: bytes };
}
