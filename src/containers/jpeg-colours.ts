/**
 * Colours of a JPEG that has fewer of them than pixels, made as smooth as libjpeg makes them (`do_fancy_upsampling`), which PIL, OpenCV and browsers decode with: of halved ones, three quarters are the
 * nearest sample's and one quarter its neighbour's. The decoder gives each sample to all pixels that it is for, so that samples are found there again.
 *
 * @see https://www.w3.org/Graphics/JPEG/jfif3.pdf for the colours, https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/src/jdsample.c for what lies between samples
 */

/** Samples of a channel across and down, of those of the picture: 1 or a half where anything is smoothed. */
export interface Sampling {
  readonly across: number;
  readonly down: number;
}

/** Turns YCbCr into RGB, in place. @param data three channels beside each other, `samplings` one for each */
export function coloured(data: Uint8Array, width: number, height: number, samplings: readonly Sampling[]): void {
  for (const [channel, sampling] of samplings.entries()) smoothed(data, width, height, channel, sampling);
  for (let i = 0; i < data.length; i += 3) {
    const [y, cb, cr] = [data[i]!, data[i + 1]! - 128, data[i + 2]! - 128];
    data[i] = clamped(y + ((FULL_RED * cr + HALF) >> 16));
    data[i + 1] = clamped(y + ((HALF - BLUE_IN_GREEN * cb - RED_IN_GREEN * cr) >> 16));
    data[i + 2] = clamped(y + ((FULL_BLUE * cb + HALF) >> 16));
  }
}

/** 1.402, 0.34414, 0.71414 and 1.772 in 65,536ths. */
const [FULL_RED, BLUE_IN_GREEN, RED_IN_GREEN, FULL_BLUE] = [91_881, 22_554, 46_802, 116_130];
const HALF = 2 ** 15;

function clamped(value: number): number {
  return Math.max(0, Math.min(255, value));
}

/** Fewer columns are not smoothed: there is hardly anything between them. */
const LEAST_COLUMNS = 3;

function smoothed(data: Uint8Array, width: number, height: number, channel: number, { across, down }: Sampling): void {
  const columns = Math.ceil(width * across);
  const rows = Math.ceil(height * down);
  const isWide = across === 1 / 2 && columns >= LEAST_COLUMNS;
  if (!(isWide && (down === 1 || down === 1 / 2)) && !(across === 1 && down === 1 / 2)) return;
  const [stepX, stepY] = [1 / across, 1 / down];
  const samples = new Uint8Array(columns * rows);
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) samples[at++] = data[3 * (row * stepY * width + column * stepX) + channel]!;
  // Quarters of a sample where rows lie between, and of that again where columns do.
  const line = new Int32Array(columns);
  for (let y = 0; y < height; y++) {
    const row = down === 1 ? y : y >> 1;
    const other = down === 1 ? row : Math.min(rows - 1, Math.max(0, row + (y % 2 === 0 ? -1 : 1)));
    for (let i = 0; i < columns; i++) line[i] = down === 1 ? samples[row * columns + i]! : 3 * samples[row * columns + i]! + samples[other * columns + i]!;
    const shift = (down === 1 ? 0 : 2) + (isWide ? 2 : 0);
    for (let x = 0; x < width; x++) {
      const i = isWide ? x >> 1 : x;
      const beside = Math.min(columns - 1, Math.max(0, i + (x % 2 === 0 ? -1 : 1)));
      const sum = isWide ? 3 * line[i]! + line[beside]! : line[i]!;
      data[3 * (y * width + x) + channel] = (sum + roundingOf(shift, isWide ? x : y)) >> shift;
    }
  }
}

/** What is between two values goes up on one side and down on the other, so that nothing grows on average. */
function roundingOf(shift: number, place: number): number {
  if (shift === 4) return place % 2 === 0 ? 8 : 7;
  return place % 2 === 0 ? 1 : 2;
}
