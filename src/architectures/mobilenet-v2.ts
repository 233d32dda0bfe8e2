/** MobileNet v2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2. */
import { convNormAct, residual } from './blocks.js';
import { family, SYMMETRIC, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { spelling } from './spelling.js';

/** Of one stage: expansion, channels, blocks, stride. */
type Stage = readonly [t: number, c: number, n: number, s: number];

interface Size {
  readonly stem: number;
  readonly stages: readonly Stage[];
  readonly last: number;
}

const STAGES: readonly Stage[] = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

export const mobilenetV2 = family<Size>({
  name: 'mobilenet_v2',
  title: 'MobileNet v2',
  source: 'Sandler et al., 2018, https://arxiv.org/abs/1801.04381, table 2',
  sizes: { mobilenet_v2: { stem: 32, stages: STAGES, last: 1280 } },
  stem: 'features.0.0',
  side: 224,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? SYMMETRIC : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    {
      ecosystem: 'keras',
      spell: spelling({
        'features.0.0': 'Conv1',
        'features.0.1': 'bn_Conv1',
        'features.1.conv.0.0': 'expanded_conv_depthwise',
        'features.1.conv.0.1': 'expanded_conv_depthwise_BN',
        'features.1.conv.1': 'expanded_conv_project',
        'features.1.conv.2': 'expanded_conv_project_BN',
        'features.{i}.conv.0.0': 'block_{i-1}_expand',
        'features.{i}.conv.0.1': 'block_{i-1}_expand_BN',
        'features.{i}.conv.1.0': 'block_{i-1}_depthwise',
        'features.{i}.conv.1.1': 'block_{i-1}_depthwise_BN',
        'features.{i}.conv.2': 'block_{i-1}_project',
        'features.{i}.conv.3': 'block_{i-1}_project_BN',
        'features.{i}.0': 'Conv_1',
        'features.{i}.1': 'Conv_1_bn',
        classifier: 'predictions|Logits',
        'classifier.{i}': 'predictions|Logits',
      }),
    },
  ],

  measure(names) {
    const [stem] = names.shape('features.0.0');
    if (!stem || !names.has('features.1.conv.0.0') || !names.has('features.2.conv.1.0')) return null;
    const count = names.count('features.{n}.conv.0.0', 1);
    const out = (i: number) => names.shape(`features.${i}.conv.${i === 1 ? 1 : 2}`)[0]!;
    const [last = 0] = names.shape(`features.${count + 1}.0`);
    if (count !== STAGES.reduce((sum, [, , n]) => sum + n, 0)) return null;
    let first = 1;
    const stages = STAGES.map(([, , n, s], i): Stage => {
      const [wide, narrow] = i === 0 ? [1, 1] : names.shape(`features.${first}.conv.0.0`);
      const stage: Stage = [wide! / narrow!, out(first), n, s];
      first += n;
      return stage;
    });
    return { stem, stages, last };
  },

  build(net, input, { stem, stages, last }) {
    const epsilon = net.ecosystem === 'keras' ? 1e-3 : 1e-5;
    const conv = (y: Value, path: string, norm: string, act: 'relu6' | 'none', options: object) =>
      convNormAct(net, y, path, norm, act, { ...options, epsilon });
    let x = conv(input, 'features.0.0', 'features.0.1', 'relu6', { out: stem, kernel: 3, stride: 2 });
    let i = 1;
    for (const [t, c, n, s] of stages) {
      for (let b = 0; b < n; b++, i++) {
        const at = `features.${i}.conv`;
        const channels = x.shape[1] as number;
        const stride = b === 0 ? s : 1;
        const place = t === 1 ? 0 : 1;
        const branch = (y: Value) => {
          const wide = t === 1 ? y : conv(y, `${at}.0.0`, `${at}.0.1`, 'relu6', { out: channels * t, kernel: 1 });
          const deep = conv(wide, `${at}.${place}.0`, `${at}.${place}.1`, 'relu6', { kernel: 3, stride, depthwise: true });
          return conv(deep, `${at}.${place + 1}`, `${at}.${place + 2}`, 'none', { out: c, kernel: 1 });
        };
        x = stride === 1 && channels === c ? residual(net, x, branch) : branch(x);
      }
    }
    x = conv(x, `features.${i}.0`, `features.${i}.1`, 'relu6', { out: last, kernel: 1 });
    return pooledHead(net, x, 'classifier', { layers: [['1', 1000]] });
  },
});
