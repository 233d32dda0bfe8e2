/** The real `@tensorflow/tfjs-node`, where a user of this checkout has installed it (docs/engines.md tells how over pip's TensorFlow). */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tfjsNode } from '../../src/verify/engines/tfjs-node.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGolden } from '../golden.js';
import { openedFiles } from '../open-files.js';

const installed = (() => {
  try {
    return Boolean(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node/package.json'));
  } catch {
    return false;
  }
})();

describe(`TensorFlow itself${installed ? '' : ' (skipped: @tensorflow/tfjs-node is not installed)'}`, () => {
  test.skipIf(!installed)('predicts for the digits what Keras recorded', async () => {
    const { input, output } = await readGolden(join(DIGITS, 'keras.npz'));
    const session = await tfjsNode.open({ files: await openedFiles(join(DIGITS, 'digits.h5')), path: join(DIGITS, 'digits.h5') });
    const [found] = (await session.run(new Map([[session.inputs[0]!.name, input]]))).values();
    await session.close();
    expect(Math.max(...Array.from(output.data, (value, i) => Math.abs(value - Number(found!.data[i]))))).toBeLessThan(1e-6);
  });
});
