/** Files whose JSON is small where it is stored, and large, wide, deep or many-fold where it is read. */
import { strToU8, zipSync } from 'fflate';
import { Hdf5Image, hardLink } from '../hdf5-image.js';
import type { CostlyFile } from './cost-hdf5.js';

const json = (value: unknown): Uint8Array => strToU8(typeof value === 'string' ? value : JSON.stringify(value));

/** A tree of weights without any. */
function emptyWeights(): Uint8Array {
  const image = new Hdf5Image();
  return image.bytes(image.object([hardLink('layers', image.object([])), hardLink('vars', image.object([]))]));
}

/** A `.keras` archive around a configuration. */
const keras = (config: unknown): Uint8Array =>
  zipSync({ 'metadata.json': json('{"keras_version":"3.0.0"}'), 'config.json': json(config), 'model.weights.h5': emptyWeights() }, { level: 9 });

const input = (shape: readonly (number | null)[] = [null, 4]) => ({
  class_name: 'InputLayer',
  name: 'i',
  config: { name: 'i', batch_shape: shape },
  inbound_nodes: [],
});
const tensor = (layer: string, node = 0) => ({
  class_name: '__keras_tensor__',
  config: { shape: [null, 4], dtype: 'float32', keras_history: [layer, node, 0] },
});
const layer = (className: string, name: string, args: readonly unknown[], config: object = {}) => ({
  class_name: className,
  name,
  config: { name, ...config },
  inbound_nodes: [{ args, kwargs: {} }],
});
const model = (layers: readonly object[], output: string) => ({
  class_name: 'Functional',
  config: { name: 'm', layers, input_layers: [['i', 0, 0]], output_layers: [[output, 0, 0]] },
});

const chain = (length: number) =>
  model([input(), ...Array.from({ length }, (_, i) => layer('ReLU', `r${i}`, [tensor(i === 0 ? 'i' : `r${i - 1}`)]))], `r${length - 1}`);

const relu = (activations: number) => ({
  class_name: 'Sequential',
  config: {
    name: 's',
    layers: [input(), ...Array.from({ length: activations }, (_, i) => ({ class_name: 'Activation', config: { name: `a${i}`, activation: 'relu' } }))],
  },
});

/** Models within models, each calling the next one twice. */
function doubledModels(levels: number): object {
  let inner: ReturnType<typeof model> = model([input(), layer('ReLU', 'r', [tensor('i')])], 'r');
  for (let i = 0; i < levels; i++) {
    const twice = {
      class_name: 'Functional',
      name: 'm',
      config: inner.config,
      inbound_nodes: [
        { args: [tensor('i')], kwargs: {} },
        { args: [tensor('m', 0)], kwargs: {} },
      ],
    };
    inner = model([input(), twice], 'm');
    inner.config.output_layers = [['m', 1, 0]];
  }
  return inner;
}

const lists = (text: string, count: number) => `[${Array.from({ length: count }, () => text).join()}]`;
const withArgs = (args: string) => JSON.stringify(model([input(), layer('Add', 'a', ['ARGS'])], 'a')).replace('["ARGS"]', () => args);

const tfjs = (paths: readonly string[], weights: readonly object[], topology: object = {}) =>
  json({
    format: 'layers-model',
    modelTopology: { model_config: { class_name: 'Sequential', config: { name: 's', layers: [] } }, ...topology },
    weightsManifest: [{ paths, weights }],
  });

const safetensors = (header: string): Uint8Array => {
  const text = strToU8(header);
  const bytes = new Uint8Array(8 + text.byteLength);
  bytes.set(new Uint8Array(BigUint64Array.of(BigInt(text.byteLength)).buffer));
  bytes.set(text, 8);
  return bytes;
};

