/**
 * What a model predicts by its recording, and what a written file predicts in its consumer's own runtime, with nothing of Weighbridge in between:
 * a verdict of the product's own is no proof of the product.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import numpyParser from 'numpy-parser';

/**
 * @param {string} folder of a case
 * @param {string} [golden] recording other than golden.npz
 * @returns {{ inputs: Recorded[], outputs: Recorded[] } | null} in recorded order; null where nothing is recorded
 * @typedef {{ name: string, data: ArrayLike<number>, shape: readonly number[] }} Recorded
 */
export function readRecording(folder, golden = 'golden.npz') {
  const archive = join(folder, golden);
  const entries = existsSync(archive)
    ? Object.entries(unzipSync(readFileSync(archive)))
    : readdirSync(folder)
        .filter((name) => /^(in|out)put.*\.npy$/.test(name))
        .sort()
        .map((name) => [name, readFileSync(join(folder, name))]);
  const arrays = entries.map(([name, bytes]) => {
    const array = numpyParser.fromArrayBuffer(Uint8Array.from(bytes).buffer);
    // numpy-parser gives vectors a second axis.
    const [, length] = /'shape': \((\d+),\)/.exec(Buffer.from(bytes.subarray(0, 128)).toString('latin1')) ?? [];
    return { name: name.replace(/\.npy$/, ''), ...array, ...(length === undefined ? {} : { shape: [Number(length)] }) };
  });
  const inputs = arrays.filter(({ name }) => name.startsWith('input'));
  const outputs = arrays.filter(({ name }) => name.startsWith('output'));
  return inputs.length > 0 && outputs.length > 0 ? { inputs, outputs } : null;
}

/**
 * Runs a written file on the recorded inputs.
 *
 * @param {string} path .onnx, or model.json of either TensorFlow.js form
 * @returns {Promise<string | null>} what is wrong with it: the shape or the largest error of an output; null when every output is as recorded
 */
export async function differenceFrom(recording, path, relativeTolerance) {
  const results = path.endsWith('.onnx') ? await runOnnx(path, recording.inputs) : await runTfjs(path, recording.inputs);
  if (results.length !== recording.outputs.length) return `${results.length} outputs, recorded ${recording.outputs.length}`;
  for (const [i, expected] of recording.outputs.entries()) {
    const actual = results[i];
    if (`${actual.shape}` !== `${expected.shape}`) return `${expected.name} has the shape [${actual.shape}], recorded [${expected.shape}]`;
    const scale = Array.from(expected.data).reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const worst = Array.from(expected.data).reduce((max, value, j) => {
      const difference = Math.abs(value - Number(actual.data[j]));
      return Math.max(difference, max); // NaN stays.
    }, 0);
    if (!(worst <= 1e-6 + relativeTolerance * scale)) return `${expected.name} is ${(worst / scale).toPrecision(2)} of its scale off`;
  }
  return null;
}

async function runOnnx(path, inputs) {
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(path, { logSeverityLevel: 3 });
  try {
    const feeds = Object.fromEntries(
      session.inputNames.map((name, i) => {
        const { data, shape } = inputs.find((input) => input.name === `input:${name}`) ?? inputs[i];
        const { type } = session.inputMetadata[i];
        return [name, new ort.Tensor(type, convertTo(type, data), shape)];
      }),
    );
    const results = await session.run(feeds);
    return session.outputNames.map((name) => ({ data: results[name].data, shape: results[name].dims }));
  } finally {
    await session.release();
  }
}

function convertTo(type, data) {
  if (type === 'float32') return Float32Array.from(data);
  if (type === 'int64') return BigInt64Array.from(Array.from(data), (value) => BigInt(Math.round(value)));
  return { int32: Int32Array, uint8: Uint8Array, int8: Int8Array, float64: Float64Array }[type].from(data);
}

async function runTfjs(path, inputs) {
  const tf = await import('@tensorflow/tfjs-core');
  await import('@tensorflow/tfjs-backend-cpu');
  const handler = tf.io.http('http://model.test/model.json', {
    fetchFunc: async (url) => {
      const name = new URL(String(url)).pathname.slice(1);
      const type = name.endsWith('.json') ? 'application/json' : 'application/octet-stream';
      return new Response(readFileSync(join(dirname(path), name)), { headers: { 'content-type': type } });
    },
  });
  const isGraph = JSON.parse(readFileSync(path, 'utf8')).format === 'graph-model';
  const model = isGraph
    ? await (await import('@tensorflow/tfjs-converter')).loadGraphModel(handler)
    : await (await import('@tensorflow/tfjs-layers')).loadLayersModel(handler);
  const feeds = model.inputs.map(({ name, dtype }, i) => {
    const { data, shape } = inputs.find((input) => input.name === `input:${name}`) ?? inputs[i];
    return tf.tensor(Array.from(data), shape, dtype === 'int32' ? 'int32' : 'float32');
  });
  const result = isGraph
    ? await model.executeAsync(
        Object.fromEntries(model.inputs.map(({ name }, i) => [name, feeds[i]])),
        model.outputs.map(({ name }) => name),
      )
    : model.predict(feeds);
  return [result].flat().map((tensor) => ({ data: tensor.dataSync(), shape: tensor.shape }));
}
