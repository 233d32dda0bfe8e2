/** Mean pictures, which Caffe's data layers take off every picture: a .binaryproto, or the same as NumPy array. */
import type { ByteSource } from '../../bytes/byte-source.js';
import { looksLikeNpy, readNpy } from '../../containers/npy.js';
import { WireReader } from '../../containers/protobuf.js';
import { ModelError } from '../../errors.js';
import { isFloatDType } from '../../model/dtype.js';
import { reshape, type Tensor } from '../../model/tensor.js';
import { readBlob } from './blobs.js';

/**
 * @returns values of 0 to 255, [channels, height, width], channels in the order that the net reads; one value for each channel as [channels, 1, 1]
 * @throws ModelError 'malformed' where the file holds no such picture
 */
export async function readMeanPicture(source: ByteSource): Promise<Tensor> {
  const head = await source.read(0, Math.min(16, source.byteLength));
  const tensor = looksLikeNpy(head) ? await readNpy(source, 'mean') : await readBlob(new WireReader(source), { start: 0, end: source.byteLength }, 'mean');
  // One picture of the four-axis blobs of 2014.
  const shape = tensor.shape.length === 4 && tensor.shape[0] === 1 ? tensor.shape.slice(1) : tensor.shape.length === 1 ? [...tensor.shape, 1, 1] : tensor.shape;
  if (shape.length !== 3 || shape.includes(0) || !isFloatDType(tensor.dtype)) {
    const problem = `${tensor.dtype} values of shape [${tensor.shape}] are no mean picture; floating-point values [channels, height, width] are expected, or one for each channel`;
    throw new ModelError('malformed', problem, { file: source.name });
  }
  return reshape(tensor, shape);
}
