/** What kind of mistake it is: tried on the layer that differs, and named with what is left of the error. */
import { onnx as schema } from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { verdictGlance } from '../../src/report/verdict.js';
import { fits } from '../../src/verify/causes/fitted.js';
import type { Report } from '../../src/verify/report.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { faultsFor } from './faults/any-net.js';
import { type Subject, scoreFault, subjectOf, verifyEdited as verify, writtenOnnx } from './faults/catalogue.js';
import { FAMILIES } from './faults/families.js';
import { branchedNet, modelOf } from './faults/nets.js';
import { all, attribute, change, changeBytes, changeOp, constant, type Edit, nodeOf, rearrange, skipNode } from './faults/onnx-edit.js';
import { editTfjs } from './faults/tfjs-edit.js';
import { attributes, mapOf, node, onnxBytes, port, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const statistics = {
  scale: tensor('s', [3], [1, 2, 0.5]),
  bias: tensor('b', [3], [0.1, 0.2, -0.3]),
  mean: tensor('m', [3], [0.5, -0.5, 0.1]),
  variance: tensor('v', [3], [1, 0.5, 2]),
};
const map = branchedNet();
let subject: Subject;
beforeAll(async () => {
  subject = await subjectOf(map);
});

const kinds = ({ cause }: Report) => cause!.explainedBy.map(({ kind }) => kind);

describe('the cause of a mismatch', () => {
  it.each<[what: string, layer: string, kind: string, edit: Edit]>([
    ['a kernel rotated', 'conv2', 'kernel-flipped', rearrange('conv2', 1, ([o, i, h, w], [, , H, W]) => [o!, i!, H! - 1 - h!, W! - 1 - w!])],
    ['a bias that is missing', 'conv3a', 'bias-missing', change('conv3a', 2, () => 0)],
    ['padding on the other side', 'conv1', 'padding', attribute('conv1', 'pads', [2, 2, 0, 0])],
    ['a matrix read one element too early, its last value first', 'fc', 'span', change('fc', 1, (_, i, data) => data.at(i - 1)!)],
    ['another epsilon', 'bn1', 'epsilon', attribute('bn1', 'epsilon', 1e-5)],
    ['another pooling', 'pool2', 'pooling', changeOp('pool2', 'MaxPool', ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode'])],
  ])('is %s', async (_, layer, kind, edit) => {
    const { cause, verdict } = await verify(subject, edit);
    expect(verdict).toBe('mismatch');
    expect(cause).toMatchObject({ layer, side: 'file' });
    expect(cause!.explainedBy[0]).toMatchObject({ kind, layer });
    expect(cause!.explainedBy[0]!.error).toBeLessThan(2e-6);
    expect(cause!.error).toBeGreaterThan(1e-4);
    expect(cause!.message).toContain(`explained by: ${cause!.explainedBy[0]!.what}`);
  });

  it('is a matrix read one element too late, as a file of TensorFlow.js has it', async () => {
    const dense = { name: 'fc', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: tensor('k', [3, 4]), bias: tensor('b', [3]) } };
    const port = (name: string, size: number) => ({ name, value: name, dtype: 'float32', shape: ['N', size], layout: 'other' }) as const;
    const own = mapOf([dense], [port('x', 4)], [port('y', 3)]);
    const wrong = editTfjs(await written(own, 'tfjs-graph'), ({ values }) => void values('fc/kernel').copyWithin(0, 1));
    const { cause } = await verifyWrittenMap(own, wrong, {}, 'tfjs-graph');
    expect(cause!.explainedBy[0]).toMatchObject({ kind: 'span', layer: 'fc', what: 'values of kernel read one element too late, the one at the end twice' });
  });

  it('is another operator on the same operands, where the file has axes in another order', async () => {
    const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 6, 4], layout: 'other' }) as const;
    const own = mapOf(
      [
        { name: 'turned', op: 'Transpose', inputs: ['x'], outputs: ['t'], attributes: { perm: [0, 2, 1] } },
        { name: 'fc', op: 'MatMul', inputs: ['t'], outputs: ['h'], weights: { kernel: tensor('k', [6, 6]) } },
        { name: 'back', op: 'Transpose', inputs: ['h'], outputs: ['b'], attributes: { perm: [0, 2, 1] } },
        { name: 'both', op: 'Add', inputs: ['x', 'b'], outputs: ['y'] },
      ],
      [port('x')],
      [port('y')],
    );
    const wrong = editTfjs(await written(own, 'tfjs-graph'), ({ part }) => void Object.assign(part('both'), { op: 'Mul' }));
    const { cause } = await verifyWrittenMap(own, wrong, {}, 'tfjs-graph');
    expect(cause!.explainedBy[0]).toMatchObject({ kind: 'operator', layer: 'both', what: 'Mul for Add' });
  });

  it('is a weight that another layer has in another role', async () => {
    const own = mapOf(
      [
        { name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['h'], weights: { kernel: tensor('k', [3, 3, 1, 1]), bias: tensor('b', [3], [0.3, -0.1, 0.2]) } },
        { name: 'shift', op: 'Add', inputs: ['h'], outputs: ['y'], weights: { operand: tensor('o', [3, 1, 1], [1, -2, 0.7]) } },
      ],
      [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 4, 4], layout: 'nchw' }],
      [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3, 4, 4], layout: 'nchw' }],
    );
    const { cause } = await verify(
      await subjectOf(own),
      change('conv', 2, (_, i) => [1, -2, 0.7][i]!),
    );
    expect(cause!.explainedBy[0]).toMatchObject({ kind: 'weights-of-another', layer: 'conv', what: 'bias: the operand of layer "shift"' });
  });

  it.each<[what: string, layer: string, kind: string, says: string, edit: Edit]>([
    ['a padding of one side alone', 'conv1', 'padding', 'pads [1,4,1,1] for [1,1,1,1]', attribute('conv1', 'pads', [1, 4, 1, 1])],
    ['a factor', 'fc', 'operator', 'Gemm ("product"), Mul ("alpha"), Add for Gemm', factor('fc', 1.013)],
    ['values whose last bits are gone', 'conv2', 'narrower', 'kernel without the last 14 bits of each value', changeBytes('conv2', 1, cutBits(14))],
  ])('is a number that no list has, which the file states: %s', async (_, layer, kind, says, edit) => {
    const { cause, verdict } = await verify(subject, edit);
    expect(verdict).toBe('mismatch');
    expect(cause!.explainedBy[0]).toMatchObject({ kind, layer, what: says });
  });

  it('is in a layer that the file has lost, behind which the first difference shows', async () => {
    const { cause } = await verify(subject, skipNode('relu2'));
    expect(cause).toMatchObject({ layer: 'pool2' });
    expect(cause!.explainedBy[0]).toMatchObject({ kind: 'activation-missing', layer: 'relu2' });
    expect(cause!.message).toContain('(in "relu2")');
  });

  it('is what a node does behind a layer that is as it should be', async () => {
    const { cause } = await verify(subject, (graph) => {
      const owner = nodeOf(graph, 'bn1');
      const [output] = owner.output!;
      owner.output = ['bn1_whole'];
      const input = ['bn1_whole', constant(graph, 'low', [-0.3]), constant(graph, 'high', [0.2])];
      graph.node!.splice(graph.node!.indexOf(owner) + 1, 0, schema.NodeProto.create({ name: 'bn1_cut', opType: 'Clip', input, output: [output!] }));
    });
    expect(cause!.explainedBy[0]).toMatchObject({
      kind: 'operator',
      layer: 'bn1',
      what: expect.stringMatching(/Clip \("cut"\) for BatchNorm|BatchNorm.*, Clip/),
    });
  });

  it('is the order of gates in a node that is read as many layers', async () => {
    const [inputs, units] = [3, 4];
    const weights = (order: readonly number[]) => {
      const gates = (size: number, low: number) => {
        const values = spread(4 * units * size, low, 1);
        return order.flatMap((gate) => values.slice(gate * units * size, (gate + 1) * units * size));
      };
      return [tensor('W', [1, 4 * units, inputs], gates(inputs, -1)), tensor('R', [1, 4 * units, units], gates(units, -0.8))];
    };
    const file = async (order: readonly number[]) =>
      onnxBytes({
        nodes: [node('LSTM', ['x', 'W', 'R'], ['y'], { hidden_size: attributes.int(units) })],
        inputs: [port('x', [5, 1, inputs])],
        outputs: [port('y', [5, 1, 1, units])],
        weights: weights(order),
      });
    const source = await (await openModel(memoryFileSet({ 'net.onnx': await file([0, 1, 2, 3]) }, 'net.onnx'))).map();
    const { cause } = await verifyWrittenMap(source, { 'net.onnx': await file([0, 2, 1, 3]) });
    expect(cause!.message).toContain('/inputs": explained by: kernel: channels in another order: 4 blocks of 4, in the order 0, 2, 1, 3');
  });

  it('is a rounding to float16 although some values lie between two', () => {
    const narrower = fits.find(({ what }) => what === 'values rounded to float16')!;
    const value = (data: readonly number[]) => ({ shape: [1, data.length], data: Float64Array.from(data), dtype: 'float32' as const });
    // Halfway between 1 and the next float16, and a little above as a runtime has it.
    const [base, target] = [value([1 + 2 ** -11, 0.3]), value([1 + 2 ** -10, 0.300048828125])];
    expect([...narrower.made(base, target)!.data]).toEqual([...target.data]);
    expect(narrower.made(base, value([1 + 2 ** -10, 0.3]))).toBeNull();
    expect(narrower.made(target, target)).toBeNull();
  });

  it('is not what gives no number for every input, where the file does for one', async () => {
    const net = mapOf(
      [
        { name: 'norm', op: 'BatchNormalization', inputs: ['x'], outputs: ['h'], attributes: { epsilon: 1e-5 }, weights: statistics },
        { name: 'y', op: 'Relu', inputs: ['h'], outputs: ['y'] },
      ],
      [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3], layout: 'other' }],
      [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3], layout: 'other' }],
    );
    const fault = faultsFor(net).find(({ kind }) => kind === 'no number where the input is zero')!;
    const { cause } = await verify(await subjectOf(net), fault.edit);
    expect(cause!.message).toContain('no number, or an infinite one, where the source has numbers');
    expect(cause!.message).not.toContain('variance');
  });

  it.each(['input shifted', 'input clipped at 10', 'pixels read as signed bytes', 'no number where the input is zero', 'rows of a batch reversed'])(
    'is what is done to the input: %s',
    async (kind) => {
      const fault = faultsFor(map).find((each) => each.kind === kind)!;
      expect(await scoreFault(subject, fault)).toMatchObject({ outcome: 'seen', placed: true, named: true });
    },
  );

  it('is behind a layer that is what it should be', async () => {
    const transformer = FAMILIES.map((make) => make()).find(({ name }) => name === 'transformer')!;
    const fault = faultsFor(transformer).find(({ kind }) => kind === 'softmax doubled')!;
    const score = await scoreFault(await subjectOf(transformer), fault);
    expect(score).toMatchObject({ placed: true, named: true });
    expect(score.found.said).toMatch(/"attention": explained by: Softmax after it/);
  });

  it('is two, where both explain it', async () => {
    // A kernel of one place is the same in reverse and shuffled by groups of one.
    const report = await verify(
      subject,
      rearrange('conv3a', 1, ([o, i, h, w], [, I]) => [o!, I! - 1 - i!, h!, w!]),
    );
    expect(kinds(report)).toEqual(expect.arrayContaining(['channels-reversed', 'reads-reversed']));
    expect(report.cause!.message).toContain('or equally by');
  });

  it('is not made up where none explains it', async () => {
    const report = await verify(
      subject,
      all(
        change('conv1', 1, (value, i) => value + Math.sin(i)),
        attribute('conv1', 'pads', [2, 2, 0, 0]),
      ),
    );
    expect(report.cause).toMatchObject({ layer: 'conv1', explainedBy: [] });
    expect(report.cause!.message).toMatch(/none of \d+ mistakes that were tried explains it/);
  });

  it('is no mistake where narrower weights cost too much', async () => {
    const bytes = await writtenOnnx(map, 'int8');
    const files = memoryFileSet({ 'net.onnx': bytes }, 'net.onnx');
    const report = await verifyConversion({ source: { files }, model: modelOf(map), map, target: { files, format: 'onnx' } }, { rtol: 1e-6 });
    expect(report).toMatchObject({ verdict: 'mismatch', cause: null });
    expect(report.notes.join()).toContain('what narrower weights cost this net');
    expect(verdictGlance(report)).toContain('times beyond the limit');
  });

  it('is nothing where nothing differs', async () => {
    expect(await verify(subject, () => {})).toMatchObject({ verdict: 'match', cause: null });
  });

  it('is in our reading, where a recording of the layer says so', async () => {
    // The file is what was read; what was recorded comes of a kernel that lay the other way round.
    const flipped = await flippedMap(map, 'conv2');
    const golden = await recordingOf(flipped, ['conv2']);
    const files = memoryFileSet({ 'net.onnx': subject.bytes }, 'net.onnx');
    const report = await verifyConversion({ source: { files }, model: modelOf(map), map, target: { files, format: 'onnx' } }, { golden });
    expect(report).toMatchObject({ verdict: 'mismatch', cause: { layer: 'conv2', side: 'reading' } });
    expect(kinds(report)).toContain('kernel-flipped');
    expect(report.cause!.message).toContain('the original computes otherwise than it was read');
  });
});

