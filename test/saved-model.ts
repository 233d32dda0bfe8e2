/** A SavedModel that TensorFlow wrote, as the folder that it is. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySource } from '../src/bytes/byte-source.js';
import { readNpz } from '../src/containers/npy.js';
import { tensorBytes } from '../src/model/tensor.js';

const KEPT = fileURLToPath(new URL('./fixtures/tensorflow-real/saved.npz', import.meta.url));
const PREFIX = 'functions/file ';

export async function writeSavedModel(folder: string): Promise<void> {
  for (const [key, tensor] of await readNpz(memorySource(readFileSync(KEPT), KEPT))) {
    if (!key.startsWith(PREFIX)) continue;
    const path = join(folder, key.slice(PREFIX.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await tensorBytes(tensor));
  }
}
