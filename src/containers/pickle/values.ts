/** What a pickle is rebuilt into, beside numbers, texts, arrays and `Map`s: names, inert records, and runs of bytes that stay in the file. */

import { type ByteSource, computedSource, sliceSource } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';
import { encodingBytes, type TextEncoding } from './text.js';

/** A class or function that the pickle names. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An instance of a class, or what a call would have given, as data: nothing was run. */
export class PickleObject {
  /** What BUILD gave it. */
  state: unknown = null;
  /** What SETITEMS or APPENDS put into it, for subclasses of dict and list. */
  items: Map<unknown, unknown> | null = null;

  constructor(
    readonly type: PickleGlobal,
    readonly args: readonly unknown[],
  ) {}
}

/** Something that takes its contents later, as NumPy's arrays do. */
export interface Buildable {
  build(state: unknown): void;
}

export function isBuildable(value: unknown): value is Buildable {
  return typeof value === 'object' && value !== null && 'build' in value && typeof value.build === 'function';
}

/** Bytes, or a text, too long to keep: where they lie in the file. */
export class PickleSpan {
  constructor(
    readonly source: ByteSource,
    readonly start: number,
    readonly end: number,
    /** How bytes are written there; 'bytes': as they are. */
    readonly encoding: TextEncoding | 'bytes',
  ) {}

  /**
   * What Python would see as bytes; of a text the Latin-1 bytes, which is how Python 2 and protocols below 3 keep them.
   *
   * @param byteLength how many there must be; where they are written as they are, the source says how many there are
   */
  bytes(byteLength: number): ByteSource {
    const { source, start, end, encoding } = this;
    if (encoding === 'bytes' || encoding === 'latin1') return sliceSource(source, start, end);
    return computedSource(source.name, byteLength, async () => {
      const bytes = encodingBytes(await source.read(start, end), encoding);
      if (bytes.byteLength === byteLength) return bytes;
      throw new ModelError('malformed', `an array has ${bytes.byteLength} bytes here, expected ${byteLength}`, { file: source.name, offset: start });
    });
  }
}
