/** Sizes, factors and margins that other values make, and bits of whole numbers: a graph model does with them what ONNX Runtime does. */
import { describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { intAttribute, intsAttribute as ints, type OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { difference, random } from '../keras-run.js';
import { type Graph, int64, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { type Run, runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const word = (value: string): OnnxAttribute => ({ type: 'string', value });
const numbers = (...values: number[]): Run => ({ shape: [values.length], data: Float32Array.from(values) });

/** The largest difference between both runtimes over the feeds. */
async function alike(graph: Graph, feeds: readonly (readonly Run[])[], opset: number): Promise<number> {
  const file = await onnxFile(graph, { opset });
  const sink = memorySink();
  await convert(memoryFileSet({ 'm.onnx': file }, 'm.onnx'), sink, 'model.json', { to: 'tfjs-graph' });
  let worst = 0;
  for (const one of feeds) {
    const [wanted] = [...(await runOnnx(file, one)).values()];
    const [made] = await runTfjs('tfjs-graph', sink.files, one);
    expect(made!.shape).toEqual(wanted!.shape);
    worst = Math.max(worst, difference(made!, wanted!));
  }
  return worst;
}

const HALF = { coordinate_transformation_mode: word('half_pixel') };
const RESIZES: readonly (readonly [string, Readonly<Record<string, OnnxAttribute>>])[] = [
  ['linear', { mode: word('linear'), ...HALF }],
  ['linear, to the corners', { mode: word('linear'), coordinate_transformation_mode: word('align_corners') }],
  ['linear, from the first corner', { mode: word('linear'), coordinate_transformation_mode: word('asymmetric') }],
  ['cubic', { mode: word('cubic'), ...HALF }],
  ['cubic, sharper, of what is inside', { mode: word('cubic'), ...HALF, cubic_coeff_a: { type: 'float', value: -0.5 }, exclude_outside: intAttribute(1) }],
  ['smoothed', { mode: word('linear'), ...HALF, antialias: intAttribute(1) }],
  ['cubic, smoothed', { mode: word('cubic'), ...HALF, antialias: intAttribute(1) }],
  ['the nearest', { mode: word('nearest'), ...HALF, nearest_mode: word('round_prefer_floor') }],
  ['the nearest below', { mode: word('nearest'), coordinate_transformation_mode: word('asymmetric'), nearest_mode: word('floor') }],
];

describe('a picture of any size', () => {
  const inputs: Graph['inputs'] = [['x', ['n', 2, 'h', 'w']]];
  const pictures = [random([1, 2, 5, 6]), random([2, 2, 7, 4])];

  test.each(RESIZES)('is resized to sizes that flow in: %s', async (_, attributes) => {
    const graph: Graph = { nodes: [node('Resize', ['x', '', '', 'sizes'], ['y'], attributes)], inputs: [...inputs, ['sizes', [4], 'int64']] };
    const feeds = pictures.flatMap((x) => [[x, numbers(x.shape[0]!, 2, 9, 13)] as const, [x, numbers(x.shape[0]!, 2, 3, 2)] as const]);
    expect(await alike(graph, feeds, 18)).toBeLessThan(1e-5);
  });

  test.each(RESIZES)('is resized by factors that flow in: %s', async (_, attributes) => {
    const graph: Graph = { nodes: [node('Resize', ['x', '', 'scales'], ['y'], attributes)], inputs: [...inputs, ['scales', [4]]] };
    const feeds = pictures.flatMap((x) => [[x, numbers(1, 1, 1.7, 2)] as const, [x, numbers(1, 1, 0.6, 0.5)] as const]);
    expect(await alike(graph, feeds, 18)).toBeLessThan(1e-5);
  });

  test.each(RESIZES)('is resized by factors that are no whole numbers: %s', async (_, attributes) => {
    const scales = numbersTensor('scales', 'float32', [4], [1, 1, 1.3, 0.7], ORIGIN);
    const graph: Graph = { nodes: [node('Resize', ['x', '', 'scales'], ['y'], attributes)], inputs, tensors: [scales] };
    expect(await alike(graph, pictures.map((x) => [x]), 18)).toBeLessThan(1e-5); // biome-ignore format: one check
  });

  test.each(['not_larger', 'not_smaller'])('keeps its shape, %s', async (policy) => {
    const attributes = { mode: word('linear'), ...HALF, keep_aspect_ratio_policy: word(policy), axes: ints([2, 3]) };
    const graph: Graph = { nodes: [node('Resize', ['x', '', '', 'sizes'], ['y'], attributes)], inputs: [...inputs, ['sizes', [2], 'int64']] };
    expect(await alike(graph, pictures.map((x) => [x, numbers(8, 9)]), 18)).toBeLessThan(1e-5); // biome-ignore format: one check
  });

  test('is cut while it is resized', async () => {
    const attributes = {
      mode: word('linear'),
      coordinate_transformation_mode: word('tf_crop_and_resize'),
      extrapolation_value: { type: 'float', value: 7 },
    } as const;
    const roi = numbersTensor('roi', 'float32', [8], [0, 0, 0.2, 0.1, 1, 1, 1.3, 0.8], ORIGIN);
    const graph: Graph = {
      nodes: [node('Resize', ['x', 'roi', '', 'sizes'], ['y'], attributes)],
      inputs: [...inputs, ['sizes', [4], 'int64']],
      tensors: [roi],
    };
    expect(await alike(graph, pictures.map((x) => [x, numbers(x.shape[0]!, 2, 4, 3)]), 18)).toBeLessThan(1e-5); // biome-ignore format: one check
  });

  test.each(['constant', 'reflect', 'edge', 'wrap'])('gets margins that flow in: %s', async (mode) => {
    const graph: Graph = { nodes: [node('Pad', ['x', 'pads'], ['y'], { mode: word(mode) })], inputs: [...inputs, ['pads', [8], 'int64']] };
    const feeds = pictures.flatMap((x) => [[x, numbers(0, 0, 2, 1, 0, 0, 3, 2)] as const, [x, numbers(0, 0, 0, 2, 0, 0, 1, 0)] as const]);
    expect(await alike(graph, feeds, 19)).toBe(0);
  });

  test('is wrapped around by known margins', async () => {
    const graph: Graph = { nodes: [node('Pad', ['x', 'pads'], ['y'], { mode: word('wrap') })], inputs, tensors: [int64('pads', [0, 0, 4, 1, 0, 0, 2, 3])] };
    expect(await alike(graph, pictures.map((x) => [x]), 19)).toBe(0); // biome-ignore format: one check
  });

  test('is cut and padded around its middle to sizes that flow in', async () => {
    const graph: Graph = {
      nodes: [node('CenterCropPad', ['x', 'sizes'], ['y'], { axes: ints([2, -1]) })],
      inputs: [...inputs, ['sizes', [2], 'int64']],
    };
    expect(await alike(graph, pictures.flatMap((x) => [[x, numbers(4, 9)], [x, numbers(8, 3)]]), 18)).toBe(0); // biome-ignore format: one check
  });

  test.each([0, 1])('is looked at through a grid of its own size, align_corners %i', async (align) => {
    const graph: Graph = {
      nodes: [node('AffineGrid', ['theta', 'sizes'], ['y'], { align_corners: intAttribute(align) })],
      inputs: [
        ['theta', ['n', 2, 3]],
        ['sizes', [4], 'int64'],
      ],
    };
    const feeds = [[random([2, 2, 3]), numbers(2, 3, 5, 4)] as const, [random([1, 2, 3]), numbers(1, 3, 2, 6)] as const];
    expect(await alike(graph, feeds, 20)).toBeLessThan(1e-6);
  });
});

describe('bits of whole numbers', () => {
  const codes = (low: number, high: number): Run => {
    const { shape, data } = random([3, 40]);
    return { shape, data: data.map((value, i) => (i === 0 ? low : i === 1 ? high : Math.round(low + ((value % 1) + 1) * 0.5 * (high - low)))) };
  };
  const RANGES = {
    uint8: [0, 255, 2],
    int8: [-128, 127, 3],
    uint16: [0, 65535, 4],
    int16: [-32768, 32767, 5],
    int32: [-(2 ** 22), 2 ** 22, 6],
    int64: [-(2 ** 22), 2 ** 22, 7],
  } as const;

  test.each(
    Object.entries(RANGES).flatMap(([dtype, range]) => ['BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'BitwiseNot'].map((op) => [op, dtype, range] as const)),
  )('%s of %s', async (op, _, [low, high, to]) => {
    const cast = (from: string, name: string) => node('Cast', [from], [name], { to: intAttribute(to) });
    const graph: Graph = {
      nodes: [cast('a', 'c'), cast('b', 'd'), node(op, op === 'BitwiseNot' ? ['c'] : ['c', 'd'], ['e']), node('Cast', ['e'], ['f'], { to: intAttribute(1) }), node('Add', ['f', 'b'], ['y'])], // biome-ignore format: one line
      inputs: [
        ['a', [3, 40]],
        ['b', [1, 40]],
      ],
    };
    const { data } = codes(low, high);
    expect(
      await alike(
        graph,
        [
          [
            { shape: [3, 40], data },
            { shape: [1, 40], data: data.slice(40, 80) },
          ],
        ],
        18,
      ),
    ).toBe(0);
  });

  test.each(['LEFT', 'RIGHT'])('moved to the %s', async (direction) => {
    const graph: Graph = {
      nodes: [
        node('Cast', ['a'], ['c'], { to: intAttribute(2) }),
        node('BitShift', ['c', 'places'], ['e'], { direction: word(direction) }),
        node('Cast', ['e'], ['y'], { to: intAttribute(1) }),
      ],
      tensors: [numbersTensor('places', 'uint8', [4], [0, 1, 4, 7], ORIGIN)],
      inputs: [['a', [30, 4]]],
    };
    expect(await alike(graph, [[{ shape: [30, 4], data: codes(0, 255).data }]], 17)).toBe(0);
  });
});
