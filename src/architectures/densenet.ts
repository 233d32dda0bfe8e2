/** DenseNet-BC: Huang et al., "Densely Connected Convolutional Networks", 2016, table 1. */
import { FEATURES_ALONE, family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  /** Layers of each dense block. */
  readonly depths: readonly number[];
  /** Channels that a layer adds. */
  readonly growth: number;
  readonly stem: number;
}

/** 1 x 1 convolutions make four times the growth. */
const BOTTLENECK = 4;

const KERAS = {
  'features.norm0': 'conv1/bn|conv1_bn',
  'features.conv0': 'conv1/conv|conv1_conv',
  'features.denseblock{i}.denselayer{j}.norm1': 'conv{i+1}_block{j}_0_bn',
  'features.denseblock{i}.denselayer{j}.conv1': 'conv{i+1}_block{j}_1_conv',
  'features.denseblock{i}.denselayer{j}.norm2': 'conv{i+1}_block{j}_1_bn',
  'features.denseblock{i}.denselayer{j}.conv2': 'conv{i+1}_block{j}_2_conv',
  'features.transition{i}.norm': 'pool{i+1}_bn',
  'features.transition{i}.conv': 'pool{i+1}_conv',
  'features.norm5': 'bn',
  classifier: 'predictions|fc1000',
};

const BARE_END = "behind the list of features stands {} (none, or relu, which is in the net's own code and no module of it)";

export const densenet = family<Size>({
  name: 'densenet',
  title: 'DenseNet',
  source: 'Huang et al., 2016, https://arxiv.org/abs/1608.06993, table 1',
  sizes: {
    densenet121: { depths: [6, 12, 24, 16], growth: 32, stem: 64 },
    densenet161: { depths: [6, 12, 36, 24], growth: 48, stem: 96 },
    densenet169: { depths: [6, 12, 32, 32], growth: 32, stem: 64 },
    densenet201: { depths: [6, 12, 48, 32], growth: 32, stem: 64 },
  },
  stem: 'features.conv0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    FEATURES_ALONE,
    // torchvision's own files, which are older than its names.
    {
      ecosystem: 'torchvision',
      spell: spelling({
        'features.denseblock{i}.denselayer{j}.norm{k}': 'features.denseblock{i}.denselayer{j}.norm.{k}',
        'features.denseblock{i}.denselayer{j}.conv{k}': 'features.denseblock{i}.denselayer{j}.conv.{k}',
        '{*}': '{*}',
      }),
    },
    { ecosystem: 'keras', spell: spelling(KERAS) },
    // shicai's models for Caffe.
    {
      ecosystem: 'caffe',
      spell: spelling({
        'features.conv0': 'conv1',
        'features.norm0': 'conv1/bn',
        'features.denseblock{i}.denselayer{j}.norm{k}': 'conv{i+1}_{j}/x{k}/bn',
        'features.denseblock{i}.denselayer{j}.conv{k}': 'conv{i+1}_{j}/x{k}',
        'features.transition{i}.norm': 'conv{i+1}_blk/bn',
        'features.transition{i}.conv': 'conv{i+1}_blk',
        'features.norm5': 'conv5_blk/bn',
        classifier: 'fc6',
      }),
    },
  ],

  measure(names) {
    const [stem] = names.shape('features.conv0');
    const [growth] = names.shape('features.denseblock1.denselayer1.conv2');
    if (!stem || !growth) return null;
    const blocks = names.count('features.denseblock{n}.denselayer1.conv1', 1);
    return { depths: Array.from({ length: blocks }, (_, i) => names.count(`features.denseblock${i + 1}.denselayer{n}.conv1`, 1)), growth, stem };
  },

  build(net, input, { depths, growth, stem }) {
    const epsilon = net.ecosystem === 'keras' ? 1.001e-5 : 1e-5;
    const normConv = (y: Value, norm: string, conv: string, out: number, kernel: number) =>
      net.conv(net.activation(net.norm(y, norm, epsilon), 'relu'), conv, { out, kernel });
    let x = net.conv(input, 'features.conv0', { out: stem, kernel: 7, stride: 2, pad: 3 });
    x = net.activation(net.norm(x, 'features.norm0', epsilon), 'relu');
    x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    depths.forEach((depth, i) => {
      for (let j = 1; j <= depth; j++) {
        const at = `features.denseblock${i + 1}.denselayer${j}`;
        const reduced = normConv(x, `${at}.norm1`, `${at}.conv1`, BOTTLENECK * growth, 1);
        x = net.concat([x, normConv(reduced, `${at}.norm2`, `${at}.conv2`, growth, 3)]);
      }
      if (i === depths.length - 1) return;
      const at = `features.transition${i + 1}`;
      x = normConv(x, `${at}.norm`, `${at}.conv`, Math.floor((x.shape[1] as number) / 2), 1);
      x = net.averagePool(x, { kernel: 2 });
    });
    x = net.norm(x, 'features.norm5', epsilon);
    // The net's own last activation is none of its modules.
    const isBare = net.ecosystem === 'torchvision' && !net.store.sourceName('features.conv0').endsWith('features.conv0');
    if (!isBare || net.setting<string>('features_end', 'none', BARE_END) === 'relu') x = net.activation(x, 'relu');
    return pooledHead(net, x, 'classifier');
  },
});
