/** Layer by layer, in every format that runs, against every kind of witness; and narrower files against their own weights. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { encodeJson } from '../../src/report/json.js';
import { generateSample } from '../../src/verify/inputs.js';
import { referenceLayers } from '../../src/verify/layer-source.js';
import { compareLayers } from '../../src/verify/layers.js';
import { runLayers } from '../../src/verify/reference/session.js';
import type { Report } from '../../src/verify/report.js';
import { type VerifyOptions, verifyConversion } from '../../src/verify/verify.js';
import { DIGITS, ROOT } from '../cli/run-cli.js';
import { readGoldenArrays } from '../golden.js';
import { branchedNet } from './faults/nets.js';
import { all, attribute, type Edit, editOnnx, nodeOf, skipNode } from './faults/onnx-edit.js';

const isReport = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/report.schema.json'), 'utf8')));

/** Converts one of the digits files and verifies the result with all its layers, changed or not. */
async function verify(model: string, conversion: ConvertOptions, options: VerifyOptions = {}, edit?: Edit): Promise<Report> {
  const files = await nodeFileSet(join(DIGITS, model));
  try {
    const sink = memorySink();
    const isOnnx = conversion.to === 'onnx';
    const name = isOnnx ? 'model.onnx' : 'model.json';
    const { map, writer } = await convert(files, sink, name, conversion);
    const written = Object.fromEntries(sink.files);
    if (edit) written[name] = editOnnx(written[name]!, edit);
    const source = { files, path: join(DIGITS, model), ...(model.endsWith('.caffemodel') ? { prototxt: 'digits.prototxt' } : {}) };
    const target = { files: memoryFileSet(written, name), format: writer.name };
    const report = await verifyConversion({ source, model: await openModel(files), map, target }, { samples: 2, layers: true, ...options });
    expect(isReport(JSON.parse(encodeJson(report))), JSON.stringify(isReport.errors)).toBe(true);
    return report;
  } finally {
    await files.close();
  }
}

const FORMATS = [
  { to: 'onnx' },
  { to: 'onnx', layout: 'nchw' },
  { to: 'onnx', dtype: 'float16' },
  { to: 'onnx', dtype: 'int8' },
  { to: 'tfjs' },
  { to: 'tfjs', dtype: 'uint8' },
  { to: 'tfjs-graph' },
  { to: 'tfjs-graph', dtype: 'float16' },
  { to: 'tfjs-graph', dtype: 'uint16' },
] as const;
const CASES = ['digits.h5', 'digits.pth', 'digits.caffemodel'].flatMap((model) => FORMATS.map((conversion) => ({ model, ...conversion })));

describe('layers', () => {
  it.each(CASES)('of $model agree in $to $dtype $layout', async ({ model, ...conversion }) => {
    const report = await verify(model, conversion);
    expect(report.firstDifference).toBeNull();
    expect(report.verdict).toBe('match');
    const layers = report.layers!;
    expect(layers.length).toBeGreaterThanOrEqual(18);
    expect(layers.every(({ passed, compared, relativeToScale }) => passed && compared > 0 && relativeToScale < 2e-5)).toBe(true);
    const narrow = 'dtype' in conversion;
    const independent = narrow || model === 'digits.pth' ? null : model === 'digits.h5' ? 'tfjs-wasm' : 'opencv';
    expect(layers.some(({ witness }) => witness === independent)).toBe(independent !== null);
    expect(report.quantisation === null).toBe(!narrow);
    if (!narrow) return;
    // The same weights: as close as runtimes are. Against the original: much further.
    const { correctness, loss } = report.quantisation!;
    expect(correctness!.outputs[0]!.relativeToScale).toBeLessThan(2e-5);
    expect(loss!.outputs[0]!.relativeToScale).toBeGreaterThan(5e-5);
    expect(correctness!.tolerance.rtol).toBeLessThan(loss!.tolerance.rtol / 50);
  });

  it('are compared with recorded ones where there are any, by source or canonical name', async () => {
    const files = await nodeFileSet(join(DIGITS, 'digits.pth'));
    const map = await (await openModel(files)).map();
    const golden = new Map<string, Tensor>(await readGoldenArrays(join(DIGITS, 'torch.npz')));
    const input = golden.get('input')!;
    const { toArray } = await import('../../src/verify/array.js');
    const feeds = [await toArray(input)];
    await runLayers(map, feeds, ({ name, canonicalName }, { shape, data }) => {
      if (name === 'features.0' || canonicalName === 'relu2_1')
        golden.set(
          `layer:${canonicalName === 'relu2_1' ? 'relu2_1' : name}`,
          float32Tensor(name, shape, Float32Array.from(data as Float64Array), { file: 'made here' }),
        );
    });
    await files.close();
    const report = await verify('digits.pth', { to: 'onnx' }, { golden });
    expect(report.verdict).toBe('match');
    const recorded = report.layers!.filter(({ witness }) => witness === 'recorded').map(({ canonicalName }) => canonicalName);
    expect(recorded).toEqual(['conv1_1', 'relu2_1']);
    const wrong = golden.get('layer:relu2_1')!;
    golden.set('layer:relu2_1', float32Tensor('wrong', wrong.shape, new Float32Array(wrong.shape.reduce((a, b) => a * b)).fill(0.5), { file: 'made here' }));
    expect(await verify('digits.pth', { to: 'onnx' }, { golden })).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'relu2_1' } });
  });
});

