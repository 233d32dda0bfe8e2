// @module-tag slow
/** Keras's own nets from weights alone: a published one against the same net with its configuration, others against published counts. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Net } from '../../src/architectures/net.js';
import { buildNet, familyNamed, recogniseKeras } from '../../src/architectures/recognise.js';
import { blankStore, type OrderedLayer } from '../../src/architectures/store.js';
import type { NdArray } from '../../src/model/nd-array.js';
import { elementCount, type Tensor } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/file-set.js';
import { wireKerasWeights } from '../../src/readers/keras/wire.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { atOnce } from './at-once.js';
import { storedLayers } from './keras-stored.js';

const TRAINED = fileURLToPath(new URL('../../../shared/trained/mobilenetv2-waste/keras_model.h5', import.meta.url));
const options = { file: 'model.h5', format: 'keras-h5', producer: null };
/** Keras's order of a layer's weights. */
const ORDER = ['gamma', 'beta', 'moving_mean', 'moving_variance'];

const KERAS_NETS: readonly (readonly [name: string, parameters: number])[] = [
  ['vgg16', 138_357_544],
  ['vgg19', 143_667_240],
  ['resnet50', 25_636_712],
  ['resnet101', 44_707_176],
  ['resnet152', 60_419_944],
  ['resnet50v2', 25_613_800],
  ['resnet101v2', 44_675_560],
  ['resnet152v2', 60_380_648],
  ['xception', 22_910_480],
  ['densenet121', 8_062_504],
  ['densenet169', 14_307_880],
  ['densenet201', 20_242_984],
  ['mobilenet_1_0', 4_253_864],
  ['mobilenet_v2', 3_538_984],
  ['inception_v3', 23_851_784],
  ['efficientnet_b0', 5_330_571],
  ['efficientnet_b7', 66_658_687],
  ['efficientnet_v2_b0', 7_200_312],
  ['efficientnet_v2_b1', 8_212_124],
  ['efficientnet_v2_b2', 10_178_374],
  ['efficientnet_v2_b3', 14_467_622],
  ['efficientnet_v2_s', 21_612_360],
  ['efficientnet_v2_m', 54_431_388],
  ['efficientnet_v2_l', 119_027_848],
  ['convnext_tiny', 28_589_128],
  ['convnext_small', 50_223_688],
  ['convnext_base', 88_591_464],
  ['convnext_large', 197_767_336],
  ['convnext_xlarge', 350_196_968],
  ['mobilenet_v3_small', 2_554_968],
  ['mobilenet_v3_large', 5_507_432],
  ['nasnet_mobile', 5_326_716],
  ['nasnet_large', 88_949_818],
  ['inception_resnet_v2', 55_873_736],
];

describe.skipIf(!existsSync(TRAINED))(`a trained MobileNet v2${existsSync(TRAINED) ? '' : ' (skipped: no trained nets beside the project)'}`, () => {
  it('is recognised without its configuration, and makes the same features to the last bit', async () => {
    const files = await nodeFileSet(TRAINED);
    const model = await openModel(files, {});
    const layers = new Map<string, { name: string; tensors: OrderedLayer['tensors'][number][] }>();
    for (const { tensor } of model.tensors) {
      const [, own, weight] = /([^/]+)\/([^/]+?)(?::0)?$/.exec(tensor.name)!;
      if (own!.startsWith('dense_')) continue;
      const layer = layers.get(own!) ?? { name: own!, tensors: [] };
      layer.tensors.push(tensor);
      layer.tensors.sort((a, b) => place(a.name) - place(b.name));
      layers.set(own!, layer);
      expect(weight).toBeDefined();
    }
    const { map, unknown } = atOnce(recogniseKeras([...layers.values()], false, options));
    expect(unknown).toBeUndefined();
    expect(map!.architecture!.name).toContain('MobileNet v2');
    const input: NdArray = { shape: [1, 224, 224, 3], data: Float64Array.from({ length: 224 * 224 * 3 }, (_, i) => Math.sin(i * 0.7) * Math.cos(i * 0.013)) };
    const [features] = await runLayers(map!, [input], () => {});
    let pooled: NdArray | undefined;
    await runLayers(await model.map(), [input], (layer, value) => {
      if (/GlobalAveragePool|ReduceMean/.test(layer.op)) pooled = value;
    });
    const [, height, width, channels] = features!.shape as readonly [number, number, number, number];
    expect(pooled!.data.length).toBe(channels);
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let at = 0; at < height * width; at++) sum += Number(features!.data[at * channels + c]!);
      expect(sum / (height * width)).toBeCloseTo(Number(pooled!.data[c]!), 10);
    }
    await files.close();
  }, 60_000);
});

