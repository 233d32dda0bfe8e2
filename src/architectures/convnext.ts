/** ConvNeXt: Liu et al., "A ConvNet for the 2020s", 2022, section 3. */
import { reshape } from '../model/tensor.js';
import { layerNorm, mlp } from './attention.js';
import { residual } from './blocks.js';
import { family, RAW, TORCHVISION } from './family.js';
import { head } from './head.js';
import { kerasPreprocessing, normalisedPixels } from './keras-input.js';
import { Departure, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
}

const EPSILON = 1e-6;
const MAX_STAGES = 8;
const widths = (first: number) => [1, 2, 4, 8].map((factor) => factor * first);

export const convnext = family<Size>({
  name: 'convnext',
  title: 'ConvNeXt',
  source: 'Liu et al., 2022, https://arxiv.org/abs/2201.03545, section 3',
  sizes: {
    convnext_tiny: { depths: [3, 3, 9, 3], widths: widths(96) },
    convnext_small: { depths: [3, 3, 27, 3], widths: widths(96) },
    convnext_base: { depths: [3, 3, 27, 3], widths: widths(128) },
    convnext_large: { depths: [3, 3, 27, 3], widths: widths(192) },
    convnext_xlarge: { depths: [3, 3, 27, 3], widths: widths(256) },
  },
  stem: 'features.0.0',
  side: 224,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? RAW : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    {
      ecosystem: 'timm',
      spell: spelling({
        'features.0.0': 'stem.0',
        'features.0.1': 'stem.1',
        ...Object.fromEntries(
          [0, 1, 2, 3].flatMap((s) => [
            [`features.${2 * s + 1}.{b}.block.0`, `stages.${s}.blocks.{b}.conv_dw`],
            [`features.${2 * s + 1}.{b}.block.2`, `stages.${s}.blocks.{b}.norm`],
            [`features.${2 * s + 1}.{b}.block.3`, `stages.${s}.blocks.{b}.mlp.fc1`],
            [`features.${2 * s + 1}.{b}.block.5`, `stages.${s}.blocks.{b}.mlp.fc2`],
            [`features.${2 * s + 1}.{b}.layer_scale`, `stages.${s}.blocks.{b}.gamma`],
            [`features.${2 * s + 2}.{i}`, `stages.${s + 1}.downsample.{i}`],
          ]),
        ),
        'classifier.0': 'head.norm',
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
    if (!names.has('features.0.1') || !names.has('features.1.0.layer_scale')) return null;
    const stages = Array.from({ length: MAX_STAGES }, (_, s) => 2 * s + 1).filter((i) => names.has(`features.${i}.0.block.0`));
    return {
      depths: stages.map((i) => names.count(`features.${i}.{n}.block.0`)),
      widths: stages.map((i) => names.shape(`features.${i}.0.block.0`)[0]!),
    };
  },

  build(net, input, { depths, widths }) {
    const stem = net.store.shape('features.0.0')?.[2] ?? 4;
    const isKeras = net.ecosystem === 'keras';
    const picture = isKeras ? kerasPreprocessing(net, input, (y) => (y.shape[1] === 3 ? normalisedPixels(net, y) : y)) : input;
    let x = net.conv(picture, 'features.0.0', { out: widths[0], kernel: stem, stride: stem, pad: 0, bias: true });
    x = layerNorm(net, x, 'features.0.1', EPSILON, 1);
    depths.forEach((depth, s) => {
      const width = widths[s]!;
      for (let b = 0; b < depth; b++) {
        const at = `features.${2 * s + 1}.${b}`;
        const branch = (y: Value) => {
          const deep = net.transpose(net.conv(y, `${at}.block.0`, { kernel: 7, depthwise: true, bias: true }), [0, 2, 3, 1]);
          const blended = mlp(net, layerNorm(net, deep, `${at}.block.2`, EPSILON), `${at}.block.3`, `${at}.block.5`, 4 * width);
          const scale = net.store.takeParameter(`${at}.layer_scale`, [width, 1, 1]);
          if (scale?.shape[0] !== width) throw new Departure(net.store.sourceName(`${at}.layer_scale`), `is no scale of ${width} channels`);
          return net.transpose(net.constantOp('Mul', blended, reshape(scale, [width]), net.store.sourceName(`${at}.layer_scale`)), [0, 3, 1, 2]);
        };
        x = residual(net, x, branch);
      }
      if (s === depths.length - 1) return;
      const normal = layerNorm(net, x, `features.${2 * s + 2}.0`, EPSILON, 1);
      x = net.conv(normal, `features.${2 * s + 2}.1`, { out: widths[s + 1], kernel: 2, stride: 2, pad: 0, bias: true });
    });
    // Without its top, Keras's net normalises the picture of features.
    if (isKeras && !net.has('classifier.2', true)) return layerNorm(net, x, 'classifier.0', EPSILON, 1);
    const pooled = net.globalPool(x);
    // Where another head took the place of the whole one, its normalisation went with it.
    if (isKeras && !net.has('classifier.0', true)) return pooled;
    const isNorm = isKeras || net.store.has('classifier') === undefined || net.store.shape('classifier.0')?.length === 1;
    if (!isNorm) return head(net, pooled, 'classifier');
    return head(net, layerNorm(net, pooled, 'classifier.0', net.ecosystem === 'transformers' ? 1e-12 : EPSILON), 'classifier.2');
  },
});
