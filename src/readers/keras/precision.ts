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

/**
 * What a policy that Keras 3 quantised to int8 was before: `QuantizedDTypePolicy` of mode int8, or 'int8_from_float32'; null for any other.
 */
export function int8Source(dtype: unknown): string | null {
  if (typeof dtype === 'string') return /^int8_from_(\w+)$/.exec(dtype)?.[1] ?? null;
  if (!isObject(dtype) || dtype.class_name !== 'QuantizedDTypePolicy' || !isObject(dtype.config)) return null;
  const { mode, source_name, name } = dtype.config;
  if (mode === 'int8' && typeof source_name === 'string') return source_name;
  return typeof name === 'string' ? int8Source(name) : null;
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
