/**
 * Nets that timm puts together from the blocks of MobileNets and EfficientNets: MobileNet v4 (Qin et al., 2024, tables 11 to 13), LCNet, FBNet,
 * HardCoRe-NAS, EfficientNets for EdgeTPUs, timm's own EfficientNet v2.
 *
 * Kinds of blocks, windows and squeezes tell which net it is, whatever its widths; what weights do not show stands in its line.
 */
import { isFromTensorFlow, residual, squeezeExcite } from './blocks.js';
import { family, type Names, TORCHVISION } from './family.js';
import { CLASSES, head, pooledHead } from './head.js';
import type { Activation, ConvOptions, Net, Value } from './net.js';
import { ANTIALIAS, BLUR_ZEROS, smaller } from './resnet.js';

/**
 * cn: a convolution. ds, dsa: depthwise and 1 x 1 (dsa: activated, and nothing goes around). er: one that widens and 1 x 1. ir: 1 x 1,
 * depthwise, 1 x 1. u: the same with depthwise ones before, in the middle and behind, each of which may be missing.
 */
type Kind = 'cn' | 'ds' | 'dsa' | 'er' | 'ir' | 'u';

interface Block {
  readonly kind: Kind;
  /** Sides of windows; of `u` three, 0 where there is none. */
  readonly kernels: readonly number[];
  readonly stride: number;
  /** Channels between, and of what squeezes; 0 where there are none. */
  readonly wide: number;
  readonly out: number;
  readonly squeezed: number;
  readonly act: Activation;
  /** Nothing goes around it, though it could. */
  readonly straight: boolean;
}

interface Size {
  readonly stem: number;
  readonly stages: readonly (readonly Block[])[];
  readonly last: number;
  /** How it ends: a convolution and its normalisation before the mean; a dense layer behind it, with or without normalisation. */
  readonly end: 'picture' | 'mean' | 'normed';
  readonly act: Activation;
  /** Inside of squeeze and excitation. */
  readonly inside: Activation;
  readonly gate: Activation;
}

/** `4xir5/2_448_112_s28_relu-`: how many, kind, windows, stride, channels between, channels, those that squeeze, another activation, `-` straight. */
const BLOCK = /^(?:(\d+)x)?(cn|dsa|ds|er|ir|u)([\d.]+)(?:\/(\d))?((?:_\d+)+)(?:_s(\d+))?(_relu)?(-)?$/;

function stagesOf(text: string, act: Activation): Block[][] {
  return text.split(' | ').map((stage) =>
    stage.split(' ').flatMap((word) => {
      const [, times = '1', kind, kernels, stride = '1', channels, squeezed = '0', relu, straight] = BLOCK.exec(word)!;
      const widths = channels!.split('_').slice(1).map(Number);
      const block: Block = {
        kind: kind as Kind,
        kernels: kernels!.split('.').map(Number),
        stride: Number(stride),
        wide: widths.length > 1 ? widths[0]! : 0,
        out: widths.at(-1)!,
        squeezed: Number(squeezed),
        act: relu ? 'relu' : act,
        straight: straight !== undefined,
      };
      return new Array<Block>(Number(times)).fill(block).map((one, i) => (i === 0 ? one : { ...one, stride: 1 }));
    }),
  );
}

type End = Size['end'];
const net = (stem: number, act: Activation, end: End, last: number, text: string, inside: Activation = 'relu', gate: Activation = 'hard-sigmoid'): Size => ({
  stem,
  stages: stagesOf(text, act),
  last,
  end,
  act,
  inside,
  gate,
});
const mobile = (stem: number, text: string) => net(stem, 'relu', 'normed', 1280, text);
const edge = (stem: number, last: number, text: string) => net(stem, 'relu', 'picture', last, text);
const hard = (text: string) => net(32, 'hard-swish', 'mean', 1280, text);
const fbnet = (stem: number, text: string) => net(stem, 'hard-swish', 'mean', 1984, text, 'hard-swish');
const silu = (stem: number, last: number, text: string) => net(stem, 'silu', 'picture', last, text, 'silu', 'sigmoid');

