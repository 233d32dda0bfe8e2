/** Element types, spelt as NumPy (and ml_dtypes) spell them. */

/** Bytes per element of every dtype that a tensor in the layer map may have. */
export const DTYPE_BYTES = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
  complex64: 8,
  complex128: 16,
} as const;

export type DType = keyof typeof DTYPE_BYTES;

/** The smallest and the largest number of the integers of 8 and 16 bits, which are codes of numbers more often than counts. */
export const NARROW_RANGES: Readonly<Partial<Record<DType, readonly [low: number, high: number]>>> = {
  int8: [-(2 ** 7), 2 ** 7 - 1],
  uint8: [0, 2 ** 8 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  uint16: [0, 2 ** 16 - 1],
};

export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPE_BYTES, name);
}

/** What people write for the dtypes that weights are stored in. */
const DTYPE_ALIASES = {
  f64: 'float64',
  fp64: 'float64',
  double: 'float64',
  f32: 'float32',
  fp32: 'float32',
  float: 'float32',
  f16: 'float16',
  fp16: 'float16',
  half: 'float16',
  bf16: 'bfloat16',
  i8: 'int8',
  q8: 'int8',
  u8: 'uint8',
  u16: 'uint16',
} as const satisfies Readonly<Record<string, DType>>;

/** A dtype by its own name or one that people use for it: 'float16', 'fp16', 'half'. */
export type DTypeName = DType | keyof typeof DTYPE_ALIASES;

/** The dtype of a name as people write it, 'half' for 'float16'; null where it is of none. */
export function dtypeNamed(name: string): DType | null {
  const lower = name.toLowerCase();
  if (isDType(lower)) return lower;
  return Object.hasOwn(DTYPE_ALIASES, lower) ? DTYPE_ALIASES[lower as keyof typeof DTYPE_ALIASES] : null;
}

/** Everything that dtypes are called by, the names that people use behind their own. */
export function dtypeNames(dtypes: readonly DType[]): string[] {
  return [...dtypes, ...Object.entries(DTYPE_ALIASES).flatMap(([name, dtype]) => (dtypes.includes(dtype) ? [name] : []))];
}

export function isFloatDType(dtype: DType): boolean {
  return dtype.startsWith('float') || dtype === 'bfloat16';
}
