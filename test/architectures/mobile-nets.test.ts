/** Nets whose names timm shares between many families: each is what its shapes say, with the activations of its authors. */
import { describe, expect, it } from 'vitest';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { atOnce } from './at-once.js';
import { blank } from './blank.js';

type Shapes = Record<string, readonly number[]>;
const options = { file: 'model.pth', format: 'pytorch', producer: null };

interface Built {
  readonly stem: number;
  readonly stages: string;
  readonly head: number;
  /** The last convolution stands behind the mean, and has a bias or none. */
  readonly pooledFirst?: 'bias' | 'none';
  readonly squeezeExpanded?: boolean;
}

/** Names and shapes of a net that timm builds from a line of words for each stage: `ir_r2_k3_s2_e6_c24_se0.25`. */
function shapesOfTimm({ stem, stages, head, pooledFirst, squeezeExpanded = false }: Built): Shapes {
  const shapes: Record<string, readonly number[]> = {};
  const conv = (name: string, out: number, into: number, kernel: number) => {
    shapes[`${name}.weight`] = [out, into, kernel, kernel];
  };
  const norm = (name: string, channels: number) => {
    for (const role of ['weight', 'bias', 'running_mean', 'running_var']) shapes[`${name}.${role}`] = [channels];
  };
  conv('conv_stem', stem, 3, 3);
  norm('bn1', stem);
  let channels = stem;
  stages
    .trim()
    .split('\n')
    .forEach((line, s) => {
      let b = 0;
      for (const word of line.trim().split(' ')) {
        const [kind, ...parts] = word.split('_');
        const value = (letter: string, usual: number) =>
          Number(parts.find((part) => new RegExp(`^${letter}[\\d.]+$`).test(part))?.slice(letter.length) ?? usual);
        const [kernel, expansion, out, ratio] = [value('k', 3), value('e', 1), value('c', 0), value('se', 0)];
        for (let i = 0; i < value('r', 1); i++, b++) {
          const at = `blocks.${s}.${b}`;
          const wide = kind === 'ir' || kind === 'er' ? Math.floor((channels * expansion + 4) / 8) * 8 : channels;
          if (kind === 'ir') {
            conv(`${at}.conv_pw`, wide, channels, 1);
            norm(`${at}.bn1`, wide);
          }
          if (kind === 'cn') {
            conv(`${at}.conv`, out, channels, kernel);
            norm(`${at}.bn1`, out);
          } else if (kind === 'er') {
            conv(`${at}.conv_exp`, wide, channels, kernel);
            norm(`${at}.bn1`, wide);
            conv(`${at}.conv_pwl`, out, wide, 1);
            norm(`${at}.bn2`, out);
          } else {
            conv(`${at}.conv_dw`, wide, 1, kernel);
            norm(`${at}.bn${kind === 'ir' ? 2 : 1}`, wide);
            if (ratio > 0) {
              const narrow = Math.max(1, Math.floor((squeezeExpanded ? wide : channels) * ratio));
              conv(`${at}.se.conv_reduce`, narrow, wide, 1);
              conv(`${at}.se.conv_expand`, wide, narrow, 1);
              shapes[`${at}.se.conv_reduce.bias`] = [narrow];
              shapes[`${at}.se.conv_expand.bias`] = [wide];
            }
            conv(`${at}.conv_pw${kind === 'ir' ? 'l' : ''}`, out, wide, 1);
            norm(`${at}.bn${kind === 'ir' ? 3 : 2}`, out);
          }
          channels = out;
        }
      }
    });
  conv('conv_head', head, channels, 1);
  if (pooledFirst === 'bias') shapes['conv_head.bias'] = [head];
  if (pooledFirst === undefined) norm('bn2', head);
  shapes['classifier.weight'] = [1000, head];
  shapes['classifier.bias'] = [1000];
  return shapes;
}

