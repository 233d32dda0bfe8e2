/** What weights leave no trace of is told of every family, whole, and single layers are as the user has them. */
import { describe, expect, it } from 'vitest';
import { describeArchitecture, listArchitectures } from '../../src/architectures/index.js';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { collectAssumption } from '../../src/cli/options.js';
import { isModelError } from '../../src/errors.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { atOnce } from './at-once.js';
import { blank, shapesOf } from './blank.js';

const options = { file: 'model.pth', format: 'pytorch', producer: null };

function read(name: string, assume: Record<string, string> = {}): LayerMap {
  const { map, unknown } = atOnce(recogniseStateDict(blank(shapesOf(name)), { ...options, assume }));
  expect(unknown).toBeUndefined();
  return map!;
}
const layer = (map: LayerMap, name: string) => map.layers.find((one) => one.name === name)!;
const isUsage = expect.toSatisfy((error) => isModelError(error, 'usage'));

type Attributes = Readonly<Record<string, unknown>>;
const numbers = (attributes: Attributes, name: string) => (attributes[name] ?? []) as number[];
const differs = (attributes: Attributes, name: string, usual: number) => numbers(attributes, name).some((value) => value !== usual);

/** Operators that compute one thing only, or whose attributes follow from how values are wired. */
const WIRING = new Set(
  'Add Sub Mul Div Concat Flatten Reshape Transpose Slice Gemm MatMul Softmax LogSoftmax ReduceMean ReduceSum ReduceMax Sqrt PRelu Gather Erf Squeeze Unsqueeze Pow'.split(
    ' ',
  ),
);
/** What each kind of activation is made of. */
const ACTIVATIONS: Readonly<Record<string, RegExp>> = {
  Relu: /relu/,
  Clip: /relu6/,
  LeakyRelu: /leaky ReLUs multiply/,
  Sigmoid: /sigmoid|silu|quick-gelu/,
  HardSigmoid: /hard-/,
  Tanh: /tanh/,
};

/** Words that must be told of a layer; null where nobody knows whether there is something to tell. */
function toTell(op: string, attributes: Attributes, kernel: readonly number[]): readonly RegExp[] | null {
  if (WIRING.has(op)) return [];
  if (op === 'Clip' && attributes.max !== 6) return [];
  if (ACTIVATIONS[op]) return [ACTIVATIONS[op]];
  switch (op) {
    case 'Conv':
    case 'ConvTranspose': {
      const keeps = kernel.slice(2).map((size, i) => ((size - 1) * (numbers(attributes, 'dilations')[i] ?? 1)) / 2);
      const pads = numbers(attributes, 'pads');
      const isOdd = attributes.auto_pad === undefined && pads.some((pad, i) => pad !== keeps[i % 2]);
      return [
        ...(differs(attributes, 'strides', 1) ? [new RegExp(`strides of ${numbers(attributes, 'strides')[0]}`)] : []),
        ...(differs(attributes, 'dilations', 1) ? [new RegExp(`dilations of ${numbers(attributes, 'dilations')[0]}`)] : []),
        ...(isOdd || op === 'ConvTranspose' ? [new RegExp(`padding by ${new Set(pads).size === 1 ? pads[0] : pads.join(' x ')}`)] : []),
        ...(differs(attributes, 'output_padding', 0) ? [/more at the end/] : []),
      ];
    }
    case 'MaxPool':
    case 'AveragePool': {
      const by = `${op === 'MaxPool' ? 'max' : 'average'} pooling of ${numbers(attributes, 'kernel_shape').join(' x ')} by ${numbers(attributes, 'strides')[0]}`;
      return [new RegExp(by + (differs(attributes, 'pads', 0) ? ', padded' : '')), ...(attributes.ceil_mode ? [/rounding up/] : [])];
    }
    case 'GlobalAveragePool':
      return [/global average pooling/];
    case 'BatchNormalization':
      return [/batch normalisation adds/];
    case 'InstanceNormalization':
      return [/instance normalisation with an epsilon/];
    case 'GroupNormalization':
      return [/normalisation of groups of channels, or of all of them, adds/];
    case 'Resize':
      return [new RegExp(`enlarging by ${numbers(attributes, 'scales').at(-1)} \\(${attributes.mode ?? 'nearest'}`)];
    case 'Pad':
      return [/padding with (zeros|mode)/];
    case 'DepthToSpace':
      return [/pixels out of channels/];
    case 'SpaceToDepth':
      return [/channels out of pixels/];
    case 'LRN':
      return [/local response/];
    default:
      return null;
  }
}

