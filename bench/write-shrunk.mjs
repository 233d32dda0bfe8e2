/** Writes a shrunk file and does not look at it: what `weighbridge shrink` does before it judges. `node write-shrunk.mjs <from> <to> <options as JSON>` */
import { compressWritten } from '../dist/node/compress.js';
import { convertOpened } from '../dist/node/convert-file.js';
import { openFiles } from '../dist/node/open-files.js';
import { planShrink } from '../dist/node/shrink-file.js';

const [from, to, given] = process.argv.slice(2);
const options = JSON.parse(given);
const { rewrite, ...planned } = await planShrink(to, options);
const source = await openFiles(from, options);
try {
  const { result } = await convertOpened(source, to, { ...options, ...planned, force: true, verify: false }, { rewrite: rewrite?.(() => {}) });
  if (options.compress) await compressWritten(to, result.files, options.compress, true);
} finally {
  await source.files.close();
}
