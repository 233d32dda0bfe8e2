/** Nets that were not made for the catalogue: torch's own, from its weights or its exporter, and what others have published. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { convert } from '../../../src/convert.js';
import { nodeFileSet } from '../../../src/node/index.js';
import { CORPUS } from '../../corpus.js';
import type { Subject } from './catalogue.js';

export interface ForeignNet {
  readonly name: string;
  readonly path: string;
  readonly prototxt?: string;
  readonly options: Parameters<typeof convert>[3];
}

const FIXTURES = fileURLToPath(new URL('../../fixtures/architectures', import.meta.url));
/** Families of torchvision's, from their weights alone. */
const FROM_WEIGHTS = ['mobilenet_v2', 'resnet-basic', 'densenet', 'shufflenet_v2', 'squeezenet1_1', 'efficientnet', 'vit', 'swin', 'unet', 'rrdb'];
/** Published nets: detection heads, faces, enlargers, a recurrent one, nets of Keras, Caffe, TensorFlow and TensorFlow.js. */
const PUBLISHED = [
  'onnx-blazeface-front-tf2onnx',
  'onnx-ultraface-slim-320',
  'onnx-superres-ir1',
  'keras2-fer2013-mini-xception',
  'pytorch-kws-dscnn',
  'tfjs-faceapi-tiny-face-detector',
  'caffe-cifar10-quick-v1',
  'onnx-yunet-dynamic',
  'keras3-digits-cnn',
  'tfkeras-tiny-streaming-wakeword',
  'tfjs-graph-gender',
  'tf-frozen-fsrcnn-x3',
  'keras-simple-lstm-tf-k1',
];

const MADE = /\.(onnx|keras|h5|pt|tflite)$/;

function optionsIn(folder: string): ForeignNet['options'] {
  const path = join(folder, 'options.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
}

/** @param exported a folder of what test/fixtures/exported/make.py makes, or strangers.py */
export function foreignNets(exported?: string): ForeignNet[] {
  const own = FROM_WEIGHTS.map((name) => {
    const { inputShape, assume } = JSON.parse(readFileSync(join(FIXTURES, name, 'options.json'), 'utf8'));
    return { name: `${name}, weights of torch`, path: join(FIXTURES, name, 'model.pth'), options: { inputShape, assume } };
  });
  const published = PUBLISHED.filter((name) => existsSync(join(CORPUS, name))).map((name) => {
    const { model, prototxt } = JSON.parse(readFileSync(join(CORPUS, name, 'case.json'), 'utf8'));
    return { name, path: join(CORPUS, name, model), prototxt: prototxt ?? undefined, options: {} };
  });
  const made = (exported ? readdirSync(exported, { withFileTypes: true }) : []).flatMap((entry): ForeignNet[] => {
    const path = join(exported!, entry.name);
    if (!entry.isDirectory()) return MADE.test(entry.name) ? [{ name: `${entry.name.replace(MADE, '')}, exported by torch`, path, options: {} }] : [];
    const file = readdirSync(path).find((name) => MADE.test(name));
    return file ? [{ name: entry.name, path: join(path, file), options: optionsIn(path) }] : [];
  });
  return [...own, ...made, ...published];
}

/** Converts a net as its user would. */
export async function foreignSubject({ path, prototxt, options }: ForeignNet): Promise<Subject & { close(): Promise<void> }> {
  const files = await nodeFileSet(path);
  const sink = memorySink();
  const { model, map } = await convert(files, sink, 'net.onnx', { ...options, prototxt, opset: 20 });
  return { map: map!, model, source: { files, path, prototxt }, bytes: sink.files.get('net.onnx')!, close: () => files.close() };
}
