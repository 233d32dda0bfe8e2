/** What is kept of downloads stays within the limit, and what may be in use stays. */
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cachedFiles, cacheLimit, trimCache } from '../../src/node/remote/cache.js';
import { temporaryFolder } from './temporary-folder.js';

const HOUR = 3_600_000;
const NOW = Date.now();

/** Files of 100 bytes, each with its note, last used so many hours ago. */
function filled(hours: readonly number[]): string {
  const folder = temporaryFolder();
  for (const [i, ago] of hours.entries()) {
    mkdirSync(join(folder, `server${i}`));
    const path = join(folder, `server${i}`, 'model.h5');
    writeFileSync(path, new Uint8Array(100));
    writeFileSync(`${path}.weighbridge.json`, '{}');
    const at = new Date(NOW - ago * HOUR);
    utimesSync(path, at, at);
  }
  return folder;
}

it('those that were not used for longest go first, with what is known of them, and only as many as must', () => {
  const folder = filled([3, 9, 5, 0.1]);
  expect(cachedFiles(folder).map(({ path }) => path)).toEqual([1, 2, 0, 3].map((i) => join(folder, `server${i}`, 'model.h5')));
  expect(trimCache(250, folder, NOW)).toEqual([1, 2].map((i) => join(folder, `server${i}`, 'model.h5')));
  expect(readdirSync(join(folder, 'server1'))).toEqual([]);
  expect(readdirSync(join(folder, 'server0'))).toHaveLength(2);
});

it('what was used in the last hour stays, and what another process fetches', () => {
  const folder = filled([0.1, 9]);
  writeFileSync(join(folder, 'server1', 'model.h5.lock'), String(process.ppid));
  expect(trimCache(0, folder, NOW)).toEqual([]);
  writeFileSync(join(folder, 'server1', 'model.h5.lock'), '999999999');
  expect(trimCache(0, folder, NOW)).toEqual([join(folder, 'server1', 'model.h5')]);
  expect(existsSync(join(folder, 'server0', 'model.h5'))).toBe(true);
});

it('there is no limit unless one is set, and what is no size is told', () => {
  expect(cacheLimit({})).toBeNull();
  expect(cacheLimit({ WEIGHBRIDGE_CACHE_LIMIT: '1.5 gb' })).toBe(1.5e9);
  expect(cacheLimit({ WEIGHBRIDGE_CACHE_LIMIT: '500' })).toBe(500);
  expect(() => cacheLimit({ WEIGHBRIDGE_CACHE_LIMIT: 'much' })).toThrow('a size such as 20GB is expected');
  expect(cachedFiles(join(temporaryFolder(), 'none'))).toEqual([]);
});