const SIZES: Readonly<Record<string, Size>> = {
  efficientnet_el: edge(
    40,
    1536,
    '2xer3_128_32- | er3/2_256_40 2xer3_320_40 | er3/2_320_56 5xer3_448_56 | ir5/2_448_112 6xir5_896_112 | ir5_896_176 5xir5_1408_176 | ir5/2_1408_232 2xir5_1856_232',
  ),
  efficientnet_em: edge(
    32,
    1280,
    '2xer3_96_24- | er3/2_192_32 2xer3_256_32 | er3/2_256_48 4xer3_384_48 | ir5/2_384_96 5xir5_768_96 | ir5_768_144 4xir5_1152_144 | ir5/2_1152_192 2xir5_1536_192',
  ),
  efficientnet_es: edge(
    32,
    1280,
    'er3_96_24 | er3/2_192_32 er3_256_32 | er3/2_256_48 3xer3_384_48 | ir5/2_384_96 4xir5_768_96 | ir5_768_144 3xir5_1152_144 | ir5/2_1152_192 ir5_1536_192',
  ),
  efficientnetv2_rw_m: silu(
    32,
    2152,
    '3xer3_32_32 | er3/2_128_56 4xer3_224_56 | er3/2_224_80 4xer3_320_80 | ir3/2_320_152_s20 7xir3_608_152_s38 | ir3_912_192_s38 14xir3_1152_192_s48 | ir3/2_1152_328_s48 23xir3_1968_328_s82',
  ),
  efficientnetv2_rw_s: silu(
    24,
    1792,
    '2xer3_24_24 | er3/2_96_48 3xer3_192_48 | er3/2_192_64 3xer3_256_64 | ir3/2_256_128_s16 5xir3_512_128_s32 | ir3_768_160_s32 8xir3_960_160_s40 | ir3/2_960_272_s40 14xir3_1632_272_s68',
  ),
  fbnetc_100: edge(
    16,
    1984,
    'ir3_16_16 | ir3/2_96_24 2xir3_24_24 | ir5/2_144_32 ir5_96_32 ir5_192_32 ir3_192_32 | ir5/2_192_64 ir5_192_64 2xir5_384_64 | ir5_384_112 2xir5_672_112 ir5_336_112 | ir5/2_672_184 3xir5_1104_184 | ir3_1104_352',
  ),
  fbnetv3_b: fbnet(
    16,
    '2xds3_16 | ir5/2_64_24 3xir5_48_24 | ir5/2_120_40_s8 4xir5_120_40_s16 | ir5/2_200_72 4xir3_216_72 | ir3_360_120_s24 5xir5_360_120_s32 | ir3/2_720_184_s32 5xir5_736_184_s48 ir5_1104_224_s48 | cn1_1344',
  ),
  fbnetv3_d: fbnet(
    24,
    '2xds3_16 | ir3/2_80_24 5xir3_48_24 | ir5/2_96_40_s8 4xir3_120_40_s16 | ir3/2_200_72 4xir3_216_72 | ir3_360_128_s24 6xir5_384_128_s32 | ir3/2_768_208_s32 5xir5_1040_208_s56 ir5_1248_240_s56 | cn1_1440',
  ),
  fbnetv3_g: fbnet(
    32,
    '3xds3_24 | ir5/2_96_40 4xir5_80_40 | ir5/2_160_56_s16 4xir5_168_56_s16 | ir5/2_280_104 4xir3_312_104 | ir3_520_160_s32 8xir5_480_160_s40 | ir3/2_960_264_s40 6xir5_1320_264_s64 ir5_1584_288_s64 ir5_1728_288_s72 | cn1_1728',
  ),
  hardcorenas_a: hard(
    'ds3_16_relu | ir5/2_48_24_relu ir5_72_24_s24_relu | ir5/2_72_40_relu ir5_240_40_s64_relu | ir5/2_240_80_s64 ir5_480_80_s120 | ir5_480_112_s120 ir5_672_112_s168 | ir5/2_672_192_s168 ir5_1152_192_s288 | cn1_960',
  ),
  hardcorenas_b: hard(
    'ds3_16_relu | ir5/2_48_24_relu ir5_72_24_s24_relu ir3_72_24_relu | ir5/2_72_40_relu 2xir5_120_40_relu | ir5/2_120_80 ir5_240_80 2xir3_240_80 | ir5_240_112 3xir3_336_112 | ir5/2_672_192_s168 ir5_1152_192_s288 ir3_576_192_s144 | cn1_960',
  ),
  hardcorenas_c: hard(
    'ds3_16_relu | ir5/2_48_24_relu ir5_72_24_s24_relu | ir5/2_72_40_relu 3xir5_120_40_relu | ir5/2_160_80 ir5_480_80_s120 2xir3_240_80 | ir5_480_112_s120 3xir3_336_112 | ir5/2_672_192_s168 ir5_1152_192_s288 ir3_576_192_s144 | cn1_960',
  ),
  hardcorenas_d: hard(
    'ds3_16_relu | ir5/2_48_24_s16_relu ir5_72_24_s24_relu | ir5/2_72_40_s24_relu ir5_160_40_s40_relu ir3_120_40_s32_relu | ir5/2_160_80_s40 3xir3_240_80_s64 | ir3_320_112_s80 ir5_448_112_s112 ir3_336_112_s88 ir5_336_112_s88 | ir5/2_672_192_s168 2xir5_1152_192_s288 ir3_1152_192_s288 | cn1_960',
  ),
  hardcorenas_e: hard(
    'ds3_16_relu | ir5/2_48_24_s16_relu ir5_72_24_s24_relu | ir5/2_144_40_s40_relu 2xir5_160_40_s40_relu ir3_120_40_s32_relu | ir5/2_160_80_s40 ir3_480_80_s120 | ir5_480_112_s120 2xir5_672_112_s168 ir5_336_112_s88 | ir5/2_672_192_s168 2xir5_1152_192_s288 ir3_1152_192_s288 | cn1_960',
  ),
  hardcorenas_f: hard(
    'ds3_16_relu | ir5/2_48_24_s16_relu ir5_72_24_s24_relu | ir5/2_144_40_s40_relu ir5_240_40_s64_relu | ir5/2_240_80_s64 ir5_480_80_s120 2xir3_240_80_s64 | ir3_480_112_s120 2xir5_672_112_s168 ir3_336_112_s88 | ir5/2_672_192_s168 ir5_1152_192_s288 2xir3_1152_192_s288 | cn1_960',
  ),
  lcnet_100: net(
    16,
    'hard-swish',
    'mean',
    1280,
    'dsa3_32 | dsa3/2_64 dsa3_64 | dsa3/2_128 dsa3_128 | dsa3/2_256 dsa5_256 | 4xdsa5_256 | dsa5/2_512_s64 dsa5_512_s128',
  ),
  mobilenet_edgetpu_100: edge(
    32,
    1280,
    'cn1_16 | er3/2_128_32 3xer3_128_32 | er3/2_256_48 3xer3_192_48 | ir3/2_384_96 3xir3_384_96 | ir3_768_96- 3xir3_384_96 | ir5/2_768_160 3xir5_640_160 | ir3_1280_192',
  ),
  mobilenet_edgetpu_v2_l: edge(
    64,
    1408,
    'cn1_32 | er3/2_256_64 er3_256_64 | er3/2_512_96 3xer3_384_96 | er3/2_768_192 3xir3_768_192 | ir3_1536_240 3xir3_960_240 | ir3/2_1920_256 3xir3_1024_256 | ir3_2048_384',
  ),
  mobilenet_edgetpu_v2_m: edge(
    64,
    1344,
    'cn1_32 | er3/2_256_64 er3_256_64 | er3/2_512_80 3xer3_320_80 | er3/2_640_160 3xir3_640_160 | ir3_1280_192 3xir3_768_192 | ir3/2_1536_240 3xir3_960_240 | ir3_1920_320',
  ),
  mobilenet_edgetpu_v2_s: edge(
    64,
    1280,
    'cn1_24 | er3/2_192_48 er3_192_48 | er3/2_384_64 3xer3_256_64 | er3/2_512_128 3xir3_512_128 | ir3_1024_160 3xir3_640_160 | ir3/2_1280_192 3xir3_768_192 | ir3_1536_256',
  ),
  mobilenet_edgetpu_v2_xs: edge(
    32,
    1280,
    'cn1_16 | er3/2_128_32 er3_128_32 | er3/2_256_48 3xer3_192_48 | er3/2_384_96 3xir3_384_96 | ir3_768_144 3xir3_576_144 | ir3/2_1152_160 3xir3_640_160 | ir3_1280_192',
  ),
  mobilenetv1_100h: net(32, 'relu6', 'picture', 1024, 'dsa3_64 | dsa3/2_128 dsa3_128 | dsa3/2_256 dsa3_256 | dsa3/2_512 5xdsa3_512 | dsa3/2_1024 dsa3_1024'),
  mobilenetv4_conv_medium: mobile(
    32,
    'er3/2_128_48 | u3.5.0/2_192_80 u3.3.0_160_80 | u3.5.0/2_480_160 2xu3.3.0_640_160 u3.5.0_640_160 u3.3.0_640_160 u3.0.0_640_160 u0.0.0_320_160 u3.0.0_640_160 | u5.5.0/2_960_256 u5.5.0_1024_256 2xu3.5.0_1024_256 u0.0.0_1024_256 u3.0.0_1024_256 u3.5.0_512_256 u5.5.0_1024_256 2xu0.0.0_1024_256 u5.0.0_512_256 | cn1_960',
  ),
  mobilenetv4_conv_large: mobile(
    24,
    'er3/2_96_48 | u3.5.0/2_192_96 u3.3.0_384_96 | u3.5.0/2_384_192 3xu3.3.0_768_192 u3.5.0_768_192 5xu5.3.0_768_192 u3.0.0_768_192 | u5.5.0/2_768_512 3xu5.5.0_2048_512 u5.0.0_2048_512 u5.3.0_2048_512 2xu5.0.0_2048_512 u5.3.0_2048_512 u5.5.0_2048_512 3xu5.0.0_2048_512 | cn1_960',
  ),
  mobilenetv4_conv_small: mobile(
    32,
    'cn3/2_32 cn1_32 | cn3/2_96 cn1_64 | u5.5.0/2_192_96 4xu0.3.0_192_96 u3.0.0_384_96 | u3.3.0/2_576_128 u5.5.0_512_128 u0.5.0_512_128 u0.5.0_384_128 2xu0.3.0_512_128 | cn1_960',
  ),
  test_efficientnet: silu(24, 256, 'cn3_16 | er3/2_64_24 | er3/2_96_32 | ir3/2_128_48_s8 | ir3/2_192_64_s12'),
};

