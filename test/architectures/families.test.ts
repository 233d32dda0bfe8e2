// @module-tag slow
/** Small nets of every family: recognised from their weights alone, they predict what the original framework recorded. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { families } from '../../src/architectures/list.js';
import { readNpyFile } from '../corpus.js';
import { ARCHITECTURE_CASES as ALL_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

/** Nets of one's own have a test of their own. */
const ARCHITECTURE_CASES = ALL_CASES.filter(({ title }) => !title.includes('/own-'));
/** Of the output's largest value; recorded in float64, so that only our own float32 is in it. */
const LIMIT = 5e-5;

describe('nets from weights alone', () => {
  const seen = new Set<string>();
  let tried = 0;
  it.each(ARCHITECTURE_CASES)('$title predicts what was recorded', async ({ folder }) => {
    const { files, options } = openDialect(folder);
    const { bytes, result } = await convertInMemory(files, options);
    const outputs = await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))]);
    // Of several outputs, the others are recorded by their names.
    for (const [i, [name, actual]] of [...outputs].entries()) {
      const expected = await readNpyFile(join(folder, i === 0 ? 'output.npy' : `${name}.npy`));
      expect(actual.shape).toEqual(expected.shape);
      const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const worst = expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual.data[i]!)), 0);
      expect(worst / scale).toBeLessThan(LIMIT);
    }
    expect(result.map!.architecture!.assumed.length).toBeGreaterThan(0);
    tried++;
    seen.add(result.map!.name);
  });

  it('has a net of every family', ({ skip }) => {
    if (tried < ARCHITECTURE_CASES.length) skip('not all of them were tried');
    expect([...seen].sort()).toEqual(families.map(({ name }) => name).sort());
  });
});
