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
  const held = heldBy(json);
  return held === undefined ? null : parseConstant(held);
}

/** The JSON with each array in it as the number, or the nested lists, that it holds. */
export function withoutArrays(json: unknown): unknown {
  if (Array.isArray(json)) return json.some((item) => typeof item === 'object') ? json.map(withoutArrays) : json;
  return heldBy(json) ?? json;
}

/** What an array holds; undefined where it is none. */
function heldBy(json: unknown): unknown {
  if (!isObject(json)) return undefined;
  if (json.type === 'ndarray' && 'value' in json) return json.value;
  const isArray = json.class_name === '__numpy__' || json.class_name === '__tensor__';
  return isArray && isObject(json.config) ? json.config.value : undefined;
}

function stack(items: readonly (Constant | null)[]): Constant | null {
  const [first] = items;
  if (!first || !items.every((item) => item !== null && `${item.shape}` === `${first.shape}`)) return null;
  return { shape: [items.length, ...first.shape], values: items.flatMap((item) => item!.values) };
}
