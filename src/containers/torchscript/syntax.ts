/** What TorchScript's serialised code is made of: a small part of Python, in which a program's functions and classes are printed. */

export type Expression =
  | { readonly kind: 'integer' | 'float'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'flag'; readonly value: boolean }
  | { readonly kind: 'none' }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: readonly Expression[]; readonly named: readonly (readonly [string, Expression])[] }
  | { readonly kind: 'element'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'list' | 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'negative'; readonly of: Expression };

export type Statement = { readonly line: number } & (
  | { readonly kind: 'assign'; readonly targets: readonly Expression[]; readonly unpacks: boolean; readonly value: Expression }
  | { readonly kind: 'declare'; readonly name: string; readonly type: Expression }
  | { readonly kind: 'expression'; readonly value: Expression }
  | { readonly kind: 'if'; readonly condition: Expression; readonly then: readonly Statement[]; readonly otherwise: readonly Statement[] }
  | { readonly kind: 'for'; readonly target: Expression; readonly over: Expression; readonly body: readonly Statement[] }
  | { readonly kind: 'while'; readonly condition: Expression; readonly body: readonly Statement[] }
  | { readonly kind: 'return'; readonly value: Expression | null }
  | { readonly kind: 'pass' }
);

export interface Parameter {
  readonly name: string;
  /** Left out for `self` in files of 2018. */
  readonly type: Expression | null;
  readonly usual: Expression | null;
}

export interface FunctionCode {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
  readonly line: number;
}

export interface ClassCode {
  readonly name: string;
  /** 'Module', 'NamedTuple', 'Enum', 'Interface'; '' for a class of TorchScript. */
  readonly base: string;
  readonly methods: ReadonlyMap<string, FunctionCode>;
  /** Declared attributes with their types, in order. */
  readonly attributes: ReadonlyMap<string, Expression>;
  /** Attributes that are constants of the class. */
  readonly constants: ReadonlyMap<string, Expression>;
}

/** What one file of code defines. */
export interface CodeFile {
  readonly functions: ReadonlyMap<string, FunctionCode>;
  readonly classes: ReadonlyMap<string, ClassCode>;
}
