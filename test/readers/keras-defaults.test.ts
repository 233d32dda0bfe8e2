/**
 * What every layer class of Keras 3.15 says of itself where nothing is asked for (`test/fixtures/keras-settings`): each setting is known at its
 * default, and a planted one is named; a class that is not read is refused by its name.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ModelError } from '../../src/errors.js';
import { parseModelConfig } from '../../src/readers/keras/config.js';
import { ConfigView } from '../../src/readers/keras/config-view.js';
import { isOperation, readOperation } from '../../src/readers/keras/operations/index.js';
import { declineClass, LAYER_CLASSES, TRAINING_ONLY } from '../../src/readers/keras/rules.js';

interface Entry {
  readonly class_name: string;
  readonly module: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const written = JSON.parse(readFileSync(new URL('../fixtures/keras-settings/layers.json', import.meta.url), 'utf8')) as Record<string, Entry>;
const TENSOR = { class_name: '__keras_tensor__', config: { shape: [null, 4, 4, 2], dtype: 'float32', keras_history: ['x', 0, 0] } };

/** The call of a layer of these settings; HDF5 files say no module. */
function callOf({ class_name, module, config }: Partial<Entry>, planted: object = {}) {
  const input = { class_name: 'InputLayer', config: { name: 'x', batch_shape: [null, 4, 4, 2] }, name: 'x', inbound_nodes: [] };
  const args = /^(Additive)?Attention$/.test(class_name!) ? [[TENSOR, TENSOR]] : class_name!.endsWith('Attention') ? [TENSOR, TENSOR] : [TENSOR];
  const layer = {
    class_name,
    module,
    registered_name: null,
    name: 'one',
    config: { name: 'one', ...config, ...planted },
    inbound_nodes: [{ args, kwargs: {} }],
  };
  const beside = {
    ...layer,
    class_name: 'Dense',
    name: 'beside',
    config: { name: 'beside', trainable: true, units: 2 },
    inbound_nodes: [{ args: [TENSOR], kwargs: {} }],
  };
  const net = { name: 'f', layers: [input, beside, layer], input_layers: [['x', 0, 0]], output_layers: [['one', 0, 0]] };
  return parseModelConfig(JSON.stringify({ class_name: 'Functional', config: net }), 'model.keras').calls.at(-1)!;
}

/** What stands in the way of a layer of these settings; null where its class is not read. */
function problems(entry: Entry, planted: object = {}): string[] | null {
  const call = callOf(entry, planted);
  const obstacles: ModelError[] = [];
  const view = new ConfigView(call.layer, { version: [3, 15], theano: false }, 'model.keras', obstacles);
  if (call.layer.model) return [...call.layer.unknown];
  const { className } = call.layer;
  if (isOperation(className)) readOperation(view, call);
  else if (LAYER_CLASSES.has(className)) LAYER_CLASSES.get(className)!.rule(view);
  else return null;
  view.finish();
  return obstacles.map(({ message }) => message);
}

const entries = Object.entries(written).filter(([name]) => name !== 'InputLayer');
const read = entries.filter(([, entry]) => problems(entry) !== null);

/** What they do comes before a net, or is in no file: `rules.ts` says so of each. */
const NOT_READ = [
  ...['AutoContrast', 'ContrastLimitedAdaptiveHistogramEqualization', 'Equalization', 'HashedCrossing', 'Hashing'],
  ...['IntegerLookup', 'MelSpectrogram', 'StringLookup', 'TextVectorization'],
];

it('each is the same class in HDF5 files, which tell no modules', () => {
  for (const [name, { module, ...entry }] of entries) expect(callOf(entry).layer.className, name).toBe(callOf({ module, ...entry }).layer.className);
});

it('all classes are read but those that work before a net, of which it is said why', () => {
  expect(entries.length).toBeGreaterThan(120);
  const left = entries.filter((entry) => !read.includes(entry)).map(([name]) => name);
  expect(left).toEqual(NOT_READ);
  expect(left.map(declineClass).filter((words) => words.includes('not known here'))).toEqual([]);
});

describe('every setting is known at its default, and a planted one is named', () => {
  it.each(read)('%s', (name, entry) => {
    expect(problems(entry)).toEqual([]);
    if (!TRAINING_ONLY.has(name)) expect(problems(entry, { planted: 3 })).toEqual([expect.stringContaining('planted')]);
  });
});
