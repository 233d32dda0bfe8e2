import { expect, it } from 'vitest';
import { byteCount, formatLimit, formatTimes } from '../../src/report/numbers.js';

it.each([
  ['64KB', '64 KB (62.5 KiB)'],
  ['20 mb', '20 MB (19.1 MiB)'],
  ['1.25GB', '1.25 GB (1.2 GiB)'],
  ['64KiB', '64.0 KiB'],
  ['60MiB', '60.0 MiB'],
  ['123457', '120.6 KiB'],
])('a limit of %s is told as %s', (typed, told) => expect(formatLimit(byteCount(typed)!)).toBe(told));

it('how far below a limit is told to two digits, and no further than anybody wants to know', () => {
  expect([0.5, 84.4, 1234, 3.9e13].map(formatTimes)).toEqual(['0.5', '84', '1,200', 'over a million']);
});
