/** `node scripts/compile.mjs program-1a2b3c4d.js inspect model.h5`: runs the built command, which begins with that file of the bundle, and keeps in dist/cli/compiled/ what V8 made of it (`src/cli/load.ts`). */
import { writeFileSync } from 'node:fs';
import { compiled, loadProgram } from '../dist/cli/load.js';

const [program] = process.argv.splice(2, 1);
process.argv.push('--quiet');
process.on('exit', (code) => {
  // V8 looks at the length and not at the bytes: of a machine that loses its power none may be missing.
  if (code === 0) for (const [path, data] of compiled()) writeFileSync(path, data, { flush: true });
});
await loadProgram(program).run();
