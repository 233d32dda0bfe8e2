/** Attention and RotaryEmbedding of ONNX, as what their definitions compute: beside ONNX Runtime, which has them as operators. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { intAttribute, type OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { type Graph, int64, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';

type Shapes = Readonly<Record<string, readonly number[]>>;

const waves = (count: number, from: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(1.3 * i + from));
const feedsOf = (shapes: Shapes) =>
  Object.values(shapes).map((shape, i) => ({
    shape,
    data: waves(
      shape.reduce((a, b) => a * b, 1),
      i,
    ),
  }));

async function mapOf(graph: Graph, opset = 23) {
  return (await openModel(memoryFileSet({ 'm.onnx': await onnxFile(graph, { opset }) }, 'm.onnx'))).map();
}

/** Each output of the layer map beside that of ONNX Runtime on the file. */
async function compare(graph: Graph, shapes: Shapes, opset = 23): Promise<void> {
  const [map, feeds] = [await mapOf(graph, opset), feedsOf(shapes)];
  expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
  const made = [...(await (await referenceSession(map)).run(new Map(map.inputs.map(({ name }, i) => [name, feeds[i]!])))).values()];
  const wanted = [...(await runOnnx(await onnxFile(graph, { opset }), feeds)).values()];
  expect(made.map(({ shape }) => shape)).toEqual(wanted.map(({ shape }) => shape));
  made.forEach(({ data }, output) => {
    Array.from(data, Number).forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[output]!.data[i]!, 5);
    });
  });
}

const float = (value: number): OnnxAttribute => ({ type: 'float', value });
const HEADS = { q: [2, 4, 3, 6], k: [2, 4, 5, 6], v: [2, 4, 5, 6] } as const;
const FLAT = { q: [1, 3, 24], k: [1, 5, 12], v: [1, 5, 12] } as const;
const NUMBERS = { q_num_heads: intAttribute(4), kv_num_heads: intAttribute(2) };

