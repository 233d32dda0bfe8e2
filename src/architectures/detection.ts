/**
 * Detectors as torchvision has them, up to where they stop being of one size: what their heads say of each anchor. SSD over VGG-16 (Liu et al.,
 * 2015, figure 2) and MobileNet v3, RetinaNet over a ResNet and a feature pyramid (Lin et al., 2017, figure 3). Anchors, thresholds and the suppression of
 * what overlaps come behind.
 */
import { reshape } from '../model/tensor.js';
import { convBlock, groupNorm, repeated } from './blocks.js';
import { unit } from './cosine.js';
import { family, namesWithin, type Preprocessing, SYMMETRIC, TORCHVISION } from './family.js';
import { type MobileNetV3Size, measureMobileNetV3, mobilenetV3, mobilenetV3Features } from './mobilenet-v3.js';
import { Departure, type Net, type Outputs, sizeOf, type Value } from './net.js';
import { measureResNet, type ResNetSize, resnetFeatures } from './resnet.js';

/** COCO's numbers go to 90; 0 is the background. */
const CLASSES = 91;
const LABELS = 'COCO: background and the numbers 1 to 90 of its categories, of which ten are not used';
const CLASSIFIER = 'head.classification_head';
const REGRESSION = 'head.regression_head';
/** A corner, a width and a height, each against the anchor's. */
const COORDINATES = 4;

/** [batch, anchors x each, height, width] to [batch, places x anchors, each]. */
export function byAnchor(net: Net, x: Value, each: number): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  return net.reshape(net.transpose(x, [0, 2, 3, 1]), [0, (height * width * channels) / each, each]);
}

/**
 * What the heads say of all anchors of all pictures of features, the largest picture first.
 *
 * @param anchors of each place, by picture, for a net without weights
 */
function heads(
  net: Net,
  features: readonly Value[],
  anchors: readonly number[],
  run: (x: Value, at: string, i: number, out: number, last: string) => Value,
  lasts: { readonly logits: (i: number) => string; readonly boxes: (i: number) => string },
): Outputs {
  const each = features.map((x, i) => {
    const boxes = run(x, REGRESSION, i, COORDINATES * anchors[i]!, lasts.boxes(i));
    const count = sizeOf(boxes, 1) / COORDINATES;
    const logits = run(x, CLASSIFIER, i, CLASSES * anchors[i]!, lasts.logits(i));
    const classes = sizeOf(logits, 1) / count;
    if (!Number.isInteger(count) || !Number.isInteger(classes)) {
      throw new Departure(net.store.sourceName(lasts.logits(i)), `has ${sizeOf(logits, 1)} channels, and the boxes beside it ${sizeOf(boxes, 1)}`);
    }
    return { logits: byAnchor(net, logits, classes), boxes: byAnchor(net, boxes, COORDINATES) };
  });
  const joined = (values: readonly Value[]) => net.concat(values, 1);
  return { cls_logits: joined(each.map(({ logits }) => logits)), bbox_regression: joined(each.map(({ boxes }) => boxes)) };
}

const SSD_MEAN = [0.48235, 0.45882, 0.40784];
const SSD: Preprocessing = { order: 'RGB', range: [0, 1], mean: SSD_MEAN, std: [1 / 255, 1 / 255, 1 / 255] };

/** Places in torchvision's list of VGG-16's modules, up to its fourth block, and their widths. */
const SSD_BLOCKS = [
  [[0, 2], 64],
  [[5, 7], 128],
  [[10, 12, 14], 256],
  [[17, 19, 21], 512],
] as const;
/** Of each further block, what its 1 x 1 and its 3 x 3 convolution make; the first two stride, the others pad nothing. */
const SSD_EXTRA = [
  [256, 512],
  [128, 256],
  [128, 256],
  [128, 256],
] as const;
const SSD_ANCHORS = [4, 6, 6, 6, 4, 4];
const STRIDING_EXTRA = 2;

