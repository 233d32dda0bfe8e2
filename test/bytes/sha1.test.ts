import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { sha1Of } from '../../src/bytes/sha1.js';

it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 2 ** 20, 2 ** 20 + 57])('is what Node makes of %i bytes', async (count) => {
  const bytes = Uint8Array.from({ length: count }, (_, i) => (i * 7919) % 251);
  expect(await sha1Of(memorySource(bytes, 'made'))).toBe(createHash('sha1').update(bytes).digest('hex'));
});
