/**
 * The table of nets: every net that torchvision and keras.applications publish matches from its weights alone, whatever they lie in, and every
 * classifier of torchvision in the four forms that PyTorch exports.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { published } from '../architectures/blank.js';

const CONTAINERS = ['zip', 'zip, published names', 'legacy', 'safetensors'];
/** What is no classifier has a table of its own. */
const OTHERS = /^(deeplabv3|fcn|lraspp|ssd|ssdlite|retinanet|fasterrcnn|maskrcnn|keypointrcnn)\d*_/;
const EXPORTED = ['onnx', 'onnx-ts', 'torchscript', 'pt2'];
const LARGEST = ['regnet_y_128gf', 'vit_h_14'].map((net) => `${net}: no row, no row`);
/** What is known to be missing, as nets of 2.5 GB are in any form. */
const MISSING: Readonly<Record<string, readonly string[]>> = {
  onnx: [
    'regnet_y_128gf: no row, no row',
    'swin_v2_b: 6.0e-7, not run',
    'swin_v2_s: 6.3e-7, not run',
    'vit_h_14: no row, no row',
    'vit_l_16: no row, no row',
    'vit_l_32: no row, no row',
  ],
  'onnx-ts': [...LARGEST, 'vit_l_16: no row, no row', 'vit_l_32: no row, no row'],
  torchscript: [...LARGEST, 'vit_l_16: no row, no row'],
  pt2: [...LARGEST, 'vit_l_16: no row, no row'],
};
const KERAS = `ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201 EfficientNetB0 EfficientNetB1
  EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2
  EfficientNetV2B3 EfficientNetV2L EfficientNetV2M EfficientNetV2S InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large
  MobileNetV3Small NASNetLarge NASNetMobile ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 VGG16 VGG19 Xception`.split(/\s+/);
const KERAS_FORMS = ['weights.h5 alone', 'legacy weights alone'];

const document = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');
const rows = document.slice(document.indexOf('## Nets')).split('\n');
const cells = new Map(rows.map((row) => row.split(' | ')).map(([net, form, ...targets]) => [`${net?.slice(2)} | ${form}`, targets] as const));
const matches = new Set(rows.flatMap((row) => /^\| (\S+ \| [^|]+) \| \d\S+ \|/.exec(row)?.[1] ?? []));

const nets = [...Object.keys(published).filter((name) => !OTHERS.test(name)), 'googlenet.noaux', 'inception_v3.noaux'];

describe('the table of nets', () => {
  it('has a match of every classifier of torchvision from each container, with and without auxiliary heads', () => {
    expect(nets.length).toBe(82);
    expect(nets.flatMap((net) => CONTAINERS.map((container) => `${net} | ${container}`)).filter((row) => !matches.has(row))).toEqual([]);
  });

  it.each(EXPORTED)('has a match of every classifier of torchvision as %s, to ONNX and to a TensorFlow.js graph, or says why not', (form) => {
    const wrong = nets.flatMap((net) => {
      const [onnx = 'no row', graph = 'no row'] = (cells.get(`${net} | ${form}`) ?? []).map((cell) => cell.replace(/ \|$/, ''));
      const isRight = /^\d/.test(onnx) && (/^\d/.test(graph) || /^layer "|cannot express/.test(graph));
      return isRight ? [] : [`${net}: ${onnx}, ${graph}`];
    });
    expect(wrong.toSorted()).toEqual((MISSING[form] ?? []).toSorted());
  });

  it('has a match of every net of keras.applications from both forms of its weights', () => {
    expect(KERAS.length).toBe(40);
    expect(KERAS.flatMap((net) => KERAS_FORMS.map((form) => `${net} | ${form}`)).filter((row) => !matches.has(row))).toEqual([]);
  });
});