/** Which net it is, whatever its widths. */
function signature(stages: readonly (readonly Pick<Block, 'kind' | 'kernels' | 'squeezed'>[])[]): string {
  const word = ({ kind, kernels, squeezed }: Pick<Block, 'kind' | 'kernels' | 'squeezed'>) =>
    `${kind === 'dsa' ? 'ds' : kind}${kernels.join('.')}${squeezed > 0 ? 's' : ''}`;
  return stages.map((stage) => stage.map(word).join(' ')).join(' | ');
}
const BY_SIGNATURE = new Map(Object.values(SIZES).map((size) => [signature(size.stages), size]));
/** timm's FBNet-C came with TensorFlow's epsilon, and nothing else of it. */
const FBNET_C = 'fbnetc_100';

/** timm's MobileNets v4 whose strides are smoothed have the weights of those that are not. */
const SMOOTHED = /^mobilenetv4_conv_(blur|aa)_(medium|large)/;
function antialiasNamed(arch = ''): string {
  const [, word] = SMOOTHED.exec(arch) ?? [];
  return word === 'blur' ? BLUR_ZEROS : word === 'aa' ? 'average' : 'none';
}

export const timmBlocks = family<Size>({
  name: 'timm_blocks',
  title: 'MobileNet v4 or another net of its blocks',
  source: 'Qin et al., 2024, https://arxiv.org/abs/2404.10518, tables 11 to 13; others as timm has them',
  sizes: SIZES,
  otherNames: SMOOTHED,
  stem: 'conv_stem',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('conv_stem');
    if (!stem || !names.has('blocks.0.0')) return null;
    const stages: Block[][] = [];
    for (let s = 0; names.has(`blocks.${s}.0`); s++) {
      const blocks: Block[] = [];
      for (let b = 0; names.has(`blocks.${s}.${b}`); b++) {
        const block = measured(names, `blocks.${s}.${b}`);
        if (!block) return null;
        blocks.push(block);
      }
      stages.push(blocks);
    }
    const known = BY_SIGNATURE.get(signature(stages));
    if (!known) return null;
    const widened = stages.map((blocks, s) =>
      blocks.map(({ kernels, wide, out, squeezed }, b): Block => ({ ...known.stages[s]![b]!, kernels, wide, out, squeezed })),
    );
    return { ...known, stem, stages: widened, last: names.shape('conv_head')[0] ?? known.last };
  },

  build(net, input, size) {
    const { stages, end, act, last } = size;
    const isFbnetC = signature(stages) === signature(SIZES[FBNET_C]!.stages);
    const epsilon = isFromTensorFlow(net) || isFbnetC ? 1e-3 : 1e-5;
    const antialias = net.setting<string>('antialias', antialiasNamed(net.options.arch), ANTIALIAS, stages[0]![0]!.kind === 'ds');
    let x = net.activation(net.norm(net.conv(input, 'conv_stem', { out: size.stem, kernel: 3, stride: 2 }), 'bn1', epsilon), act);
    stages.forEach((blocks, s) => {
      blocks.forEach((block, b) => {
        const { kind, stride, out, straight } = block;
        const branch = (y: Value) => built(net, y, `blocks.${s}.${b}`, block, { ...size, epsilon, antialias });
        const around = stride === 1 && x.shape[1] === out && !straight && kind !== 'cn' && kind !== 'dsa';
        x = around ? residual(net, x, branch) : branch(x);
      });
    });
    const widen = (y: Value) => net.conv(y, 'conv_head', { out: last, pad: 0, bias: end === 'mean' });
    if (end === 'picture') return pooledHead(net, net.activation(net.norm(widen(x), 'bn2', epsilon), act), 'classifier');
    const wide = widen(net.op('GlobalAveragePool', [x]));
    const normal = end === 'normed' ? net.norm(wide, 'norm_head', epsilon) : wide;
    return head(net, net.flatten(net.activation(normal, act)), 'classifier', { layers: [['', CLASSES]] });
  },
});

