/** The part of compressing that is ours and zlib's: a file that lies there, packed beside itself. `node gzip-alone.mjs <file>` */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { compressWritten } from '../dist/node/compress.js';

const [path] = process.argv.slice(2);
await compressWritten(path, [{ name: basename(path), byteLength: statSync(path).size }], 'gzip', true);
