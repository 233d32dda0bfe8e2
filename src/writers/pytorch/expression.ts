/** What an operator is in PyTorch. */
import type { Layer } from '../../model/layer-map.js';
import type { ValueType } from '../../model/ops/index.js';
import { pythonNumber } from './python.js';

export interface Operands {
  /** Expressions of the activations. */
  readonly inputs: readonly string[];
  /** The expression of the layer's module, where it has one. */
  readonly self: string | null;
  /** Expressions of what flows in and of weights, by slot; only where it has no module. */
  readonly slots: Readonly<Record<string, string | undefined>>;
  /** What flows in at a place, as far as it is known. */
  typeOf(input: number): ValueType | undefined;
}

export interface Expression {
  /** The constructor of the module that holds the layer's weights. */
  module?(layer: Layer): string | null;
  call(layer: Layer, operands: Operands): string;
  /** Why this layer cannot be said, or null. */
  obstacle?(layer: Layer): string | null;
  /** Functions and classes of Python that it calls, by name. */
  helpers?(layer: Layer): readonly string[];
  /** Whether it says more than the operator's plain form: what it does not, `obstacle` tells. */
  readonly isGeneral?: true;
  /** Whether the expression is a tuple, one for each output. */
  readonly isTuple?: true;
}

export const number = (layer: Layer, name: string) => layer.attributes[name] as number;
export const numbers = (layer: Layer, name: string) => layer.attributes[name] as readonly number[];
export const argument = (layer: Layer, name: string) => pythonNumber(number(layer, name));
export const truth = (value: unknown) => (value ? 'True' : 'False');

export const unary = (call: (x: string, layer: Layer) => string): Expression => ({ call: (layer, { inputs: [x] }) => call(x!, layer) });
