/** What the layers of Keras lack, or name otherwise than TensorFlow.js: seen in the configuration that is written. */
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { kerasV3 } from '../../src/writers/keras.js';
import { LAYERS_WORDS } from '../../src/writers/tfjs/layers-rules.js';
import { node, onnxFile } from '../onnx-graphs.js';
import { caseInputs, caseMap, OP_CASES } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

async function layersOf(op: string, alpha: number) {
  const x = ['x', ['N', 3]] as const;
  const file = await onnxFile({ nodes: [node(op, ['x'], ['y'], { alpha: { type: 'float', value: alpha } })], inputs: [x] });
  const sink = memorySink();
  await convert(memoryFileSet({ 'net.onnx': file }, 'net.onnx'), sink, 'net.keras', {});
  const text = new TextDecoder().decode(unzipSync(sink.files.get('net.keras')!)['config.json']);
  return JSON.parse(text).config.layers as { class_name: string; config: Record<string, unknown> }[];
}

describe('Keras as a target', () => {
  it('writes a threshold as that of a ReLU: Keras 3 has no ThresholdedReLU', async () => {
    const [, layer] = await layersOf('ThresholdedRelu', 0.5);
    expect(layer).toMatchObject({ class_name: 'ReLU', config: { max_value: null, negative_slope: 0, threshold: 0.5 } });
  });

  it.each(['ThresholdedRelu', 'LeakyRelu'])('declines a negative number in %s, which Keras 3 refuses to load', async (op) => {
    await expect(layersOf(op, -0.5)).rejects.toThrow(/-0.5; those of Keras/);
  });
});

it('multiplies a picture by constants and adds some exactly, though TensorFlow raises the epsilon of a normalisation', async () => {
  const ofChannels = (name: string, values: readonly number[]) => float32Tensor(name, [1, 3, 1, 1], values, { file: 'net.onnx' });
  const tensors = [ofChannels('factor', [2, -0.5, 3]), ofChannels('offset', [1, 2, -4])];
  const nodes = [node('Mul', ['x', 'factor'], ['h']), node('Add', ['h', 'offset'], ['y'])];
  const file = await onnxFile({ nodes, tensors, inputs: [['x', ['N', 3, 4, 5]]] });
  const sink = memorySink();
  await convert(memoryFileSet({ 'net.onnx': file }, 'net.onnx'), sink, 'net.h5', { dtype: 'float16' });
  const back = await (await openModel(memoryFileSet(Object.fromEntries(sink.files), 'net.h5'))).map();
  const session = await referenceSession(back);
  const [input] = back.inputs;
  const x = { shape: [1, 3, 4, 5], data: Float32Array.from({ length: 60 }, (_, i) => i - 30) };
  const [found] = (await session.run(new Map([[input!.name, x]]))).values();
  const exact = Array.from(x.data, (value, i) => value * [2, -0.5, 3][Math.floor(i / 20)]! + [1, 2, -4][Math.floor(i / 20)]!);
  expect(Array.from(found!.data, Number)).toEqual(exact);
  const epsilons = back.layers.filter(({ op }) => op === 'BatchNormalization').map(({ attributes }) => Number(attributes.epsilon));
  expect(epsilons).toHaveLength(2);
  expect(Math.min(...epsilons)).toBeGreaterThan(1.001e-5);
});

/** What Keras cannot say, by title. */
const DECLINED = new Set<string>([
  // A constant beside a quotient would be no weight; JSON has no infinities; whole numbers are float32 between layers.
  ...['Div', 'Pow', 'Pad, with less than any number', 'Div of integers'],
  ...['Slice, backwards', 'ReduceMean, all axes', 'Resize, cubic, by sizes', 'Resize, cubic, by scales', 'Gather of a value'],
]);

describe('operators that Keras has layers or operations for', () => {
  const cases = OP_CASES.filter(({ op }) => LAYERS_WORDS.has(op));

  it.each(cases)('$title is read back as what it computes', async (case_) => {
    const map = caseMap(case_);
    const obstacles = await kerasV3.check(map, OPTIONS);
    expect(obstacles.length > 0, obstacles.map(({ message }) => message).join()).toBe(DECLINED.has(case_.title));
    if (obstacles.length > 0) return;
    const sink = memorySink();
    await kerasV3.write(map, sink, 'net.keras', OPTIONS);
    await sink.commit();
    const back = await (await openModel(memoryFileSet(Object.fromEntries(sink.files), 'net.keras'))).map();
    const inputs = caseInputs(case_);
    const run = async (own: LayerMap) => {
      const session = await referenceSession(own);
      return [...(await session.run(new Map(own.inputs.map(({ name }, i) => [name, inputs[i]!])))).values()];
    };
    const [expected, actual] = [await run(map), await run(back)];
    for (const [i, { shape, data }] of expected.entries()) {
      expect(actual[i]!.shape).toEqual(shape);
      const scale = Math.max(...Array.from(data as Float64Array, Math.abs).filter(Number.isFinite), 1e-3);
      const worst = Math.max(
        ...Array.from(data as Float64Array, (value, k) => (value === actual[i]!.data[k] ? 0 : Math.abs(value - Number(actual[i]!.data[k])) / scale)),
      );
      expect(worst).toBeLessThan(1e-5);
    }
  });
});
