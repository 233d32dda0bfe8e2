/** ConvNeXt: Liu et al., "A ConvNet for the 2020s", 2022, section 3; version 2: Woo et al., 2023 (channels compete instead of being scaled). */
import { reshape } from '../model/tensor.js';
import { layerNorm } from './attention.js';
import { residual } from './blocks.js';
import { FEATURES_ALONE, family, RAW, sizeKey, TORCHVISION } from './family.js';
import { head } from './head.js';
import { kerasPreprocessing, normalisedPixels } from './keras-input.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  readonly version?: 2;
  /** Of the depthwise convolutions in the second stage, where it is not 7. */
  readonly kernel?: number;
}

const EPSILON = 1e-6;
/** timm's nets for tests, which are published too, and alone have another epsilon and other activations. */
const TEST_NETS: readonly Size[] = [
  { depths: [1, 2, 4, 2], widths: [24, 32, 48, 64] },
  { depths: [1, 1, 1, 1], widths: [32, 64, 96, 128] },
  { depths: [1, 1, 1, 1], widths: [32, 64, 96, 128], kernel: 5 },
];
const MAX_STAGES = 8;
const widths = (first: number) => [1, 2, 4, 8].map((factor) => factor * first);

export const convnext = family<Size>({
  name: 'convnext',
  title: 'ConvNeXt',
  source: 'Liu et al., 2022, https://arxiv.org/abs/2201.03545, section 3; Woo et al., 2023, https://arxiv.org/abs/2301.00808',
  sizes: {
    convnext_tiny: { depths: [3, 3, 9, 3], widths: widths(96) },
    convnext_small: { depths: [3, 3, 27, 3], widths: widths(96) },
    convnext_base: { depths: [3, 3, 27, 3], widths: widths(128) },
    convnext_large: { depths: [3, 3, 27, 3], widths: widths(192) },
    convnext_xlarge: { depths: [3, 3, 27, 3], widths: widths(256) },
    convnextv2_atto: { depths: [2, 2, 6, 2], widths: widths(40), version: 2 },
    convnextv2_femto: { depths: [2, 2, 6, 2], widths: widths(48), version: 2 },
    convnextv2_pico: { depths: [2, 2, 6, 2], widths: widths(64), version: 2 },
    convnextv2_nano: { depths: [2, 2, 8, 2], widths: widths(80), version: 2 },
    convnextv2_tiny: { depths: [3, 3, 9, 3], widths: widths(96), version: 2 },
    convnextv2_base: { depths: [3, 3, 27, 3], widths: widths(128), version: 2 },
    convnextv2_large: { depths: [3, 3, 27, 3], widths: widths(192), version: 2 },
    convnextv2_huge: { depths: [3, 3, 27, 3], widths: widths(352), version: 2 },
    convnext_atto: { depths: [2, 2, 6, 2], widths: widths(40) },
    convnext_femto: { depths: [2, 2, 6, 2], widths: widths(48) },
    convnext_pico: { depths: [2, 2, 6, 2], widths: widths(64) },
    convnext_nano: { depths: [2, 2, 8, 2], widths: widths(80) },
    test_convnext: TEST_NETS[0]!,
    test_convnext2: TEST_NETS[1]!,
    test_convnext3: TEST_NETS[2]!,
  },
  stem: 'features.0.0',
  side: 224,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? RAW : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    FEATURES_ALONE,
    {
      ecosystem: 'timm',
      spell: spelling({
        'features.0.{i}': 'stem.{i}',
        norm_pre: 'norm_pre',
        ...Object.fromEntries(
          [0, 1, 2, 3].flatMap((s) => [
            [`features.${2 * s + 1}.{b}.block.0`, `stages.${s}.blocks.{b}.conv_dw`],
            [`features.${2 * s + 1}.{b}.block.2`, `stages.${s}.blocks.{b}.norm`],
            [`features.${2 * s + 1}.{b}.block.3`, `stages.${s}.blocks.{b}.mlp.fc1`],
            [`features.${2 * s + 1}.{b}.block.5`, `stages.${s}.blocks.{b}.mlp.fc2`],
            [`features.${2 * s + 1}.{b}.layer_scale`, `stages.${s}.blocks.{b}.gamma`],
            [`features.${2 * s + 1}.{b}.grn.{*}`, `stages.${s}.blocks.{b}.mlp.grn.{*}`],
            [`features.${2 * s + 2}.{i}`, `stages.${s + 1}.downsample.{i}`],
          ]),
        ),
        'classifier.0': 'head.norm',
        'classifier.1': 'head.pre_logits.fc',
        'classifier.2': 'head.fc',
      }),
    },
    // The authors' own files.
    {
      ecosystem: 'timm',
      spell: spelling({
        'features.0.{i}': 'downsample_layers.0.{i}',
        ...Object.fromEntries(
          [0, 1, 2, 3].flatMap((s) => [
            [`features.${2 * s + 1}.{b}.block.0`, `stages.${s}.{b}.dwconv`],
            [`features.${2 * s + 1}.{b}.block.2`, `stages.${s}.{b}.norm`],
            [`features.${2 * s + 1}.{b}.block.3`, `stages.${s}.{b}.pwconv1`],
            [`features.${2 * s + 1}.{b}.block.5`, `stages.${s}.{b}.pwconv2`],
            [`features.${2 * s + 1}.{b}.layer_scale`, `stages.${s}.{b}.gamma`],
            [`features.${2 * s + 1}.{b}.grn.weight`, `stages.${s}.{b}.grn.gamma`],
            [`features.${2 * s + 1}.{b}.grn.bias`, `stages.${s}.{b}.grn.beta`],
            [`features.${2 * s + 2}.{i}`, `downsample_layers.${s + 1}.{i}`],
          ]),
        ),
        'classifier.0': 'norm',
        'classifier.2': 'head',
      }),
    },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'features.0.0': 'embeddings.patch_embeddings',
        'features.0.1': 'embeddings.layernorm',
        ...Object.fromEntries(
          [0, 1, 2, 3].flatMap((s) => [
            [`features.${2 * s + 1}.{b}.block.0`, `encoder.stages.${s}.layers.{b}.dwconv`],
            [`features.${2 * s + 1}.{b}.block.2`, `encoder.stages.${s}.layers.{b}.layernorm`],
            [`features.${2 * s + 1}.{b}.block.3`, `encoder.stages.${s}.layers.{b}.pwconv1`],
            [`features.${2 * s + 1}.{b}.block.5`, `encoder.stages.${s}.layers.{b}.pwconv2`],
            [`features.${2 * s + 1}.{b}.layer_scale`, `encoder.stages.${s}.layers.{b}.layer_scale_parameter`],
            [`features.${2 * s + 1}.{b}.grn.{*}`, `encoder.stages.${s}.layers.{b}.grn.{*}`],
            [`features.${2 * s + 2}.{i}`, `encoder.stages.${s + 1}.downsampling_layer.{i}`],
          ]),
        ),
        'classifier.0': 'layernorm',
      }),
    },
    // keras.applications: behind the net's own name.
    {
      ecosystem: 'keras',
      spell: spelling({
        'features.0.0': '_stem_conv',
        'features.0.1': '_stem_layernorm',
        ...Object.fromEntries(
          [0, 1, 2, 3].flatMap((s) => [
            [`features.${2 * s + 1}.{b}.block.0`, `_stage_${s}_block_{b}_depthwise_conv`],
            [`features.${2 * s + 1}.{b}.block.2`, `_stage_${s}_block_{b}_layernorm`],
            [`features.${2 * s + 1}.{b}.block.3`, `_stage_${s}_block_{b}_pointwise_conv_1`],
            [`features.${2 * s + 1}.{b}.block.5`, `_stage_${s}_block_{b}_pointwise_conv_2`],
            [`features.${2 * s + 1}.{b}.layer_scale`, `_stage_${s}_block_{b}_layer_scale`],
            [`features.${2 * s + 2}.0`, `_downsampling_layernorm_${s}`],
            [`features.${2 * s + 2}.1`, `_downsampling_conv_${s}`],
          ]),
        ),
        'classifier.0': '_head_layernorm|layer_normalization',
        'classifier.2': '_head_dense',
      }),
    },
  ],

  measure(names) {
    const isSecond = names.has('features.1.0.grn.weight');
    if (!names.has('features.0.1') || !(isSecond || names.has('features.1.0.layer_scale'))) return null;
    const stages = Array.from({ length: MAX_STAGES }, (_, s) => 2 * s + 1).filter((i) => names.has(`features.${i}.0.block.0`));
    const [, , kernel = 7] = names.shape('features.3.0.block.0');
    return {
      depths: stages.map((i) => names.count(`features.${i}.{n}.block.0`)),
      widths: stages.map((i) => names.shape(`features.${i}.0.block.0`)[0]!),
      ...(isSecond ? { version: 2 as const } : {}),
      ...(kernel === 7 ? {} : { kernel }),
    };
  },

  build(net, input, size) {
    const { depths, widths, version } = size;
    const test = TEST_NETS.findIndex((one) => sizeKey(one) === sizeKey(size));
    const epsilon = test < 0 ? EPSILON : 1e-5;
    const act: Activation = test < 0 ? 'gelu' : test < 2 ? 'gelu-tanh' : 'silu';
    const isKeras = net.ecosystem === 'keras';
    const picture = isKeras ? kerasPreprocessing(net, input, (y) => (y.shape[1] === 3 ? normalisedPixels(net, y) : y)) : input;
    let x = stem(net, picture, widths[0]!, epsilon);
    depths.forEach((depth, s) => {
      const width = widths[s]!;
      for (let b = 0; b < depth; b++) {
        const at = `features.${2 * s + 1}.${b}`;
        const branch = (y: Value) => {
          const deep = net.transpose(net.conv(y, `${at}.block.0`, { kernel: 7, depthwise: true, bias: true }), [0, 2, 3, 1]);
          const wide = net.activation(net.dense(layerNorm(net, deep, `${at}.block.2`, epsilon), `${at}.block.3`, { out: 4 * width }), act);
          const blended = net.dense(version === 2 ? responses(net, wide, `${at}.grn`) : wide, `${at}.block.5`, { out: width });
          if (version === 2) return net.transpose(blended, [0, 3, 1, 2]);
          const scale = net.store.takeParameter(`${at}.layer_scale`, [width, 1, 1]);
          if (scale?.shape[0] !== width)
            throw new Departure(net.store.sourceName(`${at}.layer_scale`), scale ? `is no scale of ${width} channels` : 'is missing');
          return net.transpose(net.constantOp('Mul', blended, reshape(scale, [width]), net.store.sourceName(`${at}.layer_scale`)), [0, 3, 1, 2]);
        };
        x = residual(net, x, branch);
      }
      if (s === depths.length - 1) return;
      const normal = layerNorm(net, x, `features.${2 * s + 2}.0`, epsilon, 1);
      x = net.conv(normal, `features.${2 * s + 2}.1`, { out: widths[s + 1], kernel: 2, stride: 2, pad: 0, bias: true });
    });
    // Without its top, Keras's net normalises the picture of features.
    if (isKeras && !net.has('classifier.2', true)) return layerNorm(net, x, 'classifier.0', EPSILON, 1);
    // timm has one that normalises before it pools.
    if (net.has('norm_pre', false)) return head(net, net.globalPool(layerNorm(net, x, 'norm_pre', epsilon, 1)), 'classifier.2');
    const pooled = net.globalPool(x);
    // Where another head took the place of the whole one, its normalisation went with it.
    if (isKeras && !net.has('classifier.0', true)) return pooled;
    const isNorm = isKeras || net.store.has('classifier') === undefined || net.store.shape('classifier.0')?.length === 1;
    if (!isNorm) return head(net, pooled, 'classifier');
    const normal = layerNorm(net, pooled, 'classifier.0', net.ecosystem === 'transformers' ? 1e-12 : epsilon);
    // Somebody's Sequential may begin with the published normalisation.
    if (net.ecosystem === 'torchvision' && net.store.childrenOf?.('classifier').some((child) => child !== '0' && child !== '2'))
      return head(net, normal, 'classifier', { done: '0' });
    const hidden = net.has('classifier.1', false) ? net.activation(net.dense(normal, 'classifier.1'), act) : normal;
    return head(net, hidden, 'classifier.2');
  },
});

