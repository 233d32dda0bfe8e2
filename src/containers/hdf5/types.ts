/** What the HDF5 container shows: groups, datasets and attributes. */
import type { ByteSource } from '../../bytes/byte-source.js';
import type { DType } from '../../model/dtype.js';

/** An attribute's value; null for an empty one and for types without a plain value. */
export type Hdf5Value = string | number | bigint | boolean | readonly string[] | readonly number[] | readonly bigint[] | readonly boolean[] | null;

export interface Hdf5Group {
  readonly kind: 'group';
  readonly path: string;
  attributes(): Promise<ReadonlyMap<string, Hdf5Value>>;
  /** Names of the links, sorted. */
  keys(): Promise<readonly string[]>;
  /** The object at a path below this group, or null; soft links are followed. */
  get(path: string): Promise<Hdf5Group | Hdf5Dataset | null>;
}

export interface Hdf5Dataset {
  readonly kind: 'dataset';
  readonly path: string;
  readonly shape: readonly number[];
  /** Null where elements are no plain numbers. */
  readonly dtype: DType | null;
  readonly typeName: string;
  readonly bigEndian: boolean;
  readonly layout: 'contiguous' | 'compact' | 'chunked';
  readonly filters: readonly string[];
  /** Stored elements, row-major, in the file's byte order; chunks are decoded as they are read. */
  readonly source: ByteSource;
  /** Where the elements lie in the file, if in one piece. */
  readonly fileOffset: number | null;
  attributes(): Promise<ReadonlyMap<string, Hdf5Value>>;
  /** Elements of a dataset of strings. @throws ModelError 'unsupported' for other types */
  strings(): Promise<readonly string[]>;
}
