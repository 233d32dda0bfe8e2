/**
 * Reads one layer's configuration and keeps account: a key that was not read, or a value that is not understood, is an
 * obstacle, so nothing in a configuration is ever passed over.
 */
import { ModelError } from '../../errors.js';
import { type KerasLayer, parseLayer } from './config.js';
import { type Constant, parseConstant } from './constant.js';
import type { Fusing } from './fused.js';
import { isObject, plainList } from './json.js';
import { type Arithmetic, arithmeticOf, type Coding, codingOf, type Quantisation, quantisationMode, quantisationOf } from './precision.js';
import { isAtRest, isSame } from './settings.js';

/** What is known of the file as a whole and changes what layers mean. */
export interface Dialect {
  /** Version of Keras that wrote the model, [major, minor]; null where the file does not say. */
  readonly version: readonly [number, number] | null;
  /** Saved under Theano, whose convolutions turn their kernels by 180 degrees. */
  readonly theano: boolean;
  /** How it normalises batches, where that is TensorFlow's fused kernel. */
  readonly fusing?: Fusing | null;
}

/** Whether the file is of an older Keras than this one; a file that does not say is of none. */
export function isBefore({ version }: Dialect, major: number, minor: number): boolean {
  return version !== null && (version[0] < major || (version[0] === major && version[1] < minor));
}

/** Whether the file says that it is of Keras 3 or newer. */
export function isKeras3({ version }: Dialect): boolean {
  return version !== null && version[0] >= 3;
}

/** Whether the file is of Keras as it stood by itself, before it was TensorFlow's. */
export function isStandalone(dialect: Dialect): boolean {
  return isBefore(dialect, 2, 4) && dialect.fusing?.by !== 'tf.keras';
}

/** Data formats, as Keras 1 (`dim_ordering`) and later versions spell them. */
const DATA_FORMATS: Readonly<Record<string, DataFormat>> = {
  channels_last: 'channels_last',
  channels_first: 'channels_first',
  tf: 'channels_last',
  th: 'channels_first',
};

export type DataFormat = 'channels_last' | 'channels_first';

export class ConfigView {
  readonly #read = new Set<string>();
  #arithmetic: Arithmetic = 'float32';
  #quantisation: Quantisation | null = null;

  constructor(
    readonly layer: KerasLayer,
    readonly dialect: Dialect,
    readonly file: string,
    readonly obstacles: ModelError[],
  ) {}

  /** Notes an obstacle of this layer; reading goes on, so that all of them are found. */
  decline(problem: string): void {
    this.obstacles.push(new ModelError('unsupported', problem, { file: this.file, layer: this.layer.path }));
  }

  /** In what Keras computes the layer; known once reading has ended. */
  get arithmetic(): Arithmetic {
    return this.#arithmetic;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.layer.config, key);
  }

  /** The value of the first of `keys` that is there; they are spellings of one setting in different versions. */
  value(keys: readonly string[]): unknown {
    let found: unknown;
    for (const key of keys) {
      this.#read.add(key);
      if (found === undefined) found = this.layer.config[key];
    }
    return plainList(found);
  }

  integer(keys: readonly string[], fallback?: number): number {
    const value = this.value(keys) ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
    return this.#refuse(keys, value, 'a positive integer', 1);
  }

  number(keys: readonly string[], fallback?: number): number {
    const value = this.value(keys) ?? fallback;
    // Keras 2.1 and 2.2 wrote some numbers as NumPy scalars: {"type": "ndarray", "value": 0.3}.
    const constant = typeof value === 'boolean' ? null : parseConstant(value);
    return constant?.values.length === 1 ? constant.values[0]! : this.#refuse(keys, value, 'a number', 0);
  }

  /** A number or an array of numbers. */
  constant(keys: readonly string[], fallback?: number): Constant {
    const value = this.value(keys) ?? fallback;
    return parseConstant(value) ?? this.#refuse(keys, value, 'numbers', { shape: [], values: [0] });
  }

  boolean(keys: readonly string[], fallback: boolean): boolean {
    const value = this.value(keys) ?? fallback;
    // NumPy's truth values were written as numbers.
    if (value === 0 || value === 1) return value === 1;
    return typeof value === 'boolean' ? value : this.#refuse(keys, value, 'true or false', fallback);
  }

  oneOf<T extends string>(keys: readonly string[], known: readonly T[], fallback?: T): T {
    const value = this.value(keys) ?? fallback;
    return known.find((name) => name === value) ?? this.#refuse(keys, value, known.join(' or '), known[0]!);
  }

  /** One size per axis, or one for all of them; each at least `least`. */
  sizes(keys: readonly string[], rank: number, fallback?: readonly number[], least = 1): readonly number[] {
    const value = this.value(keys) ?? fallback;
    const sizes = typeof value === 'number' ? new Array<number>(rank).fill(value) : value;
    if (isIntegers(sizes) && sizes.length === rank && sizes.every((size) => size >= least)) return sizes;
    return this.#refuse(keys, value, `${rank} integers from ${least}`, new Array<number>(rank).fill(Math.max(1, least)));
  }

