/** What the benchmark runs: one row each, with the most that it may cost. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GOLDEN } from './record.mjs';

const convert =
  (...extra) =>
  (from, to) => ['convert', from, '-o', to, '--no-verify', '--quiet', ...extra];
const convertVerified = (from, to) => ['convert', from, '-o', to, '--golden', join(dirname(from), GOLDEN), '--quiet'];
const verify =
  (...extra) =>
  (from, to) => ['convert', from, '-o', to, '--quiet', ...extra];
const diff = (other) => (from) => ['diff', from, join(dirname(from), other), '--quiet'];
const inspect = (from) => ['inspect', from, '--quiet'];
/** What shrink does before it judges what it wrote. */
const WRITE_SHRUNK = fileURLToPath(new URL('write-shrunk.mjs', import.meta.url));
/** Compressing alone, and the part of it that is not ours. */
const GZIP_ALONE = fileURLToPath(new URL('gzip-alone.mjs', import.meta.url));
const ZLIB_ALONE = fileURLToPath(new URL('zlib-alone.mjs', import.meta.url));
/** The container that PyTorch wrote until 1.5. */
export const LEGACY = 'vgg16.legacy.pth';
export const VGG_ONNX = 'vgg16.onnx';
export const MANY_NODES = 'many-nodes.onnx';
const SOURCES = [
  { label: 'PyTorch zip', file: 'vgg16.pth' },
  { label: 'PyTorch legacy', file: LEGACY },
  { label: 'Caffe', file: 'vgg16.caffemodel' },
];