export const ssd = family<{ readonly extra: number }>({
  name: 'ssd',
  title: 'SSD over VGG-16',
  source: 'Liu et al., 2015, https://arxiv.org/abs/1512.02325, figure 2',
  sizes: { ssd300_vgg16: { extra: SSD_EXTRA.length } },
  stem: 'backbone.features.0',
  side: 300,
  classes: CLASSES,
  labels: LABELS,
  preprocessing: () => SSD,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    if (!names.has('backbone.extra.0.7.1') || !names.has(`${CLASSIFIER}.module_list.0`)) return null;
    return { extra: names.count('backbone.extra.{n}.2', 1) };
  },

  build(net, input, { extra }) {
    const conv = (x: Value, path: string, out: number, options = {}) => net.activation(net.conv(x, path, { out, kernel: 3, bias: true, ...options }), 'relu');
    let x = input;
    for (const [b, [places, out]] of SSD_BLOCKS.entries()) {
      if (b > 0) x = net.maxPool(x, { kernel: 2, ceil: b === 3 });
      for (const place of places) x = conv(x, `backbone.features.${place}`, out);
    }
    const features = [scaled(net, x, 'backbone.scale_weight')];
    x = net.maxPool(x, { kernel: 2 });
    for (const place of [1, 3, 5]) x = conv(x, `backbone.extra.0.${place}`, 512);
    x = conv(net.maxPool(x, { kernel: 3, stride: 1, pad: 1 }), 'backbone.extra.0.7.1', 1024, { pad: 6, dilation: 6 });
    x = conv(x, 'backbone.extra.0.7.3', 1024, { kernel: 1 });
    features.push(x);
    for (let i = 1; i <= extra; i++) {
      const [narrow, wide] = SSD_EXTRA[i - 1] ?? SSD_EXTRA[3];
      x = conv(x, `backbone.extra.${i}.0`, narrow, { kernel: 1 });
      x = conv(x, `backbone.extra.${i}.2`, wide, i <= STRIDING_EXTRA ? { stride: 2, pad: 1 } : { pad: 0 });
      features.push(x);
    }
    const at = (head: string) => (i: number) => `${head}.module_list.${i}`;
    const run = (y: Value, _: string, __: number, out: number, last: string) => net.conv(y, last, { out, kernel: 3, bias: true });
    return heads(net, features, SSD_ANCHORS, run, { logits: at(CLASSIFIER), boxes: at(REGRESSION) });
  },
});

/** Each place's channels to length 1, and scaled by a learned factor of each. */
function scaled(net: Net, x: Value, path: string): Value {
  const channels = sizeOf(x, 1);
  const factors = net.store.takeParameter(path, [channels]);
  const name = net.store.sourceName(path);
  if (!factors) throw new Departure(name, 'is missing');
  if (factors.shape.join() !== String(channels)) throw new Departure(name, `is of shape [${factors.shape}], but ${channels} channels flow in`);
  return net.constantOp('Mul', unit(net, x, 1), reshape(factors, [channels, 1, 1]), name);
}

/** The block whose stride is the last: torchvision cuts the list of MobileNet v3's modules behind what it makes wide. */
const CUT = 13;
const LITE_EPSILON = 1e-3;
const LITE_ANCHORS = 6;
/** Of each further block. */
const LITE_EXTRA = [512, 256, 256, 128] as const;

/** torchvision's names of a MobileNet v3 in two parts. */
function inTwo(path: string): string {
  const [, module, rest = ''] = /^backbone\.features\.(\d+)\.(.*)$/.exec(path) ?? [];
  if (module === undefined) return path;
  const at = Number(module);
  if (at < CUT) return `backbone.features.0.${at}.${rest}`;
  if (at > CUT) return `backbone.features.1.${at - CUT}.${rest}`;
  const [, place, inside = ''] = /^block\.(\d+)(.*)$/.exec(rest) ?? [];
  return place === '0' ? `backbone.features.0.${CUT}${inside}` : `backbone.features.1.0.${place}${inside}`;
}

export const ssdlite = family<{ readonly backbone: MobileNetV3Size; readonly extra: number }>({
  name: 'ssdlite',
  title: 'SSDlite over MobileNet v3',
  source: 'Sandler et al., 2018, https://arxiv.org/abs/1801.04381, section 6.2; Howard et al., 2019, https://arxiv.org/abs/1905.02244, section 6.3',
  sizes: { ssdlite320_mobilenet_v3_large: { backbone: withReducedTail(), extra: LITE_EXTRA.length } },
  stem: 'backbone.features.0.0',
  side: 320,
  classes: CLASSES,
  labels: LABELS,
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'torchvision', spell: inTwo }],

  measure(names) {
    if (!names.has(`${CLASSIFIER}.module_list.0.0.0`) || !names.has('backbone.extra.0.1.0')) return null;
    const backbone = measureMobileNetV3(namesWithin(names, (path) => `backbone.${path}`));
    return backbone && { backbone, extra: names.count('backbone.extra.{n}.1.0') };
  },

  build(net, input, { backbone, extra }) {
    const options = { epsilon: LITE_EPSILON };
    const features: Value[] = [];
    let x = mobilenetV3Features(net, input, backbone, { at: 'backbone.features', onWide: (y) => features.push(y), ...options });
    features.push(x);
    for (let i = 0; i < extra; i++) {
      const at = `backbone.extra.${i}`;
      const out = LITE_EXTRA[i] ?? LITE_EXTRA[3];
      x = convBlock(net, x, `${at}.0`, 'relu6', { out: out / 2, kernel: 1, ...options });
      x = convBlock(net, x, `${at}.1`, 'relu6', { kernel: 3, stride: 2, depthwise: true, ...options });
      x = convBlock(net, x, `${at}.2`, 'relu6', { out, kernel: 1, ...options });
      features.push(x);
    }
    const at = (head: string) => (i: number) => `${head}.module_list.${i}.1`;
    const run = (y: Value, head: string, i: number, out: number, last: string) => {
      const deep = convBlock(net, y, `${head}.module_list.${i}.0`, 'relu6', { kernel: 3, depthwise: true, ...options });
      return net.conv(deep, last, { out, kernel: 1, bias: true });
    };
    const anchors = features.map(() => LITE_ANCHORS);
    return heads(net, features, anchors, run, { logits: at(CLASSIFIER), boxes: at(REGRESSION) });
  },
});

