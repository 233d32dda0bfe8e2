/** Recorded and given arrays, lined up with the ports of a layer map, sample by sample. */
import { ModelError } from '../errors.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { rows, toArray } from './array.js';
import type { NdArray } from './engine.js';

export interface GivenInputs {
  readonly count: number;
  sample(i: number): Map<string, NdArray>;
}

type Arrays = ReadonlyMap<string, Tensor>;

/** The inputs of a golden file. */
export function recordedInputs(golden: Arrays, map: LayerMap): Promise<GivenInputs> {
  const found = map.inputs.map((port, i) => {
    const tensor = pickArray(golden, 'input', port, i, map.inputs.length);
    if (!tensor)
      throw new ModelError(
        'malformed',
        `the recorded file has no input for "${port.name}": arrays named input, or input:<name>, are expected; it has ${[...golden.keys()].join(', ')}`,
      );
    return { port, tensor };
  });
  return sampled(found);
}

/** Inputs that a user gives: by port name, or the only one there is. */
export function givenInputs(inputs: Arrays, map: LayerMap): Promise<GivenInputs> {
  return sampled(
    map.inputs.map((port, i) => {
      const tensor = inputs.get(port.name) ?? (map.inputs.length === 1 ? [...inputs.values()][0] : pickArray(inputs, 'input', port, i, map.inputs.length));
      if (!tensor) throw new ModelError('usage', `there is no input for "${port.name}"`);
      return { port, tensor };
    }),
  );
}

async function sampled(found: readonly { port: Port; tensor: Tensor }[]): Promise<GivenInputs> {
  for (const { port, tensor } of found) {
    const fits =
      tensor.shape.length === port.shape.length && port.shape.every((size, axis) => axis === 0 || typeof size === 'string' || size === tensor.shape[axis]);
    if (!fits)
      throw new ModelError('malformed', `the input for "${port.name}" has the shape [${tensor.shape}], but the model takes [${port.shape}] (${port.layout})`, {
        file: tensor.origin.file,
        tensor: tensor.name,
      });
  }
  const arrays = new Map<string, NdArray>();
  const count = found[0]!.tensor.shape[0]!;
  for (const { port, tensor } of found) arrays.set(port.name, await toArray(tensor));
  return { count, sample: (i) => new Map([...arrays].map(([name, array]) => [name, rows(array, i, i + 1)])) };
}

/** An array for a port: 'output:<name>', 'output_<i>', or plain 'output' where there is one. */
export function pickArray(arrays: Arrays, word: 'input' | 'output', port: Port, i: number, count: number): Tensor | undefined {
  return (
    arrays.get(`${word}:${port.name}`) ??
    arrays.get(`${word}_${i}`) ??
    (count === 1 ? (arrays.get(word) ?? [...arrays].find(([name]) => name.startsWith(`${word}:`))?.[1]) : undefined)
  );
}
