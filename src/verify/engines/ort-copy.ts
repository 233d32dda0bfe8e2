/** A large model for a runtime that shows what is inside of it: on disk beside its weights, for as long as the session is open. */
import { concatBytes } from '../../bytes/byte-sink.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { withWeightsApart } from './onnx-values.js';

/** Where a system maps files in pages of this size or less, and where vectors like to begin. */
const ALIGNMENT = 65_536;
const PIECE_BYTES = 2 ** 22;

export interface ModelCopy {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * @param tail bytes behind the model's last
 * @returns null where there are no files
 */
export async function copyWithWeightsApart(source: ByteSource, tail: Uint8Array): Promise<ModelCopy | null> {
  // No import: bundlers for a page would look for the modules.
  const modules = typeof process === 'undefined' ? undefined : process.getBuiltinModule;
  if (!modules) return null;
  const { mkdtemp, open, rm, writeFile } = modules('node:fs/promises');
  const { join } = modules('node:path');
  const folder = await mkdtemp(join(modules('node:os').tmpdir(), 'weighbridge-layers-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const weights = await open(join(folder, 'weights.bin'), 'wx');
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
      await writeFile(join(folder, 'model.onnx'), concatBytes([model, tail]));
    } finally {
      await weights.close();
    }
    return { path: join(folder, 'model.onnx'), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
