/**
 * Measures the GPU engines of this machine: adapter and limits, time for an image beside the CPU's, and the error of every layer
 * against our float64 evaluator, for the full-size VGG16 or for the small digits net. `npm run test:gpu` runs it.
 *
 *   node scripts/gpu.mjs [--net vgg16|digits] [--software] [--float16] [--engines a,b] [--folder path] [--json]
 *
 * Without --software a software adapter is a failure, as is the lack of any. It needs nothing but dist/ and the packages, so that it
 * also runs on a machine that has only what scripts/pack-gpu.mjs packs. Exit code 0: every layer within its bound; 1: not.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const load = (name) => import(new URL(`../dist/${name}.js`, import.meta.url).href);

const { values: flags } = parseArgs({
  options: {
    net: { type: 'string', default: 'vgg16' },
    folder: { type: 'string', default: join(root, '.cache/gpu') },
    engines: { type: 'string', default: 'ort-webgpu,ort-cuda,tfjs-webgpu,tfjs-node-gpu' },
    software: { type: 'boolean', default: false },
    float16: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

/**
 * Bounds on max|a - b| / max|b| of a layer, and of a softmax, which amplifies an error of the logits. On VGG16 the worst layer of any
 * float32 engine had 5e-6, the softmax 1.7e-5; a GPU that adds in float16 too had 3.3e-2 and 8.2e-2 (docs/gpu.md).
 */
const BOUND = { float32: { layer: 2e-5, softmax: 5e-5 }, float16: { layer: 6e-2, softmax: 0.15 } };
const RUNS = 3;
const say = flags.json ? console.error : console.log;

const { engines, placed } = await load('verify/engines/index');
const { engineHost, fileSink, nodeFileSet } = await load('node/index');
const { openModel } = await load('readers/open');
const { convert } = await load('convert');
const { runLayers } = await load('verify/reference/session');
const { generateSample } = await load('verify/inputs');
const { toLayout } = await load('verify/array');
const { openWrittenOnnx } = await load('verify/written/onnx');
const { bestAdapter } = await load('verify/engines/gpu');

mkdirSync(flags.folder, { recursive: true });
const source = flags.net === 'digits' ? join(root, 'demo/digits/digits.h5') : await vgg16();
/** Files that are held open while engines read them. */
const opened = [];
const openSet = async (path) => {
  const set = await nodeFileSet(path);
  opened.push(set);
  return set;
};
const files = await openSet(source);
const map = await (await openModel(files)).map();
const [feed] = generateSample(map.inputs, 0, 0);

const host = engineHost();
const wanted = flags.engines.split(',');
const found = [];
for (const engine of engines.filter(({ name }) => wanted.includes(name))) {
  const run = placed(engine, host);
  const { available, detail, adapter } = await run.availability();
  if (!available) say(`${engine.name}: ${detail.split('\n')[0]}`);
  else if (adapter.software && !flags.software) say(`${engine.name}: ${adapter.name}; --software measures it all the same`);
  else found.push({ engine: run, detail, adapter });
}
if (found.length === 0) {
  say('no GPU engine to measure');
  await host.close();
  process.exit(1);
}
const limits = await bestAdapter().then(
  (best) => best && { ...pick(best.details.limits, ['maxStorageBufferBindingSize', 'maxBufferSize']), float16: best.details.features.has('shader-f16') },
  () => null,
);

say(`${map.architecture?.name ?? flags.net}, input [${feed.shape}]; float64 reference ...`);
const expected = new Map();
const referenceMs = await timed(() => runLayers(map, [feed], (layer, value) => void expected.set(layer.name, value)));
say(`float64 reference took ${seconds(referenceMs)}`);

const measured = [];
for (const dtype of flags.float16 ? ['float32', 'float16'] : ['float32']) {
  const onnx = await written(dtype);
  const cpu = engines.find(({ name }) => name === 'ort-cpu');
  measured.push({ engine: 'ort-cpu', detail: (await cpu.availability()).detail, dtype, ...(await measure(cpu, onnx, dtype)) });
  for (const { engine, detail } of found) {
    const model = engine.formats.includes('onnx') ? onnx : { files, path: source };
    // TensorFlow.js computes in float32 only.
    if (dtype === 'float16' && model.path === source) continue;
    measured.push({ engine: engine.name, detail, dtype, ...(await measure(engine, model, dtype)) });
  }
}
await host.close();
for (const set of opened) await set.close();

const document = { schema: 'weighbridge/gpu@1', net: flags.net, adapter: found[0].adapter, limits, referenceMs, measured };
if (flags.json) console.log(JSON.stringify(document, null, 2));
else {
  say(`adapter  ${found[0].adapter.name}   ${JSON.stringify(limits)}`);
  for (const entry of measured) print(entry);
  say(`\n${layerTable()}`);
}
process.exit(measured.every(({ passed }) => passed) ? 0 : 1);

