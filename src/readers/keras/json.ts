/** What a configuration's JSON must be at a place; anything else is 'malformed'. */
import { checkJson, isObject, type JsonObject } from '../../containers/json.js';
import { ModelError } from '../../errors.js';

export { isObject, type JsonObject as Json };

/**
 * Parses JSON as Python writes it: infinities stand there as words.
 *
 * @throws ModelError 'malformed' naming what it should have been, or that it is larger or nested deeper than any model's
 */
export function parseJson(text: string, what: string, file: string): unknown {
  checkJson(text, file);
  try {
    return JSON.parse(text);
  } catch (error) {
    try {
      // A text without an end is taken to the end of all, so that none is looked at twice. Numbers beyond a double's range are read as infinite.
      return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*(?:"|\\?$)|Infinity\b/gs, (found) => (found === 'Infinity' ? '1e999' : found)));
    } catch {
      throw new ModelError('malformed', `${what} is no valid JSON`, { file }, error);
    }
  }
}

export function object(value: unknown, what: string, file: string): JsonObject {
  if (isObject(value)) return value;
  throw new ModelError('malformed', `${what}: found ${describe(value)}, expected an object`, { file });
}

export function list(value: unknown, what: string, file: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ModelError('malformed', `${what}: found ${describe(value)}, expected a list`, { file });
  return value;
}

/** What tf.keras wraps to tell a tuple or a shape from a list, unwrapped. */
export function plainList(value: unknown): unknown {
  if (Array.isArray(value)) return value.some(isObject) ? value.map(plainList) : value;
  const isWrapped = isObject(value) && (value.class_name === '__tuple__' || value.class_name === 'TensorShape') && Array.isArray(value.items);
  return isWrapped ? (value.items as readonly unknown[]).map(plainList) : value;
}

export function text(value: unknown, what: string, file: string): string {
  if (typeof value !== 'string' || value === '') throw new ModelError('malformed', `${what}: found ${describe(value)}, expected a name`, { file });
  return value;
}

export function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function describe(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value)?.slice(0, 60) ?? typeof value);
}
