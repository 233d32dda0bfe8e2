/** GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014, table 1; with batch normalisation, as torchvision has it. */
import { branches, convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { rescaled } from './rescale.js';
import { byPlace, spelling } from './spelling.js';

/** Channels of one module: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5 (in torchvision of kernel 3); after pooling. */
type Inception = readonly [number, number, number, number, number, number];

interface Size {
  readonly modules: Readonly<Record<string, Inception>>;
}

const MODULES: Readonly<Record<string, Inception>> = {
  '3a': [64, 96, 128, 16, 32, 32],
  '3b': [128, 128, 192, 32, 96, 64],
  '4a': [192, 96, 208, 16, 48, 64],
  '4b': [160, 112, 224, 24, 64, 64],
  '4c': [128, 128, 256, 24, 64, 64],
  '4d': [112, 144, 288, 32, 64, 64],
  '4e': [256, 160, 320, 32, 128, 128],
  '5a': [256, 160, 320, 32, 128, 128],
  '5b': [384, 192, 384, 48, 128, 128],
};

const CHILDREN =
  'conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b inception4c inception4d inception4e maxpool4 inception5a inception5b';

export const googlenet = family<Size>({
  name: 'googlenet',
  title: 'GoogLeNet',
  source: 'Szegedy et al., 2014, https://arxiv.org/abs/1409.4842, table 1',
  sizes: { googlenet: { modules: MODULES } },
  stem: 'conv1.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  training: /(^|\.)aux[12]\./,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace(CHILDREN) },
  ],
  canonical: spelling({ 'conv1.conv': 'conv1/7x7_s2', 'conv2.conv': 'conv2/3x3_reduce', 'conv3.conv': 'conv2/3x3', fc: 'loss3/classifier' }),

  measure(names) {
    if (!names.has('inception3a.branch1.conv') || !names.has('inception5b.branch1.conv')) return null;
    const out = (path: string) => names.shape(`${path}.conv`)[0]!;
    const places = ['branch1', 'branch2.0', 'branch2.1', 'branch3.0', 'branch3.1', 'branch4.1'];
    return { modules: Object.fromEntries(Object.keys(MODULES).map((m) => [m, places.map((place) => out(`inception${m}.${place}`)) as unknown as Inception])) };
  },

  build(net, input, { modules }) {
    const conv = (y: Value, path: string, out: number, kernel = 1, stride = 1) =>
      convNormAct(net, y, `${path}.conv`, `${path}.bn`, 'relu', { out, kernel, stride, epsilon: 1e-3, ...(stride === 2 ? { pad: 3 } : {}) });
    const pool = (y: Value, kernel = 3) => net.maxPool(y, { kernel, stride: 2, ceil: true });
    const inception = (y: Value, name: string) => {
      const at = `inception${name}`;
      const [one, threeReduced, three, fiveReduced, five, pooled] = modules[name]!;
      return branches(
        net,
        y,
        (b) => conv(b, `${at}.branch1`, one),
        (b) => conv(conv(b, `${at}.branch2.0`, threeReduced), `${at}.branch2.1`, three, 3),
        (b) => conv(conv(b, `${at}.branch3.0`, fiveReduced), `${at}.branch3.1`, five, 3),
        (b) => conv(net.maxPool(b, { kernel: 3, stride: 1, pad: 1, ceil: true }), `${at}.branch4.1`, pooled),
      );
    };
    let x = pool(conv(rescaled(net, input), 'conv1', 64, 7, 2));
    x = pool(conv(conv(x, 'conv2', 64), 'conv3', 192, 3));
    for (const name of Object.keys(modules)) {
      if (name === '4a') x = pool(x);
      if (name === '5a') x = pool(x, 2);
      x = inception(x, name);
    }
    return pooledHead(net, x, 'fc');
  },
});