/** Loads a model, times it, and compares every layer, one at a time, with the reference. */
async function measure(engine, model, dtype) {
  const onnx = engine.formats.includes('onnx');
  const open = async (layers) => {
    const startedAt = performance.now();
    const session = await engine.open({ ...model, layers });
    return { session, loadMs: performance.now() - startedAt };
  };
  try {
    const plain = await open(false);
    const feeds = new Map([[plain.session.inputs[0].name, feed]]);
    const firstMs = await timed(() => plain.session.run(feeds));
    const times = [];
    for (let run = 0; run < RUNS; run++) times.push(await timed(() => plain.session.run(feeds)));
    await plain.session.close();
    const { session } = await open(true);
    const layers = [];
    const layerOf = onnx ? await onnxLayers(model.files, session) : kerasLayer;
    // Flattening puts the values in another order where channels are last.
    const names = [...session.intermediates, ...session.outputs.map((output) => output.name)].filter((name) => (layerOf(name)?.op ?? 'Flatten') !== 'Flatten');
    for (const [name, value] of await session.run(feeds, names)) {
      const layer = layerOf(name);
      const found = onnx ? value : toLayout(value, 'nhwc', 'nchw');
      layers.push({ name: layer.name, layer: layer.canonicalName ?? layer.name, op: layer.op, error: distance(found, expected.get(layer.name)) });
    }
    await session.close();
    const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
    const passed = layers.length > 0 && layers.every(({ op, error }) => error <= (op === 'Softmax' ? BOUND[dtype].softmax : BOUND[dtype].layer));
    return { loadMs: plain.loadMs, firstMs, imageMs: Math.min(...times), final: layers.at(-1).error, worst, compared: layers.length, passed, layers };
  } catch (error) {
    if (error.name !== 'ModelError') throw error;
    return { passed: false, failure: error.message };
  }
}

/** The layer that makes a value of a written ONNX file. */
async function onnxLayers(written, session) {
  const model = await openWrittenOnnx(written);
  const layers = new Map(map.layers.map((layer) => [model.valueOf(layer), layer]));
  layers.set(
    session.outputs[0].name,
    map.layers.find(({ outputs }) => outputs.includes(map.outputs[0].value)),
  );
  return (name) => layers.get(name);
}

/** The last layer that a Keras layer of that name became: its activation, where it has one. */
function kerasLayer(name) {
  return map.layers.findLast(({ name: candidate }) => candidate === name || candidate.startsWith(`${name}/`));
}

function print({ engine, detail, dtype, failure, loadMs, firstMs, imageMs, final, worst }) {
  say(`\n${engine}  ${dtype}  ${detail}`);
  if (failure) return say(`  failed: ${failure}`);
  say(`  load ${seconds(loadMs)}, first image ${seconds(firstMs)}, best of ${RUNS} more ${seconds(imageMs)}`);
  say(`  final ${final.toExponential(1)}, worst ${worst.error.toExponential(1)} in ${worst.layer}`);
}

/** The error of every layer on each engine, in Markdown, as docs/gpu.md has it; empty where an engine does not keep a layer apart. */
function layerTable() {
  const run = measured.filter(({ layers }) => layers);
  const cells = run.map(({ layers }) => new Map(layers.map(({ name, error }) => [name, error.toExponential(1)])));
  const rows = map.layers.flatMap(({ name, canonicalName, op }) =>
    cells.some((each) => each.has(name)) ? [[canonicalName ?? name, op, ...cells.map((each) => each.get(name) ?? '')]] : [],
  );
  const head = ['layer', 'operator', ...run.map(({ engine, dtype }) => `${engine} ${dtype}`)];
  const line = (row) => `| ${row.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i < 2 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

/** max|a - b| / max|b|; infinite where the shapes differ or a value is none. */
function distance(found, expected) {
  if (found.data.length !== expected.data.length) return Number.POSITIVE_INFINITY;
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.data.length; i++) {
    const apart = Math.abs(found.data[i] - expected.data[i]);
    if (!(apart <= difference)) difference = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
    scale = Math.max(scale, Math.abs(expected.data[i]));
  }
  return difference / scale;
}

async function vgg16() {
  const path = join(flags.folder, 'vgg16.h5');
  if (!existsSync(path)) {
    say(`making a seeded VGG16 in ${flags.folder}`);
    const { makeVgg16 } = await load('cli/demo/make-vgg16');
    await makeVgg16(flags.folder);
  }
  return path;
}

async function written(dtype) {
  const path = join(flags.folder, `${flags.net}-${dtype}.onnx`);
  const sink = await fileSink(path, { force: true });
  await convert(await openSet(source), sink, basename(path), dtype === 'float16' ? { to: 'onnx', dtype, float16Compute: true } : { to: 'onnx' });
  return { files: await openSet(path), path };
}

async function timed(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function pick(from, names) {
  return Object.fromEntries(names.map((name) => [name, from[name]]));
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}
