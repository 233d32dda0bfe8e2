/** Complex numbers as files hold them: two floats each, which lie beside each other. */
import type { Tensor } from '../model/tensor.js';

/** One of the two floats that each stored complex number is: 0 for the real ones, 1 for the imaginary ones. Nothing is read. */
export function partOf({ walk, stages, ...tensor }: Tensor, place: number): Tensor {
  const dtype = tensor.dtype === 'complex64' ? 'float32' : 'float64';
  const axes = walk.axes.map((loops) => loops.map(({ size, stride }) => ({ size, stride: 2 * stride })));
  const part = { ...walk, dtype, offset: 2 * walk.offset + place, axes } as const;
  return { ...tensor, name: `${tensor.name}.${place === 0 ? 're' : 'im'}`, dtype, walk: part, stages: stages.map((stage) => ({ ...stage, dtype })) };
}
