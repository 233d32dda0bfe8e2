/** Assembles WebAssembly texts into modules of the same name. Run it after changing one; the results are committed. */
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const { parseWat } = await wabt();

for (const [room, name, constant] of [
  ['model', 'kernels', 'KERNELS'],
  ['model', 'product-kernels', 'PRODUCT_KERNELS'],
  ['shrink', 'feedback-kernels', 'FEEDBACK_KERNELS'],
]) {
  const module = parseWat(`${name}.wat`, readFileSync(new URL(`../src/${room}/${name}.wat`, import.meta.url), 'utf8'), { simd: true, bulk_memory: true });
  module.validate();
  const base64 = Buffer.from(module.toBinary({}).buffer).toString('base64');
  const lines = base64.match(/.{1,140}/g).map((line) => `  '${line}'`);
  writeFileSync(
    new URL(`../src/${room}/${name}.ts`, import.meta.url),
    `/** Generated from ${name}.wat by \`node scripts/build-kernels.mjs\`; change that file instead. */

/** The assembled WebAssembly module, in base64. */
export const ${constant} =
${lines.join(' +\n')};
`,
  );
}
