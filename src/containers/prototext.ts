/**
 * Parses protobuf's text format (prototxt) without a schema: every field is kept, so that a reader can tell what it does not know.
 *
 * Scalars stay as they are written; what `t`, `0x1F` or `1.5f` mean depends on the field's type, which only a schema knows.
 *
 * @see https://protobuf.dev/reference/protobuf/textformat-spec/
 */
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';

/** A name or number as it was written (a minus sign comes first), or a string without its quotes, escapes and seams. */
export interface TextScalar {
  readonly kind: 'word' | 'string';
  readonly text: string;
}

export type TextValue = TextScalar | TextMessage;

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
/** A thousand layers of thirty fields are a tenth of it. Values of lists are counted, too. */
const MAX_FIELDS = 250_000;

/** White space, or a comment, which ends with its line. */
const BLANK = /[ \t\n\v\f\r]+|#[^\n]*/y;
/** A name; a decimal, octal or hexadecimal integer; a float, with or without its f; any other sign. Nothing sticks to a number. */
const TOKEN = /([A-Za-z_]\w*)|(0[xX][0-9A-Fa-f]+(?![\w.])|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?[fF]?(?![\w.]))|([-{}<>:;,[\]])/y;
/** The name of an extension, or of the type that an Any holds, between brackets. */
const EXTENSION = /[\w./-]+/y;

interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'mark' | 'end';
  readonly text: string;
  readonly line: number;
}

/**
 * @param strings whether strings are text, or bytes of which each is a character (as `tensor_content` is)
 * @throws ModelError 'malformed' with the line, 'unsafe' where fields are more or deeper than any net has
 */
export function parsePrototext(text: string, file: string, strings: 'text' | 'bytes' = 'text'): TextMessage {
  const scanner = new Scanner(text, file, strings);
  let count = 0;

  function message(close: string | null, depth: number): TextMessage {
    if (depth > MAX_DEPTH) throw new ModelError('unsafe', `line ${scanner.token.line}: messages nest deeper than ${MAX_DEPTH} levels`, { file });
    const fields: TextField[] = [];
    while (close === null ? scanner.token.kind !== 'end' : !scanner.take(close)) {
      const { line } = scanner.token;
      const name = fieldName(close);
      const colon = scanner.take(':');
      if (scanner.take('[')) {
        if (scanner.take(']')) continue;
        do fields.push({ name, value: value(depth, colon), line });
        while (scanner.take(','));
        if (!scanner.take(']')) throw scanner.fail('"," or "]"');
      } else fields.push({ name, value: value(depth, colon), line });
      if (!scanner.take(';')) scanner.take(',');
    }
    return { kind: 'message', fields };
  }

  function fieldName(close: string | null): string {
    if (scanner.token.kind === 'name') return scanner.next().text;
    if (scanner.token.text === '[' && scanner.token.kind === 'mark') {
      const name = scanner.extension();
      if (!scanner.take(']')) throw scanner.fail('"]"');
      return `[${name}]`;
    }
    throw scanner.fail(scanner.token.kind === 'end' ? JSON.stringify(close) : 'the name of a field');
  }

  function value(depth: number, scalarAllowed: boolean): TextValue {
    if (++count > MAX_FIELDS) throw new ModelError('unsafe', `${MAX_FIELDS} fields and more are more than any net has`, { file });
    if (scanner.take('{')) return message('}', depth + 1);
    if (scanner.take('<')) return message('>', depth + 1);
    if (!scalarAllowed) throw scanner.fail('":" or "{"');
    if (scanner.token.kind === 'string') return { kind: 'string', text: scanner.string() };
    const minus = scanner.take('-') ? '-' : '';
    if (scanner.token.kind !== 'number' && scanner.token.kind !== 'name') throw scanner.fail('a value');
    return { kind: 'word', text: minus + scanner.next().text };
  }

  return message(null, 0);
}

/** One token at a time: a hostile file has millions of them. */
class Scanner {
  token: Token;
  #at: number;
  #line = 1;

  constructor(
    readonly text: string,
    readonly file: string,
    readonly strings: 'text' | 'bytes',
  ) {
    this.#at = text.startsWith('\ufeff') ? 1 : 0;
    this.token = this.#scan();
  }