describe('Attention', () => {
  // No runtime has windows yet.
  it.each([
    ['around its own', { left_window_size: intAttribute(1), right_window_size: intAttribute(2) }, (ahead: number) => ahead >= -1 && ahead <= 2],
    [
      'before its own',
      { left_window_size: intAttribute(1), right_window_size: intAttribute(2), is_causal: intAttribute(1) },
      (ahead: number) => ahead >= -1 && ahead <= 0,
    ],
  ] as const)('that looks at a few places %s is one under a mask', async (_, window, isSeen) => {
    const inputs = Object.entries(HEADS);
    const places = Array.from({ length: 15 }, (__, i) => Number(isSeen((i % 5) - Math.floor(i / 5))));
    const masked = { nodes: [node('Attention', ['q', 'k', 'v', 'mask'], ['y'])], tensors: [numbersTensor('mask', 'bool', [3, 5], places, ORIGIN)], inputs };
    const [found, wanted] = await Promise.all(
      [{ nodes: [node('Attention', ['q', 'k', 'v'], ['y'], window)], inputs }, masked].map(async (graph) => {
        const map = await mapOf(graph, 25);
        expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
        const feeds = feedsOf(HEADS);
        const made = await (await referenceSession(map)).run(new Map(map.inputs.map(({ name }, i) => [name, feeds[i]!])));
        return Array.from([...made.values()][0]!.data, Number);
      }),
    );
    expect(found).toEqual(wanted);
  });

  const cases: readonly (readonly [string, Shapes, Record<string, OnnxAttribute>, (readonly string[])?])[] = [
    ['of heads', HEADS, {}],
    ['with a scale, softly capped', HEADS, { scale: float(2), softcap: float(1.5) }],
    ['that looks at nothing behind', HEADS, { is_causal: intAttribute(1) }],
    ['whose values are of another size, and whose keys are shared', { q: [1, 4, 3, 6], k: [1, 2, 5, 6], v: [1, 2, 5, 7] }, {}],
    ['under a mask of sums', { ...HEADS, mask: [2, 1, 3, 5] }, { is_causal: intAttribute(1) }],
    ['of features that are cut into heads', FLAT, NUMBERS],
    ['behind what came before', { ...FLAT, mask: [3, 7], pk: [1, 2, 2, 6], pv: [1, 2, 2, 6] }, NUMBERS, ['y', 'keys', 'values']],
    ['that gives its scores', HEADS, { qk_matmul_output_mode: intAttribute(3) }, ['y', '', '', 'scores']],
    [
      'that gives its scores under a mask, and its keys',
      { ...HEADS, mask: [3, 5] },
      { qk_matmul_output_mode: intAttribute(2) },
      ['y', 'keys', 'values', 'scores'],
    ],
  ];
  for (const [title, shapes, attributes, outputs = ['y']] of cases) {
    it(title, async () => {
      const attention = node('Attention', Object.keys(shapes), outputs, attributes);
      await compare({ nodes: [attention], inputs: Object.entries(shapes), outputs: outputs.filter((name) => name !== '') }, shapes);
    });
  }

  it('is the softmax of products that its definition says, by hand', async () => {
    const shapes = { q: [1, 1, 1, 1], k: [1, 1, 2, 1], v: [1, 1, 2, 1] };
    const map = await mapOf({ nodes: [node('Attention', ['q', 'k', 'v'], ['y'])], inputs: Object.entries(shapes) });
    const feed = (shape: readonly number[], ...data: number[]) => ({ shape, data: Float32Array.from(data) });
    const feeds = new Map([
      ['q', feed(shapes.q, 1)],
      ['k', feed(shapes.k, 0, Math.log(3))],
      ['v', feed(shapes.v, 4, 8)],
    ]);
    const [made] = [...(await (await referenceSession(map)).run(feeds)).values()];
    expect(Number(made!.data[0])).toBeCloseTo((4 + 3 * 8) / 4, 5);
  });

  it('whose mask is shorter than its keys hides those behind it', async () => {
    const by = async (mask: readonly number[]) => {
      const shapes = { ...HEADS, mask };
      const map = await mapOf({ nodes: [node('Attention', Object.keys(shapes), ['y'])], inputs: Object.entries(shapes) });
      const values = (_: unknown, i: number) => (i % mask[1]! < 4 ? 0 : Number.NEGATIVE_INFINITY);
      const feeds = feedsOf(HEADS).concat({ shape: mask, data: Float32Array.from({ length: 3 * mask[1]! }, values) });
      return [...(await (await referenceSession(map)).run(new Map(map.inputs.map(({ name }, i) => [name, feeds[i]!])))).values()][0]!.data;
    };
    expect(await by([3, 4])).toEqual(await by([3, 5]));
  });

  it.each([[0], [3]])('whose mask leaves a place nothing gives it zeros (scores by mode %i)', async (mode) => {
    const seen = Array.from({ length: 15 }, (_, i) => (i >= 5 && i < 10 ? 0 : (i + 1) % 3 && 1));
    const attributes = { qk_matmul_output_mode: intAttribute(mode) };
    const attention = node('Attention', ['q', 'k', 'v', 'mask'], mode === 3 ? ['y', '', '', 'scores'] : ['y'], attributes);
    const tensors = [numbersTensor('mask', 'bool', [3, 5], seen, ORIGIN)];
    await compare({ nodes: [attention], tensors, inputs: Object.entries(HEADS), outputs: mode === 3 ? ['y', 'scores'] : ['y'] }, HEADS);
  });

  it('of which not all keys count looks at those that do', async () => {
    const attention = node('Attention', ['q', 'k', 'v', '', '', '', 'lengths'], ['y']);
    await compare({ nodes: [attention], tensors: [int64('lengths', [2, 4])], inputs: Object.entries(HEADS) }, HEADS, 24);
  });

  it('whose scores were told differently is kept as it came, and what it gives is there once', async () => {
    const attributes = { qk_matmul_output_mode: intAttribute(1), softcap: float(2) };
    const graph: Graph = { nodes: [node('Attention', ['q', 'k', 'v'], ['y', 'keys', 'values', 'scores'], attributes)], inputs: Object.entries(HEADS) };
    const map = await mapOf(graph);
    expect(map.layers).toMatchObject([{ op: 'ai.onnx::Attention', foreign: { reason: 'it gives its scores by mode 1' } }]);
  });
});

describe('RotaryEmbedding', () => {
  const caches = (half: number) => ['c', 's'].map((name, i) => float32Tensor(name, [9, half], waves(9 * half, i), ORIGIN));
  const places = int64('p', [0, 3, 8, 1, 2, 7], [2, 3]);
  for (const [title, shape, attributes, half] of [
    ['of heads', [2, 4, 3, 6], {}, 3],
    ['of pairs that lie beside each other', [2, 4, 3, 6], { interleaved: intAttribute(1) }, 3],
    ['of features that are cut into heads', [2, 3, 24], { num_heads: intAttribute(4), interleaved: intAttribute(1) }, 3],
    ['of a part of each head', [2, 3, 24], { num_heads: intAttribute(4), rotary_embedding_dim: intAttribute(4) }, 2],
  ] as const) {
    it(title, async () => {
      const rotary = node('RotaryEmbedding', ['x', 'c', 's', 'p'], ['y'], attributes);
      await compare({ nodes: [rotary], tensors: [...caches(half), places], inputs: [['x', shape]] }, { x: shape });
    });
  }
});