export const JSON_FILES: Readonly<Record<string, CostlyFile>> = {
  'a call with 300,000 lists for its arguments': { name: 'x.keras', bytes: () => keras(withArgs(lists('[null]', 300_000))), says: /"a"/ },
  'a call with 300,000 lists in a list': { name: 'x.keras', bytes: () => keras(withArgs(`[${lists('[null]', 300_000)}]`)), says: /"a"/ },
  'a layer with 200,000 inputs': { name: 'x.keras', bytes: () => keras(withArgs(lists(JSON.stringify(tensor('i')), 100_000))), says: /"a"|values/ },
  'a layer that is called 100,000 times': {
    name: 'x.keras',
    bytes: () =>
      keras(
        JSON.stringify(model([input(), layer('ReLU', 'a', [])], 'a')).replace('[{"args":[],"kwargs":{}}]', () =>
          lists(`{"args":[${JSON.stringify(tensor('i'))}],"kwargs":{}}`, 100_000),
        ),
      ),
    says: /values|times|calls/,
  },
  'a chain of 19,000 layers': { name: 'x.keras', bytes: () => keras(chain(19_000)) },
  'a Sequential of 60,000 activations': { name: 'x.keras', bytes: () => keras(relu(60_000)), says: /times/ },
  'models within models that double': { name: 'x.keras', bytes: () => keras(doubledModels(28)), says: /times|calls/ },
  'a list of ten million values': { name: 'x.keras', bytes: () => keras(withArgs(lists('0', 10_000_000))), says: /values|inflate/ },
  'four million empty lists': { name: 'x.keras', bytes: () => keras(withArgs(lists('[]', 4_000_000))), says: /values/ },
  'brackets a million deep': { name: 'x.keras', bytes: () => keras(withArgs('['.repeat(1e6) + ']'.repeat(1e6))), says: /deep/ },
  'an unending text of quotes': { name: 'x.keras', bytes: () => keras(withArgs(`["${'\\"'.repeat(1e6)}`)), says: /JSON/ },
  'an upsampling by ten million': {
    name: 'x.keras',
    bytes: () => keras(model([input([null, 8, 8, 3]), layer('UpSampling2D', 'u', [tensor('i')], { size: [1e7, 1e7], interpolation: 'nearest' })], 'u')),
  },
  'a repetition of two thousand million': {
    name: 'x.keras',
    bytes: () => keras(model([input(), layer('RepeatVector', 'u', [tensor('i')], { n: 2147483647 })], 'u')),
  },
  'a padding of two thousand million': {
    name: 'x.keras',
    bytes: () =>
      keras(
        model(
          [
            input([null, 8, 8, 3]),
            layer('ZeroPadding2D', 'u', [tensor('i')], {
              padding: [
                [2147483647, 0],
                [0, 0],
              ],
            }),
          ],
          'u',
        ),
      ),
  },
  'an input of a thousand axes': { name: 'x.keras', bytes: () => keras(model([input(new Array(5000).fill(1)), layer('ReLU', 'u', [tensor('i')])], 'u')) },
  'a shard that is listed 100,000 times': { name: 'model.json', bytes: () => tfjs(new Array(100_000).fill('model.json'), []), says: /twice/ },
  'a manifest of 100,000 weights of nothing': {
    name: 'model.json',
    bytes: () =>
      tfjs(
        [],
        Array.from({ length: 100_000 }, (_, i) => ({ name: `w${i}`, shape: [0], dtype: 'float32' })),
      ),
    says: /belongs to no layer|topology|layers/,
  },
  'a weight of two million axes': {
    name: 'model.json',
    bytes: () => tfjs([], [{ name: 'w', shape: new Array(1_000_000).fill(1), dtype: 'float32' }]),
    says: /values/,
  },
  'a graph of 60,000 nodes': {
    name: 'model.json',
    bytes: () =>
      json({
        format: 'graph-model',
        modelTopology: {
          node: Array.from({ length: 60_000 }, (_, i) => (i === 0 ? { name: 'n0', op: 'Placeholder' } : { name: `n${i}`, op: 'Relu', input: [`n${i - 1}`] })),
        },
        weightsManifest: [],
      }),
  },
  'a header of 65,000 tensors of nothing': {
    name: 'x.safetensors',
    bytes: () => {
      // Called as families call their first convolution: each of these could be the first of a net.
      const names = Array.from({ length: 65_000 }, (_, i) => `net${i}.${['conv1', 'conv_stem', 'features.0.0.conv'][i % 3]}.weight`);
      return safetensors(JSON.stringify(Object.fromEntries(names.map((name) => [name, { dtype: 'F32', shape: [0], data_offsets: [0, 0] }]))));
    },
  },
  'a name of a million letters among 10,000 tensors': {
    name: 'x.safetensors',
    bytes: () => {
      const names = ['n'.repeat(1_000_000), ...Array.from({ length: 10_000 }, (_, i) => `t${i}`)];
      return safetensors(JSON.stringify(Object.fromEntries(names.map((name) => [name, { dtype: 'F32', shape: [0], data_offsets: [0, 0] }]))));
    },
  },
  'a header of three million lists': {
    name: 'x.safetensors',
    bytes: () => safetensors(`{"a":{"dtype":"F32","shape":${lists('[]', 3_000_000)}}}`),
    says: /values/,
  },
  'a tensor of a million axes': {
    name: 'x.safetensors',
    bytes: () => safetensors(`{"a":{"dtype":"F32","shape":[0,${'1,'.repeat(1_000_000)}1],"data_offsets":[0,0]}}`),
    says: /axes|dimensions/,
  },
};
