/** The weights of a large model in a file of their own, which a runtime maps into memory, for as long as the session is open. */
import type { ByteSource } from '../../bytes/byte-source.js';
import { temporaryFolder } from '../../bytes/temporary.js';
import { withWeightsApart } from './onnx-values.js';

/** Where a system maps files in pages of this size or less, and where vectors like to begin. */
const ALIGNMENT = 65_536;
const PIECE_BYTES = 2 ** 22;

export interface ModelCopy {
  /** The model, which names the file of its weights. */
  readonly model: Uint8Array;
  /** Where that file is. */
  readonly folder: string;
  remove(): void;
}

/** @returns null where there are no files */
export async function copyWithWeightsApart(source: ByteSource): Promise<ModelCopy | null> {
  const made = temporaryFolder('layers');
  if (!made) return null;
  const { path: folder, remove } = made;
  try {
    const weights = await process.getBuiltinModule('node:fs/promises').open(`${folder}/weights.bin`, 'wx');
    try {
      let end = 0;
      const model = await withWeightsApart(source, 'weights.bin', async (start, stop) => {
        const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
        end = offset + stop - start;
        const piece = new Uint8Array(Math.min(PIECE_BYTES, stop - start));
        for (let at = start; at < stop; at += piece.byteLength) {
          const part = piece.subarray(0, Math.min(piece.byteLength, stop - at));
          await source.readInto(at, part);
          await weights.write(part, 0, part.byteLength, offset + at - start);
        }
        return offset;
      });
      return { model, folder, remove };
    } finally {
      await weights.close();
    }
  } catch (error) {
    remove();
    throw error;
  }
}
