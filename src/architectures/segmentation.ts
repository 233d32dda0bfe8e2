/**
 * Segmentation as torchvision has it: DeepLab v3 (Chen et al., 2017), FCN (Long et al., 2014) over a dilated ResNet or MobileNet v3, and
 * LR-ASPP over MobileNet v3 (Howard et al., 2019, section 6.4).
 */
import { bilinear } from './adaptive.js';
import { branches, convNormAct } from './blocks.js';
import { family, namesWithin, TORCHVISION } from './family.js';
import { type MobileNetV3Size, measureMobileNetV3, mobilenetV3, mobilenetV3Features } from './mobilenet-v3.js';
import { type Net, sizeOf, type Value } from './net.js';
import { measureResNet, type ResNetSize, resnetFeatures } from './resnet.js';

interface Size {
  readonly head: 'deeplab' | 'fcn' | 'lraspp';
  readonly backbone: { readonly kind: 'resnet'; readonly size: ResNetSize } | { readonly kind: 'mobilenet'; readonly size: MobileNetV3Size };
}

const CLASSES = 21;
const ASPP = 'classifier.0.convs';
const RATES = [12, 24, 36];
/** Stages whose stride becomes dilation: an output stride of 8. */
const DILATE = [false, false, true, true];

const resnetOf = (depths: number[]): Size['backbone'] => ({
  kind: 'resnet',
  size: { block: 'bottleneck', depths, widths: [64, 128, 256, 512], groups: 1 },
});

const mobilenet: Size['backbone'] = { kind: 'mobilenet', size: mobilenetV3.sizes.mobilenet_v3_large as MobileNetV3Size };

export const segmentation = family<Size>({
  name: 'segmentation',
  title: 'segmentation net (DeepLab v3, FCN, LR-ASPP)',
  source: 'Chen et al., 2017, https://arxiv.org/abs/1706.05587; Long et al., 2014, https://arxiv.org/abs/1411.4038',
  sizes: {
    deeplabv3_resnet50: { head: 'deeplab', backbone: resnetOf([3, 4, 6, 3]) },
    deeplabv3_resnet101: { head: 'deeplab', backbone: resnetOf([3, 4, 23, 3]) },
    fcn_resnet50: { head: 'fcn', backbone: resnetOf([3, 4, 6, 3]) },
    fcn_resnet101: { head: 'fcn', backbone: resnetOf([3, 4, 23, 3]) },
    deeplabv3_mobilenet_v3_large: { head: 'deeplab', backbone: mobilenet },
    lraspp_mobilenet_v3_large: { head: 'lraspp', backbone: mobilenet },
  },
  stem: 'backbone.conv1',
  side: 520,
  classes: CLASSES,
  labels: 'Pascal VOC: background and 20 classes in alphabetical order, aeroplane first; trained on the pictures of COCO that show them',
  preprocessing: () => TORCHVISION,
  training: /(^|\.)aux_classifier\./,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: (path) => (path === 'backbone.conv1' ? 'backbone.0.0' : path) },
  ],

  measure(names) {
    const head = names.has('classifier.low_classifier') ? 'lraspp' : names.has(`${ASPP}.1.0`) ? 'deeplab' : names.has('classifier.4') ? 'fcn' : null;
    if (head === null) return null;
    const resnet = measureResNet(namesWithin(names, (path) => `backbone.${path}`));
    if (resnet) return { head, backbone: { kind: 'resnet', size: resnet } };
    const mobilenet = measureMobileNetV3(namesWithin(names, (path) => path.replace(/^features/, 'backbone')));
    return mobilenet && { head, backbone: { kind: 'mobilenet', size: mobilenet } };
  },

  build(net, input, { head, backbone }) {
    let low = input;
    const onLow = (value: Value) => {
      low = value;
    };
    const x =
      backbone.kind === 'resnet'
        ? resnetFeatures(net, input, backbone.size, { at: 'backbone.', dilate: DILATE })
        : mobilenetV3Features(net, input, backbone.size, { at: 'backbone', dilate: true, onLow });
    net.endsInClasses = true;
    const y = head === 'deeplab' ? deepLab(net, x) : head === 'fcn' ? fcn(net, x) : lraspp(net, low, x);
    return bilinear(net, y, sizeOf(input, 2), sizeOf(input, 3));
  },
});

/** Atrous spatial pyramid pooling: windows of several spreads, and the whole picture, side by side. */
function deepLab(net: Net, x: Value): Value {
  const out = 256;
  const conv = (y: Value, at: string, first: number, options: object) =>
    convNormAct(net, y, `${at}.${first}`, `${at}.${first + 1}`, 'relu', { out, kernel: 1, ...options });
  const whole = (y: Value) => {
    const pooled = conv(net.op('GlobalAveragePool', [y]), `${ASPP}.${RATES.length + 1}`, 1, { pad: 0 });
    return bilinear(net, pooled, sizeOf(y, 2), sizeOf(y, 3));
  };
  const spread = RATES.map((dilation, i) => (y: Value) => conv(y, `${ASPP}.${i + 1}`, 0, { kernel: 3, dilation }));
  const pyramid = branches(net, x, (y) => conv(y, `${ASPP}.0`, 0, {}), ...spread, whole);
  const projected = conv(pyramid, 'classifier.0.project', 0, {});
  const last = convNormAct(net, projected, 'classifier.1', 'classifier.2', 'relu', { out, kernel: 3 });
  return net.conv(last, 'classifier.4', { out: CLASSES, bias: true });
}

function fcn(net: Net, x: Value): Value {
  const between = convNormAct(net, x, 'classifier.0', 'classifier.1', 'relu', { out: sizeOf(x, 1) / 4, kernel: 3 });
  return net.conv(between, 'classifier.4', { out: CLASSES, bias: true });
}

function lraspp(net: Net, low: Value, high: Value): Value {
  const features = convNormAct(net, high, 'classifier.cbr.0', 'classifier.cbr.1', 'relu', { out: 128, kernel: 1 });
  const gate = net.activation(net.conv(net.op('GlobalAveragePool', [high]), 'classifier.scale.1', { out: 128, pad: 0 }), 'sigmoid');
  const gated = bilinear(net, net.multiply(features, gate), sizeOf(low, 2), sizeOf(low, 3));
  const classes = { out: CLASSES, bias: true };
  return net.add(net.conv(low, 'classifier.low_classifier', classes), net.conv(gated, 'classifier.high_classifier', classes));
}
