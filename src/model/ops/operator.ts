/** What an operator of the reference evaluator is, and how it reads its layer's attributes. */
import { ModelError } from '../../errors.js';
import type { Layer } from '../layer-map.js';
import type { Value } from './array.js';

/**
 * Evaluates one layer in float64.
 *
 * @param inputs the layer's activations, channels-first; never changed, and the result may share their data
 * @returns the layer's only output
 * @throws ModelError 'engine' for what the evaluator does not do, without the layer's name, which the session adds
 */
export type Operator = (layer: Layer, inputs: readonly Value[]) => Promise<Value>;

export function number(layer: Layer, name: string): number {
  return layer.attributes[name] as number;
}

export function numbers(layer: Layer, name: string): readonly number[] {
  return layer.attributes[name] as readonly number[];
}

/** A string attribute. @throws ModelError 'engine' when it is none of those that the evaluator knows */
export function word<T extends string>(layer: Layer, name: string, known: readonly T[]): T {
  const found = layer.attributes[name];
  if (known.includes(found as T)) return found as T;
  throw new ModelError('engine', `the reference evaluator knows ${layer.op} with ${name} ${known.join(', ')}, not ${JSON.stringify(found)}`);
}
