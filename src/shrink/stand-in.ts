import type { Tensor } from '../model/tensor.js';

/** What is written in place of a weight, and says so. @param method for reports */
export function standIn(original: Tensor, made: Tensor, method: string): Tensor {
  return { ...made, name: original.name, replaces: { tensor: original, method } };
}