const NETS: Readonly<Record<string, Built>> = {
  mnasnet_a1: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_e1_c16
      ir_r2_k3_s2_e6_c24
      ir_r3_k5_s2_e3_c40_se0.25
      ir_r4_k3_s2_e6_c80
      ir_r2_k3_s1_e6_c112_se0.25
      ir_r3_k5_s2_e6_c160_se0.25
      ir_r1_k3_s1_e6_c320`,
  },
  mnasnet_b1: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_c16
      ir_r3_k3_s2_e3_c24
      ir_r3_k5_s2_e3_c40
      ir_r3_k5_s2_e6_c80
      ir_r2_k3_s1_e6_c96
      ir_r4_k5_s2_e6_c192
      ir_r1_k3_s1_e6_c320`,
  },
  mnasnet_small: {
    stem: 8,
    head: 1280,
    stages: `ds_r1_k3_s1_c8
      ir_r1_k3_s2_e3_c16
      ir_r2_k3_s2_e6_c16
      ir_r4_k5_s2_e6_c32_se0.25
      ir_r3_k3_s1_e6_c32_se0.25
      ir_r3_k5_s2_e6_c88_se0.25
      ir_r1_k3_s1_e6_c144`,
  },
  mobilenetv2: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_c16
      ir_r2_k3_s2_e6_c24
      ir_r3_k3_s2_e6_c32
      ir_r4_k3_s2_e6_c64
      ir_r3_k3_s1_e6_c96
      ir_r3_k3_s2_e6_c160
      ir_r1_k3_s1_e6_c320`,
  },
  mobilenetv2_110d: {
    stem: 32,
    head: 1408,
    stages: `ds_r1_k3_s1_c16
      ir_r3_k3_s2_e6_c24
      ir_r4_k3_s2_e6_c32
      ir_r5_k3_s2_e6_c72
      ir_r4_k3_s1_e6_c104
      ir_r4_k3_s2_e6_c176
      ir_r1_k3_s1_e6_c352`,
  },
  fbnetc: {
    stem: 16,
    head: 1984,
    stages: `ir_r1_k3_s1_e1_c16
      ir_r1_k3_s2_e6_c24 ir_r2_k3_s1_e1_c24
      ir_r1_k5_s2_e6_c32 ir_r1_k5_s1_e3_c32 ir_r1_k5_s1_e6_c32 ir_r1_k3_s1_e6_c32
      ir_r1_k5_s2_e6_c64 ir_r1_k5_s1_e3_c64 ir_r2_k5_s1_e6_c64
      ir_r3_k5_s1_e6_c112 ir_r1_k5_s1_e3_c112
      ir_r4_k5_s2_e6_c184
      ir_r1_k3_s1_e6_c352`,
  },
  spnasnet: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_c16
      ir_r3_k3_s2_e3_c24
      ir_r1_k5_s2_e6_c40 ir_r3_k3_s1_e3_c40
      ir_r1_k5_s2_e6_c80 ir_r3_k3_s1_e3_c80
      ir_r1_k5_s1_e6_c96 ir_r3_k5_s1_e3_c96
      ir_r4_k5_s2_e6_c192
      ir_r1_k3_s1_e6_c320`,
  },
  lite: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_e1_c16
      ir_r2_k3_s2_e6_c24
      ir_r2_k5_s2_e6_c40
      ir_r3_k3_s2_e6_c80
      ir_r3_k5_s1_e6_c112
      ir_r4_k5_s2_e6_c192
      ir_r1_k3_s1_e6_c320`,
  },
  edge: {
    stem: 32,
    head: 1280,
    stages: `er_r1_k3_s1_e4_c24
      er_r2_k3_s2_e8_c32
      er_r4_k3_s2_e8_c48
      ir_r5_k5_s2_e8_c96
      ir_r4_k5_s1_e8_c144
      ir_r2_k5_s2_e8_c192`,
  },
  efficientnet_b0: {
    stem: 32,
    head: 1280,
    stages: `ds_r1_k3_s1_e1_c16_se0.25
      ir_r2_k3_s2_e6_c24_se0.25
      ir_r2_k5_s2_e6_c40_se0.25
      ir_r3_k3_s2_e6_c80_se0.25
      ir_r3_k5_s1_e6_c112_se0.25
      ir_r4_k5_s2_e6_c192_se0.25
      ir_r1_k3_s1_e6_c320_se0.25`,
  },
  efficientnetv2_s: {
    stem: 24,
    head: 1280,
    stages: `cn_r2_k3_s1_e1_c24_skip
      er_r4_k3_s2_e4_c48
      er_r4_k3_s2_e4_c64
      ir_r6_k3_s2_e4_c128_se0.25
      ir_r9_k3_s1_e6_c160_se0.25
      ir_r15_k3_s2_e6_c256_se0.25`,
  },
  efficientnetv2_rw_s: {
    stem: 24,
    head: 1792,
    stages: `er_r2_k3_s1_e1_c24
      er_r4_k3_s2_e4_c48
      er_r4_k3_s2_e4_c64
      ir_r6_k3_s2_e4_c128_se0.25
      ir_r9_k3_s1_e6_c160_se0.25
      ir_r15_k3_s2_e6_c272_se0.25`,
  },
  mobilenetv1: {
    stem: 32,
    head: 1024,
    stages: `ds_r1_k3_s1_c64
      ds_r2_k3_s2_c128
      ds_r2_k3_s2_c256
      ds_r6_k3_s2_c512
      ds_r2_k3_s2_c1024`,
  },
  fbnetv3_b: {
    stem: 16,
    head: 1984,
    pooledFirst: 'none',
    stages: `ds_r2_k3_s1_e1_c16
      ir_r1_k5_s2_e4_c24 ir_r3_k5_s1_e2_c24
      ir_r1_k5_s2_e5_c40_se0.25 ir_r4_k5_s1_e3_c40_se0.25
      ir_r1_k5_s2_e5_c72 ir_r4_k3_s1_e3_c72
      ir_r1_k3_s1_e5_c120_se0.25 ir_r5_k5_s1_e3_c120_se0.25
      ir_r1_k3_s2_e6_c184_se0.25 ir_r5_k5_s1_e4_c184_se0.25 ir_r1_k5_s1_e6_c224_se0.25
      cn_r1_k1_s1_c1344`,
  },
  lcnet: {
    stem: 16,
    head: 1280,
    pooledFirst: 'bias',
    stages: `ds_r1_k3_s1_c32
      ds_r2_k3_s2_c64
      ds_r2_k3_s2_c128
      ds_r1_k3_s2_c256 ds_r1_k5_s1_c256
      ds_r4_k5_s1_c256
      ds_r2_k5_s2_c512_se0.25`,
  },
  mobilenetv3_rw: {
    stem: 16,
    head: 1280,
    pooledFirst: 'none',
    squeezeExpanded: true,
    stages: `ds_r1_k3_s1_e1_c16
      ir_r1_k3_s2_e4_c24 ir_r1_k3_s1_e3_c24
      ir_r3_k5_s2_e3_c40_se0.25
      ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80
      ir_r2_k3_s1_e6_c112_se0.25
      ir_r3_k5_s2_e6_c160_se0.25
      cn_r1_k1_s1_c960`,
  },
  mobilenetv3_large: {
    stem: 16,
    head: 1280,
    pooledFirst: 'bias',
    squeezeExpanded: true,
    stages: `ds_r1_k3_s1_e1_c16
      ir_r1_k3_s2_e4_c24 ir_r1_k3_s1_e3_c24
      ir_r3_k5_s2_e3_c40_se0.25
      ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80
      ir_r2_k3_s1_e6_c112_se0.25
      ir_r3_k5_s2_e6_c160_se0.25
      cn_r1_k1_s1_c960`,
  },
};

/** What each is, and its activations but for those of squeeze and excitation. */
const EXPECTED: Readonly<Record<string, readonly [title: string, activation: string]>> = {
  mnasnet_a1: ['MNASNet (mnasnet_a1)', 'Relu'],
  mnasnet_b1: ['MNASNet (mnasnet1_0)', 'Relu'],
  mnasnet_small: ['MNASNet (mnasnet_small)', 'Relu'],
  spnasnet: ['MNASNet (spnasnet)', 'Relu'],
  mobilenetv2: ['MobileNet v2 (mobilenet_v2)', 'Clip'],
  mobilenetv2_110d: ['MobileNet v2 of no published size', 'Clip'],
  lite: ['EfficientNet (efficientnet_lite0)', 'Clip'],
  efficientnet_b0: ['EfficientNet (efficientnet_b0)', 'Mul'],
  efficientnetv2_s: ['EfficientNet (efficientnet_v2_s)', 'Mul'],
  mobilenetv3_rw: ['MobileNet v3 (mobilenet_v3_large)', 'Mul'],
  mobilenetv3_large: ['MobileNet v3 (mobilenet_v3_large)', 'Mul'],
  fbnetc: ['MobileNet v4 or another net of its blocks (fbnetc_100)', 'Relu'],
  edge: ['MobileNet v4 or another net of its blocks of no published size', 'Relu'],
  efficientnetv2_rw_s: ['MobileNet v4 or another net of its blocks (efficientnetv2_rw_s)', 'Mul'],
  mobilenetv1: ['MobileNet v4 or another net of its blocks (mobilenetv1_100h)', 'Clip'],
  fbnetv3_b: ['MobileNet v4 or another net of its blocks of no published size', 'Mul'],
  lcnet: ['MobileNet v4 or another net of its blocks (lcnet_100)', 'Mul'],
};

describe('nets of timm', () => {
  it.each(Object.entries(NETS))('%s is what its shapes say', (name, built) => {
    const [title, activation] = EXPECTED[name]!;
    const { map } = atOnce(recogniseStateDict(blank(shapesOfTimm(built)), options));
    expect(map!.architecture!.name).toBe(title);
    // Behind the first normalisation; a swish is a product of two.
    expect(map!.layers.slice(2, 4).map(({ op }) => op)).toContain(activation);
    expect(map!.architecture!.assumed.filter((one) => one.startsWith('the weights fit'))).toEqual([]);
    const epsilons = new Set(map!.layers.flatMap(({ op, attributes }) => (op === 'BatchNormalization' ? [attributes.epsilon ?? 1e-5] : [])));
    expect([...epsilons]).toEqual([['mobilenetv3_rw', 'efficientnetv2_s', 'fbnetc'].includes(name) ? 1e-3 : 1e-5]);
  });

  it('add what goes around a block wherever sizes stay', () => {
    const adds = (name: string) => atOnce(recogniseStateDict(blank(shapesOfTimm(NETS[name]!)), options)).map!.layers.filter(({ op }) => op === 'Add').length;
    // 14 blocks that stride by one and keep their channels, two of which are the first of a stage.
    expect(adds('mnasnet_small')).toBe(1 + 0 + 1 + 3 + 3 + 2 + 0);
    expect(adds('mnasnet_a1')).toBe(0 + 1 + 2 + 3 + 1 + 2 + 0);
  });
});
