/** `verify --bisect`: writes the smallest files that show a fault, and prints the command that shows it. */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isModelError, ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { fileSink } from '../node/file-sink.js';
import type { PlacedFault, WrittenTarget } from '../verify/options.js';
import { safeText, type Voice } from './print.js';

export interface ToBisect {
  /** Null where the original's layers are not read. */
  readonly map: LayerMap | null;
  readonly target: WrittenTarget;
  readonly placed: PlacedFault | null;
}

/** Files of which some are written. */
const FILES = ['written.onnx', 'original.onnx', 'inputs.npy', 'inputs.npz', 'golden.npz'];

/** @throws ModelError 'usage' where the folder is none, or has files of an earlier fault, before anything is run */
export async function checkBisectFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => null);
  if (found && !found.isDirectory()) throw new ModelError('usage', '--bisect writes a folder, and this is a file', { file: folder });
  const names = found ? await readdir(folder) : [];
  const earlier = FILES.find((name) => names.includes(name));
  if (earlier !== undefined) throw new ModelError('usage', `has ${earlier} already: name another folder for --bisect, or remove it`, { file: folder });
}

/** @throws ModelError where a file cannot be written; that nothing smaller shows the fault is told, and no error */
export async function writeBisected(voice: Voice, folder: string, { map, target, placed }: ToBisect): Promise<void> {
  try {
    if (!map || !placed) throw new ModelError('unsupported', 'where the fault begins is not known: no layer that both sides show differs');
    const { bisect } = await import('../bisect.js');
    const { files, command, layers, note } = await bisect(map, target, placed);
    await mkdir(folder, { recursive: true });
    const sink = await fileSink(join(folder, 'written.onnx'));
    try {
      for (const [name, bytes] of files) {
        const file = await sink.create(name);
        await file.write(bytes);
        await file.close();
      }
      await sink.commit();
    } catch (error) {
      await sink.abort();
      throw error;
    }
    const shown = command.map((word) => (files.has(word) ? join(folder, word) : word)).join(' ');
    voice.tell(safeText(`bisect   ${[...files.keys()].map((name) => join(folder, name)).join(', ')}: ${layers.left} of ${layers.of} layers`));
    if (note !== null) voice.tell(`         ${note}`);
    voice.tell(safeText(`         weighbridge verify ${shown}`));
  } catch (error) {
    if (!isModelError(error) || error.kind !== 'unsupported') throw error;
    voice.tell(safeText(`bisect   nothing was written: ${error.message}`));
  }
}
