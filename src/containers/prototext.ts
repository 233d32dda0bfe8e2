/**
 * Parses protobuf's text format (prototxt) without a schema: every field is kept, so that a reader can tell what it does not know.
 *
 * @see https://protobuf.dev/reference/protobuf/textformat-spec/
 */
import { ModelError } from '../errors.js';

/** A scalar as it was written, or a message. */
export type TextValue = { readonly kind: 'word' | 'string'; readonly text: string } | TextMessage;

export interface TextField {
  readonly name: string;
  readonly value: TextValue;
  /** From 1. */
  readonly line: number;
}

export interface TextMessage {
  readonly kind: 'message';
  readonly fields: readonly TextField[];
}

/** The deepest real prototxt nests four levels. */
const MAX_DEPTH = 64;
/** Values of lists are counted, too. */
const MAX_FIELDS = 500_000;

/** Everything but strings, whose alternatives would take a stack as long as they are. */
const TOKEN = /\s+|#[^\n]*|([A-Za-z_][\w.-]*|\[[\w./-]+\]|[-+]?[\w.][\w.+-]*)|([{}<>:;,[\]])/gy;

interface Token {
  readonly kind: 'string' | 'word' | 'mark' | 'end';
  readonly text: string;
  readonly line: number;
}

/** @throws ModelError 'malformed' with the line */
export function parsePrototext(text: string, file: string): TextMessage {
  const tokens = tokenize(text, file);
  let at = 0;
  let count = 0;
  const fail = (token: Token, expected: string): never => {
    throw new ModelError(
      'malformed',
      `line ${token.line}: ${token.kind === 'end' ? 'the file ends' : `${JSON.stringify(token.text)} stands`} where ${expected} was expected`,
      { file },
    );
  };
  const is = (mark: string) => tokens[at]!.kind === 'mark' && tokens[at]!.text === mark;

  function message(close: string | null, depth: number): TextMessage {
    if (depth > MAX_DEPTH) throw new ModelError('unsafe', `line ${tokens[at]!.line}: messages nest deeper than ${MAX_DEPTH} levels`, { file });
    const fields: TextField[] = [];
    for (;;) {
      const token = tokens[at]!;
      if (token.kind === 'end') {
        if (close !== null) fail(token, `"${close}"`);
        return { kind: 'message', fields };
      }
      if (close !== null && is(close)) {
        at++;
        return { kind: 'message', fields };
      }
      if (token.kind !== 'word') fail(token, 'the name of a field');
      at++;
      const colon = is(':');
      if (colon) at++;
      if (is('[')) {
        at++;
        while (!is(']')) {
          fields.push({ name: token.text, value: value(depth, true), line: token.line });
          if (is(',')) at++;
        }
        at++;
      } else fields.push({ name: token.text, value: value(depth, colon), line: token.line });
      if (is(';') || is(',')) at++;
    }
  }

  function value(depth: number, scalarAllowed: boolean): TextValue {
    if (++count > MAX_FIELDS) throw new ModelError('unsafe', `more than ${MAX_FIELDS} fields`, { file });
    const token = tokens[at]!;
    if (is('{') || is('<')) {
      at++;
      return message(token.text === '{' ? '}' : '>', depth + 1);
    }
    if (!scalarAllowed) fail(token, '":" or "{"');
    if (token.kind === 'string') {
      let joined = '';
      while (tokens[at]!.kind === 'string') joined += unescapeText(tokens[at++]!.text);
      return { kind: 'string', text: joined };
    }
    if (token.kind !== 'word') fail(token, 'a value');
    at++;
    return { kind: 'word', text: token.text };
  }

  return message(null, 0);
}

function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let at = text.startsWith('\ufeff') ? 1 : 0;
  while (at < text.length) {
    const stringEnd = text[at] === '"' || text[at] === "'" ? endOfString(text, at) : null;
    if (stringEnd !== null) {
      tokens.push({ kind: 'string', text: text.slice(at, stringEnd), line });
      at = stringEnd;
      continue;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw new ModelError('malformed', `line ${line}: ${JSON.stringify(text.slice(at, at + 20))} is no part of a prototxt`, { file });
    const [all, word, mark] = match;
    if (word !== undefined) tokens.push({ kind: 'word', text: word, line });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark, line });
    else line += all.split('\n').length - 1;
    at += all.length;
  }
  tokens.push({ kind: 'end', text: '', line });
  return tokens;
}

/** Behind the closing quote; null where the line or the file ends before it. */
function endOfString(text: string, start: number): number | null {
  const quote = text[start];
  for (let at = start + 1; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote) return at + 1;
  }
  return null;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '"': '"', "'": "'", '\\': '\\' };

function unescapeText(quoted: string): string {
  return quoted.slice(1, -1).replace(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)/g, (_, code: string) => {
    if (code[0] === 'x' && code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return ESCAPES[code] ?? code;
  });
}
