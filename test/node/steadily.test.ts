/** Files that another program holds for a moment. */
import { expect, it, vi } from 'vitest';
import { steadily } from '../../src/node/steadily.js';

vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out');

const held = (code: string) => Object.assign(new Error(`${code}: operation not permitted`), { code });

/** Fails so often, and then does it. */
function heldFor(times: number, code: string) {
  let left = times;
  return vi.fn(() => {
    if (left-- > 0) throw held(code);
    return 'done';
  });
}

it.each(['EBUSY', 'EPERM', 'EACCES'])('on Windows what ends in %s is tried again', (code) => {
  const work = heldFor(3, code);
  expect(steadily(work, 'win32')).toBe('done');
  expect(work).toHaveBeenCalledTimes(4);
});

it('a program that does not let go is told of', () => {
  const work = heldFor(1000, 'EBUSY');
  expect(() => steadily(work, 'win32')).toThrow('EBUSY');
  expect(work).toHaveBeenCalledTimes(9);
});

it.each([
  ['ENOENT', 'win32'],
  ['EPERM', 'linux'],
] as const)('%s on %s means what it says', (code, platform) => {
  const work = heldFor(1, code);
  expect(() => steadily(work, platform)).toThrow(code);
  expect(work).toHaveBeenCalledTimes(1);
});
