/**
 * The arithmetic in which Keras computes a layer: its `dtype`, which is a name or, since Keras 2.4, a policy, as a name or an object.
 */
import { isObject } from './json.js';

export type Arithmetic = 'float32' | 'float16' | 'bfloat16' | 'float64';

/** Policies by name; a mixed one computes in half precision over weights of float32. */
const POLICIES: Readonly<Record<string, Arithmetic>> = {
  float32: 'float32',
  float16: 'float16',
  bfloat16: 'bfloat16',
  float64: 'float64',
  mixed_float16: 'float16',
  mixed_bfloat16: 'bfloat16',
  // The policy of Keras 2.4's first layers, which took their dtype from the first input.
  _infer: 'float32',
  infer: 'float32',
  infer_float32_vars: 'float32',
  infer_with_float32_vars: 'float32',
};

/** Nothing else in these objects speaks of arithmetic: the scale of losses, what the map was made from. */
const POLICY_CLASSES = /^(DTypePolicy|FloatDTypePolicy|Policy|PolicyV1)$/;

/** How Keras 3 stores the weights of a layer that it quantised. */
export interface Quantisation {
  readonly bits: 8 | 4;
  /** How many weights in a row share a scale and a zero; null for all of them. */
  readonly block: number | null;
  /** The policy before. */
  readonly source: string;
}

/** Of a policy of mode int8, or int4 with its block ("int4/128"): an object, or 'int8_from_float32'; null for any other. */
export function quantisationOf(dtype: unknown): Quantisation | null {
  if (typeof dtype === 'string') {
    const [, mode, source] = /^([^_]+)_from_(\w+)$/.exec(dtype) ?? [];
    return mode === undefined ? null : quantisation(mode, source!);
  }
  if (!isObject(dtype) || !/^(Quantized|Int4)DTypePolicy$/.test(String(dtype.class_name)) || !isObject(dtype.config)) return null;
  const { mode, source_name, name } = dtype.config;
  if (typeof mode === 'string' && typeof source_name === 'string') return quantisation(mode, source_name);
  return typeof name === 'string' ? quantisationOf(name) : null;
}

/** The mode of a policy of other weights than those: gptq, awq, float8; null for any other. */
export function quantisationMode(dtype: unknown): string | null {
  if (!isObject(dtype) || !/^(GPTQ|AWQ|QuantizedFloat8)DTypePolicy$/.test(String(dtype.class_name)) || !isObject(dtype.config)) return null;
  const { mode } = dtype.config;
  const [word] = /^[a-z]+\d*/.exec(typeof mode === 'string' ? mode : '') ?? [];
  return word ?? null;
}

function quantisation(mode: string, source: string): Quantisation | null {
  if (mode === 'int8') return { bits: 8, block: null, source };
  const [, block] = /^int4\/(-1|[1-9]\d{0,8})$/.exec(mode) ?? [];
  return block === undefined ? null : { bits: 4, block: block === '-1' ? null : Number(block), source };
}

/** How rows become codes: by their largest magnitude, which `epsilon` keeps from being nothing. */
export interface Coding {
  readonly least: number;
  readonly most: number;
  readonly epsilon: number;
}

const USUAL: Coding = { least: -127, most: 127, epsilon: 1e-7 };

/** What a layer's `quantization_config` says of what flows in; null where that is left as it is, undefined for what is not known. */
export function codingOf(given: unknown, { bits, block }: Quantisation): Coding | null | undefined {
  if (given === null || given === undefined) return bits === 8 ? USUAL : null;
  if (!isObject(given) || given.class_name !== `Int${bits}QuantizationConfig` || !isObject(given.config)) return undefined;
  // How weights became codes acts no longer.
  const { weight_quantizer: _, activation_quantizer: quantizer, block_size, ...others } = given.config;
  const isBlock = (block_size ?? -1) === (block ?? -1);
  if (!isBlock || Object.keys(others).length > 0) return undefined;
  if (quantizer === null || quantizer === undefined) return null;
  if (block !== null || !isObject(quantizer) || quantizer.class_name !== 'AbsMaxQuantizer' || !isObject(quantizer.config)) return undefined;
  const { value_range, epsilon, output_dtype, axis: __, ...rest } = quantizer.config;
  const [least, most] = Array.isArray(value_range) ? (value_range as unknown[]) : [];
  const isCoding = typeof least === 'number' && typeof most === 'number' && typeof epsilon === 'number' && output_dtype === 'int8';
  return isCoding && Object.keys(rest).length === 0 ? { least, most, epsilon } : undefined;
}

/** @returns null for what is none of Keras's float policies, quantised ones included */
export function arithmeticOf(dtype: unknown): Arithmetic | null {
  if (dtype === undefined || dtype === null) return 'float32';
  if (typeof dtype === 'string') return Object.hasOwn(POLICIES, dtype) ? POLICIES[dtype]! : null;
  if (!isObject(dtype) || !isObject(dtype.config) || typeof dtype.class_name !== 'string') return null;
  if (dtype.class_name === 'DTypePolicyMap') {
    const rest = isObject(dtype.config.policy_map) ? Object.values(dtype.config.policy_map) : [];
    const first = arithmeticOf(dtype.config.default_policy);
    return rest.every((policy) => arithmeticOf(policy) === first) ? first : null;
  }
  return POLICY_CLASSES.test(dtype.class_name) && typeof dtype.config.name === 'string' ? arithmeticOf(dtype.config.name) : null;
}