describe('what weights leave no trace of', () => {
  it.each(listArchitectures().map(({ name, nets }) => [name, nets[0]!] as const))('is told of %s', (_, net) => {
    const { layers, assumed } = describeArchitecture(net);
    const told = assumed.join('\n');
    const untold = new Set<string>();
    for (const { op, attributes = {}, weights = {} } of layers) {
      const words = toTell(op, attributes, weights.kernel?.shape ?? []);
      if (words === null) untold.add(`${op}: not known here`);
      else for (const word of words) if (!word.test(told)) untold.add(`${op}: ${word}`);
      // A number of one's own is no weight.
      const operand = weights.operand as { shape: readonly number[]; name: string } | undefined;
      if (operand?.shape.length === 0 && operand.name.endsWith('.operand') && !/(multiplying by|adding|subtracting|dividing by) |gelu|adds/.test(told))
        untold.add(`${op}: its number`);
    }
    expect([...untold]).toEqual([]);
  });

  it('is no more than a few names of each kind', () => {
    const told = read('resnet50').architecture!.assumed[1]!;
    expect(told).toContain('strides of 2 (conv1, layer2.0.downsample.0, layer2.0.conv2 and 4 more)');
    expect(told).toContain('max pooling of 3 x 3 by 2, padded by 1 (bn1.maxpool)');
  });
});

describe('a single layer', () => {
  it('has the attributes that the user says, by its name or a pattern', () => {
    const map = read('resnet18', { 'layer4.*.strides': '1', 'layer4.1.conv1.dilations': '2', 'layer4.1.conv1.pads': '2' });
    expect(layer(map, 'layer4.0.conv1').attributes.strides).toEqual([1, 1]);
    expect(layer(map, 'layer4.0.downsample.0').attributes.strides).toEqual([1, 1]);
    expect(layer(map, 'layer4.1.conv1').attributes).toMatchObject({ dilations: [2, 2], pads: [2, 2, 2, 2] });
    expect(layer(map, 'layer3.0.conv1').attributes.strides).toEqual([2, 2]);
  });

  it('pools otherwise, or is left out', () => {
    const averaged = read('resnet18', { 'bn1.maxpool.op': 'AveragePool', 'bn1.maxpool.count_include_pad': '1' });
    expect(layer(averaged, 'bn1.maxpool')).toMatchObject({ op: 'AveragePool', attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 } });
    const without = read('resnet18', { 'bn1.maxpool.op': 'none', 'layer4.1.bn2.globalaveragepool.op': 'GlobalMaxPool' });
    expect(without.layers.map(({ op }) => op)).not.toContain('MaxPool');
    expect(without.layers.map(({ op }) => op)).toContain('GlobalMaxPool');
  });

  it('has another activation behind it', () => {
    const ops = read('resnet18', { 'layer1.*.activation': 'mish', 'layer2.0.bn1.activation': 'none' }).layers.map(({ op }) => op);
    expect(ops.filter((op) => op === 'Softplus').length).toBe(4);
    expect(ops.filter((op) => op === 'Relu').length).toBe(17 - 4 - 1);
  });

  it('has other epsilons, and other numbers', () => {
    const map = read('resnet18', { 'layer1.*.epsilon': '1e-3' });
    expect(new Set(map.layers.flatMap(({ op, attributes }) => (op === 'BatchNormalization' ? [attributes.epsilon] : [])))).toEqual(new Set([1e-5, 1e-3]));
    const vit = read('vit_b_16', { 'encoder.ln.epsilon.operand': '1e-3' });
    expect(layer(vit, 'encoder.ln.epsilon').weights.operand!.known).toEqual([1e-3]);
  });

  it('is refused where there is none of that name, or no such value', () => {
    for (const [name, value] of [
      ['layer9.0.conv1.strides', '1'],
      ['conv1.colour', 'red'],
      ['conv1.strides', 'wide'],
      ['bn1.maxpool.op', 'Swoosh'],
      ['conv1.op', 'Relu'],
      ['bn1.activation', 'swoosh'],
      ['conv1.auto_pad', 'WIDE'],
    ] as const)
      expect(() => read('resnet18', { [name]: value })).toThrow(isUsage);
  });

  it('and a kind of activations with a hyphen are named on the command line', () => {
    expect(collectAssumption('layer1.0.conv1.strides=1', collectAssumption('hard-swish=relu'))).toEqual({
      'hard-swish': 'relu',
      'layer1.0.conv1.strides': '1',
    });
  });
});
