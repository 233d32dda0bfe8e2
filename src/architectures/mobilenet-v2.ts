/** MobileNet v2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2. */
import { convNormAct, isFromTensorFlow, residual } from './blocks.js';
import { FEATURES_ALONE, family, SYMMETRIC, TORCHVISION } from './family.js';
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

/** Blocks of each stage: the paper's, and those of timm's deeper nets (110d, 120d). */
const DEPTHS = [1, 1.2, 1.4].map((factor) => STAGES.map(([, , n], s) => (s === 0 || s === STAGES.length - 1 ? n : Math.ceil(n * factor))));
const total = (depths: readonly number[]) => depths.reduce((sum, n) => sum + n, 0);

/** A convolution and its normalisation, as transformers calls them. */
const each = (path: string, own: string): Record<string, string> =>
  Object.fromEntries(['convolution', 'normalization'].map((word, i) => [path.replace('{0}', String(i)), own.replace('{1}', word)]));

/** timm has blocks by stage. */
function timmNames(depths: readonly number[]): (path: string) => string | null {
  const table: Record<string, string> = { 'features.0.0': 'conv_stem', 'features.0.1': 'bn1', classifier: 'classifier' };
  let i = 1;
  for (const [s, [t]] of STAGES.entries()) {
    for (let b = 0; b < depths[s]!; b++, i++) {
      const modules = t === 1 ? ['conv_dw', 'bn1', 'conv_pw', 'bn2'] : ['conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3'];
      const paths = t === 1 ? ['0.0', '0.1', '1', '2'] : ['0.0', '0.1', '1.0', '1.1', '2', '3'];
      for (const [k, path] of paths.entries()) table[`features.${i}.conv.${path}`] = `blocks.${s}.${b}.${modules[k]}`;
    }
  }
  return spelling({ ...table, [`features.${i}.0`]: 'conv_head', [`features.${i}.1`]: 'bn2' });
}

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
    FEATURES_ALONE,
    // torchvision's before 2019, and others like it: a block is one list of modules.
    {
      ecosystem: 'torchvision',
      spell: spelling({
        'features.1.conv.0.{i}': 'features.1.conv.{i}',
        'features.1.conv.1': 'features.1.conv.3',
        'features.1.conv.2': 'features.1.conv.4',
        'features.{i}.conv.0.{k}': 'features.{i}.conv.{k}',
        'features.{i}.conv.1.{k}': 'features.{i}.conv.{k+3}',
        'features.{i}.conv.{k}': 'features.{i}.conv.{k+4}',
        'features.0.{i}': 'features.0.{i}',
        'features.{i}.{k}': 'features.{i}.{k}|conv.{k}',
        '{*}': '{*}',
      }),
    },
    ...DEPTHS.map((depths) => ({ ecosystem: 'timm' as const, spell: timmNames(depths) })),
    {
      ecosystem: 'tensorflow-port',
      spell: spelling({
        ...each('features.0.{0}', 'conv_stem.first_conv.{1}'),
        ...each('features.1.conv.0.{0}', 'conv_stem.conv_3x3.{1}'),
        'features.1.conv.1': 'conv_stem.reduce_1x1.convolution',
        'features.1.conv.2': 'conv_stem.reduce_1x1.normalization',
        ...each('features.{i}.conv.0.{0}', 'layer.{i-2}.expand_1x1.{1}'),
        ...each('features.{i}.conv.1.{0}', 'layer.{i-2}.conv_3x3.{1}'),
        'features.{i}.conv.2': 'layer.{i-2}.reduce_1x1.convolution',
        'features.{i}.conv.3': 'layer.{i-2}.reduce_1x1.normalization',
        ...each('features.{i}.{0}', 'conv_1x1.{1}'),
      }),
    },
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
    const depths = DEPTHS.find((known) => total(known) === count);
    if (!depths) return null;
    let first = 1;
    // EfficientNet-Lite has blocks of the same names.
    if (Array.from({ length: count }, (_, i) => names.shape(`features.${i + 1}.conv.${i === 0 ? 0 : 1}.0`)[2]).some((kernel) => kernel !== 3)) return null;
    const stages = STAGES.map(([, , , s], i): Stage => {
      const n = depths[i]!;
      const [wide, narrow] = i === 0 ? [1, 1] : names.shape(`features.${first}.conv.0.0`);
      const stage: Stage = [wide! / narrow!, out(first), n, s];
      first += n;
      return stage;
    });
    return { stem, stages, last };
  },

  build(net, input, { stem, stages, last }) {
    const epsilon = isFromTensorFlow(net) ? 1e-3 : 1e-5;
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
