/** JSON from files of other people: looked at before it is parsed, because a parsed value takes many times the bytes of its text. */
import { ModelError } from '../errors.js';

/** Brackets within brackets; a model nested as deep as any needs some 200, and what walks over a value recursively bears this. */
const MAX_DEPTH = 512;
/** Values of the largest configurations, topologies and headers: a hundred thousand tensors with dtype, shape and place. */
const MAX_VALUES = 1_000_000;

const [QUOTE, COMMA, COLON, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x2c, 0x3a, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Refuses JSON that is nested deeper, or has more values, than any model's. What is no JSON passes: parsing it tells.
 *
 * @throws ModelError 'malformed'
 */
export function checkJson(text: string, file: string): void {
  let values = 1;
  eachSign(text, (code, depth, i) => {
    if (code === COMMA || code === OPEN_LIST || code === OPEN_OBJECT) values++;
    if (depth > MAX_DEPTH) throw new ModelError('malformed', `the JSON is nested more than ${MAX_DEPTH} deep`, { file, offset: i });
    if (values > MAX_VALUES) throw new ModelError('unsafe', `the JSON has more than ${MAX_VALUES} values, which no model needs`, { file });
  });
}

/** How many names an object has, those counted that it has twice, of which a parser keeps one. */
export function namesGiven(text: string): number {
  let names = 0;
  eachSign(text, (code, depth) => {
    if (code === COLON && depth === 1) names++;
  });
  return names;
}

/** Goes over commas, colons and brackets that open, outside of strings. @param visit with how many brackets are open, such a one among them */
function eachSign(text: string, visit: (code: number, depth: number, place: number) => void): void {
  let [depth, inString] = [0, false];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (code === COMMA || code === COLON) visit(code, depth, i);
    else if (code === OPEN_LIST || code === OPEN_OBJECT) visit(code, ++depth, i);
    else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
