/**
 * Every operator of the table as Caffe has it: what is written computes, read back, what the map does, in OpenCV too where that has the layers;
 * what is not written is declined in words.
 */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { openModel } from '../../src/readers/open.js';
import type { NdArray } from '../../src/verify/engine.js';
import { opencv } from '../../src/verify/engines/opencv.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { caffe } from '../../src/writers/caffe/index.js';
import { caseInputs, caseMap, emptyMap, OP_CASES, type OpCase } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

/** Beside those of the table: what only Caffe's layers have trouble with. */
const IMAGE = [2, 3, 5, 6];
const resize = (attributes: OpCase['attributes'], title: string): OpCase => ({
  title: `Resize, ${title}`,
  op: 'Resize',
  inputs: [IMAGE],
  attributes,
  weights: {},
});
const made = (op: string, inputs: OpCase['inputs'], attributes: OpCase['attributes'], title: string): OpCase => ({
  title,
  op,
  inputs,
  attributes,
  weights: {},
});
const MORE: readonly OpCase[] = [
  made('Gelu', [IMAGE], { approximate: 'tanh' }, 'Gelu by tanh'),
  made('Swish', [IMAGE], { alpha: 1.5 }, 'Swish with a factor'),
  made('ChannelShuffle', [[2, 6, 3, 4]], { groups: 3 }, 'ChannelShuffle'),
  made('Pad', [IMAGE], { pads: [0, 1, 1, 2, 0, 2, 0, 1] }, 'Pad with zeros, channels too'),
  made('DepthToSpace', [[2, 8, 3, 4]], { blocksize: 2, mode: 'CRD' }, 'DepthToSpace, CRD'),
  resize({ scales: [1, 1, 2, 2], coordinate_transformation_mode: 'half_pixel', mode: 'linear' }, 'linear'),
  resize({ sizes: [2, 3, 9, 4], coordinate_transformation_mode: 'align_corners', mode: 'linear' }, 'corners'),
  resize({ scales: [1, 1, 2, 3], coordinate_transformation_mode: 'asymmetric', mode: 'nearest', nearest_mode: 'floor' }, 'repeated'),
  resize({ scales: [1, 1, 1.4, 0.5], coordinate_transformation_mode: 'half_pixel', mode: 'cubic' }, 'cubic'),
];

async function write(case_: OpCase) {
  const map = caseMap(case_);
  const obstacles = await caffe.check(map, OPTIONS);
  if (obstacles.length > 0) return { map, obstacles, text: '', files: null };
  const sink = memorySink();
  const { warnings } = await caffe.write(map, sink, 'net.caffemodel', OPTIONS);
  await sink.commit();
  const text = new TextDecoder().decode(sink.files.get('net.prototxt'));
  expect(warnings.some(({ code }) => code === 'newer-caffe')).toBe(/round_mode|clip_param/.test(text));
  return { map, obstacles, text, files: memoryFileSet(Object.fromEntries(sink.files), 'net.caffemodel') };
}

function expectClose(actual: NdArray, expected: NdArray): void {
  expect(actual.shape).toEqual(expected.shape);
  const scale = Math.max(...Array.from(expected.data as Float64Array, Math.abs), 1e-3);
  for (const [i, value] of Array.from(actual.data, Number).entries()) {
    if (!Object.is(value, expected.data[i])) expect(Math.abs(value - Number(expected.data[i])) / scale).toBeLessThan(2e-5);
  }
}

describe('Caffe', () => {
  const counts = { written: 0, opencv: 0 };

  it.each([...OP_CASES, ...MORE])('$title', async (case_) => {
    const { map, obstacles, files } = await write(case_);
    if (!files) {
      for (const { message } of obstacles) expect(message).toMatch(/[a-z]/);
      return;
    }
    counts.written++;
    const back = await (await openModel(files, { prototxt: 'net.prototxt' })).map();
    const inputs = caseInputs(case_);
    const given = new Map(inputs.map((input, i) => [`x${i}`, input]));
    const [source, target] = [await referenceSession(map), await referenceSession(back)];
    const expected = await source.run(given);
    const names = map.outputs.map(({ name }) => name);
    const actual = await target.run(new Map(back.inputs.map(({ name }, i) => [name, inputs[i]!])));
    for (const [i, name] of names.entries()) expectClose(actual.get(back.outputs[i]!.name)!, expected.get(name)!);
    const session = await opencv.open({ files, prototxt: 'net.prototxt' }).catch((error: Error) => error);
    if (session instanceof Error) {
      if (!isModelError(session)) throw session;
      return;
    }
    try {
      const feeds = new Map(session.inputs.map(({ name }, i) => [name, inputs[i]!]));
      const ran = await session.run(feeds).catch((error: Error) => error);
      // Of one axis or none it has no pictures.
      if (ran instanceof Error) expect(String(ran)).toMatch(/OpenCV failed/);
      if (ran instanceof Error) return;
      for (const [i, name] of names.entries()) expectClose(ran.get(back.outputs[i]!.name)!, expected.get(name)!);
      counts.opencv++;
    } finally {
      await session.close();
    }
  });

  it.each([
    [{ kernel_shape: [2, 2], strides: [2, 2] }, [1, 3, 4, 6], ''],
    [{ kernel_shape: [2, 2], strides: [2, 2], pads: [1, 1, 1, 1] }, [1, 3, 4, 6], ''],
    [{ kernel_shape: [3, 3], strides: [2, 2] }, [1, 3, 4, 6], 'round_mode: FLOOR'],
  ])('rounds down in words where rounding up gives another size alone: %j of %j', async (attributes, shape, said) => {
    for (const op of ['MaxPool', 'AveragePool']) expect((await write(made(op, [shape], attributes, op))).text.match(/round_mode: \w+/)?.[0] ?? '').toBe(said);
  });

  it('has no outputs but those of the net: what nobody reads is taken in', async () => {
    const layer = (name: string, input: string) => makeLayer({ name, op: 'Relu', inputs: [input], outputs: [name] });
    const port = (name: string, value: string) => ({ name, value, dtype: 'float32' as const, shape: [1, 3, 2, 2], layout: 'nchw' as const });
    const map = { ...emptyMap, inputs: [port('x', 'x'), port('idle', 'idle')], outputs: [port('y', 'kept')], layers: [layer('lost', 'x'), layer('kept', 'x')] };
    const sink = memorySink();
    await caffe.write(map, sink, 'net.caffemodel', OPTIONS);
    await sink.commit();
    const back = await (await openModel(memoryFileSet(Object.fromEntries(sink.files), 'net.caffemodel'), { prototxt: 'net.prototxt' })).map();
    expect(back.outputs.map(({ name }) => name)).toEqual(['kept']);
  });

  it('has so many of them, and OpenCV some', () => expect(counts).toEqual({ written: 89, opencv: 71 }));
});
