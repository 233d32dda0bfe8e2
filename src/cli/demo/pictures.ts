/** Small pictures in a terminal: two pixels a character, in true colour. */
import type { NdArray } from '../../verify/engine.js';

const WIDTH = 14;
const PER_LINE = 5;

/** @param pictures [N, H, W, 3] in 0..1; @param caption printed below picture i */
export function drawPictures(pictures: NdArray, caption: (i: number) => string): string {
  const [count, height, width] = pictures.shape as [number, number, number, number];
  const pixel = (i: number, y: number, x: number) => {
    const row = Math.floor(((y + 0.5) * height) / WIDTH);
    const column = Math.floor(((x + 0.5) * width) / WIDTH);
    return [0, 1, 2].map((c) => Math.round(255 * Number(pictures.data[((i * height + row) * width + column) * 3 + c]))).join(';');
  };
  const lines: string[] = [];
  for (let first = 0; first < count; first += PER_LINE) {
    const shown = Array.from({ length: Math.min(PER_LINE, count - first) }, (_, i) => first + i);
    for (let y = 0; y < WIDTH; y += 2) {
      lines.push(
        shown
          .map((i) => `${Array.from({ length: WIDTH }, (_, x) => `\x1b[38;2;${pixel(i, y, x)}m\x1b[48;2;${pixel(i, y + 1, x)}m▀`).join('')}\x1b[0m`)
          .join('  '),
      );
    }
    lines.push(shown.map((i) => caption(i).padEnd(WIDTH)).join('  '), '');
  }
  return lines.join('\n');
}