function measured(names: Names, at: string): Block | null {
  const shape = (name: string) => names.shape(`${at}.${name}`);
  const has = (name: string) => names.has(`${at}.${name}`);
  const as = (kind: Kind, kernels: readonly number[], wide: number | undefined, out: number | undefined): Block | null =>
    wide === undefined || out === undefined
      ? null
      : { kind, kernels, stride: 1, wide, out, squeezed: shape('se.conv_reduce')[0] ?? 0, act: 'relu', straight: false };
  const sides = (...list: readonly string[]) => list.map((name) => shape(name)[2] ?? 0);
  if (has('pw_exp')) {
    return as('u', sides('dw_start.conv', 'dw_mid.conv', 'dw_end.conv'), shape('pw_exp.conv')[0], shape('pw_proj.conv')[0]);
  }
  if (has('conv_exp')) return as('er', sides('conv_exp'), shape('conv_exp')[0], shape('conv_pwl')[0]);
  if (has('conv_pwl')) return as('ir', sides('conv_dw'), shape('conv_pw')[0], shape('conv_pwl')[0]);
  if (has('conv_dw')) return as('ds', sides('conv_dw'), 0, shape('conv_pw')[0]);
  return as('cn', sides('conv'), 0, shape('conv')[0]);
}

interface Rest extends Size {
  readonly epsilon: number;
  readonly antialias: string;
}

