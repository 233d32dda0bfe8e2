/** Assembles src/model/kernels.wat into src/model/kernels.ts. Run it after changing the text; the result is committed. */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const text = new URL('../src/model/kernels.wat', import.meta.url);
const target = new URL('../src/model/kernels.ts', import.meta.url);

const { parseWat } = await wabt();
const module = parseWat('kernels.wat', readFileSync(text, 'utf8'), { simd: true });
module.validate();
const base64 = Buffer.from(module.toBinary({}).buffer).toString('base64');
const lines = base64.match(/.{1,140}/g).map((line) => `  '${line}'`);

writeFileSync(
  target,
  `/** Generated from kernels.wat by \`node scripts/build-kernels.mjs\`; change that file instead. */

/** The assembled WebAssembly module, in base64. */
export const KERNELS =
${lines.join(' +\n')};
`,
);
