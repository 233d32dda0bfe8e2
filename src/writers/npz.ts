/** Writes npz: NumPy arrays in a zip archive, stored as they are, so that they can be mapped and read as a stream. */
import { encodeNpyHeader, isNumpyDType } from '../containers/npy.js';
import type { Piece } from '../containers/protobuf-writer.js';
import { crc32Of, writeZip } from '../containers/zip-writer.js';
import { ModelError } from '../errors.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../model/tensor.js';
import { castWeights } from './cast-weights.js';
import { byteProgress } from './progress.js';
import { NPZ } from './targets.js';
import type { WeightsWriter } from './writer.js';

export const npz: WeightsWriter = {
  carries: 'weights',
  ...NPZ,

  async check(weights, options) {
    const names = new Set<string>();
    const errors: ModelError[] = [];
    for (const tensor of weights) {
      const { name, origin } = tensor;
      const place = { file: origin.file, tensor: name };
      const dtype = castWeights([tensor], options.dtype).tensors[0]!.dtype;
      if (!isNumpyDType(dtype)) errors.push(new ModelError('unsupported', `NumPy has no ${dtype}; choose --dtype float32 (or float16, float64)`, place));
      if (name.includes('\0')) errors.push(new ModelError('unsupported', 'the name has a NUL, which a zip archive cannot hold', place));
      if (names.has(name)) errors.push(new ModelError('unsupported', 'the name is taken twice, and an npz file has each name once', place));
      names.add(name);
    }
    return errors;
  },

  async write(weights, sink, name, { dtype, onProgress }) {
    const { tensors, notices } = castWeights(weights, dtype);
    // The pass for the checksums must not count losses too.
    const uncounted = castWeights(weights, dtype).tensors;
    const total = tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
    const file = await sink.create(name);
    await writeZip(
      tensors.map((tensor, i) => ({
        name: `${tensor.name}.npy`,
        pieces: piecesOf(tensor),
        crc32: () => crc32Of(piecesOf(uncounted[i]!)),
      })),
      file,
      byteProgress(total, { onProgress }),
    );
    await file.close();
    return { warnings: notices() };
  },
};

/** The array as an .npy file. */
function piecesOf(tensor: Tensor): Piece[] {
  return [encodeNpyHeader(tensor.dtype, tensor.shape), { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) }];
}
