/** The tensor that a view of a storage is, once the storage's bytes are found. */
import { ModelError } from '../../errors.js';
import { storedTensor, type Tensor, tensorByteLength } from '../../model/tensor.js';
import type { NamedView } from './contents.js';

/** Expanded views repeat what is stored; a tensor this large that is hardly stored at all would fill the disk. */
const LARGE_BYTES = 2 ** 30;
const MAX_EXPANSION = 64;

export function viewTensor({ name, view }: NamedView, file: string): Tensor {
  const { storage, dtype, shape, strides, offset } = view;
  if (!storage.source) throw new ModelError('malformed', `storage ${storage.key} has no bytes in the file`, { file, tensor: name });
  const tensor = storedTensor({ name, dtype, shape, strides, offset, source: storage.source, bigEndian: storage.bigEndian, origin: { file, name } });
  const byteLength = tensorByteLength(tensor);
  if (byteLength > LARGE_BYTES && byteLength > MAX_EXPANSION * storage.source.byteLength) {
    const message = `the view of shape [${shape}] makes ${byteLength} bytes of ${storage.source.byteLength} that are stored`;
    throw new ModelError('unsafe', message, { file, tensor: name });
  }
  return tensor;
}
