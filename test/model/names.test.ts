/** Unique names: the lowest free number, however many ask, and what is given back is given again. */
import { expect, it } from 'vitest';
import { Names } from '../../src/model/names.js';

it('the first gets the name, the next ones numbers that nobody has', () => {
  const names = new Names(2);
  names.add('relu_3');
  expect(['relu', 'relu', 'relu', 'conv', 'relu'].map((wanted) => names.take(wanted))).toEqual(['relu', 'relu_2', 'relu_4', 'conv', 'relu_5']);
});

it('what is given back is the next to be given', () => {
  const names = new Names(2);
  for (let i = 0; i < 3; i++) names.take('add');
  names.release('add', 'add_3');
  expect(names.take('add')).toBe('add_3');
  names.release('add', 'add_2');
  expect([names.take('add'), names.take('add')]).toEqual(['add_2', 'add_4']);
  names.release('add', 'add');
  expect(names.take('add')).toBe('add');
});

it('a hundred thousand who ask for one name are served one after another, not by looking through all names for each', () => {
  const names = new Names(2);
  for (let i = 1; i < 100_000; i++) names.take('relu');
  expect(names.take('relu')).toBe('relu_100000');
});
