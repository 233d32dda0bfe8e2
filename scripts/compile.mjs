/** `node scripts/compile.mjs inspect model.h5`: runs the built command, and keeps in dist/cli/compiled/ what V8 made of it (`src/cli/load.ts`). */
import { writeFileSync } from 'node:fs';
import { compiled, loadProgram } from '../dist/cli/load.js';

process.argv.push('--quiet');
process.on('exit', (code) => {
  // V8 looks at the length and not at the bytes: of a machine that loses its power none may be missing.
  if (code === 0) for (const [path, data] of compiled()) writeFileSync(path, data, { flush: true });
});
await loadProgram(true).run();