/** A Gemm with an alpha, which the writer never gives. */
function factor(node: string, alpha: number): Edit {
  return (graph) => {
    const owner = nodeOf(graph, node);
    const kept = owner.attribute!.filter(({ name }) => name !== 'alpha');
    owner.attribute = [...kept, schema.AttributeProto.create({ name: 'alpha', type: schema.AttributeProto.AttributeType.FLOAT, f: alpha })];
  };
}

function cutBits(count: number) {
  return (_: Uint8Array, words: Uint32Array) => words.set(words.map((word) => word & (-1 << count)));
}

async function flippedMap(net: LayerMap, name: string): Promise<LayerMap> {
  const layers = await Promise.all(
    net.layers.map(async (layer) => {
      if (layer.name !== name) return layer;
      const { kernel } = layer.weights as { kernel: Tensor };
      const values = new Float32Array((await tensorBytes(kernel)).slice().buffer);
      const [, , h, w] = kernel.shape as [number, number, number, number];
      const turned = values.map((_, i) => values[i - (i % (h * w)) + (h * w - 1 - (i % (h * w)))]!);
      return { ...layer, weights: { ...layer.weights, kernel: float32Tensor('kernel', kernel.shape, turned, { file: 'test' }) } };
    }),
  );
  return { ...net, layers };
}

async function recordingOf(net: LayerMap, layers: readonly string[]): Promise<Map<string, Tensor>> {
  const { referenceSession } = await import('../../src/verify/reference/session.js');
  const { generateSample } = await import('../../src/verify/inputs.js');
  const session = await referenceSession(net, { layers: true });
  const feeds = generateSample(net.inputs, 0, 0);
  const values = await session.run(new Map([['input', feeds[0]!]]), ['prob', ...layers]);
  const tensor = (name: string, { shape, data }: { shape: readonly number[]; data: ArrayLike<number | bigint> }) =>
    float32Tensor(name, shape, Array.from(data, Number), { file: 'recording' });
  return new Map([
    ['input', tensor('input', feeds[0]!)],
    ['output', tensor('output', values.get('prob')!)],
    ...layers.map((name) => [`layer:${name}`, tensor(name, values.get(name)!)] as const),
  ]);
}