export const CASES = [
  ...SOURCES.flatMap(({ label, file }) => [
    { title: `${label} → ONNX float32`, source: file, output: 'out.onnx', args: convert(), ratioLimit: 2.5, peakLimitMB: 120 },
    { title: `${label} → ONNX float16`, source: file, output: 'out.onnx', args: convert('--dtype', 'float16'), ratioLimit: 3, peakLimitMB: 120 },
  ]),
  { title: 'Keras HDF5 → ONNX float32', source: 'vgg16.h5', output: 'out.onnx', args: convert(), ratioLimit: 5, peakLimitMB: 160 },
  { title: 'Keras HDF5 → ONNX float16', source: 'vgg16.h5', output: 'out.onnx', args: convert('--dtype', 'float16'), ratioLimit: 5, peakLimitMB: 160 },
  ...[SOURCES[0], SOURCES[2], { label: 'Keras HDF5', file: 'vgg16.h5' }].map(({ label, file }) => ({
    title: `${label} → ONNX int8`,
    source: file,
    output: 'out.onnx',
    args: convert('--dtype', 'int8'),
    ratioLimit: 6,
    peakLimitMB: 200,
  })),
  ...[SOURCES[0], SOURCES[2]].flatMap(({ label, file }) => [
    { title: `${label} → safetensors float32`, source: file, output: 'out.safetensors', args: convert(), ratioLimit: 2, peakLimitMB: 120 },
    {
      title: `${label} → safetensors float16`,
      source: file,
      output: 'out.safetensors',
      args: convert('--dtype', 'float16'),
      ratioLimit: 2.5,
      peakLimitMB: 120,
    },
  ]),
  { title: 'PyTorch zip → npz float32', source: 'vgg16.pth', output: 'out.npz', args: convert(), peakLimitMB: 120 },
  { title: 'PyTorch zip → npz float16', source: 'vgg16.pth', output: 'out.npz', args: convert('--dtype', 'float16'), peakLimitMB: 120 },
  ...[SOURCES[0], SOURCES[2], { label: 'Keras HDF5', file: 'vgg16.h5' }].map(({ label, file }) => ({
    title: `${label} → TensorFlow.js float32`,
    source: file,
    output: 'out.tfjs',
    args: convert('--to', 'tfjs'),
    ratioLimit: 5,
    peakLimitMB: 160,
  })),
  // Made of the PyTorch file, by the command itself.
  { title: 'ONNX → ONNX float16', source: VGG_ONNX, output: 'out.onnx', args: convert('--dtype', 'float16'), ratioLimit: 3, peakLimitMB: 120 },
  { title: 'ONNX → TensorFlow.js float32', source: VGG_ONNX, output: 'out.tfjs', args: convert('--to', 'tfjs'), ratioLimit: 5, peakLimitMB: 160 },
  { title: 'ONNX of 5,000 nodes → ONNX, written anew', source: MANY_NODES, output: 'out.onnx', args: convert('--opset', '18'), wallLimitS: 2 },
  { title: 'ONNX of 5,000 nodes → TensorFlow.js', source: MANY_NODES, output: 'out.tfjs', args: convert('--to', 'tfjs-graph'), wallLimitS: 2 },
  { title: 'diff PyTorch zip, Caffe', source: 'vgg16.pth', args: diff('vgg16.caffemodel'), ratioLimit: 5, peakLimitMB: 200 },
  { title: 'diff PyTorch zip, Keras HDF5', source: 'vgg16.pth', args: diff('vgg16.h5'), ratioLimit: 8, peakLimitMB: 200 },
  {
    title: 'Caffe → ONNX float32, verified on 4 recorded inputs',
    source: 'vgg16.caffemodel',
    output: 'out.onnx',
    args: convertVerified,
    isRecorded: true,
    wallLimitS: 8,
    peakLimitMB: 2000,
  },
  {
    title: 'PyTorch zip → ONNX float32, verified by our evaluator',
    source: 'vgg16.pth',
    output: 'out.onnx',
    args: verify(),
    cpuLimitS: 20,
    peakLimitMB: 1200,
  },
  {
    title: 'PyTorch zip → ONNX float32, verified layer by layer',
    source: 'vgg16.pth',
    output: 'out.onnx',
    args: verify('--layers'),
    cpuLimitS: 40,
    peakLimitMB: 1200,
  },
  { title: 'Caffe → ONNX float32, verified by OpenCV', source: 'vgg16.caffemodel', output: 'out.onnx', args: verify(), cpuLimitS: 25, peakLimitMB: 1200 },
  {
    title: 'ONNX → TensorFlow.js graph model, verified by ONNX Runtime',
    source: VGG_ONNX,
    output: 'out.tfjs',
    args: verify('--to', 'tfjs-graph'),
    cpuLimitS: 30,
    peakLimitMB: 1200,
  },
  ...[
    { what: 'few levels', options: { step: 0.7 }, ratioLimit: 8 },
    { what: 'few levels, and as .gz', options: { step: 0.7, compress: 'gzip' } },
    { what: 'int4 in blocks', options: { dtype: 'int4' }, ratioLimit: 8 },
    { what: 'uint4 in blocks', options: { dtype: 'uint4' }, ratioLimit: 8 },
    { what: 'palettes of 16', options: { palette: 16 } },
    { what: 'bfloat16', options: { dtype: 'bfloat16' }, ratioLimit: 3 },
  ].map(({ what, options, ratioLimit }) => ({
    title: `PyTorch zip → ONNX ${what}`,
    source: 'vgg16.pth',
    output: 'out.onnx',
    script: WRITE_SHRUNK,
    args: (from, to) => [from, to, JSON.stringify(options)],
    ratioLimit,
    peakLimitMB: 350,
  })),
  {
    title: 'ONNX of few levels → .gz',
    source: 'vgg16.pth',
    output: 'out.onnx',
    prepare: { script: WRITE_SHRUNK, args: (from, to) => [from, to, JSON.stringify({ step: 0.7 })] },
    script: GZIP_ALONE,
    args: (_, to) => [to],
    // A checksum, reading and writing are ours.
    beside: { title: 'zlib alone, on all cores', script: ZLIB_ALONE, limit: 1.4 },
    peakLimitMB: 350,
  },
  ...[
    { what: 'int4', args: ['--dtype', 'int4'], cpuLimitS: 90, peakLimitMB: 1800 },
    { what: 'few levels, 50 MB on the wire', args: ['--budget', '50MB', '--count', 'wire'], cpuLimitS: 60, peakLimitMB: 2300 },
    { what: 'palettes of 16', args: ['--palette', '16'], cpuLimitS: 90, peakLimitMB: 1900 },
    { what: 'uint4', args: ['--dtype', 'uint4'], cpuLimitS: 90, peakLimitMB: 1800 },
    { what: 'bfloat16', args: ['--dtype', 'bfloat16'], cpuLimitS: 60, peakLimitMB: 1800 },
  ].map(({ what, args, ...limits }) => ({
    title: `PyTorch zip → ONNX ${what}, verified`,
    source: 'vgg16.pth',
    output: 'out.onnx',
    args: (from, to) => ['shrink', from, '-o', to, '--samples', '1', '--force', '--quiet', ...args],
    ...limits,
  })),
  {
    title: 'Keras HDF5 → ONNX float32, verified by TensorFlow.js',
    source: 'vgg16.h5',
    output: 'out.onnx',
    args: verify(),
    cpuLimitS: 15,
    peakLimitMB: 1200,
  },
  {
    title: 'Keras HDF5 → ONNX float32, verified by TensorFlow.js, layer by layer',
    source: 'vgg16.h5',
    output: 'out.onnx',
    args: verify('--layers'),
    cpuLimitS: 30, // twice that of the row before
    peakLimitMB: 1200,
  },
  ...[...SOURCES, { label: 'Keras HDF5', file: 'vgg16.h5' }].map(({ label, file }) => ({
    title: `inspect ${label}`,
    source: file,
    args: inspect,
    wallLimitS: 0.5,
    peakLimitMB: 100,
  })),
];
