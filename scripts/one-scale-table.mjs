/**
 * Measures what one scale for a whole weight costs nets in 8 bits, and what is done against it (`src/shrink/one-scale.ts`): node scripts/one-scale-table.mjs [shared folder] [net;net]
 *
 * The folder has nets of other people in `trained` and `corpus`, as for shrink-table.mjs. Outputs are those of our evaluator, on the recorded input of a net (one row) and
 * generated ones. Needs a build. It prints the table of docs/shrink.md.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const shared = process.argv[2] || join(root, '../shared');
const nets = process.argv[3]?.split(';');
const NETS = [
  ['MobileNet v2 0.35', 'trained/mobilenetv2-waste/keras_model.h5'],
  ['ResNet-8, CIFAR-10', 'trained/resnet8-cifar10/pretrainedResnet.h5'],
  ['ESRGAN slim x2', 'trained/esrgan-slim-x2/model.json'],
  ['BlazeFace (TensorFlow.js)', 'corpus/tfjs-graph-blazeface-front/blazeface-front.json'],
  ['UltraFace slim (ONNX)', 'corpus/onnx-ultraface-slim-320/version-slim-320.onnx'],
  ['YuNet (ONNX)', 'corpus/onnx-yunet-dynamic/yunet_n_dynamic.onnx'],
  ['PP-OCR direction (ONNX)', 'corpus/onnx-ppocr-cls-constants/ch_ppocr_mobile_v2.0_cls_infer.onnx'],
  ['SqueezeNet (ONNX, float16)', 'corpus/onnx-squeezenet-fp16/SqueezeNet_fp16.onnx'],
  ['mini XCEPTION, gender (TensorFlow.js)', 'corpus/tfjs-graph-gender/gender.json'],
  ['wake word (Keras)', 'corpus/tfkeras-tiny-streaming-wakeword/str_ww_ref_model.h5'],
  ['key words DS-CNN (TFLite)', 'corpus/tflite-kws-dscnn/kws_ref_model_float32.tflite'],
  ['LeNet-5 (ONNX)', 'corpus/onnx-lenet-simple/lenet.onnx'],
  ['prefetch (TensorFlow.js)', 'corpus/tfjs-graph-prefetch/model.json'],
];
const INPUTS = 4;
const WAYS = [{ ranges: false, splits: false }, { splits: false }, { ranges: false }, {}];

const dist = (name) => import(new URL(`../dist/${name}`, import.meta.url));
const [{ openFiles }, { openModel }, { forOneScale }, { codeRounded }] = await Promise.all([
  dist('node/open-files.js'),
  dist('readers/open.js'),
  dist('shrink/one-scale.js'),
  dist('shrink/rounded.js'),
]);
const [{ codableWeights }, { generateSample, RANGES }, { runLayers }, { readNpy }, { memorySource }, { castTensor, toFloat32Array }, { tensorBytes }] =
  await Promise.all([
    dist('shrink/weights.js'),
    dist('verify/inputs.js'),
    dist('verify/reference/session.js'),
    dist('containers/npy.js'),
    dist('bytes/byte-source.js'),
    dist('model/cast.js'),
    dist('model/tensor.js'),
  ]);

console.log('| net | one scale | one range | split | what is done |\n|---|---|---|---|---|');
/** What was recorded, where there is such, and generated inputs. */
async function feedsOf({ inputs, layers }, folder) {
  const generated = Array.from({ length: INPUTS }, (_, i) => generateSample(inputs, i, 1, { range: RANGES.unit, layers }));
  const names = inputs.map((_, i) => join(folder, inputs.length === 1 ? 'input.npy' : `input_${i}.npy`));
  if (!names.every((name) => existsSync(name))) return generated;
  const recorded = await Promise.all(
    names.map(async (name) => {
      const tensor = await readNpy(memorySource(new Uint8Array(readFileSync(name)), name), name);
      return { dtype: 'float32', shape: tensor.shape, data: toFloat32Array(await tensorBytes(castTensor(tensor, 'float32')), 'float32') };
    }),
  );
  return [recorded, ...generated.slice(1)];
}

async function outputsOf(map, feeds) {
  const outputs = [];
  for (const feed of feeds) outputs.push((await runLayers(map, feed, () => {})).map(({ data }) => [...data].map(Number)));
  return outputs;
}

/** Root mean square of what outputs differ by, over theirs: of the output that loses most. */
function difference(exact, found) {
  const squares = (one, other) => exact.reduce((sum, _, i) => sum + one[i].reduce((all, value, j) => all + (value - (other?.[i][j] ?? 0)) ** 2, 0), 0);
  const each = exact[0].map((_, output) => [exact, found].map((side) => side.map((outputs) => outputs[output])));
  return Math.max(...each.map(([right, other]) => Math.sqrt(squares(right, other) / (squares(right) || 1))));
}

const count = ({ map }) => {
  const split = map.layers.filter(({ name, op }) => op === 'Concat' && name.endsWith('/parts')).length;
  return split > 0 ? `${split} split` : 'one range';
};

for (const [title, path] of NETS) {
  const file = join(shared, path);
  if (!existsSync(file) || (nets && !nets.includes(title))) continue;
  const { files } = await openFiles(file, {});
  try {
    const map = await (await openModel(files)).map();
    const feeds = await feedsOf(map, dirname(file));
    const exact = await outputsOf(map, feeds);
    const cells = [];
    for (const may of WAYS) {
      const made = await forOneScale(map, may);
      if (!made && cells.length > 0) {
        cells.push('');
        continue;
      }
      const net = made?.map ?? map;
      const rounded = await codeRounded(net, { form: 'whole', levels: codableWeights(net).map(() => 'full') });
      cells.push(
        `${Number((100 * difference(exact, await outputsOf(rounded, feeds))).toPrecision(2))} %${made && cells.length === 3 ? `, ${count(made)}` : ''}`,
      );
    }
    console.log(`| ${title} | ${cells.join(' | ')} |`);
  } finally {
    await files.close();
  }
}
