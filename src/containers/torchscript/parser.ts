/**
 * Parses TorchScript's serialised code: what `torch.jit.save` prints of a program's functions and classes.
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/serialization/python_print.cpp, which writes it
 */
import { ModelError } from '../../errors.js';
import { Lexer, type Token } from './lexer.js';
import type { ClassCode, CodeFile, Expression, FunctionCode, Parameter, Statement } from './syntax.js';

/** Brackets within brackets, blocks within blocks. */
const MAX_DEPTH = 200;

/** Counts what a program's files are made of, all together: the largest nets have a hundred thousand parts. */
export interface ParseBudget {
  parts: number;
}
const MAX_PARTS = 1_000_000;

/** @throws ModelError 'malformed' naming the line, 'unsafe' where it is larger than any program */
export function parseCode(text: string, file: string, budget: ParseBudget): CodeFile {
  return new Parser(new Lexer(text, file), budget).file();
}

class Parser {
  #token: Token;
  #depth = 0;

  constructor(
    readonly lexer: Lexer,
    readonly budget: ParseBudget,
  ) {
    this.#token = lexer.next();
  }

  file(): CodeFile {
    const functions = new Map<string, FunctionCode>();
    const classes = new Map<string, ClassCode>();
    while (this.#token.kind !== 'end') {
      if (this.#isName('def')) {
        const made = this.#function();
        functions.set(made.name, made);
      } else if (this.#isName('class')) {
        const made = this.#class();
        classes.set(made.name, made);
      } else if (this.#isName('import') || this.#isName('from')) this.#skipLine();
      // op_version_set, in files of 2019.
      else this.#statement();
    }
    return { functions, classes };
  }

  #next(): Token {
    const token = this.#token;
    this.#token = this.lexer.next();
    return token;
  }

