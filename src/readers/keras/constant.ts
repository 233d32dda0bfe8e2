/** Numbers and arrays of numbers as configurations hold them. */
import { isObject } from './json.js';

export interface Constant {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: readonly number[];
}

/**
 * A number, nested lists of them, or an array as Keras 2 (`{type: 'ndarray', value}`) and Keras 3 (`__numpy__`, `__tensor__`) write it.
 *
 * @returns null for anything else, ragged lists included
 */
export function parseConstant(json: unknown): Constant | null {
  if (typeof json === 'number') return { shape: [], values: [json] };
  if (typeof json === 'boolean') return { shape: [], values: [Number(json)] };
  if (Array.isArray(json)) return stack(json.map(parseConstant));
  if (!isObject(json)) return null;
  if (json.type === 'ndarray' && 'value' in json) return parseConstant(json.value);
  const isArray = json.class_name === '__numpy__' || json.class_name === '__tensor__';
  return isArray && isObject(json.config) ? parseConstant(json.config.value) : null;
}

function stack(items: readonly (Constant | null)[]): Constant | null {
  const [first] = items;
  if (!first || !items.every((item) => item !== null && `${item.shape}` === `${first.shape}`)) return null;
  return { shape: [items.length, ...first.shape], values: items.flatMap((item) => item!.values) };
}