  /** Begin and end per axis: [[b, e], ...], one amount per axis, or one for all; `rank` 1 may also be [b, e]; Keras 1 also had [b, e, b, e] and names. */
  margins(keys: readonly string[], rank: number, fallback: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
    const value = keras1Margins(this.value(keys), rank) ?? fallback;
    if (typeof value === 'number' && isIntegers([value])) return new Array(rank).fill([value, value]);
    const whole = rank === 1 && isIntegers(value) && value.length === 2 ? [value] : value;
    if (Array.isArray(whole) && whole.length === rank) {
      const pairs = whole.map((entry: unknown) => (typeof entry === 'number' ? [entry, entry] : entry));
      if (pairs.every((pair) => isIntegers(pair) && pair.length === 2 && pair.every((amount) => amount >= 0))) return pairs as [number, number][];
    }
    return this.#refuse(keys, value, `begin and end of ${rank} axes`, fallback);
  }

  /** Where channels are. Keras 1 layers always say; later ones mean channels last when they do not. */
  dataFormat(): DataFormat {
    const value = this.value(['data_format', 'dim_ordering']) ?? (this.#isKeras1() ? undefined : 'channels_last');
    const format = typeof value === 'string' ? DATA_FORMATS[value] : undefined;
    return format ?? this.#refuse([this.has('dim_ordering') ? 'dim_ordering' : 'data_format'], value, 'channels_last or channels_first', 'channels_last');
  }

  /** Accepts the key only where its value is one of those that change nothing. */
  expect(keys: readonly string[], harmless: readonly unknown[], because: string): void {
    const value = this.value(keys);
    if (value === undefined || harmless.some((known) => isSame(known, value))) return;
    const key = keys.find((name) => this.has(name)) ?? keys[0];
    this.decline(`"${key}" is ${brief(value)}: ${because}`);
  }

  /** A layer that a setting of this one holds as an object; null for anything else. */
  inner(value: unknown): ConfigView | null {
    if (!isObject(value) || typeof value.class_name !== 'string' || !isObject(value.config)) return null;
    return new ConfigView(parseLayer(value, `${this.layer.path}/`, 0, this.file), this.dialect, this.file, this.obstacles);
  }

  /** How Keras 3 has quantised the layer, and what flows into it; a rule that asks knows what it computes then. */
  quantised(): (Quantisation & { readonly inputs: Coding | null }) | null {
    this.#quantisation = quantisationOf(this.value(['dtype']));
    if (!this.#quantisation) return null;
    const given = this.value(['quantization_config']);
    const inputs = codingOf(given, this.#quantisation);
    if (inputs === undefined) this.decline(`"quantization_config" is ${brief(given)}, which is not known`);
    return { ...this.#quantisation, inputs: inputs ?? null };
  }

  /** Leaves every key unread on purpose: the layer does nothing in a prediction. */
  ignoreAll(): void {
    for (const key of Object.keys(this.layer.config)) this.#read.add(key);
  }

  /** Ends the reading: notes every key that nobody asked for. */
  finish(): void {
    this.#checkDType();
    const { className, config, unknown } = this.layer;
    for (const [key, value] of Object.entries(config)) {
      if (this.#read.has(key) || isAtRest(className, key, value)) continue;
      this.decline(`the ${className} has a setting that is not known: "${key}" is ${brief(value)}`);
    }
    for (const key of unknown) this.decline(`beside the configuration of the ${className} stands "${key}", which is not known`);
  }

  #checkDType(): void {
    if (this.layer.className === 'InputLayer') return; // Of the port, which may well be integers.
    if (this.layer.className.startsWith('ops.') && this.#read.has('dtype')) return; // An argument of the operation.
    const value = this.value(['dtype']);
    const arithmetic = arithmeticOf(this.#quantisation?.source ?? value);
    const also = quantisationOf(value) === null ? '' : ', and Dense, EinsumDense and Embedding in int8 and int4';
    const mode = quantisationMode(value);
    if (arithmetic === null && mode !== null)
      this.decline(
        `it is quantised (${mode}), of which int8 and int4 are translated: save the model as it is before quantize("${mode}"), or after quantize("int8")`,
      );
    else if (arithmetic === null)
      this.decline(`"dtype" is ${brief(value)}. Layers that compute in floating point are translated${also}; cast the model to float32 first.`);
    else this.#arithmetic = arithmetic;
  }

  #isKeras1(): boolean {
    return this.dialect.version?.[0] === 1 || this.has('dim_ordering') || this.has('border_mode');
  }

  #refuse<T>(keys: readonly string[], value: unknown, expected: string, instead: T): T {
    const key = keys.find((name) => this.has(name)) ?? keys[0];
    this.decline(`"${key}" of the ${this.layer.className} is ${brief(value)}, expected ${expected}`);
    return instead;
  }
}

const SIDES: readonly (readonly string[])[] = [[], ['left_pad', 'right_pad'], ['top_pad', 'bottom_pad', 'left_pad', 'right_pad']];

function keras1Margins(value: unknown, rank: number): unknown {
  const sides = SIDES[rank] ?? [];
  const isNamed = isObject(value) && sides.length > 0 && Object.keys(value).every((key) => sides.includes(key));
  const amounts = isNamed ? sides.map((side) => value[side] ?? 0) : value;
  const isFlat = rank === 2 && isIntegers(amounts) && amounts.length === 4;
  return isFlat ? [amounts.slice(0, 2), amounts.slice(2)] : amounts;
}

function isIntegers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(Number.isSafeInteger);
}

/** A value as a message shows it. */
export function brief(value: unknown): string {
  const json = value === undefined ? 'missing' : JSON.stringify(value);
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
}
