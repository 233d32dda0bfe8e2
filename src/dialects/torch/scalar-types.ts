/** Data types of programs of torch.export by their number, which is not that of c10. @see torch/_export/serde/schema.py, ScalarType */
import type { DType } from '../../model/dtype.js';

export const EXPORTED_TYPES: Readonly<Record<number, DType>> = {
  1: 'uint8',
  2: 'int8',
  3: 'int16',
  4: 'int32',
  5: 'int64',
  6: 'float16',
  7: 'float32',
  8: 'float64',
  10: 'complex64',
  11: 'complex128',
  12: 'bool',
  13: 'bfloat16',
  28: 'uint16',
  29: 'float8_e4m3fn',
  30: 'float8_e5m2',
  34: 'uint32',
  35: 'uint64',
};
