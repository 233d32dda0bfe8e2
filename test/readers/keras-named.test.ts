/** Weights under Keras's names in other containers: which layer they are of, and in Keras's order. */
import { expect, it } from 'vitest';
import { float32Tensor } from '../../src/model/tensor.js';
import { kerasNamed } from '../../src/readers/keras-named.js';

const named = (...names: string[]) => kerasNamed(names.map((name) => float32Tensor(name, [1], [0], { file: '' })));

it('the variables of a layer are in their order, whatever that of the container', () => {
  const names = ['gamma', 'beta', 'moving_mean', 'moving_variance'].map((name) => `block1_norm/${name}:0`);
  const layers = named(...names.toSorted())!;
  expect(layers.map(({ name, tensors }) => [name, tensors.map((tensor) => tensor.name)])).toEqual([['block1_norm', names]]);
});

it.each([
  ['at the top', ['c1/kernel:0', 'c2/kernel:0'], ['c1', 'c2']],
  ['in a group of the same name, as in HDF5', ['c1/c1/kernel:0', 'c2/c2/kernel:0'], ['c1', 'c2']],
  ['within a model', ['vgg/c1/c1/kernel:0', 'vgg/c2/c2/kernel:0'], ['c1', 'c2']],
  ['one layer alone', ['c1/c1/kernel:0', 'c1/c1/bias:0'], ['c1']],
])('layers are called by their names %s', (_, names, layers) => {
  expect(named(...names)!.map(({ name }) => name)).toEqual(layers);
});

it.each([
  ['a variable that no layer of Keras has', ['a/kernel:0', 'a/table_of_its_own:0']],
  ['a name of PyTorch beside them', ['a/kernel:0', 'features.0.weight']],
  ['two layers of one name', ['a/a/kernel:0', 'a/kernel:0', 'b/kernel:0']],
])('%s makes no such net', (_, names) => {
  expect(named(...names)).toBeNull();
});
