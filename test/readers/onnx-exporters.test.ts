/** Files of today's exporters and tools predict what was recorded: evaluated, written anew in their own opset and in older ones, and as a graph of TensorFlow.js. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { Layout } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { type Run, runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

type Listed = readonly [shape: readonly number[], values: readonly number[]];

const FOLDER = fileURLToPath(new URL('../fixtures/onnx-exporters', import.meta.url));
const CASES = readdirSync(FOLDER, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
/** A step of codes is taken or not by the last bit of a sum. */
const TOLERANCE: Readonly<Record<string, number>> = { 'small-qdq': 0.03 };
/** Optimised, its products are of 8 bits, whose sums of two ONNX Runtime cuts at 16 bits on processors without VNNI. */
const SATURATES = new Set(['small-qdq']);
/** What only a newer opset has a word for. */
const NEWER: Readonly<Record<string, number>> = { 'attention-4-bits': 21 };

const array = ([shape, values]: Listed): Run => ({ shape, data: Float32Array.from(values) });
const recorded = (name: string) =>
  (JSON.parse(readFileSync(join(FOLDER, name, 'recorded.json'), 'utf8')) as { inputs: Listed[]; outputs: Listed[] }[]).map(({ inputs, outputs }) => ({
    feeds: inputs.map(array),
    expected: array(outputs[0]!),
  }));
const open = (name: string) => memoryFileSet({ 'm.onnx': new Uint8Array(readFileSync(join(FOLDER, name, 'model.onnx'))) }, 'm.onnx');

function distance(made: { readonly shape: readonly number[]; readonly data: ArrayLike<number | bigint> }, { shape, data }: Run): number {
  expect(made.shape).toEqual(shape);
  const scale = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return data.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(made.data[i]))), 0) / scale;
}

/** Channels last, as graphs of TensorFlow.js take what is known for a picture. */
function asTaken({ shape, data }: Run, layout: Layout): Run {
  if (layout !== 'nchw') return { shape, data };
  const [n, c, h, w] = shape as [number, number, number, number];
  const turned = Float32Array.from(
    data,
    (_, i) => data[((Math.floor(i / (c * w * h)) * c + (i % c)) * h + (Math.floor(i / (c * w)) % h)) * w + (Math.floor(i / c) % w)]!,
  );
  return { shape: [n, h, w, c], data: turned };
}

describe('files of exporters', () => {
  it('are all there', () => {
    expect(CASES).toEqual([
      ...['attention', 'attention-4-bits', 'attention-fused', 'attention-of-any-length', 'attention-opset-23', 'attention-optimised'],
      ...['pooled-places', 'small', 'small-qdq'],
    ]);
  });

  it.each(CASES)('%s', async (name) => {
    const limit = TOLERANCE[name] ?? 2e-5;
    const runs = recorded(name);
    const map = await (await openModel(open(name))).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const session = await referenceSession(map);
    for (const { feeds, expected } of runs) {
      const [made] = (await session.run(new Map(map.inputs.map((port, i) => [port.name, feeds[i]!])))).values();
      expect(distance(made!, expected)).toBeLessThan(limit);
    }
    for (const opset of [13, 17, 21]) {
      if (opset < (NEWER[name] ?? 0)) continue;
      const sink = memorySink();
      await convert(open(name), sink, 'm.onnx', { to: 'onnx', opset });
      for (const { feeds, expected } of runs) {
        const [made] = (await runOnnx(sink.files.get('m.onnx')!, feeds, { optimised: !SATURATES.has(name) })).values();
        expect(distance(made!, expected)).toBeLessThan(limit);
      }
    }
    const sink = memorySink();
    await convert(open(name), sink, 'model.json', { to: 'tfjs-graph' });
    for (const { feeds, expected } of runs) {
      const [made] = await runTfjs(
        'tfjs-graph',
        sink.files,
        feeds.map((feed, i) => asTaken(feed, map.inputs[i]!.layout)),
      );
      expect(distance(made!, expected)).toBeLessThan(limit);
    }
  });

  it('a Reshape that takes no zero says nothing of zeros', async () => {
    const map = await (await openModel(open('attention'))).map();
    const reshapes = map.layers.filter(({ op }) => op === 'Reshape');
    expect(reshapes.length).toBeGreaterThan(0);
    expect(reshapes.every(({ attributes }) => attributes.allowzero === 0)).toBe(true);
  });
});