/** The branch of one block. */
function built(net: Net, x: Value, at: string, block: Block, { epsilon, antialias, inside, gate }: Rest): Value {
  const { kind, kernels, stride, wide, out, squeezed, act } = block;
  const conv = (y: Value, path: string, norm: string, then: Activation, options: ConvOptions) => {
    const isSmoothed = antialias !== 'none' && (options.stride ?? 1) > 1;
    const made = net.activation(net.norm(net.conv(y, `${at}.${path}`, isSmoothed ? { ...options, stride: 1 } : options), `${at}.${norm}`, epsilon), then);
    return isSmoothed ? smaller(net, made, antialias) : made;
  };
  const squeeze = (y: Value) =>
    squeezed === 0 ? y : squeezeExcite(net, y, { reduce: `${at}.se.conv_reduce`, expand: `${at}.se.conv_expand`, width: squeezed, act: inside, gate });
  const [first = 0, middle = 0, behind = 0] = kernels;
  switch (kind) {
    case 'cn':
      return conv(x, 'conv', 'bn1', act, { out, kernel: first, stride });
    case 'ds':
    case 'dsa': {
      const deep = conv(x, 'conv_dw', 'bn1', act, { kernel: first, stride, depthwise: true });
      return conv(squeeze(deep), 'conv_pw', 'bn2', kind === 'dsa' ? act : 'none', { out });
    }
    case 'er':
      return conv(squeeze(conv(x, 'conv_exp', 'bn1', act, { out: wide, kernel: first, stride })), 'conv_pwl', 'bn2', 'none', { out });
    case 'ir': {
      const deep = conv(conv(x, 'conv_pw', 'bn1', act, { out: wide }), 'conv_dw', 'bn2', act, { kernel: first, stride, depthwise: true });
      return conv(squeeze(deep), 'conv_pwl', 'bn3', 'none', { out });
    }
    case 'u': {
      const deep = (y: Value, name: string, kernel: number, then: Activation, step: number) =>
        kernel === 0 ? y : conv(y, `${name}.conv`, `${name}.bn`, then, { kernel, stride: step, depthwise: true });
      const start = deep(x, 'dw_start', first, 'none', middle === 0 ? stride : 1);
      const mid = deep(conv(start, 'pw_exp.conv', 'pw_exp.bn', act, { out: wide }), 'dw_mid', middle, act, stride);
      const narrow = conv(mid, 'pw_proj.conv', 'pw_proj.bn', 'none', { out });
      return deep(narrow, 'dw_end', behind, 'none', first === 0 && middle === 0 ? stride : 1);
    }
  }
}
