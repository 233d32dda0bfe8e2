/** How large a net may be. A net of more is none, but a few bytes that stand for much: by repetition, or by calls that double. */
import { ModelError } from '../errors.js';

/** The deepest published nets come to some five thousand operators, exported with the work on their shapes to some twenty thousand, of two operands each. */
const MAX_OPERATORS = 50_000;
export const MAX_OPERANDS = 250_000;
/** The most are states and caches of transformers, two for each layer; and the parts that one operator makes of a value. */
export const MAX_PORTS = 10_000;
const MAX_OUTPUTS = 10_000;

export class NetSize {
  #operators = 0;
  #operands = 0;

  /** @param maxOperators where a format has a reason to stop earlier */
  constructor(
    readonly file: string,
    readonly maxOperators = MAX_OPERATORS,
  ) {}

  /** @throws ModelError 'unsafe' when with this operator there are more than any net has */
  add(layer: string, inputs: number, outputs: number): void {
    const place = { file: this.file, layer };
    if (outputs > MAX_OUTPUTS) throw new ModelError('unsafe', `it has ${outputs} outputs; no operator of a net has more than ${MAX_OUTPUTS}`, place);
    this.#operators++;
    this.#operands += inputs + outputs;
    if (this.#operators > this.maxOperators || this.#operands > MAX_OPERANDS) {
      throw new ModelError('unsafe', `the net comes to more than ${this.maxOperators} operators, or ${MAX_OPERANDS} operands, which no net has`, place);
    }
  }
}

/** @throws ModelError 'unsafe' for more inputs or outputs than any net has */
export function checkPorts({ inputs, outputs }: { readonly inputs: readonly unknown[]; readonly outputs: readonly unknown[] }, file: string): void {
  for (const [what, { length }] of [['inputs', inputs] as const, ['outputs', outputs] as const]) {
    if (length > MAX_PORTS) throw new ModelError('unsafe', `the net has ${length} ${what}, more than any net has`, { file });
  }
}
