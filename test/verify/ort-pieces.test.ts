/** A model in pieces: the same values inside as in one piece, whatever is asked for, and its weights in a file that goes with the session. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readOnnxModel } from '../../src/containers/onnx.js';
import { ModelError } from '../../src/errors.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { cutIntoPieces, readEncoded } from '../../src/verify/engines/onnx-pieces.js';
import { furtherOutputs, innerValues } from '../../src/verify/engines/onnx-values.js';
import { copyWithWeightsApart } from '../../src/verify/engines/ort-copy.js';
import { sessionInPieces } from '../../src/verify/engines/ort-pieces.js';
import { intAttribute, intsAttribute } from '../../src/writers/onnx/graph.js';
import { node, ORIGIN, onnxFile, withGraphs } from '../onnx-graphs.js';

const SIZE = 160;
const matrix = (name: string, seed: number) =>
  float32Tensor(
    name,
    [SIZE, SIZE],
    Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i * seed) / 8),
    ORIGIN,
  );

/** Values that pass over pieces, a weight that two pieces read, constants made of weights, a branch that sees what is outside, whole numbers and truths. */
function residualNet(): Promise<Uint8Array> {
  const branch = (op: string) => ({ nodes: [node(op, ['h1', op === 'Add' ? 'h2' : 'a'], ['picked'])], outputs: [], unshaped: ['picked'] });
  return onnxFile({
    inputs: [['x', ['N', SIZE]]],
    tensors: [matrix('a', 1.3), matrix('b', 0.7)],
    nodes: [
      node('Constant', [], ['least'], { value: { type: 'tensor', value: float32Tensor('v', [], [0], ORIGIN) } }),
      node('MatMul', ['x', 'a'], ['h1']),
      node('Transpose', ['b'], ['bt'], { perm: intsAttribute([1, 0]) }),
      node('MatMul', ['h1', 'bt'], ['h2']),
      node('Shape', ['h2'], ['size']),
      node('ReduceMax', ['h2'], ['top'], { keepdims: intAttribute(0) }),
      node('Greater', ['top', 'least'], ['big']),
      node('MatMul', ['h2', 'a'], ['h3']),
      node('Add', ['h3', 'x'], ['h4']),
      withGraphs(node('If', ['big'], ['h5']), { then_branch: branch('MatMul'), else_branch: branch('Add') }),
      node('Add', ['h4', 'h5'], ['h6']),
      node('Expand', ['h6', 'size'], ['y']),
    ],
    outputs: [],
    unshaped: ['y'],
  });
}

const feedsOf = (rows: number) => new Map([['x', { shape: [rows, SIZE], data: Float32Array.from({ length: rows * SIZE }, (_, i) => Math.cos(i)) }]]);

async function opened(bytes: Uint8Array, most: { bytes: number; nodes: number }) {
  const files = memoryFileSet({ 'net.onnx': bytes }, 'net.onnx');
  const model = await readOnnxModel(files, 'net.onnx');
  const pieces = cutIntoPieces(model, most)!;
  const copy = (await copyWithWeightsApart(memorySource(bytes, 'net.onnx')))!;
  const intermediates = await innerValues(files);
  const failure = (what: string, error: unknown) => new ModelError('engine', `${what}: ${error}`);
  const options = { extra: { session: { model_external_initializers_file_folder_path: copy.folder } } };
  const create = (piece: Uint8Array) => ort.InferenceSession.create(piece, options);
  const session = sessionInPieces({
    ort: ort as never,
    model,
    pieces,
    encoded: await readEncoded(copy.model),
    intermediates,
    create,
    failure,
    close: async () => copy.remove(),
  });
  return { session, pieces, copy, intermediates, model };
}

test.each([1, 2, 5])('of %s nodes show the values that the whole shows, in any order, batch after batch', async (nodes) => {
  const bytes = await residualNet();
  const { session, pieces, intermediates, copy } = await opened(bytes, { bytes: 2 ** 30, nodes });
  const whole = await ort.InferenceSession.create(Buffer.concat([bytes, furtherOutputs(intermediates)]));
  try {
    expect(pieces.length).toBe(Math.ceil(10 / nodes));
    const names = [...intermediates, 'y'];
    for (const rows of [2, 1]) {
      const feeds = feedsOf(rows);
      const wanted = await whole.run({ x: new ort.Tensor('float32', feeds.get('x')!.data, [rows, SIZE]) }, names);
      const check = async (asked: readonly string[]) => {
        const found = await session.run(feeds, asked);
        expect([...found.keys()]).toEqual(asked);
        for (const name of asked) {
          const [one, other] = [found.get(name)!, wanted[name]!];
          expect(one.shape).toEqual(other.dims);
          const [shown, right] = [one.data, other.data].map((data) => Array.from(data as ArrayLike<number>, Number));
          expect(Math.max(...shown!.map((value, i) => Math.abs(value - right![i]!)))).toBeLessThan(1e-3);
        }
      };
      for (const name of names) await check([name]);
      await check(['h1', 'y']);
      await check(['h2']);
      await Promise.all([check(['y']), check(['h1', 'size'])]);
    }
    await expect(session.run(feedsOf(1), ['bt'])).rejects.toMatchObject({ kind: 'engine' });
    await expect(session.run(new Map([['x', { shape: [1, 3], data: new Float32Array(3) }]]))).rejects.toMatchObject({ kind: 'engine' });
  } finally {
    await session.close();
    await whole.release();
  }
  expect(existsSync(copy.folder)).toBe(false);
});

test('are cut by the bytes of their weights, and hold none of them twice', async () => {
  const bytes = await residualNet();
  const { session, pieces, copy, model } = await opened(bytes, { bytes: 110_000, nodes: 100 });
  expect(pieces.map(({ weights }) => [...weights])).toEqual([['a'], ['b'], ['a']]);
  expect(copy.model.byteLength).toBeLessThan(8192);
  const parted = { 'model.onnx': copy.model, 'weights.bin': new Uint8Array(readFileSync(join(copy.folder, 'weights.bin'))) };
  const again = await readOnnxModel(memoryFileSet(parted, 'model.onnx'), 'model.onnx');
  expect([...again.initializers.keys()]).toEqual([...model.initializers.keys()]);
  for (const [name, tensor] of model.initializers) expect(Buffer.compare(await tensorBytes(again.initializers.get(name)!), await tensorBytes(tensor))).toBe(0);
  await session.close();
});

test('are not made of a net that draws numbers, or whose output is its input', async () => {
  const read = async (bytes: Promise<Uint8Array>) => readOnnxModel(memoryFileSet({ 'm.onnx': await bytes }, 'm.onnx'), 'm.onnx');
  const inputs = [['x', [1, 4]]] as const;
  expect(cutIntoPieces(await read(onnxFile({ inputs, nodes: [node('RandomUniformLike', ['x'], ['y'])] })))).toBeNull();
  expect(cutIntoPieces(await read(onnxFile({ inputs, nodes: [node('Relu', ['x'], ['h'])], outputs: ['x'] })))).toBeNull();
});

test('what is no model leaves no folder behind', async () => {
  const broken = (await residualNet()).subarray(0, 3000);
  await expect(copyWithWeightsApart(memorySource(broken, 'net.onnx'))).rejects.toMatchObject({ kind: 'malformed' });
});
