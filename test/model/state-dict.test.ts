import { expect, it } from 'vitest';
import { stateDict } from '../../src/model/state-dict.js';
import { float32Tensor } from '../../src/model/tensor.js';

const dictOf = (...names: string[]) => stateDict(names.map((name) => float32Tensor(name, [1], [1], { file: 'x' })));
const namesOf = (...names: string[]) => {
  const { prefix, tensors } = dictOf(...names);
  return { prefix, names: [...tensors.keys()] };
};

it.each([
  ['module.', ['module.conv.weight', 'module.fc.weight']],
  ['_orig_mod.module.', ['_orig_mod.module.conv.weight', '_orig_mod.module.fc.weight']],
  ['model.', ['model.conv.weight', 'model.fc.weight']],
])('what a wrapper puts before all names is taken off: %s', (prefix, names) => {
  expect(namesOf(...names)).toEqual({ prefix, names: ['conv.weight', 'fc.weight'] });
});

it.each([
  ['the net itself calls it so', ['features.0.weight', 'features.2.weight']],
  ['one name does not have it', ['module.conv.weight', 'fc.weight']],
  ['nothing would be left of a name', ['module.weight', 'module.fc.weight']],
  ['it is only the beginning of a word', ['module.conv.weight', 'module2.fc.weight']],
])('names stay as they are where %s', (_, names) => {
  expect(namesOf(...names)).toEqual({ prefix: '', names });
});

it('wrappers are taken off, but not without end', () => {
  expect(namesOf(`${'model.'.repeat(100_000)}conv.weight`).prefix.length).toBeLessThan(100);
});
