/** Reads a layer's parameters and keeps account: a field that nobody asked for is an obstacle, never passed over. */
import type { TextMessage, TextValue } from '../../containers/prototext.js';
import { messagesOf, textsOf } from './message.js';

/** Fields that play no part in a prediction. */
const AT_REST: ReadonlySet<string> = new Set([
  'name',
  'type',
  'bottom',
  'top',
  'include',
  'exclude',
  'phase',
  'param',
  'blobs_lr',
  'weight_decay',
  'loss_weight',
  'propagate_down',
  'transform_param',
  'loss_param',
  'weight_filler',
  'bias_filler',
  'filler',
  'engine',
  'force_nd_im2col',
  'stable_prod_grad',
  'moving_average_fraction',
  'blobs',
  'dropout_param',
  'accuracy_param',
]);

export class Params {
  readonly #asked = new Set<string>();
  readonly #message: TextMessage;

  /** @param block name of the layer's parameter message ('convolution_param'), or null for a layer without one */
  constructor(
    readonly layer: TextMessage,
    readonly block: string | null,
  ) {
    const fields = block === null ? [] : messagesOf(layer, block).flatMap((message) => message.fields);
    this.#message = { kind: 'message', fields };
  }

  numbers(name: string): number[] {
    this.#asked.add(name);
    return textsOf(this.#message, name).map(toNumber);
  }

  number(name: string, fallback: number): number {
    return this.numbers(name).at(-1) ?? fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    this.#asked.add(name);
    const text = textsOf(this.#message, name).at(-1);
    return text === undefined ? fallback : text === 'true' || text === '1' || text === 't';
  }

  word(name: string, fallback: string): string {
    this.#asked.add(name);
    return textsOf(this.#message, name).at(-1) ?? fallback;
  }

  messages(name: string): TextMessage[] {
    this.#asked.add(name);
    return messagesOf(this.#message, name);
  }

  /** Fields that nobody asked for, with what they hold. */
  unread(): string[] {
    const own = this.#message.fields.filter(({ name }) => !this.#asked.has(name) && !AT_REST.has(name));
    const outer = this.layer.fields.filter(({ name }) => name !== this.block && !AT_REST.has(name));
    return [...own, ...outer].map(({ name, value }) => `${name} ${describe(value)}`);
  }
}

function toNumber(text: string): number {
  const value = Number(text.replace(/f$/i, ''));
  return Number.isNaN(value) && !/^nan$/i.test(text) ? Number.NaN : value;
}

function describe(value: TextValue): string {
  return value.kind === 'message' ? '{ ... }' : value.text.slice(0, 40);
}
