/** TensorFlow Lite files of free sizes, which what they compute with is worked out from when they run. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { LITE_OPERATORS } from '../../src/containers/tflite.js';
import { convert } from '../../src/convert.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { convertFile } from '../../src/node/convert-file.js';
import { arrayOf, at, difference, random } from '../keras-run.js';
import { byte, int, type LiteTensor, liteModel, table } from '../lite-models.js';
import { type Run, runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const folder = mkdtempSync(join(tmpdir(), 'lite-free-'));
afterAll(() => rmSync(folder, { recursive: true }));

const code = (op: string): number => LITE_OPERATORS.indexOf(op);
const FREE = { shape: [1, 1, 1, 2], signature: [1, -1, -1, 2], type: 0 };
const numbers = (name: string, values: readonly number[]): LiteTensor => ({
  ...{ name, shape: [values.length], type: 2 },
  data: new Uint8Array(Int32Array.from(values).buffer),
});

/** The largest of each four pixels, resized to the size of what they are taken from. */
function halvedAndBack(op: string, options: ReturnType<typeof table>): Uint8Array {
  return liteModel(
    [
      { name: 'x', ...FREE },
      { name: 'small', ...FREE },
      { name: 'shape', shape: [4], type: 2 },
      numbers('begin', [1]),
      numbers('count', [2]),
      { name: 'size', shape: [2], type: 2 },
      { name: 'y', ...FREE },
    ],
    [
      { code: code('MAX_POOL_2D'), inputs: [0], outputs: [1], options: table(byte(1), int(2), int(2), int(2), int(2)) },
      { code: code('SHAPE'), inputs: [0], outputs: [2], options: table(byte(2)) },
      { code: code('SLICE'), inputs: [2, 3, 4], outputs: [5] },
      { code: code(op), inputs: [1, 5], outputs: [6], options },
    ],
    [0],
    [6],
  );
}

function halved(x: Run): Run {
  const [, height, width] = x.shape as [number, number, number];
  const of = (h: number, w: number, c: number) => Math.max(...[0, 1].flatMap((i) => [0, 1].map((j) => at(x, 0, 2 * h + i, 2 * w + j, c))));
  return arrayOf([1, Math.floor(height / 2), Math.floor(width / 2), 2], (_, h, w, c) => of(h, w, c));
}

/** Each new element by what it is of the old ones along both axes. */
function resized(
  small: Run,
  [height, width]: readonly [number, number],
  along: (i: number, from: number, to: number) => readonly (readonly [number, number])[],
): Run {
  const [, rows, columns] = small.shape as [number, number, number];
  return arrayOf([1, height, width, 2], (_, h, w, c) =>
    along(h, rows, height).reduce((sum, [i, a]) => sum + along(w, columns, width).reduce((own, [j, b]) => own + a * b * at(small, 0, i, j, c), 0), 0),
  );
}

const f = Math.fround;
const inside = (i: number, size: number) => Math.max(0, Math.min(size - 1, i));
const HOW: readonly (readonly [string, string, ReturnType<typeof table>, (i: number, from: number, to: number) => readonly (readonly [number, number])[]])[] = [
  ['the nearest below', 'RESIZE_NEAREST_NEIGHBOR', table(byte(0), byte(0)), (i, from, to) => [[inside(Math.floor(f(i * f(from / to))), from), 1]]],
  ['the nearest to the corners', 'RESIZE_NEAREST_NEIGHBOR', table(byte(1), byte(0)), (i, from, to) => [[inside(Math.floor(f(i * f((from - 1) / (to - 1))) + 0.5), from), 1]]],
  ['the nearest to the middle', 'RESIZE_NEAREST_NEIGHBOR', table(byte(0), byte(1)), (i, from, to) => [[inside(Math.floor(f((i + 0.5) * f(from / to))), from), 1]]],
  ['lines between middles', 'RESIZE_BILINEAR', table(undefined, undefined, byte(0), byte(1)), (i, from, to) => {
    const place = ((i + 0.5) * from) / to - 0.5;
    const low = Math.floor(place);
    return [[inside(low, from), 1 - (place - low)], [inside(low + 1, from), place - low]]; // biome-ignore format: a neighbour each
  }],
]; // biome-ignore format: one way, one line

describe('a picture resized to the size of another one', () => {
  it.each(HOW)('by %s', async (_, op, options, along) => {
    const files = memoryFileSet({ 'm.tflite': halvedAndBack(op, options) }, 'm.tflite');
    const [onnx, graph] = [memorySink(), memorySink()];
    await convert(files, onnx, 'm.onnx', { to: 'onnx' });
    await convert(files, graph, 'model.json', { to: 'tfjs-graph' });
    for (const [height, width] of [
      [5, 7],
      [4, 9],
    ] as const) {
      const x = random([1, height, width, 2]);
      const wanted = resized(halved(x), [height, width], along);
      const [made] = [...(await runOnnx(onnx.files.get('m.onnx')!, [x])).values()];
      expect(difference(made!, wanted)).toBeLessThan(1e-6);
      const [shown] = await runTfjs('tfjs-graph', graph.files, [x]);
      expect(difference(shown!, wanted)).toBeLessThan(1e-6);
    }
  });

  it('is no mismatch where a layer bears the name that the transposition of an input would have', async () => {
    const [, op, options, along] = HOW[0]!;
    const path = join(folder, 'm.tflite');
    writeFileSync(path, halvedAndBack(op, options));
    const x = random([1, 6, 5, 2]);
    const y = resized(halved(x), [6, 5], along);
    const origin = { file: 'recorded' };
    const golden = new Map([
      ['input', numbersTensor('x', 'float32', x.shape, [...x.data], origin)],
      ['output', numbersTensor('y', 'float32', y.shape, [...y.data], origin)],
    ]);
    const { report } = await convertFile(path, join(folder, 'm.onnx'), { golden });
    expect(report).toMatchObject({ verdict: 'match' });
  });
});
