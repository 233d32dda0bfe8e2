import { expect, test } from 'vitest';
import { clipped, listed } from '../src/words.js';

test('a list names the first, and counts the rest', () => {
  expect(listed([])).toBe('');
  expect(listed(['a', 'b'])).toBe('a, b');
  expect(listed(new Set(['a', 'b', 'c', 'd']), 2)).toBe('a, b and 2 more');
});

test('a long name is cut, alone and in a list', () => {
  const long = 'x'.repeat(500);
  expect(clipped(long)).toBe(`${'x'.repeat(120)}...`);
  expect(listed(['a', long], 2)).toBe(`a, ${'x'.repeat(120)}...`);
});