function place(name: string): number {
  return ORDER.findIndex((role) => name.includes(role));
}

function countedOn(name: string, first: number): string {
  return name.replace(/^(conv2d|batch_normalization)(?:_(\d+))?$/, (_, kind, count = '0') => `${kind}_${Number(count) + first}`);
}

describe('the nets of keras.applications', () => {
  /** Of these Keras says no exact count. */
  const more = [
    'mobilenet_v3_large_minimalistic',
    'mobilenet_v3_small_minimalistic',
    'resnet_rs_50',
    'resnet_rs_420',
    'regnetx002',
    'regnety120',
    'regnet_x_8gf',
  ];
  it.each([...KERAS_NETS.map(([name]) => name).filter((name) => !name.startsWith('vgg')), ...more])(
    '%s is recognised by the names of its layers and their weights',
    (name) => {
      const { map, unknown } = atOnce(recogniseKeras(storedLayers(name), false, options));
      expect(unknown).toBeUndefined();
      expect(map!.architecture!.name).toContain(`(${name})`);
      // The dense layer of RegNet is made without the activation that is asked for.
      expect(map!.layers.at(-1)!.op).toBe(name.startsWith('regnet') ? 'Gemm' : 'Softmax');
      expect(map!.inputs[0]!.layout).toBe('nhwc');
    },
  );

  it('RegNet says that it ends in logits, and may be told otherwise', () => {
    const layers = storedLayers('regnetx002');
    expect(atOnce(recogniseKeras(layers, false, options)).map!.architecture!.assumed.join()).toContain('--assume end=');
    expect(atOnce(recogniseKeras(layers, false, { ...options, assume: { end: 'softmax' } })).map!.layers.at(-1)!.op).toBe('Softmax');
  });

  it('are found inside a model that keeps them in one list, as ConvNeXt keeps its stem', async () => {
    const layers = storedLayers('convnext_tiny');
    const [stem, norm, ...rest] = layers as [OrderedLayer, OrderedLayer, ...OrderedLayer[]];
    const named = (group: string, { name, tensors }: OrderedLayer) => tensors.map((tensor, i) => ({ ...tensor, name: `${group}/${name}/weight_${i}:0` }));
    const inOneGroup = [
      { layer: 'mine_stem', tensors: [...named('mine_stem', stem), ...named('mine_stem', norm)] },
      ...rest.map((layer) => ({ layer: layer.name, tensors: named(layer.name, layer) })),
    ];
    expect((await wireKerasWeights(inOneGroup, false, { ...options, options: {} })).architecture!.name).toContain('(convnext_tiny)');
    const nested = [{ layer: 'base', tensors: layers.flatMap((layer) => named('base/base', layer)) }];
    expect((await wireKerasWeights(nested, false, { ...options, options: {} })).architecture!.name).toContain('(convnext_tiny)');
  });

  describe("with a head of one's own", () => {
    const tensor = (...shape: number[]): Tensor => blankStore('keras').takeParameter('weight', shape)!;
    const dense = (name: string, rows: number, columns: number): OrderedLayer => ({ name, tensors: [tensor(rows, columns), tensor(columns)] });
    const base = storedLayers('mobilenet_v2').slice(0, -1);
    const recognised = (head: readonly OrderedLayer[], more: object = {}) => atOnce(recogniseKeras([...base, ...head], false, { ...options, ...more }));
    const end = (head: readonly OrderedLayer[], more: object = {}) => {
      const { map, unknown } = recognised(head, more);
      expect(unknown).toBeUndefined();
      return { ops: map!.layers.slice(map!.layers.findIndex(({ name }) => name === 'Conv_1_bn') + 2).map(({ op }) => op), map: map! };
    };

    it('of several layers behind pooled features', () => {
      const statistics = { name: 'batch_normalization_7', tensors: [tensor(64), tensor(64), tensor(64), tensor(64)] };
      const { ops, map } = end([dense('dense_2', 1280, 64), statistics, dense('dense_3', 64, 3)]);
      expect(ops).toEqual(['GlobalAveragePool', 'Flatten', 'Gemm', 'Relu', 'BatchNormalization', 'Gemm', 'Softmax']);
      expect(map.outputs[0]!.shape).toEqual(['N', 3]);
      expect(map.architecture!.assumed.join()).toContain('head_activation');
      expect(end([dense('dense', 1280, 64), dense('dense_1', 64, 3)], { assume: { head_activation: 'tanh', head_pooling: 'max' } }).ops).toEqual([
        'GlobalMaxPool',
        'Flatten',
        'Gemm',
        'Tanh',
        'Gemm',
        'Softmax',
      ]);
    });

    it('over all places of the features, with one output', () => {
      const { ops, map } = end([dense('top', 7 * 7 * 1280, 1)]);
      expect(ops).toEqual(['Flatten', 'Gemm', 'Sigmoid']);
      expect(map.layers.at(-2)!.weights.kernel!.shape).toEqual([1, 7 * 7 * 1280]);
    });

    it('is none where it does not fit, and then it is said what is left over', () => {
      expect(recognised([dense('dense', 1281, 3)]).unknown).toContain('2 tensors are none of its own');
      expect(() => recognised([dense('dense', 1280, 64), dense('dense_1', 64, 3)], { assume: { head_activation: 'planted' } })).toThrow(
        'head_activation=planted',
      );
    });
  });

  it('are found however a session had counted their layers', () => {
    const later = storedLayers('inception_v3').map((layer) => ({ ...layer, name: countedOn(layer.name, 94) }));
    const { map } = atOnce(recogniseKeras(later, false, options));
    expect(map!.architecture!.name).toContain('(inception_v3)');
    expect(map!.layers.find(({ op }) => op === 'Conv')!.name).toBe('conv2d_94');
  });

  it('without their top give the picture, its means, or its largest, as the user says', () => {
    const topless = storedLayers('inception_v3').filter(({ name }) => name !== 'predictions');
    const end = (assume: Record<string, string>) => atOnce(recogniseKeras(topless, false, { ...options, assume })).map!;
    expect(end({}).outputs[0]!.shape).toEqual(['N', 8, 8, 2048]);
    expect(end({ features: 'mean' }).outputs[0]!.shape).toEqual(['N', 2048]);
    expect(
      end({ features: 'max' })
        .layers.map(({ op }) => op)
        .slice(-2),
    ).toEqual(['GlobalMaxPool', 'Flatten']);
  });

  // https://keras.io/api/applications/ and the summaries that Keras prints, statistics included.
  it.each(KERAS_NETS)('%s has as many parameters as Keras says', (name, parameters) => {
    const { family, size } = familyNamed(name)!;
    const map = buildNet(family, size, new Net(blankStore('keras')), options);
    // Keras's Inception has normalisations without scale; its EfficientNet counts the pictures that its statistics were made of.
    const isLeftOut = (role: string) => name.startsWith('inception') && role === 'scale';
    const constant = /^(add|mul|sub|div)\.operand$|rescaling|^imagenet/;
    const weights = map.layers.flatMap((layer) =>
      Object.entries(layer.weights).filter(([role, { name: tensor }]) => !isLeftOut(role) && !constant.test(tensor)),
    );
    const count = weights.reduce((sum, [, { shape }]) => sum + elementCount(shape), 0);
    expect(count + (name.startsWith('efficientnet_b') ? 1 : 0)).toBe(parameters);
  });
});
