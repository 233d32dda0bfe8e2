/** TorchScript files: the attributes of a module are typed lists and dictionaries, and tensors may lie in them. */
import { strToU8, zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';

const latin1 = (characters: string) => Uint8Array.from(characters, (character) => character.charCodeAt(0));
const unicode = (word: string) => `X${String.fromCharCode(word.length, 0, 0, 0)}${word}`;
const jit = (name: string, argument: string) => `ctorch.jit._pickle\n${name}\n${argument}\x85R`;
/** torch._utils._rebuild_tensor_v2 over two floats of a storage. */
const tensor = (key: string) =>
  `ctorch._utils\n_rebuild_tensor_v2\n((${unicode('storage')}ctorch\nFloatStorage\n${unicode(key)}${unicode('cpu')}K\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR`;

const attributes: Readonly<Record<string, string>> = {
  sizes: jit('build_intlist', '](K\x01K\x02e'),
  scales: jit('build_doublelist', '](G?\xf0\x00\x00\x00\x00\x00\x00e'),
  flags: jit('build_boollist', '](\x88e'),
  anchors: jit('build_tensorlist', `](${tensor('1')}${tensor('2')}e`),
  names: `ctorch.jit._pickle\nrestore_type_tag\n}(${unicode('a')}K\x01u${unicode('Dict[str, int]')}\x86R`,
  weight: tensor('0'),
};

it('lists of numbers and tensors, and typed dictionaries, can be inspected', async () => {
  const state = Object.entries(attributes).map(([name, value]) => unicode(name) + value);
  const pickle = `\x80\x02c__torch__\nNet\n)\x81}(${state.join('')}ub.`;
  const storage = new Uint8Array(Float32Array.of(1, 2).buffer);
  const files = memoryFileSet(
    {
      'net.pt': zipSync(
        {
          'net/data.pkl': latin1(pickle),
          'net/constants.pkl': latin1('\x80\x02).'),
          'net/code/__torch__.py': strToU8(''),
          'net/version': strToU8('3\n'),
          ...Object.fromEntries(['0', '1', '2'].map((key) => [`net/data/${key}`, storage])),
        },
        { level: 0 },
      ),
    },
    'net.pt',
  );
  const { tensors, details } = await openModel(files);
  expect(details.container).toBe('TorchScript zip');
  expect(tensors.map(({ tensor: { name, shape } }) => [name, shape])).toEqual([
    ['anchors.0', [2]],
    ['anchors.1', [2]],
    ['weight', [2]],
  ]);
});
