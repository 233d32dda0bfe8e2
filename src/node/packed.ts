/**
 * Models that are packed for the wire: `model.onnx.gz`, `model.onnx.br`, a folder of such files. They are unpacked into a folder of their own,
 * as a stream, so that whatever reads them can read at any place; the folder is removed when the files are closed, and at the latest when the
 * process ends.
 */
import { createReadStream, createWriteStream, readdirSync, statSync } from 'node:fs';
import { copyFile, link, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import { temporaryFolder } from '../bytes/temporary.js';
import { ModelError } from '../errors.js';
import { errorText } from './file-source.js';

export interface Unpacked {
  /** Of what stands for the packed file or folder. */
  readonly path: string;
  /** The files that it was made of. */
  readonly from: readonly string[];
  remove(): void;
}

/** Archives of several files are another thing, which readers look into themselves. */
const PACKED = /(?<!\.tar)\.(gz|br)$/i;
const MANIFEST = 'model.json';
/** Files that are models by themselves. */
const WEIGHTS = /\.(onnx|h5|hdf5|keras|caffemodel|safetensors|npz|pth|pt|ckpt|tflite|pb)$/i;
/** Weights of few levels shrink to a tenth; what grows more than this is no model. */
const MAX_RATIO = 64;
const MAX_SMALL_BYTES = 2 ** 26;

/**
 * Null where there is nothing packed at `path`.
 *
 * @throws ModelError 'malformed' where a stream is damaged, 'unsafe' where it grows out of all proportion
 */
export async function unpacked(path: string): Promise<Unpacked | null> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory()) return packedFolder(path);
  if (!stats?.isFile() || !PACKED.test(path) || !(await isPacked(path))) return null;
  const main = basename(path).replace(PACKED, '');
  const stem = `${main.split('.')[0]}.`;
  // Of a TensorFlow.js model the weights have names of their own; beside a file with weights, another one is another model.
  const belongs = (name: string) => (name.startsWith(stem) && !(WEIGHTS.test(main) && WEIGHTS.test(name))) || (main.endsWith('.json') && name.endsWith('.bin'));
  return unpackInto(dirname(path), main, basename(path), belongs);
}

async function packedFolder(path: string): Promise<Unpacked | null> {
  const names = readdirSync(path);
  const manifest = names.find((name) => name.replace(PACKED, '') === MANIFEST);
  if (manifest === undefined || names.includes(MANIFEST)) return null;
  const { path: main, from, remove } = await unpackInto(path, MANIFEST, manifest, (name) => name.endsWith('.bin'));
  return { path: dirname(main), from, remove };
}

async function unpackInto(from: string, main: string, packedMain: string, belongs: (name: string) => boolean): Promise<Unpacked> {
  const { path: folder, remove } = temporaryFolder('unpacked')!;
  try {
    await unpackFile(join(from, packedMain), join(folder, main));
    const done = new Set([main]);
    const read = [join(from, packedMain)];
    // What lies there unpacked comes before what is packed.
    for (const name of readdirSync(from).sort()) {
      const plain = name.replace(PACKED, '');
      if (done.has(plain) || !belongs(plain) || !statSync(join(from, name)).isFile()) continue;
      done.add(plain);
      read.push(join(from, name));
      if (plain === name) await link(join(from, name), join(folder, name)).catch(() => copyFile(join(from, name), join(folder, name)));
      else await unpackFile(join(from, name), join(folder, plain));
    }
    return { path: join(folder, main), from: read, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** By its first bytes; brotli has none of its own. */
async function isPacked(path: string): Promise<boolean> {
  if (/br$/i.test(path)) return true;
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

async function unpackFile(from: string, to: string): Promise<void> {
  const most = MAX_SMALL_BYTES + MAX_RATIO * statSync(from).size;
  let byteLength = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _, done) {
      byteLength += chunk.length;
      done(
        byteLength > most ? new ModelError('unsafe', `unpacks to more than ${most} bytes, ${MAX_RATIO} times its size and more`, { file: from }) : null,
        chunk,
      );
    },
  });
  const unpack = /br$/i.test(from) ? createBrotliDecompress() : createGunzip();
  try {
    await pipeline(createReadStream(from), unpack, limit, createWriteStream(to));
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError('malformed', `does not unpack: ${errorText(error)}`, { file: from }, error);
  }
}
