/** What no `.gz` can be made sooner than: zlib's Huffman codes for a file's blocks, on all cores, which nobody keeps. `node zlib-alone.mjs <file>` */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { constants, deflateRaw } from 'node:zlib';

const BLOCK_BYTES = 2 ** 22;
const deflate = promisify(deflateRaw);
const bytes = readFileSync(process.argv[2]);
let next = 0;
const work = async () => {
  while (next < bytes.length) {
    const start = next;
    next += BLOCK_BYTES;
    await deflate(bytes.subarray(start, start + BLOCK_BYTES), { strategy: constants.Z_HUFFMAN_ONLY, memLevel: 9, chunkSize: BLOCK_BYTES });
  }
};
await Promise.all(Array.from({ length: availableParallelism() }, work));
