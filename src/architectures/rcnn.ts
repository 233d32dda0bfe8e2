/**
 * Faster R-CNN, Mask R-CNN and Keypoint R-CNN as torchvision has them, up to where regions are chosen: the feature pyramid (Lin et al., 2016,
 * figure 3) and what the region proposal net says of each anchor (Ren et al., 2015, figure 3). What is behind takes regions.
 */
import { byAnchor, enlarged } from './detection.js';
import { family, namesWithin, TORCHVISION } from './family.js';
import { type MobileNetV3Size, measureMobileNetV3, mobilenetV3Features } from './mobilenet-v3.js';
import { Departure, type Net, type Outputs, sizeOf, type Value } from './net.js';
import { measureResNet, type ResNetSize, resnetFeatures } from './resnet.js';

interface Size {
  readonly backbone: { readonly kind: 'resnet'; readonly size: ResNetSize } | { readonly kind: 'mobilenet'; readonly size: MobileNetV3Size };
  /** Pictures of features that the pyramid is made of. */
  readonly levels: number;
  /** Its convolutions are normalised. */
  readonly normed: boolean;
  /** Convolutions before the proposals. */
  readonly depth: number;
}

const PYRAMID = 256;
/** Of each place: three shapes. */
const ANCHORS = 3;
const COORDINATES = 4;
const RESNET50: Size['backbone'] = { kind: 'resnet', size: { block: 'bottleneck', depths: [3, 4, 6, 3], widths: [64, 128, 256, 512], groups: 1 } };

export const rcnn = family<Size>({
  name: 'rcnn',
  title: 'Faster R-CNN (Mask, Keypoint)',
  source: 'Ren et al., 2015, https://arxiv.org/abs/1506.01497, figure 3; Lin et al., 2016, https://arxiv.org/abs/1612.03144, figure 3',
  sizes: {
    fasterrcnn_resnet50_fpn: { backbone: RESNET50, levels: 4, normed: false, depth: 1 },
    fasterrcnn_resnet50_fpn_v2: { backbone: RESNET50, levels: 4, normed: true, depth: 2 },
  },
  otherNames: /^(faster|mask|keypoint)rcnn/i,
  stem: 'backbone.body.conv1',
  side: 800,
  preprocessing: () => TORCHVISION,
  beyond: /^(.*\.)?roi_heads\./,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    // Before torchvision 0.14, convolutions were no blocks of their own.
    {
      ecosystem: 'torchvision',
      spell: (path) => path.replace(/^(backbone\.fpn\.\w+_blocks\.\d+)\.0$/, '$1').replace(/^rpn\.head\.conv\.0\.0$/, 'rpn.head.conv'),
    },
    { ecosystem: 'torchvision', spell: (path) => (path === 'backbone.body.conv1' ? 'backbone.body.0.0' : path) },
  ],

  measure(names) {
    const levels = names.count('backbone.fpn.inner_blocks.{n}.0');
    if (levels === 0 || !names.has('rpn.head.cls_logits')) return null;
    const rest = { levels, normed: names.shape('backbone.fpn.inner_blocks.0.1', 'mean').length > 0, depth: Math.max(1, names.count('rpn.head.conv.{n}.0')) };
    const size = measureResNet(namesWithin(names, (path) => `backbone.body.${path}`));
    if (size) return { ...rest, backbone: { kind: 'resnet', size } };
    const mobile = measureMobileNetV3(namesWithin(names, (path) => path.replace(/^features/, 'backbone.body')));
    return mobile && levels === 2 ? { ...rest, backbone: { kind: 'mobilenet', size: mobile } } : null;
  },

  build(net, input, size) {
    const features = pyramid(net, backboneStages(net, input, size), size);
    // Of the smallest picture every second place.
    features.push(net.maxPool(features.at(-1)!, { kernel: 1, stride: 2 }));
    const said = features.map((x) => proposals(net, x, size.depth));
    const outputs: Record<string, Value> = {
      objectness: net.concat(
        said.map(({ objectness }) => objectness),
        1,
      ),
      pred_bbox_deltas: net.concat(
        said.map(({ deltas }) => deltas),
        1,
      ),
    };
    features.forEach((x, i) => {
      outputs[i === features.length - 1 ? 'features_pool' : `features_${i}`] = x;
    });
    return outputs satisfies Outputs;
  },
});

/** Pictures of features, the largest first. */
function backboneStages(net: Net, input: Value, { backbone, levels }: Size): readonly Value[] {
  const seen: Value[] = [];
  if (backbone.kind === 'resnet') {
    resnetFeatures(net, input, backbone.size, { at: 'backbone.body.', onStage: (x) => seen.push(x) });
    return seen.slice(-levels);
  }
  // Its frozen statistics have PyTorch's own epsilon.
  const last = mobilenetV3Features(net, input, backbone.size, { at: 'backbone.body', onLast: (x) => seen.push(x), epsilon: 1e-5 });
  return [...seen, last];
}

function pyramid(net: Net, stages: readonly Value[], { normed }: Size): Value[] {
  const conv = (x: Value, path: string, kernel: number) => {
    const y = net.conv(x, `${path}.0`, { out: PYRAMID, kernel, bias: !normed });
    return normed ? net.norm(y, `${path}.1`) : y;
  };
  const features: Value[] = [];
  let above: Value | null = null;
  for (let i = stages.length - 1; i >= 0; i--) {
    const beside: Value = conv(stages[i]!, `backbone.fpn.inner_blocks.${i}`, 1);
    above = above ? net.add(beside, enlarged(net, above, beside)) : beside;
    features.unshift(conv(above, `backbone.fpn.layer_blocks.${i}`, 3));
  }
  return features;
}

function proposals(net: Net, x: Value, depth: number): { readonly objectness: Value; readonly deltas: Value } {
  let y = x;
  for (let i = 0; i < depth; i++) y = net.activation(net.conv(y, `rpn.head.conv.${i}.0`, { out: PYRAMID, kernel: 3, bias: true }), 'relu');
  const objectness = net.conv(y, 'rpn.head.cls_logits', { out: ANCHORS, bias: true });
  const deltas = net.conv(y, 'rpn.head.bbox_pred', { out: ANCHORS * COORDINATES, bias: true });
  if (sizeOf(deltas, 1) !== COORDINATES * sizeOf(objectness, 1)) {
    throw new Departure(net.store.sourceName('rpn.head.bbox_pred'), `has ${sizeOf(deltas, 1)} channels, and there are ${sizeOf(objectness, 1)} anchors`);
  }
  return { objectness: byAnchor(net, objectness, 1), deltas: byAnchor(net, deltas, COORDINATES) };
}
