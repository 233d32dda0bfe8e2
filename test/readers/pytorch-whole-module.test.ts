/** Whole modules whose weights are of a published net: what their modules say of themselves must be what that net has. */
import { describe, expect, it } from 'vitest';
import { PickleGlobal, PickleObject } from '../../src/containers/pickle/values.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { checkModules } from '../../src/readers/pytorch/whole-module.js';
import { emptyMap, noise } from '../writers/onnx-cases.js';

const vector = (name: string) => float32Tensor(name, [2], [1, 1], { file: 'made here' });
const norm = { scale: vector('s'), bias: vector('b'), mean: vector('m'), variance: vector('v') };
const kernel = float32Tensor('k', [2, 3, 3, 3], noise(54), { file: 'made here' });
const map = {
  ...emptyMap,
  layers: [
    makeLayer({ name: 'conv1', op: 'Conv', inputs: ['x'], outputs: ['c'], weights: { kernel }, attributes: { strides: [2, 2], pads: [1, 1, 1, 1] } }),
    makeLayer({ name: 'bn1', op: 'BatchNormalization', inputs: ['c'], outputs: ['n'], weights: norm, attributes: { epsilon: 1e-5 } }),
    makeLayer({ name: 'relu', op: 'Relu', inputs: ['n'], outputs: ['r'] }),
    makeLayer({ name: 'pool', op: 'GlobalAveragePool', inputs: ['r'], outputs: ['y'] }),
  ],
};

function made(path: string, settings: Record<string, unknown> = {}): PickleObject {
  const at = path.lastIndexOf('.');
  const object = new PickleObject(new PickleGlobal(path.slice(0, at), path.slice(at + 1)), []);
  object.state = new Map([['training', false], ['_modules', new Map()], ...Object.entries(settings)] as [string, unknown][]);
  return object;
}

const conv = { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 1, padding_mode: 'zeros' };
const net = (changed: Record<string, PickleObject> = {}) => {
  const modules = {
    conv1: made('torch.nn.modules.conv.Conv2d', conv),
    bn1: made('torch.nn.modules.batchnorm.BatchNorm2d', { eps: 1e-5 }),
    relu: made('torch.nn.modules.activation.ReLU'),
    avgpool: made('torch.nn.modules.pooling.AvgPool2d'),
    ...changed,
  };
  return made('torchvision.models.resnet.ResNet', { _modules: new Map(Object.entries(modules)) });
};

describe('a whole module', () => {
  it("whose modules are the net's is read, and it is told that its wiring is taken for granted", () => {
    expect(checkModules(net(), map, 'm.pth')).toMatchObject([{ code: 'assumed', message: expect.stringContaining('a whole ResNet of PyTorch') }]);
  });

  it.each([
    ['another stride', { conv1: made('torch.nn.modules.conv.Conv2d', { ...conv, stride: [1, 1] }) }, '"conv1" has stride 1,1, the net 2,2'],
    ['no padding', { conv1: made('torch.nn.modules.conv.Conv2d', { ...conv, padding: [0, 0] }) }, '"conv1" has padding 0,0, the net 1,1'],
    ['edges that go round', { conv1: made('torch.nn.modules.conv.Conv2d', { ...conv, padding_mode: 'circular' }) }, '"conv1" has padding_mode circular'],
    ['another epsilon', { bn1: made('torch.nn.modules.batchnorm.BatchNorm2d', { eps: 0.01 }) }, '"bn1" has eps 0.01, the net 0.00001'],
    ['another activation', { relu: made('torch.nn.modules.activation.LeakyReLU') }, '"relu" is a LeakyReLU'],
    ['a pooling that the net has not', { more: made('torch.nn.modules.pooling.MaxPool2d') }, '"more" is a MaxPool2d'],
  ])('with %s is refused by name', (_, changed, words) => {
    expect(() => checkModules(net(changed), map, 'm.pth')).toThrowError(
      expect.objectContaining({ kind: 'unsupported', message: expect.stringContaining(words) }),
    );
  });

  it("is not held to settings of someone else's classes, which mean what they mean", () => {
    expect(checkModules(net({ conv1: made('timm.layers.conv2d_same.Conv2dSame', { ...conv, padding: [0, 0] }) }), map, 'm.pth')).toHaveLength(1);
  });
});
