/** Arrays as pictures: inputs with one or three channels, and the filters of a first convolution. */
import type { Layout } from '../model/layer-map.js';
import { isChannelsLast } from '../model/ports.js';
import type { NdArray } from '../verify/engine.js';
import type { Picture } from './exhibits.js';
import { encodePng } from './png.js';

/** Larger pictures are made smaller by leaving out pixels: a report holds several, and each is looked at, not measured. */
const MAX_SIDE = 160;
/** Filters are laid out in rows of about this many for each that they are high. */
const MOSAIC_RATIO = 3;
const MIDDLE_GREY = 128;

/**
 * One picture of a batch, its smallest value black and its largest white over all channels together.
 *
 * @param array [N, C, H, W] or, where the layout says so, [N, H, W, C]; one or three channels
 * @returns null where the array is no picture
 */
export function pictureOf(array: NdArray, layout: Layout, row = 0): Picture | null {
  if (array.shape.length !== 4) return null;
  const [, a, b, c] = array.shape as [number, number, number, number];
  // Where nothing says the layout, only how it is drawn hangs on what can be channels.
  const isLast = isChannelsLast(layout) || (layout === 'other' && !areChannels(a) && areChannels(c));
  const [channels, height, width] = isLast ? [c, a, b] : [a, b, c];
  if (!areChannels(channels) || height < 2 || width < 2) return null;
  const [stepC, stepY, stepX] = isLast ? [1, width * channels, channels] : [height * width, width, 1];
  const start = row * channels * height * width;
  const { low, factor } = stretch(array.data, start, start + channels * height * width);
  const shrink = Math.max(1, height / MAX_SIDE, width / MAX_SIDE);
  const [shownHeight, shownWidth] = [Math.max(1, Math.floor(height / shrink)), Math.max(1, Math.floor(width / shrink))];
  const bytes = new Uint8Array(shownHeight * shownWidth * channels);
  let at = 0;
  for (let y = 0; y < shownHeight; y++) {
    for (let x = 0; x < shownWidth; x++) {
      const from = start + Math.floor((y + 0.5) * shrink) * stepY + Math.floor((x + 0.5) * shrink) * stepX;
      for (let channel = 0; channel < channels; channel++) bytes[at++] = toByte((Number(array.data[from + channel * stepC]) - low) * factor);
    }
  }
  return { png: encodePng({ width: shownWidth, height: shownHeight, channels, bytes }), width: shownWidth, height: shownHeight };
}

function areChannels(count: number): count is 1 | 3 {
  return count === 1 || count === 3;
}

/**
 * Filters side by side, zero grey, one pixel apart, with nothing in between.
 *
 * @param kernel [out, in, kH, kW] with one or three input channels, shown as grey or as red, green and blue in the kernel's order
 * @param count how many of the filters
 * @param scales largest |value| of each filter; filters that are compared are drawn with the same
 */
export function mosaicOf({ shape, data }: NdArray, count: number, scales: readonly number[]): Picture {
  const [, channels, height, width] = shape as [number, number, number, number];
  const columns = Math.min(count, Math.max(1, Math.ceil(Math.sqrt(count * MOSAIC_RATIO))));
  const rows = Math.ceil(count / columns);
  const pixels = { width: columns * (width + 1) - 1, height: rows * (height + 1) - 1 };
  const bytes = new Uint8Array(pixels.width * pixels.height * 4);
  for (let filter = 0; filter < count; filter++) {
    const [top, left] = [Math.floor(filter / columns) * (height + 1), (filter % columns) * (width + 1)];
    const scale = scales[filter] || 1;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = ((top + y) * pixels.width + left + x) * 4;
        for (let shown = 0; shown < 3; shown++) {
          const value = Number(data[((filter * channels + Math.min(shown, channels - 1)) * height + y) * width + x]);
          bytes[at + shown] = toByte(MIDDLE_GREY + (127 * value) / scale);
        }
        bytes[at + 3] = 255;
      }
    }
  }
  return { png: encodePng({ ...pixels, channels: 4, bytes }), ...pixels };
}

/** Largest finite |value| of each filter. */
export function filterScales({ shape, data }: NdArray): number[] {
  const length = shape.slice(1).reduce((product, size) => product * size, 1);
  return Array.from({ length: shape[0]! }, (_, filter) => {
    let largest = 0;
    for (let i = filter * length; i < (filter + 1) * length; i++) {
      const value = Math.abs(Number(data[i]));
      if (value > largest && Number.isFinite(value)) largest = value;
    }
    return largest;
  });
}

function stretch(data: NdArray['data'], start: number, end: number): { low: number; factor: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = start; i < end; i++) {
    const value = Number(data[i]);
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  // A flat picture is black rather than a division by zero.
  return high > low ? { low, factor: 255 / (high - low) } : { low: Number.isFinite(low) ? low : 0, factor: 1 };
}

/** NaN is black. */
function toByte(value: number): number {
  return Math.round(Math.min(255, Math.max(0, value || 0)));
}
