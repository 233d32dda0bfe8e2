/** Two files of which neither need be a source that we read: what can be lined up is compared, what cannot is said. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convert } from '../../src/convert.js';
import { fileSink, nodeFileSet } from '../../src/node/index.js';
import { recognise } from '../../src/readers/open.js';
import { verifyRuns } from '../../src/verify/runs.js';
import type { VerifyOptions } from '../../src/verify/verify.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGoldenArrays } from '../golden.js';

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-runs-'));
const CONVERSIONS = [
  ['caffe.onnx', 'digits.caffemodel', {}],
  ['caffe-int8.onnx', 'digits.caffemodel', { dtype: 'int8' }],
  ['keras.onnx', 'digits.h5', {}],
  ['keras-nchw.onnx', 'digits.h5', { layout: 'nchw' }],
  ['keras-graph', 'digits.h5', { to: 'tfjs-graph' }],
] as const;

beforeAll(async () => {
  for (const [name, model, options] of CONVERSIONS) {
    const files = await nodeFileSet(join(DIGITS, model));
    const isFolder = !name.endsWith('.onnx');
    if (isFolder) mkdirSync(join(folder, name));
    await convert(files, await fileSink(join(folder, isFolder ? join(name, 'model.json') : name), {}), isFolder ? 'model.json' : name, options);
    await files.close();
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

async function verify(expected: string, actual: string, options: VerifyOptions = {}) {
  const [first, second] = [await nodeFileSet(join(folder, expected)), await nodeFileSet(join(folder, actual))];
  try {
    const side = async (files: typeof first, name: string) => ({ files, path: join(folder, name), format: (await recognise(files)).name });
    return await verifyRuns({ expected: await side(first, expected), target: await side(second, actual) }, options);
  } finally {
    await first.close();
    await second.close();
  }
}

describe('two files that runtimes run', () => {
  it('an ONNX file and its int8 form: outputs, layers and weights, the loss apart', async () => {
    const report = await verify('caffe.onnx', 'caffe-int8.onnx', { layers: true });
    expect(report).toMatchObject({ verdict: 'match', firstDifference: null, quantisation: { methods: ['int8 per channel'], correctness: null } });
    expect(report.weights).toMatchObject({ compared: 18, equal: 18 });
    expect(report.weights!.tensors.filter(({ dtype }) => dtype === 'int8').length).toBe(9);
    expect(report.layers!.length).toBeGreaterThanOrEqual(20);
    expect(report.quantisation!.loss!.outputs[0]!.relativeToScale).toBeGreaterThan(1e-4);
  });

  it('an int8 file in the place of the original is not taken for a float32 one', async () => {
    const report = await verify('keras.onnx', 'caffe-int8.onnx');
    expect(report).toMatchObject({ verdict: 'match', weights: null, quantisation: { methods: ['int8'] } });
  });

  it('ports in another order of axes are turned', async () => {
    expect(await verify('keras.onnx', 'keras-nchw.onnx')).toMatchObject({ verdict: 'match', outputs: [{ compared: 100 }] });
    expect(await verify('keras-nchw.onnx', 'keras.onnx')).toMatchObject({ verdict: 'match' });
  });

  it('nets with other names for ports and nodes are paired by position, and weights are not said to be compared', async () => {
    const report = await verify('caffe.onnx', 'keras.onnx', { layers: true });
    expect(report).toMatchObject({ verdict: 'match', weights: null });
    expect(report.notes.join(' ')).toContain('weights were not compared');
  });

  it('runtimes of two formats', async () => {
    expect(await verify('keras.onnx', 'keras-graph')).toMatchObject({ verdict: 'match', engines: { expected: expect.stringContaining('ort') } });
    expect(await verify('keras-graph', 'keras.onnx')).toMatchObject({ verdict: 'match', engines: { expected: expect.stringContaining('tfjs') } });
  });

  it('recorded outputs stand in for a first file that nothing runs', async () => {
    const golden = await readGoldenArrays(join(DIGITS, 'keras.npz'));
    const report = await verify('caffe.onnx', 'keras.onnx', { golden });
    expect(report).toMatchObject({ verdict: 'match', witness: { kind: 'recorded' }, inputs: { samples: 20, kind: 'recorded' } });
  });

  it('a file that takes other inputs is an error that names both shapes', async () => {
    const other = await nodeFileSet(join(DIGITS, '../../test/fixtures/keras-h5/layers-1d/model.h5'));
    await convert(other, await fileSink(join(folder, 'other.onnx'), {}), 'other.onnx');
    await other.close();
    await expect(verify('keras.onnx', 'other.onnx')).rejects.toMatchObject({
      kind: 'malformed',
      problem: expect.stringMatching(/^takes \[.*\] as ".*", but the other file takes \[.*\] \(/),
    });
  });
});
