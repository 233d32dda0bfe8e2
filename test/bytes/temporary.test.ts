import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../src/bytes/temporary.js';

it('a temporary folder of a process that was killed goes with the next that is made; others stay', () => {
  const first = temporaryFolder('test')!;
  const { pid: ended } = spawnSync(process.execPath, ['--version']);
  const own = `-${process.pid}-`;
  expect(first.path).toContain(own);
  const left = first.path.replace(own, `-${ended}-`);
  // Of another machine or container, where the number may be of a process that runs.
  const foreign = left.replace(/test-\w+/, 'test-elsewhere');
  const named = left.replace('-test-', '-');
  for (const path of [left, foreign, named]) mkdirSync(path);
  writeFileSync(`${left}/weights.bin`, 'x');
  const second = temporaryFolder('test')!;
  expect([left, foreign, named, first.path, second.path].map((path) => existsSync(path))).toEqual([false, true, true, true, true]);
  for (const path of [foreign, named]) rmSync(path, { recursive: true });
  for (const folder of [first, second]) folder.remove();
  expect(existsSync(first.path)).toBe(false);
});
