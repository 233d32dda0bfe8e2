/** Tokens of TorchScript's code, one at a time: names, numbers, texts, signs, and where blocks begin and end. */
import { ModelError } from '../../errors.js';

export interface Token {
  readonly kind: 'name' | 'integer' | 'float' | 'text' | 'sign' | 'newline' | 'indent' | 'dedent' | 'end';
  /** As written; a text without its quotes. */
  readonly text: string;
  readonly line: number;
}

const MAX_INDENTS = 200;
/** Texts are names of dtypes, devices and modes, and what a check says. */
const MAX_TEXT = 2 ** 20;
const NAME = /[A-Za-z_]\w*/y;
const NUMBER = /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y;
const SIGNS = new Set(['(', ')', '[', ']', '{', '}', ',', ':', '.', '=', '-', ';', '@', '*', '+']);
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v', '\\': '\\', "'": "'", '"': '"', '?': '?' };

export class Lexer {
  #at = 0;
  #line = 1;
  #depth = 0;
  readonly #indents = [0];
  /** Blocks that end before the next token. */
  #dedents = 0;
  #startsLine = true;

  /** @param file for messages */
  constructor(
    readonly text: string,
    readonly file: string,
  ) {}

  error(problem: string, line = this.#line): ModelError {
    return new ModelError('malformed', `${this.file}, line ${line}: ${problem}`);
  }

  next(): Token {
    if (this.#dedents > 0) {
      this.#dedents--;
      return this.#token('dedent', '');
    }
    if (this.#startsLine) {
      const indent = this.#indentation();
      this.#startsLine = false;
      const now = this.#indents.at(-1)!;
      if (indent > now) {
        if (this.#indents.length > MAX_INDENTS)
          throw new ModelError('unsafe', `${this.file}, line ${this.#line}: blocks are nested deeper than ${MAX_INDENTS}`);
        this.#indents.push(indent);
        return this.#token('indent', '');
      }
      while (this.#indents.at(-1)! > indent) {
        this.#indents.pop();
        this.#dedents++;
      }
      if (this.#indents.at(-1) !== indent) throw this.error('this line is indented like no block around it');
      if (this.#dedents > 0) return this.next();
    }
    this.#skip();
    if (this.#at >= this.text.length) return this.#token('end', '');
    const first = this.text[this.#at]!;
    if (first === '\n') {
      const token = this.#token('newline', '');
      this.#at++;
      this.#line++;
      this.#startsLine = true;
      return token;
    }
    if (first === '"' || first === "'") return this.#string(first);
    const name = this.#match(NAME);
    if (name !== null) return this.#token('name', name);
    const number = this.#match(NUMBER);
    if (number !== null) return this.#token(/^\d+$/.test(number) ? 'integer' : 'float', number);
    if (!SIGNS.has(first)) throw this.error(`${JSON.stringify(first)} is no part of the language`);
    this.#at++;
    if ('([{'.includes(first)) this.#depth++;
    else if (')]}'.includes(first)) this.#depth--;
    const isArrow = first === '-' && this.text[this.#at] === '>';
    if (isArrow) this.#at++;
    return this.#token('sign', isArrow ? '->' : first);
  }

  #token(kind: Token['kind'], text: string): Token {
    return { kind, text, line: this.#line };
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text);
    if (!found) return null;
    this.#at += found[0].length;
    return found[0];
  }

  /** Spaces before the next line that holds anything. */
  #indentation(): number {
    for (;;) {
      let indent = 0;
      while (this.text[this.#at] === ' ') {
        this.#at++;
        indent++;
      }
      if (this.text[this.#at] === '#') this.#comment();
      if (this.text[this.#at] === '\r') this.#at++;
      if (this.#at >= this.text.length) return 0;
      if (this.text[this.#at] !== '\n') return indent;
      this.#at++;
      this.#line++;
    }
  }

  /** What stands between tokens; inside of brackets lines go on. */
  #skip(): void {
    for (;;) {
      const character = this.text[this.#at];
      if (character === ' ' || character === '\r' || character === '\t') this.#at++;
      else if (character === '#') this.#comment();
      else if (character === '\n' && this.#depth > 0) {
        this.#at++;
        this.#line++;
      } else return;
    }
  }

  #comment(): void {
    const end = this.text.indexOf('\n', this.#at);
    this.#at = end < 0 ? this.text.length : end;
  }

  #string(quote: string): Token {
    let value = '';
    let at = this.#at + 1;
    for (;;) {
      const character = this.text[at++];
      if (character === undefined || character === '\n') throw this.error('a text has no end');
      if (character === quote) break;
      if (value.length >= MAX_TEXT) throw new ModelError('unsafe', `${this.file}, line ${this.#line}: a text of more than ${MAX_TEXT} letters`);
      if (character !== '\\') {
        value += character;
        continue;
      }
      const escaped = this.text[at++] ?? '';
      const octal = /^[0-7]{1,3}/.exec(this.text.slice(at - 1, at + 2))?.[0];
      const hex = escaped === 'x' ? /^[0-9a-fA-F]{2}/.exec(this.text.slice(at, at + 2))?.[0] : undefined;
      if (hex !== undefined) {
        value += String.fromCharCode(Number.parseInt(hex, 16));
        at += 2;
      } else if (octal !== undefined) {
        value += String.fromCharCode(Number.parseInt(octal, 8));
        at += octal.length - 1;
      } else value += ESCAPES[escaped] ?? escaped;
    }
    this.#at = at;
    return this.#token('text', value);
  }
}
