/** Tries each pitfall of TensorFlow.js's WebGPU backend in a process of its own, and prints what happened as JSON. */
import { fileURLToPath } from 'node:url';
import { nodeFileSet } from '../../dist/node/index.js';
import { tfjsWebgpu } from '../../dist/verify/engines/tfjs-webgpu.js';
import { splitLargeProducts } from '../../dist/verify/engines/tfjs-webgpu-products.js';

const path = fileURLToPath(new URL('../../demo/digits/digits.h5', import.meta.url));
const tf = await import('@tensorflow/tfjs-core');
const session = await tfjsWebgpu.open({ files: await nodeFileSet(path), path });
const { device } = tf.backend();

// A sum of three numbers is far below the size up to which the backend would compute on the CPU.
const sum = tf.add(tf.tensor1d([1, 2, 3]), tf.tensor1d([4, 5, 6]));
const smallSumOnGpu = tf.backend().tensorMap.get(sum.dataId).resource != null;

const products = [];
const numbers = (...shape) => tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * 0.7)), shape);
const cases = [
  ['plain', () => tf.matMul(numbers(3, 20), numbers(20, 50))],
  ['transposed', () => tf.matMul(numbers(3, 20), numbers(50, 20), false, true)],
  ['first transposed', () => tf.matMul(numbers(20, 3), numbers(20, 50), true, false)],
  ['bias and activation', () => tf.fused.matMul({ a: numbers(3, 20), b: numbers(20, 50), bias: numbers(50), activation: 'relu' })],
  ['transposed with bias', () => tf.fused.matMul({ a: numbers(3, 20), b: numbers(50, 20), transposeB: true, bias: numbers(50), activation: 'linear' })],
  ['slopes for each column', () => tf.fused.matMul({ a: numbers(3, 20), b: numbers(20, 50), bias: numbers(50), activation: 'prelu', preluActivationWeights: numbers(1, 50) })],
];
const whole = [];
for (const [, work] of cases) whole.push(await work().data());
let blocks = 0;
for (const name of ['BatchMatMul', '_FusedMatMul']) {
  const kernel = tf.getKernel(name, 'webgpu');
  tf.unregisterKernel(name, 'webgpu');
  tf.registerKernel({ ...kernel, kernelFunc: (call) => ++blocks && kernel.kernelFunc(call) });
}
// As if the adapter bound a kilobyte: blocks of twelve columns.
splitLargeProducts(tf, 1000);
for (const [i, [name, work]] of cases.entries()) {
  blocks = 0;
  const found = await work().data();
  const scale = Math.max(...whole[i].map(Math.abs));
  const difference = Math.max(...found.map((value, j) => Math.abs(value - whole[i][j]))) / scale;
  products.push({ name, blocks, difference: found.length === whole[i].length ? difference : Number.MAX_VALUE });
}

const feeds = new Map([[session.inputs[0].name, { shape: [1, 32, 32, 3], data: new Float32Array(3072).fill(0.5) }]]);
const outcome = () =>
  session.run(feeds).then(
    () => 'runs',
    ({ name, kind, message }) => ({ name, kind, message }),
  );

// What the backend does when a weight cannot be bound: the command is invalid, the result zeros, and only the device tells.
const { submit } = device.queue;
device.queue.submit = function (commands) {
  device.createBuffer({ size: 16, usage: 0x80000 });
  return submit.call(this, commands);
};
const uncaptured = await outcome();
device.queue.submit = submit;
const afterwards = await outcome();

device.destroy();
await new Promise((resolve) => setTimeout(resolve, 50));
const lost = await outcome();

console.log(JSON.stringify({ cpuForward: tf.env().getBool('WEBGPU_CPU_FORWARD'), smallSumOnGpu, products, uncaptured, afterwards, lost }));
process.exit(0);
