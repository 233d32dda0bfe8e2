import { expect, it } from 'vitest';
import { stateDict, unwrap } from '../../src/model/state-dict.js';
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

it('any module that holds all tensors can be opened, but not without end', () => {
  expect([...unwrap(dictOf('vgg.features.0.weight', 'vgg.classifier.0.weight'))!.tensors.keys()]).toEqual(['features.0.weight', 'classifier.0.weight']);
  let levels = 0;
  for (let dict: ReturnType<typeof unwrap> = dictOf(`${'model.'.repeat(100_000)}conv.weight`); dict; dict = unwrap(dict)) levels++;
  expect(levels).toBeLessThan(20);
});
