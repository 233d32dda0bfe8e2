/** Operators that draw random numbers, so that no two runs of a net give the same. */

const DRAWING: ReadonlySet<string> = new Set(['RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike', 'Bernoulli', 'Multinomial']);

/** What messages say of them. */
export const DRAWS = 'draws random numbers';

/** Whether an operator of ONNX draws random numbers; one that is given a seed gives the same in one runtime, and others elsewhere. */
export function drawsNumbers(op: string): boolean {
  return DRAWING.has(op);
}

/** Those of the layers that were told to act as in training which draw random numbers. */
export function drawingLayers(told: readonly string[]): string[] {
  return told.filter((layer) => layer.includes(DRAWS));
}