  #isSign(sign: string): boolean {
    return this.#token.kind === 'sign' && this.#token.text === sign;
  }

  #isKind(kind: Token['kind']): boolean {
    return this.#token.kind === kind;
  }

  #isName(name: string): boolean {
    return this.#token.kind === 'name' && this.#token.text === name;
  }

  #skipped(sign: string): boolean {
    if (!this.#isSign(sign)) return false;
    this.#next();
    return true;
  }

  #expect(sign: string): void {
    if (!this.#skipped(sign)) throw this.#unexpected(JSON.stringify(sign));
  }

  #name(): string {
    if (this.#token.kind !== 'name') throw this.#unexpected('a name');
    return this.#next().text;
  }

  #unexpected(wanted: string): ModelError {
    const { kind, text, line } = this.#token;
    return this.lexer.error(`${wanted} was expected, found ${text === '' ? `the ${kind} of a line or block` : JSON.stringify(text.slice(0, 80))}`, line);
  }

  #count(): void {
    if (++this.budget.parts > MAX_PARTS) throw new ModelError('unsafe', `${this.lexer.file}: the code has more than ${MAX_PARTS} parts, which no model needs`);
  }

  /** Runs one level deeper. */
  #deeper<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new ModelError('unsafe', `${this.lexer.file}, line ${this.#token.line}: nested deeper than ${MAX_DEPTH}`);
    const made = parse();
    this.#depth--;
    return made;
  }

  #skipLine(): void {
    while (this.#token.kind !== 'newline' && this.#token.kind !== 'end') this.#next();
    this.#endLine();
  }

  #endLine(): void {
    if (this.#skipped(';')) return;
    if (this.#token.kind === 'end') return;
    if (this.#token.kind !== 'newline') throw this.#unexpected('the end of the line');
    this.#next();
  }

  #class(): ClassCode {
    this.#next();
    const name = this.#name();
    let base = '';
    if (this.#skipped('(')) {
      if (!this.#isSign(')')) base = this.#name();
      this.#expect(')');
    }
    const methods = new Map<string, FunctionCode>();
    const attributes = new Map<string, Expression>();
    const constants = new Map<string, Expression>();
    this.#block(() => {
      if (this.#isName('def')) {
        const method = this.#function();
        methods.set(method.name, method);
        return;
      }
      const statement = this.#statement();
      if (statement.kind === 'declare') attributes.set(statement.name, statement.type);
      else if (statement.kind === 'assign') {
        const [target] = statement.targets;
        // __annotations__["0"] = ... declares what has no name that could be written.
        if (target?.kind === 'element' && target.index.kind === 'text') attributes.set(target.index.value, statement.value);
        else if (target?.kind === 'name') constants.set(target.name, statement.value);
      }
    });
    return { name, base, methods, attributes, constants };
  }

  #function(): FunctionCode {
    this.#count();
    const { line } = this.#next();
    const name = this.#name();
    this.#expect('(');
    const parameters: Parameter[] = [];
    while (!this.#isSign(')')) {
      if (this.#skipped('*')) {
        this.#skipped(',');
        continue;
      }
      const parameter = this.#name();
      const type = this.#skipped(':') ? this.#expression() : null;
      const usual = this.#skipped('=') ? this.#expression() : null;
      parameters.push({ name: parameter, type, usual });
      if (!this.#skipped(',')) break;
    }
    this.#expect(')');
    if (this.#skipped('->')) this.#expression();
    const body: Statement[] = [];
    this.#block(() => body.push(this.#statement()));
    return { name, parameters, body, line };
  }

  #block(read: () => void): void {
    this.#expect(':');
    this.#endLine();
    if (!this.#isKind('indent')) return;
    this.#next();
    this.#deeper(() => {
      while (!this.#isKind('dedent') && !this.#isKind('end')) read();
    });
    if (this.#isKind('dedent')) this.#next();
  }

  #statements(): Statement[] {
    const statements: Statement[] = [];
    this.#block(() => statements.push(this.#statement()));
    return statements;
  }

  #statement(): Statement {
    this.#count();
    const { line, kind, text } = this.#token;
    if (kind === 'name') {
      switch (text) {
        case 'if': {
          this.#next();
          return this.#if(line);
        }
        case 'for': {
          this.#next();
          const target = this.#postfix();
          if (this.#name() !== 'in') throw this.lexer.error('"in" was expected', line);
          const over = this.#expression();
          return { kind: 'for', target, over, body: this.#statements(), line };
        }
        case 'while': {
          this.#next();
          const condition = this.#expression();
          return { kind: 'while', condition, body: this.#statements(), line };
        }
        case 'return': {
          this.#next();
          const value = this.#token.kind === 'newline' || this.#token.kind === 'end' ? null : this.#expressions().value;
          this.#endLine();
          return { kind: 'return', value, line };
        }
        case 'pass':
          this.#next();
          this.#endLine();
          return { kind: 'pass', line };
        default:
      }
    }
    const { value, unpacks, items } = this.#expressions();
    if (this.#skipped('=')) {
      const assigned = this.#expressions().value;
      this.#endLine();
      return { kind: 'assign', targets: items, unpacks, value: assigned, line };
    }
    if (value.kind === 'name' && this.#skipped(':')) {
      const type = this.#expression();
      if (!this.#skipped('=')) {
        this.#endLine();
        return { kind: 'declare', name: value.name, type, line };
      }
      const assigned = this.#expressions().value;
      this.#endLine();
      return { kind: 'assign', targets: [value], unpacks: false, value: assigned, line };
    }
    this.#endLine();
    return { kind: 'expression', value, line };
  }

  #if(line: number): Statement {
    const condition = this.#expression();
    const then = this.#statements();
    let otherwise: Statement[] = [];
    if (this.#isName('else')) {
      this.#next();
      otherwise = this.#statements();
    } else if (this.#isName('elif')) {
      const at = this.#next().line;
      otherwise = [this.#deeper(() => this.#if(at))];
    }
    return { kind: 'if', condition, then, otherwise, line };
  }

  /** One expression, or several with commas: a tuple, or the targets of an assignment. */
  #expressions(): { value: Expression; items: readonly Expression[]; unpacks: boolean } {
    const first = this.#expression();
    if (!this.#isSign(',')) return { value: first, items: first.kind === 'tuple' ? first.items : [first], unpacks: first.kind === 'tuple' };
    const items = [first];
    while (this.#skipped(',')) {
      if (this.#token.kind === 'newline' || this.#token.kind === 'end' || this.#isSign('=')) break;
      items.push(this.#expression());
    }
    return { value: { kind: 'tuple', items }, items, unpacks: true };
  }

  #expression(): Expression {
    this.#count();
    return this.#deeper(() => {
      if (this.#skipped('-')) {
        const of = this.#expression();
        return of.kind === 'integer' || of.kind === 'float' ? { kind: of.kind, value: -of.value } : { kind: 'negative', of };
      }
      return this.#postfix();
    });
  }

  #postfix(): Expression {
    let value = this.#atom();
    // A chain of calls is walked down again later: it must not be deeper than brackets may be.
    for (let links = 0; ; links++) {
      if (links > MAX_DEPTH) throw new ModelError('unsafe', `${this.lexer.file}, line ${this.#token.line}: nested deeper than ${MAX_DEPTH}`);
      if (this.#skipped('.')) value = { kind: 'attribute', of: value, name: this.#name() };
      else if (this.#isSign('(')) value = this.#call(value);
      else if (this.#skipped('[')) {
        const index = this.#expressions().value;
        this.#expect(']');
        value = { kind: 'element', of: value, index };
      } else return value;
      this.#count();
    }
  }

  #call(callee: Expression): Expression {
    this.#expect('(');
    const args: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    while (!this.#isSign(')')) {
      const value = this.#expression();
      if (value.kind === 'name' && this.#skipped('=')) named.push([value.name, this.#expression()]);
      else args.push(value);
      if (!this.#skipped(',')) break;
    }
    this.#expect(')');
    return { kind: 'call', callee, args, named };
  }

  #atom(): Expression {
    const token = this.#token;
    switch (token.kind) {
      case 'integer':
      case 'float':
        this.#next();
        if (token.kind === 'integer' && Number(token.text) > 2 ** 63) throw this.lexer.error('a whole number that does not fit into 64 bits', token.line);
        return { kind: token.kind, value: Number(token.text) };
      case 'text': {
        let value = this.#next().text;
        while (this.#token.kind === 'text') value += this.#next().text;
        return { kind: 'text', value };
      }
      case 'name':
        this.#next();
        if (token.text === 'None') return { kind: 'none' };
        if (token.text === 'True' || token.text === 'False') return { kind: 'flag', value: token.text === 'True' };
        if (token.text === 'inf') return { kind: 'float', value: Number.POSITIVE_INFINITY };
        if (token.text === 'nan') return { kind: 'float', value: Number.NaN };
        return { kind: 'name', name: token.text };
      case 'sign':
        if (token.text === '(') return this.#tuple();
        if (token.text === '[') {
          this.#next();
          const items = this.#items(']');
          return { kind: 'list', items };
        }
        if (token.text === '{') return this.#dict();
        throw this.#unexpected('a value');
      default:
        throw this.#unexpected('a value');
    }
  }

  /** In brackets: one value is itself, and with a comma a tuple. */
  #tuple(): Expression {
    this.#next();
    if (this.#skipped(')')) return { kind: 'tuple', items: [] };
    const first = this.#expression();
    if (this.#skipped(')')) return first;
    this.#expect(',');
    return { kind: 'tuple', items: [first, ...this.#items(')')] };
  }

  #items(end: string): Expression[] {
    const items: Expression[] = [];
    while (!this.#isSign(end)) {
      items.push(this.#expression());
      if (!this.#skipped(',')) break;
    }
    this.#expect(end);
    return items;
  }

  #dict(): Expression {
    this.#next();
    const entries: [Expression, Expression][] = [];
    while (!this.#isSign('}')) {
      const key = this.#expression();
      this.#expect(':');
      entries.push([key, this.#expression()]);
      if (!this.#skipped(',')) break;
    }
    this.#expect('}');
    return { kind: 'dict', entries };
  }
}
