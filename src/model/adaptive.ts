/** Adaptive pooling over known sizes, exactly: each output is the mean of its own window, from the floor of its share to the ceiling. */

/** [start, end) of each output's window along an axis. */
export function adaptiveWindows(size: number, out: number): readonly (readonly [start: number, end: number])[] {
  return Array.from({ length: out }, (_, i) => [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)] as const);
}

/** Size and step where the windows are those of a plain pooling. */
export function plainPooling(size: number, out: number): { readonly kernel: number; readonly stride: number } | null {
  const windows = adaptiveWindows(size, out);
  const kernel = windows[0]![1] - windows[0]![0];
  const stride = out === 1 ? kernel : windows[1]![0];
  const isPlain = stride > 0 && windows.every(([start, end], i) => start === i * stride && end - start === kernel);
  return isPlain ? { kernel, stride } : null;
}

/** [size, out]: what each place of the new axis takes of each place of the old one. */
export type Matrix = readonly (readonly number[])[];

/** Means over the windows as a product with a matrix. */
export function adaptiveMeans(size: number, out: number): Matrix {
  const windows = adaptiveWindows(size, out);
  return Array.from({ length: size }, (_, i) => windows.map(([start, end]) => (i >= start && i < end ? 1 / (end - start) : 0)));
}
