/** TensorFlow.js models of other people, models that were written here, and manifests that lie. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { concatBytes, memorySink } from '../../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { isModelError, type ModelErrorKind } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { DIGITS } from '../cli/run-cli.js';
import { corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, recordedTensors } from '../corpus.js';
import { readGolden } from '../golden.js';
import { convertInMemory, corpusExcess, runOnnx } from '../run-onnx.js';

const cases = corpusCases(({ format }) => format.startsWith('tfjs-'));

describe.skipIf(!hasCorpus)(`real TensorFlow.js models${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(11);
  });

  it.each(cases.filter(({ kind }) => kind !== 'refuse'))('$case: every tensor is listed with its content', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const listed = await listedTensors(await openModel(files));
    await files.close();
    const recorded = recordedTensors(folder).map((tensor) => [tensor.name, describeTensor(tensor)] as const);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(recorded));
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'convert'))('$case: converted, it predicts what was recorded', async (entry) => {
    const files = await nodeFileSet(join(entry.folder, entry.model));
    const { bytes } = await convertInMemory(files);
    await files.close();
    const { excess, shapes } = await corpusExcess(entry, bytes);
    expect(excess, shapes).toBeLessThanOrEqual(0);
  });

  it('is recognised as a folder too', async () => {
    const { folder } = cases.find((entry) => entry.case === 'tfjs-tinyvgg-poloclub')!;
    const files = await nodeFileSet(folder);
    const model = await openModel(files);
    await files.close();
    expect([model.format, model.tensors.length, model.files]).toEqual(['tfjs', 10, ['model.json', 'group1-shard1of1.bin']]);
  });

  it('a missing shard is named', async () => {
    const { folder, model } = cases.find(({ kind }) => kind === 'refuse')!;
    const files = await nodeFileSet(join(folder, model));
    await expect(openModel(files)).rejects.toMatchObject({ kind: 'malformed', problem: expect.stringContaining('face_recognition_model-shard1') });
    await files.close();
  });
});

describe('a model that was written here', () => {
  it.each([
    { model: 'digits.h5', dtype: undefined, bound: 1e-6 },
    { model: 'digits.pth', dtype: undefined, bound: 1e-4 },
    { model: 'digits.caffemodel', dtype: undefined, bound: 1e-4 },
    { model: 'digits.h5', dtype: 'float16', bound: 5e-3 },
    { model: 'digits.h5', dtype: 'uint16', bound: 5e-3 },
  ])('$model in $dtype goes on to ONNX and predicts the same', async ({ model, dtype, bound }) => {
    const files = await nodeFileSet(join(DIGITS, model));
    const sink = memorySink();
    await convert(files, sink, 'net', { to: 'tfjs', dtype });
    await files.close();
    const written = memoryFileSet(Object.fromEntries([...sink.files].map(([name, bytes]) => [name.replace('net/', ''), bytes])), null);
    const { bytes, result } = await convertInMemory(written);
    expect(result.map!.architecture?.name).toContain('VGG');
    const { input, output } = await readGolden(join(DIGITS, 'keras.npz'));
    const [actual] = [...(await runOnnx(bytes, [input])).values()];
    const scale = model === 'digits.h5' ? output : (await readGolden(join(DIGITS, model === 'digits.pth' ? 'torch.npz' : 'caffe.npz'))).output;
    expect(Math.max(...actual!.data.map((value, i) => Math.abs(value - scale.data[i]!)))).toBeLessThan(bound);
  });
});

/** A layers model of one dense layer whose weights lie in two files of 12 bytes. */
const SMALL = {
  format: 'layers-model',
  generatedBy: 'somebody',
  modelTopology: {
    class_name: 'Sequential',
    config: {
      name: 'net',
      layers: [{ class_name: 'Dense', config: { name: 'd', units: 2, use_bias: true, activation: 'relu', batch_input_shape: [null, 2] } }],
    },
  },
  weightsManifest: [
    {
      paths: ['a.bin', 'b.bin'],
      weights: [
        { name: 'd/kernel', shape: [2, 2], dtype: 'float32' },
        { name: 'd/bias', shape: [2], dtype: 'float32' },
      ],
    },
  ],
};
const SHARDS = { 'a.bin': new Uint8Array(Float32Array.of(1, 2, 3).buffer), 'b.bin': new Uint8Array(Float32Array.of(4, 5, 6).buffer) };

type Small = typeof SMALL;

function small(change: (model: Small) => unknown = () => {}, shards: Readonly<Record<string, Uint8Array>> = SHARDS): FileSet {
  const model = structuredClone(SMALL);
  const made = change(model) ?? model;
  return memoryFileSet({ 'model.json': new TextEncoder().encode(JSON.stringify(made)), ...shards }, 'model.json');
}