/** Squares of the picture, normalised; in timm's nets of which the name ends in `ols` two convolutions whose windows overlap. */
function stem(net: Net, picture: Value, width: number, epsilon: number): Value {
  if (net.store.shape('features.0.1')?.length === 4) {
    const overlapping = { kernel: 3, stride: 2, bias: true };
    const half = net.conv(picture, 'features.0.0', overlapping);
    return layerNorm(net, net.conv(half, 'features.0.1', overlapping), 'features.0.2', epsilon, 1);
  }
  const side = net.store.shape('features.0.0')?.[2] ?? 4;
  const patches = net.conv(picture, 'features.0.0', { out: width, kernel: side, stride: side, pad: 0, bias: true });
  return layerNorm(net, patches, 'features.0.1', epsilon, 1);
}

/** Each channel weighed by how strong it is among all of them (global response normalisation), over [batch, height, width, channels]. */
function responses(net: Net, x: Value, path: string): Value {
  const channels = sizeOf(x, 3);
  const [scale, bias] = ['weight', 'bias'].map((role) => {
    const tensor = net.store.takeParameter(`${path}.${role}`, [channels]);
    if (tensor?.shape.at(-1) !== channels) throw new Departure(net.store.sourceName(`${path}.${role}`), `is not of ${channels} channels`);
    return reshape(tensor, [channels]);
  });
  const strength = net.op('Sqrt', [net.op('ReduceSum', [net.multiply(x, x)], { axes: [1, 2], keepdims: 1 })]);
  const mean = net.op('ReduceMean', [strength], { axes: [3], keepdims: 1 });
  const share = net.op('Div', [strength, net.constantOp('Add', mean, EPSILON)]);
  const name = net.store.sourceName(path);
  const weighed = net.constantOp('Mul', net.multiply(x, share), scale!, name);
  return net.add(x, net.constantOp('Add', weighed, bias!, `${name}.bias`));
}
