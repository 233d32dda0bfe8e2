/** Writes a shrunk file and does not look at it: what `weighbridge shrink` does before it judges. `node write-shrunk.mjs <from> <to> <options as JSON>` */
import { convertWhole } from '../dist/node/convert-file.js';
import { openFiles } from '../dist/node/open-files.js';
import { planShrink } from '../dist/node/shrink-file.js';

const [from, to, given] = process.argv.slice(2);
const options = JSON.parse(given);
const { rewrite, ...planned } = await planShrink(to, options);
const source = await openFiles(from, options);
try {
  await convertWhole(source, to, { ...options, ...planned, force: true, verify: false }, { rewrite: rewrite?.(() => {}) });
} finally {
  await source.files.close();
}
