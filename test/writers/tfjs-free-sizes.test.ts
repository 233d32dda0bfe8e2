/** A graph model works out sizes that are free when it runs. */
import { expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { legacyH5, sequential } from '../keras-files.js';
import { arrayOf, at, difference, random } from '../keras-run.js';
import { runTfjs } from '../run-tfjs.js';

test('a picture of any size is enlarged', async () => {
  const file = await legacyH5(sequential([null, null, null, 3], [['UpSampling2D', { size: [2, 3] }]]));
  const sink = memorySink();
  await convert(memoryFileSet({ 'model.h5': file }, 'model.h5'), sink, 'model.json', { to: 'tfjs-graph' });
  for (const [height, width] of [
    [2, 3],
    [4, 1],
  ] as const) {
    const x = random([2, height, width, 3]);
    const [made] = await runTfjs('tfjs-graph', sink.files, [x]);
    expect(
      difference(
        made!,
        arrayOf([2, 2 * height, 3 * width, 3], (n, h, w, c) => at(x, n, Math.floor(h / 2), Math.floor(w / 3), c)),
      ),
    ).toBe(0);
  }
});
