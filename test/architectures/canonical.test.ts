// @module-tag slow
/** The same net has the same canonical names, whoever names its layers and whatever its file is. */
import { describe, expect, it } from 'vitest';
import { withCanonicalNames } from '../../src/architectures/canonical.js';
import { Net } from '../../src/architectures/net.js';
import { buildNet, familyNamed } from '../../src/architectures/recognise.js';
import { blankStore } from '../../src/architectures/store.js';
import type { LayerMap } from '../../src/model/layer-map.js';

const options = { file: 'net', format: 'made', producer: null };

/** A published net under the names of one of its spellings, as a reader gives a net that came with its wiring. */
function readAs(name: string, spell: (path: string) => string | null, ecosystem: 'keras' | 'torchvision' | 'caffe' = 'torchvision'): LayerMap {
  const { family, size } = familyNamed(name)!;
  const blank = blankStore(ecosystem === 'caffe' ? 'torchvision' : ecosystem);
  // Whoever has one dense layer for a head calls it by the head's own name.
  const spelt = (path: string) => (spell(path) ?? spell(path.replace(/\.\d$/, '')) ?? path).split('|')[0]!;
  const map = buildNet(family, size, new Net({ ...blank, sourceName: spelt }), options);
  return { ...map, architecture: null, layers: map.layers.map(({ canonicalName: _, ...layer }) => layer) };
}

/** Layers with weights that are the net's own, by canonical name and role. */
function keys(map: LayerMap): string[] {
  const known = map.layers.filter(({ canonicalName }) => canonicalName !== undefined);
  return known.flatMap(({ canonicalName, weights }) => Object.keys(weights).map((role) => `${canonicalName}.${role}`));
}

describe.each(['resnet50', 'resnet101', 'densenet121', 'mobilenet_v2', 'mobilenet_1_0', 'efficientnet_b0', 'regnet_y_400mf'])('%s', (name) => {
  const { family } = familyNamed(name)!;
  const own = family.spellings.some(({ ecosystem }) => ecosystem === 'torchvision') ? 'torchvision' : 'keras';
  const spellings = family.spellings.filter(({ spell }) => spell(family.stem) !== null);

  it('has canonical names under each of its spellings, and they are the same', () => {
    const found = new Map<string, string[]>();
    for (const { ecosystem, spell } of spellings) {
      const map = withCanonicalNames(readAs(name, spell, ecosystem === 'keras' ? 'keras' : ecosystem === 'caffe' ? 'caffe' : own));
      const names = keys(map).filter((key) => /\.kernel$/.test(key));
      if (names.length > 0) found.set(`${ecosystem} ${spell(family.stem)}`, names);
    }
    expect([...found.keys()].length, [...found.keys()].join()).toBeGreaterThan(1);
    const [first, ...others] = [...found.values()];
    expect(first!.length).toBeGreaterThan(20);
    for (const names of others) expect(names.toSorted()).toEqual(first!.toSorted());
  });
});

it('the names of the authors and of Keras are one for ResNet', () => {
  const [keras, caffe] = ['keras', 'caffe'].map((ecosystem) => {
    const { spell } = familyNamed('resnet50')!.family.spellings.find((spelling) => spelling.ecosystem === ecosystem)!;
    return withCanonicalNames(readAs('resnet50', spell, ecosystem as 'keras' | 'caffe'));
  });
  const of = (map: LayerMap, layer: string) => map.layers.find(({ name }) => name === layer)!.canonicalName;
  expect([of(keras!, 'conv2_block1_1_conv'), of(keras!, 'conv1_conv')]).toEqual(['res2a_branch2a', 'conv1']);
  expect([of(caffe!, 'res2a_branch2a'), of(caffe!, 'conv1')]).toEqual(['res2a_branch2a', 'conv1']);
});

it('a net that is only like one keeps its names', () => {
  const map = readAs('resnet18', (path) => path);
  const without = { ...map, layers: map.layers.filter(({ name }) => name !== 'layer2.0.conv2') };
  expect(withCanonicalNames(without)).toBe(without);
  const more = { ...map, layers: [...map.layers, { ...map.layers[0]!, name: 'another' }] };
  expect(withCanonicalNames(more)).toBe(more);
});
