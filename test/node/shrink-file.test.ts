// @module-tag slow
/** `shrink` without a dtype makes a model of any target smaller, or says that it cannot. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { shrinkFile } from '../../src/node/index.js';
import { temporaryFolder } from './temporary-folder.js';

const H5 = fileURLToPath(new URL('../../demo/digits/digits.h5', import.meta.url));
const PARAMETERS = 53_126;

it.each(['a.keras', 'a.pth'])('to %s it writes float16, which its framework widens', async (output) => {
  const { target, report, totals } = await shrinkFile(H5, join(temporaryFolder(), output), { samples: 1 });
  expect([target.dtype, report!.verdict]).toEqual(['float16', 'match']);
  expect(totals.loaded).toEqual({ before: 4 * PARAMETERS, after: 4 * PARAMETERS });
  expect(report!.weights!.tensors.every(({ byteLengthAfter, count }) => byteLengthAfter === 2 * count)).toBe(true);
});

it('a rank and the names of the source are two wishes', async () => {
  await expect(shrinkFile(H5, join(temporaryFolder(), 'a.pth'), { rank: 24, names: 'source' })).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringMatching(/leave one out/),
  });
});

it('to Caffe, which has nothing narrower, it is refused', async () => {
  await expect(shrinkFile(H5, join(temporaryFolder(), 'a.caffemodel'))).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringMatching(/float32 or float64, and in nothing narrower/),
  });
});
