/** A recording that was made otherwise than nets are compared is told to be so, and how. */
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { Port } from '../../src/model/layer-map.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { nextStep } from '../../src/report/next-step.js';
import { toArray } from '../../src/verify/array.js';
import { explainRecording } from '../../src/verify/causes/recording.js';
import { RANGES } from '../../src/verify/inputs.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGoldenArrays } from '../golden.js';
import { openedFiles } from '../open-files.js';

const ROWS = 4;
const shape = [1, 2, 2, 3];
const input: Port = { name: 'x', value: 'x', dtype: 'float32', shape, layout: 'nhwc' };
const output: Port = { name: 'y', value: 'y', dtype: 'float32', shape: [1, 4], layout: 'other' };
type Numbers = readonly number[];

/** A net of four classes, before its Softmax. */
const logits = (x: Numbers): number[] => [0, 1, 2, 3].map((k) => x.reduce((sum, value, i) => sum + value * Math.sin(1 + i * 0.7 + k * 1.3), 0));
const softmax = (y: Numbers): number[] => y.map((value) => Math.exp(value) / y.reduce((sum, other) => sum + Math.exp(other), 0));
const net = (x: Numbers) => softmax(logits(x));
const array = (of: readonly number[], values: Numbers) => ({ shape: of, data: Float32Array.from(values) });

/** @param recorded what was recorded of row `i`, whose input is `x` */
async function explained({
  prepared = (x) => x,
  recorded = (x) => net(x),
}: {
  prepared?: (x: Numbers) => Numbers;
  recorded?: (x: Numbers, i: number) => Numbers;
}) {
  const rows = Array.from({ length: ROWS }, (_, row) => Array.from({ length: 12 }, (_, i) => Math.sin(row * 5 + i * 1.1) / 2));
  const run = async ([x]: readonly { readonly data: ArrayLike<unknown> }[]) => [array([1, 4], net(Array.from(x!.data, Number)))];
  const samples = await Promise.all(
    rows.map(async (x, i) => {
      const feeds = [array(shape, prepared(x))];
      return { feeds, wanted: [array([1, 4], recorded(x, i))], found: await run(feeds), range: RANGES.plain };
    }),
  );
  const cause = await explainRecording({ map: { inputs: [input], outputs: [output], layers: [] }, isRead: true, actual: { run }, samples, rtol: 1e-5 });
  const ofRow = (row: number) => net(rows[row]!);
  return { cause, ofRow };
}

const channelsReversed = (x: Numbers) => x.map((_, i) => x[i - (i % 3) + 2 - (i % 3)]!);
const ofOrder = (order: readonly number[]) => async () => {
  const { ofRow } = await explained({});
  return explained({ recorded: (_, i) => ofRow(order[i]!) });
};

it.each<[string, () => ReturnType<typeof explained>, string, RegExp]>([
  ['rows in reverse', ofOrder([3, 2, 1, 0]), 'recorded-rows', /in another order .*\(in reverse\)/],
  ['rows one on', ofOrder([1, 2, 3, 0]), 'recorded-rows', /\(1 row on\)/],
  ['rows in any order', ofOrder([2, 0, 3, 1]), 'recorded-rows', /row 0 is of input 2/],
  ['logits', () => explained({ recorded: logits }), 'recorded-end', /without the Softmax/],
  ['one function more', () => explained({ recorded: (x) => net(x).map(Math.tanh) }), 'recorded-end', /behind a Tanh/],
  [
    'inputs before they were divided',
    () => explained({ prepared: (x) => x.map((v) => v * 255) }),
    'input-scale',
    /input divided by 255 gives what was recorded/,
  ],
  ['inputs of another sign', () => explained({ prepared: (x) => x.map((v) => -v) }), 'input-scale', /with the other sign gives/],
  ['channels in reverse', () => explained({ prepared: channelsReversed }), 'input-bgr', /BGR for RGB/],
])('%s', async (_, of, kind, words) => {
  const { cause } = await of();
  expect(cause).toMatchObject({ side: 'recording', explainedBy: [{ kind, what: expect.stringMatching(words) }] });
});

it('explains nothing by it where one row has another value', async () => {
  const { ofRow } = await explained({});
  expect((await explained({ recorded: (_, i) => (i === 2 ? ofRow(i).with(1, 0.9) : ofRow(i)) })).cause).toBeNull();
});

it('explains nothing by an input that only rows which hardly differ bear', async () => {
  // Three classes are out of reach for the first rows, whatever is read; only the last one tells that its input is what was recorded.
  const far = (x: Numbers) => softmax([300 * x[0]!, 0, 0, 0]);
  const feeds = [0.5, 0.6, 0.7, 0.001].map((value) => [array([1, 1, 1, 1], [value])]);
  const run = async ([x]: readonly { readonly data: ArrayLike<unknown> }[]) => [array([1, 4], far(Array.from(x!.data, Number)))];
  const samples = await Promise.all(
    feeds.map(async (fed, i) => {
      const found = await run(fed);
      const wanted = [array([1, 4], i === 3 ? [0.9, 0.1, 0, 0] : Array.from(found[0]!.data, (value) => value * 0.99))];
      return { feeds: fed, wanted, found, range: RANGES.plain };
    }),
  );
  const one: Port = { ...input, shape: [1, 1, 1, 1] };
  const cause = await explainRecording({ map: { inputs: [one], outputs: [output], layers: [] }, isRead: true, actual: { run }, samples, rtol: 0.02 });
  expect(cause).toBeNull();
});

it('is what a mismatch with a recording says, and what to do', async () => {
  const path = join(DIGITS, 'digits.h5');
  const files = await openedFiles(path);
  const sink = memorySink();
  const { model, map } = await convert(files, sink, 'net.onnx', {});
  const recorded = await readGoldenArrays(join(DIGITS, 'keras.npz'));
  // The first picture and the last are of different digits.
  const ends = async (name: string, size: number) => {
    const values = Array.from((await toArray(recorded.get(name)!)).data as ArrayLike<number>, Number);
    return [values.slice(0, size), values.slice(-size)] as const;
  };
  const origin = { file: 'golden.npz', name: 'recorded' };
  const [x, y] = [await ends('input', 32 * 32 * 3), await ends('output', 10)];
  const golden = new Map([
    ['input', float32Tensor('input', [2, 32, 32, 3], x.flat(), origin)],
    ['output', float32Tensor('output', [2, 10], [...y[1], ...y[0]], origin)],
  ]);
  const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'net.onnx'), format: 'onnx' };
  const report = await verifyConversion({ source: { files, path: resolve(path) }, model, map, target }, { golden });
  await files.close();
  expect(report.verdict).toBe('mismatch');
  expect(report.cause).toMatchObject({ side: 'recording', explainedBy: [{ kind: 'recorded-rows' }] });
  expect(report.notes.join()).not.toContain('could not be told');
  expect(nextStep(report)).toMatch(/in reverse.*record anew/);
});