async function readAll(files: FileSet): Promise<string[]> {
  const model = await openModel(files);
  await model.map();
  return Promise.all(model.tensors.map(async ({ tensor }) => `${tensor.name} ${[...new Float32Array((await tensorBytes(tensor)).slice().buffer)]}`));
}

const group = (model: Small) => model.weightsManifest[0]!;
const kernel = (model: Small) => group(model).weights[0]! as Record<string, unknown>;

/** What each lie is answered with. */
const LIES: Readonly<Record<string, readonly [(model: Small) => unknown, ModelErrorKind]>> = {
  'a path that leaves the folder': [(model) => void group(model).paths.splice(0, 1, '../a.bin'), 'unsafe'],
  'an absolute path': [(model) => void group(model).paths.splice(0, 1, '/etc/passwd'), 'unsafe'],
  'a shard that is not there': [(model) => void group(model).paths.splice(1, 1, 'c.bin'), 'malformed'],
  'a shard too many': [(model) => void group(model).paths.push('a.bin'), 'malformed'],
  'a shard too few': [(model) => void group(model).paths.pop(), 'malformed'],
  'a shape that is too large': [(model) => void Object.assign(kernel(model), { shape: [2, 3] }), 'malformed'],
  'a shape that is too small': [(model) => void Object.assign(kernel(model), { shape: [2, 1] }), 'malformed'],
  'a shape that overflows': [(model) => void Object.assign(kernel(model), { shape: [2 ** 40, 2 ** 40] }), 'malformed'],
  'a shape of fractions': [(model) => void Object.assign(kernel(model), { shape: [2, 1.5] }), 'malformed'],
  'a negative shape': [(model) => void Object.assign(kernel(model), { shape: [-2, -2] }), 'malformed'],
  'a shape that is none': [(model) => void Object.assign(kernel(model), { shape: '2,2' }), 'malformed'],
  'an unknown dtype': [(model) => void Object.assign(kernel(model), { dtype: 'float8' }), 'unsupported'],
  'an unknown quantisation': [(model) => void Object.assign(kernel(model), { quantization: { dtype: 'int4', scale: 1, min: 0 } }), 'unsupported'],
  'a quantisation without scale': [(model) => void Object.assign(kernel(model), { quantization: { dtype: 'uint8', min: 0 } }), 'malformed'],
  'a quantisation that is none': [(model) => void Object.assign(kernel(model), { quantization: 'uint8' }), 'unsupported'],
  'half precision for whole numbers': [(model) => void Object.assign(kernel(model), { dtype: 'int32', quantization: { dtype: 'float16' } }), 'malformed'],
  'a weight that stands there twice': [(model) => void Object.assign(kernel(model), { name: 'd/bias' }), 'malformed'],
  'a weight of which something unknown is said': [(model) => void Object.assign(kernel(model), { cipher: 'aes' }), 'unsupported'],
  'codes of which something unknown is said': [(model) => void Object.assign(kernel(model), { quantization: { dtype: 'float16', block: 32 } }), 'unsupported'],
  'a weight of a group that is not known': [(model) => void Object.assign(kernel(model), { group: 'lora' }), 'unsupported'],
  'a weight without a name': [(model) => void delete kernel(model).name, 'malformed'],
  'a weight of no layer': [(model) => void Object.assign(kernel(model), { name: 'e/kernel' }), 'malformed'],
  'strings that reach beyond the file': [(model) => void Object.assign(kernel(model), { dtype: 'string' }), 'malformed'],
  'more strings than anybody has': [(model) => void Object.assign(kernel(model), { dtype: 'string', shape: [2 ** 30] }), 'unsafe'],
  'a group without paths': [(model) => void Object.assign(group(model), { paths: 7 }), 'malformed'],
  'a manifest that is no list': [(model) => void Object.assign(model, { weightsManifest: 'none' }), 'malformed'],
  'a topology nested without end': [
    (model) => void Object.assign(model.modelTopology.config, { x: JSON.parse('['.repeat(600) + ']'.repeat(600)) }),
    'malformed',
  ],
  'an unknown layer': [(model) => void Object.assign(model.modelTopology.config.layers[0]!, { class_name: 'Mystery' }), 'unsupported'],
  'a topology without weights': [(model) => void Object.assign(model, { weightsManifest: [] }), 'malformed'],
};