/** MobileNet v3 whose last stage has half the channels. */
function withReducedTail(): MobileNetV3Size {
  const large = mobilenetV3.sizes.mobilenet_v3_large as MobileNetV3Size;
  const blocks = large.blocks.map(([kernel, expanded, out, ...rest], i): MobileNetV3Size['blocks'][number] =>
    i < CUT - 1 ? [kernel, expanded, out, ...rest] : [kernel, i === CUT - 1 ? expanded : expanded / 2, out / 2, ...rest],
  );
  return { ...large, blocks };
}

interface RetinaNetSize {
  readonly backbone: ResNetSize;
  /** Convolutions of each head before its last. */
  readonly depth: number;
}

const PYRAMID = 256;
/** Of channels that are normalised together. */
const HEAD_GROUPS = 32;
/** Of each place: three sizes, three shapes. */
const RETINANET_ANCHORS = 9;
/** The stages that the pyramid is made of. */
const STAGES = [2, 3, 4];

export const retinanet = family<RetinaNetSize>({
  name: 'retinanet',
  title: 'RetinaNet',
  source: 'Lin et al., 2017, https://arxiv.org/abs/1708.02002, figure 3',
  sizes: {
    retinanet_resnet50_fpn: { backbone: { block: 'bottleneck', depths: [3, 4, 6, 3], widths: [64, 128, 256, 512], groups: 1 }, depth: 4 },
  },
  stem: 'backbone.body.conv1',
  side: 800,
  classes: CLASSES,
  labels: LABELS,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    // Before torchvision 0.14, convolutions were no blocks of their own.
    { ecosystem: 'torchvision', spell: beforeBlocks },
  ],

  measure(names) {
    const backbone = measureResNet(namesWithin(names, (path) => `backbone.body.${path}`));
    const depth = names.count(`${CLASSIFIER}.conv.{n}.0`);
    return backbone && depth > 0 && names.has('backbone.fpn.extra_blocks.p7') ? { backbone, depth } : null;
  },

  build(net, input, { backbone, depth }) {
    const stages: Value[] = [];
    resnetFeatures(net, input, backbone, { at: 'backbone.body.', onStage: (x) => stages.push(x) });
    const conv = (x: Value, path: string, options = {}) => net.conv(x, path, { out: PYRAMID, kernel: 3, bias: true, ...options });
    const features: Value[] = [];
    let above: Value | null = null;
    for (const i of [2, 1, 0]) {
      const beside: Value = net.conv(stages[STAGES[i]!]!, `backbone.fpn.inner_blocks.${i}.0`, { out: PYRAMID, bias: true });
      above = above ? net.add(beside, enlarged(net, above, beside)) : beside;
      features.unshift(conv(above, `backbone.fpn.layer_blocks.${i}.0`));
    }
    // Either of the pyramid's smallest picture or, in the second version, of the last stage's.
    const smallest = net.store.shape('backbone.fpn.extra_blocks.p6')?.[1] === sizeOf(stages[4]!, 1) ? stages[4]! : features[2]!;
    const sixth = conv(smallest, 'backbone.fpn.extra_blocks.p6', { stride: 2 });
    features.push(sixth, conv(net.activation(sixth, 'relu'), 'backbone.fpn.extra_blocks.p7', { stride: 2 }));
    const run = (x: Value, at: string, _: number, out: number, last: string) => {
      let y = x;
      for (let i = 0; i < depth; i++) {
        // The second version normalises, instead of adding a bias.
        const normed = net.has(`${at}.conv.${i}.1`, false);
        const made = conv(y, `${at}.conv.${i}.0`, { bias: !normed });
        y = net.activation(normed ? groupNorm(net, made, `${at}.conv.${i}.1`, HEAD_GROUPS) : made, 'relu');
      }
      return conv(y, last, { out });
    };
    const anchors = features.map(() => RETINANET_ANCHORS);
    return heads(net, features, anchors, run, { logits: () => `${CLASSIFIER}.cls_logits`, boxes: () => `${REGRESSION}.bbox_reg` });
  },
});

function beforeBlocks(path: string): string {
  return path.replace(/^(backbone\.fpn\.\w+_blocks\.\d+)\.0$/, '$1').replace(/^(head\.\w+\.conv)\.(\d+)\.0$/, (_, at, i) => `${at}.${2 * Number(i)}`);
}

/** Each pixel a square of four, as far as the other picture goes: the nearest ones, as an odd side halves to the larger half. */
export function enlarged(net: Net, x: Value, to: Value): Value {
  if ([2, 3].every((axis) => sizeOf(x, axis) === sizeOf(to, axis))) return x;
  return [2, 3].reduce(
    (y, axis) => {
      const size = sizeOf(to, axis);
      return sizeOf(y, axis) > size ? net.slice(y, axis, 0, size) : y;
    },
    repeated(net, x, 2),
  );
}
