/**
 * The one error family of the library: what was wrong with a model, and where.
 *
 * Everything a user can cause (a bad file, an unknown layer, an engine that is missing) is a `ModelError`. Anything else
 * that is thrown is a bug and keeps its stack.
 */

/**
 * - `unknown-format`: no reader recognises the content.
 * - `malformed`: the file contradicts its own format or itself.
 * - `unsupported`: understood, but this tool has no faithful translation for it.
 * - `unsafe`: reading on would execute code, leave the model's folder or exhaust memory.
 * - `engine`: a runtime is missing, or failed.
 * - `usage`: the caller asked for something impossible (unknown target format, output exists).
 */
export type ModelErrorKind = 'unknown-format' | 'malformed' | 'unsupported' | 'unsafe' | 'engine' | 'usage';

/** Where the trouble sits; every field that is known is filled in. */
export interface ErrorPlace {
  readonly file?: string;
  /** Byte offset within `file`. */
  readonly offset?: number;
  readonly layer?: string;
  readonly tensor?: string;
}

/** Of a layer or weight, as a message gives it. */
const MAX_NAME_LENGTH = 300;

export class ModelError extends Error {
  override readonly name = 'ModelError';

  /**
   * @param kind which family of trouble
   * @param message what was found, what was expected, what to do next; without the place, which is prefixed
   * @param place where
   * @param cause the lower error, if one was wrapped
   */
  constructor(
    readonly kind: ModelErrorKind,
    readonly problem: string,
    readonly place: ErrorPlace = {},
    cause?: unknown,
  ) {
    super(`${describePlace(place)}${problem}`, cause === undefined ? undefined : { cause });
  }

  /** The same error with more of its place known; fields that are already there win, but for a file without a name. */
  at(place: ErrorPlace): ModelError {
    return new ModelError(this.kind, this.problem, { ...place, ...definedOnly(this.place) }, this.cause);
  }
}

/** Whether `error` is a `ModelError`, optionally of one kind; works across realms and duplicate installs. */
export function isModelError(error: unknown, kind?: ModelErrorKind): error is ModelError {
  return error instanceof Error && error.name === 'ModelError' && (kind === undefined || (error as ModelError).kind === kind);
}

/**
 * Joins several obstacles into one error, so that a user sees them all at once.
 *
 * @throws ModelError always; a single obstacle is thrown as it is
 */
export function throwAll(errors: readonly ModelError[], summary: string): never {
  const [first] = errors;
  if (!first) throw new Error('throwAll without errors');
  if (errors.length === 1) throw first;
  const lines = errors.map((e) => `  - ${e.message}`).join('\n');
  throw new ModelError(first.kind, `${summary}\n${lines}`);
}

function describePlace({ file, offset, layer, tensor }: ErrorPlace): string {
  const parts: string[] = [];
  if (file !== undefined && file !== '') parts.push(file);
  if (offset !== undefined) parts.push(`byte ${offset}`);
  if (layer !== undefined) parts.push(`layer "${shortened(layer)}"`);
  if (tensor !== undefined) parts.push(`weight "${shortened(tensor)}"`);
  return parts.length === 0 ? '' : `${parts.join(', ')}: `;
}

/** A name in a hostile file may have millions of characters. */
function shortened(name: string): string {
  return name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}...` : name;
}

function definedOnly(place: ErrorPlace): ErrorPlace {
  return Object.fromEntries(Object.entries(place).filter(([key, value]) => value !== undefined && !(key === 'file' && value === '')));
}