describe('a manifest', () => {
  it('that is right is read', async () => {
    expect(await readAll(small())).toEqual(['d/kernel 1,2,3,4', 'd/bias 5,6']);
  });

  it('may quantise: the widened values are listed', async () => {
    const quantised = small(
      (model) => {
        kernel(model).quantization = { dtype: 'uint8', scale: 0.5, min: -1 };
        (group(model).weights[1] as Record<string, unknown>).quantization = { dtype: 'uint16', scale: 2, min: 3 };
      },
      { 'a.bin': Uint8Array.of(0, 1, 2), 'b.bin': Uint8Array.of(255, 1, 0, 0, 1) },
    );
    expect(await readAll(quantised)).toEqual(['d/kernel -1,-0.5,0,126.5', 'd/bias 5,515']);
  });

  it('may hold what an optimizer goes on with, which is left out and told', async () => {
    const momentum = { name: 'Adam/d/kernel/m', shape: [1], dtype: 'float32', group: 'optimizer' };
    const files = () => small((model) => void group(model).weights.push(momentum), { ...SHARDS, 'b.bin': concatBytes([SHARDS['b.bin'], new Uint8Array(4)]) });
    expect(await readAll(files())).toEqual(['d/kernel 1,2,3,4', 'd/bias 5,6']);
    expect((await openModel(files())).warnings).toMatchObject([
      { code: 'checkpoint-part-ignored', message: expect.stringContaining('1 weights are the optimizer') },
    ]);
  });

  it.each(Object.keys(LIES))('with %s is refused', async (title) => {
    const [change, kind] = LIES[title]!;
    const outcome = await readAll(small(change)).catch((error: unknown) => error);
    expect(isModelError(outcome, kind), outcome instanceof Error ? outcome.stack : String(outcome)).toBe(true);
  });

  it('cut at any byte, or its shard, is refused', async () => {
    const text = new TextEncoder().encode(JSON.stringify(SMALL));
    for (let cut = 0; cut < text.length; cut++) {
      const outcome = await readAll(memoryFileSet({ 'model.json': text.slice(0, cut), ...SHARDS }, 'model.json')).catch((error: unknown) => error);
      expect(isModelError(outcome), `cut at ${cut}: ${outcome}`).toBe(true);
    }
    for (let cut = 0; cut < 12; cut++) {
      const outcome = await readAll(small(undefined, { ...SHARDS, 'b.bin': SHARDS['b.bin'].slice(0, cut) })).catch((error: unknown) => error);
      expect(isModelError(outcome, 'malformed'), `shard cut at ${cut}: ${outcome}`).toBe(true);
    }
  });
});

describe('a graph model', () => {
  const GRAPH = {
    format: 'graph-model',
    modelTopology: {
      node: [
        { name: 'x', op: 'Placeholder', attr: {} },
        { name: 'w', op: 'Const', attr: {} },
        { name: 'y', op: 'MatMul', input: ['x', 'w:0', '^x'], attr: {} },
      ],
      library: {},
      versions: {},
    },
    weightsManifest: [{ paths: ['a.bin'], weights: [{ name: 'w', shape: [3, 1], dtype: 'float32' }] }],
  };
  const set = (graph: unknown) => memoryFileSet({ 'model.json': new TextEncoder().encode(JSON.stringify(graph)), ...SHARDS }, null);

  it('shows its nodes and tensors, and says that it is not converted', async () => {
    const model = await openModel(set(GRAPH));
    expect(model.format).toBe('tfjs-graph');
    expect(model.details.operators).toBe('Placeholder, MatMul');
    expect(model.tensors.map(({ tensor, layer }) => [tensor.name, layer])).toEqual([['w', 'y']]);
    await expect(model.map()).rejects.toMatchObject({ kind: 'unsupported' });
  });

  it('has the ports that its metadata names, as converters of 2020 wrote them', async () => {
    const port = (name: string) => ({ name, dtype: 'DT_FLOAT', tensorShape: { dim: [{ size: '2' }] } });
    const nodes = [
      { name: 'x', op: 'Placeholder', attr: { dtype: { type: 'DT_FLOAT' }, shape: { shape: { dim: [{ size: '2' }] } } } },
      { name: 'a', op: 'Neg', input: ['x'], attr: { T: { type: 'DT_FLOAT' } } },
      { name: 'b', op: 'Abs', input: ['x'], attr: { T: { type: 'DT_FLOAT' } } },
    ];
    const signature = { inputs: { pixels: port('x:0') }, outputs: { second: port('b:0'), first: port('a:0') } };
    const document = { modelTopology: { node: nodes }, weightsManifest: [], signature: { inputs: {}, outputs: {} }, userDefinedMetadata: { signature } };
    const model = await openModel(memoryFileSet({ 'model.json': new TextEncoder().encode(JSON.stringify(document)) }, 'model.json'));
    const map = await model.map();
    expect([map.inputs, map.outputs].map((ports) => ports.map(({ name }) => name))).toEqual([['pixels'], ['second', 'first']]);
    expect(model.details.outputs).toMatch(/second.*first/);
  });

  it('with a node that reads what is not there is refused', async () => {
    const broken = structuredClone(GRAPH);
    broken.modelTopology.node[2]!.input = ['z'];
    await expect(openModel(set(broken))).rejects.toMatchObject({ kind: 'malformed', place: { layer: 'y' } });
    const nameless = structuredClone(GRAPH);
    Object.assign(nameless.modelTopology.node[0]!, { name: 7 });
    await expect(openModel(set(nameless))).rejects.toMatchObject({ kind: 'malformed' });
  });
});