it('layers are looked at until it is enough', async () => {
  const map = branchedNet();
  const tolerance = { atol: 0, rtol: 1e-5, why: '' };
  const sides = { map, expected: [referenceLayers(map)], actual: referenceLayers(map), toleranceFor: () => tolerance, missing: new Set<never>() };
  const feeds = [generateSample(map.inputs, 0, 0)];
  expect((await compareLayers({ ...sides, feeds })).layers).toHaveLength(map.layers.length);
  const cut = await compareLayers({ ...sides, feeds, isEnough: () => true });
  expect(cut).toMatchObject({ isCut: true, firstDifference: null, notes: [`${map.layers.length - 1} layers were not looked at, for that takes too much`] });
  expect(cut.layers).toHaveLength(1);
});

it('layers behind the first that differs are not looked at, where that is asked for', async () => {
  const fault = all(attribute('conv2_2', 'pads', [2, 1, 0, 1]), attribute('conv3_2', 'pads', [2, 1, 0, 1]));
  for (const model of ['digits.caffemodel', 'digits.pth']) {
    const names = model === 'digits.pth' ? all(attribute('features.7', 'pads', [2, 1, 0, 1]), attribute('features.12', 'pads', [2, 1, 0, 1])) : fault;
    const [every, first] = [await verify(model, { to: 'onnx' }, {}, names), await verify(model, { to: 'onnx' }, { first: true }, names)];
    expect(every.layers!.filter(({ passed }) => !passed).length).toBeGreaterThan(1);
    expect(first.verdict).toBe('mismatch');
    expect(first.firstDifference!.layer).toBe(every.firstDifference!.layer);
    expect(first.layers!.filter(({ passed }) => !passed).map(({ layer }) => layer)).toEqual([every.firstDifference!.layer]);
    expect(first.layers!.length).toBeLessThan(every.layers!.length);
    expect(first.notes.join()).toMatch(/\d+ layers behind the first that differs were not looked at/);
    // What was not looked at may well be kept apart.
    const hidden = ({ notes }: Report) => notes.filter((note) => note.includes('not kept apart'));
    expect(hidden(first)).toEqual(hidden(every));
  }
});

/** The node that widens a layer's int8 kernel. */
function dequantiser(graph: Parameters<Edit>[0], layer: string) {
  const value = nodeOf(graph, layer).input![1];
  return graph.node!.find(({ output }) => output![0] === value)!;
}

function changeScale(layer: string, edit: (scales: Float32Array) => void): Edit {
  return (graph) => {
    const name = dequantiser(graph, layer).input![1];
    const tensor = graph.initializer!.find((candidate) => candidate.name === name)!;
    const scales = new Float32Array(Uint8Array.from(tensor.rawData as Uint8Array).buffer);
    edit(scales);
    tensor.rawData = new Uint8Array(scales.buffer);
  };
}

describe('an int8 file', () => {
  const int8 = { to: 'onnx', dtype: 'int8' } as const;

  it.each([
    ['one scale twice as large', 'conv2_1', changeScale('conv2_1', (scales) => void scales.set([scales[3]! * 2], 3))],
    ['all scales a percent too large', 'fc6', changeScale('fc6', (scales) => scales.forEach((scale, i) => void scales.fill(scale * 1.02, i, i + 1)))],
    ['a negative scale', 'fc8', changeScale('fc8', (scales) => void scales.fill(-scales[0]!, 0, 1))],
    ['scales in reverse', 'conv3_1', changeScale('conv3_1', (scales) => void scales.reverse())],
    [
      'scales along the other axis',
      'fc7',
      (graph: Parameters<Edit>[0]) => {
        const axis = dequantiser(graph, 'fc7').attribute!.find(({ name }) => name === 'axis')!;
        axis.i = 1 - Number(axis.i);
      },
    ],
  ] as const)('with %s is a mismatch that names the layer', async (_, layer, edit) => {
    const report = await verify('digits.caffemodel', int8, {}, edit);
    expect(report.verdict).toBe('mismatch');
    expect(report.weights!.mismatches.map((mismatch) => mismatch.layer)).toEqual([layer]);
    expect(report.firstDifference).toMatchObject({ layer });
  });

  it('that computes something else is a mismatch, however much loss is allowed', async () => {
    const fault = all(skipNode('relu1_1'), attribute('conv3_2', 'pads', [2, 1, 0, 1]));
    const report = await verify('digits.caffemodel', int8, { atol: 100, rtol: 100 }, fault);
    expect(report.quantisation!.loss!.passed).toBe(true);
    expect(report.quantisation!.correctness!.passed).toBe(false);
    expect(report.weights!.mismatches).toEqual([]);
    expect(report).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'relu1_1' } });
  });

  it('whose loss is beyond what a user allows is a mismatch, though it is what it says', async () => {
    const report = await verify('digits.caffemodel', int8, { rtol: 1e-4 });
    expect(report.quantisation).toMatchObject({ correctness: { passed: true }, loss: { passed: false } });
    expect(report.verdict).toBe('mismatch');
  });
});

describe('nothing compared', () => {
  it('is a verdict of its own where no sample is run', async () => {
    expect(await verify('digits.pth', { to: 'onnx' }, { samples: 0, layers: false })).toMatchObject({ verdict: 'nothing-compared' });
  });

  it('is a verdict of its own where a file of weights has none of the source', async () => {
    const [source, other] = [await nodeFileSet(join(DIGITS, 'digits.pth')), await nodeFileSet(join(DIGITS, 'digits.caffemodel'))];
    const sink = memorySink();
    await convert(other, sink, 'x.safetensors', { to: 'safetensors' });
    const model = await openModel(source);
    const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'x.safetensors'), format: 'safetensors' };
    const report = await verifyConversion({ source: { files: source }, model, map: null, target });
    expect(report).toMatchObject({ verdict: 'nothing-compared', weights: null, outputs: [] });
    await source.close();
    await other.close();
  });
});