  /** The token that was looked at; the one behind it becomes the next to look at. */
  next(): Token {
    const { token } = this;
    this.token = this.#scan();
    return token;
  }

  /** Steps over a sign, if it is there. */
  take(mark: string): boolean {
    if (this.token.kind !== 'mark' || this.token.text !== mark) return false;
    this.token = this.#scan();
    return true;
  }

  /** The name behind an opening bracket. */
  extension(): string {
    this.#skipBlank();
    EXTENSION.lastIndex = this.#at;
    const name = EXTENSION.exec(this.text)?.[0];
    if (name === undefined) throw this.fail('the name of a field');
    this.#at += name.length;
    this.token = this.#scan();
    return name;
  }

  fail(expected: string): ModelError {
    const { kind, text, line } = this.token;
    const found = kind === 'end' ? 'the file ends' : `${JSON.stringify(text.slice(0, 40))} stands`;
    return this.#malformed(`${found} where ${expected} was expected`, line);
  }

  /** A string, of as many pieces as stand side by side. */
  string(): string {
    let text = '';
    let bytes: number[] = [];
    const flush = () => {
      if (bytes.length > 0) text += this.strings === 'bytes' ? decodeLatin1(Uint8Array.from(bytes)) : new TextDecoder().decode(Uint8Array.from(bytes));
      bytes = [];
    };
    while (this.token.kind === 'string') {
      const piece = this.next();
      const body = piece.text.slice(1, -1);
      // A character may be escaped byte by byte over several pieces.
      if (body.includes('\\') || (this.strings === 'bytes' && NOT_ASCII.test(body))) this.#unescape(body, piece.line, bytes);
      else {
        flush();
        text += body;
      }
    }
    flush();
    return text;
  }

  /** Octal and hexadecimal escapes are bytes of UTF-8. */
  #unescape(body: string, line: number, bytes: number[]): void {
    const push = (text: string) => {
      for (const byte of new TextEncoder().encode(text)) bytes.push(byte);
    };
    for (const [all, code] of body.matchAll(/\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])|[^\\]+/g)) {
      if (code === undefined) push(all);
      else if (/^[0-7]/.test(code)) bytes.push(Number.parseInt(code, 8) & 255);
      else if (code[0] === 'x' && code.length > 1) bytes.push(Number.parseInt(code.slice(1), 16));
      else if (code.length > 1 && Number.parseInt(code.slice(1), 16) <= 0x10ffff) push(String.fromCodePoint(Number.parseInt(code.slice(1), 16)));
      else {
        const byte = ESCAPES[code];
        if (byte === undefined) throw this.#malformed(`${JSON.stringify(all)} is no escape of the text format`, line);
        bytes.push(byte);
      }
    }
  }

  #scan(): Token {
    this.#skipBlank();
    const { text } = this;
    const line = this.#line;
    const first = text[this.#at];
    if (first === undefined) return { kind: 'end', text: '', line };
    if (first === '"' || first === "'") {
      const end = endOfString(text, this.#at);
      if (end === null) throw this.#malformed('a string does not end on its line', line);
      const quoted = text.slice(this.#at, end);
      this.#at = end;
      return { kind: 'string', text: quoted, line };
    }
    TOKEN.lastIndex = this.#at;
    const match = TOKEN.exec(text);
    if (!match) throw this.#malformed(`${JSON.stringify(text.slice(this.#at, this.#at + 20))} is no part of a prototxt`, line);
    this.#at += match[0].length;
    return { kind: match[1] !== undefined ? 'name' : match[2] !== undefined ? 'number' : 'mark', text: match[0], line };
  }

  #skipBlank(): void {
    for (;;) {
      BLANK.lastIndex = this.#at;
      const blank = BLANK.exec(this.text)?.[0];
      if (blank === undefined) return;
      this.#at += blank.length;
      for (let at = blank.indexOf('\n'); at >= 0; at = blank.indexOf('\n', at + 1)) this.#line++;
    }
  }

  #malformed(problem: string, line: number): ModelError {
    return new ModelError('malformed', `line ${line}: ${problem}`, { file: this.file });
  }
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

const NOT_ASCII = /[^\0-\x7f]/;

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, "'": 39, '?': 63, '\\': 92 };
