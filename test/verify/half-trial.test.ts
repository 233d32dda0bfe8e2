/** Files that compute in float16: what does not fit is found, although ONNX Runtime's CPU computes them in float32. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { nextStep } from '../../src/report/next-step.js';
import { verdictSentence } from '../../src/report/verdict.js';
import { tryHalfInside } from '../../src/verify/half-trial.js';
import { RANGES, type Range } from '../../src/verify/inputs.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { mapOf, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const IMAGE: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 8, 8], layout: 'nchw' };
const CLASSES: LayerMap['outputs'][0] = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 5], layout: 'other' };

/** A net whose second convolution makes numbers of about the size of `gain`, of which the last layer makes small ones again. */
function netThatReaches(gain: number): LayerMap {
  const conv = (name: string, input: string, [to, from]: readonly [number, number], factor: number) => ({
    name,
    op: 'Conv',
    inputs: [input],
    outputs: [name],
    weights: {
      kernel: tensor(`${name}.w`, [to, from, 3, 3], spread(to * from * 9, -factor, factor)),
      bias: tensor(`${name}.b`, [to], spread(to, -factor, factor)),
    },
  });
  return mapOf(
    [
      conv('conv1', 'x', [4, 3], 1),
      { name: 'relu1', op: 'Relu', inputs: ['conv1'], outputs: ['r1'] },
      conv('conv2', 'r1', [4, 4], gain / 8),
      { name: 'less', op: 'Mul', inputs: ['conv2'], outputs: ['less'], weights: { operand: tensor('less.o', [1, 1, 1, 1], [2 ** -10]) } },
      { name: 'pool', op: 'GlobalAveragePool', inputs: ['less'], outputs: ['g'] },
      { name: 'flat', op: 'Flatten', inputs: ['g'], outputs: ['f'] },
      {
        name: 'fc',
        op: 'Gemm',
        inputs: ['f'],
        outputs: ['y'],
        weights: { kernel: tensor('fc.w', [5, 4], spread(20, -1024 / gain, 1024 / gain)), bias: tensor('fc.b', [5], spread(5)) },
      },
    ],
    [IMAGE],
    [CLASSES],
  );
}

const verified = async (map: LayerMap, options: Readonly<Record<string, unknown>>) => verifyWrittenMap(map, await written(map, 'onnx', options));
const IN_HALF = { dtype: 'float16', float16Compute: true };

describe('a net whose activations pass 65504', () => {
  it('is no match where it computes in float16, and the layer is named', async () => {
    const report = await verified(netThatReaches(200_000), IN_HALF);
    expect(report.verdict).toBe('mismatch');
    expect(report.outputs.every(({ passed }) => passed)).toBe(true);
    const trial = report.trials.find(({ kind }) => kind === 'float16')!;
    expect(trial).toMatchObject({ passed: false, message: expect.stringMatching(/reach \d+(\.\d+)? times 65504.*"conv2"/) });
    expect(nextStep(report)).toContain('without --float16-compute');
  });

  it('is a match where it computes in float32', async () => {
    const report = await verified(netThatReaches(200_000), { dtype: 'float16' });
    expect(report.verdict).toBe('match');
    expect(report.trials.some(({ kind }) => kind === 'float16')).toBe(false);
  });
});

/** Picks values apart by what is done to them between two factors that cancel each other. */
function netBetween(factors: readonly number[], between: Parameters<typeof mapOf>[0]): LayerMap {
  const mul = (name: string, input: string, factor: number) => ({
    name,
    op: 'Mul',
    inputs: [input],
    outputs: [name],
    weights: { operand: tensor(`${name}.o`, [1, 1, 1, 1], [factor]) },
  });
  const [first, ...rest] = factors;
  const last = between.at(-1)?.outputs[0] ?? 'm0';
  return mapOf(
    [mul('m0', 'x', first!), ...between, ...rest.map((factor, i) => mul(i === rest.length - 1 ? 'y' : `m${i + 1}`, i === 0 ? last : `m${i}`, factor))],
    [IMAGE],
    [{ ...IMAGE, name: 'y', value: 'y' }],
  );
}

describe('a net that float16 is too coarse for', () => {
  it('is no match where what flows is smaller than float16 has bits for, though its runtime agrees', async () => {
    const report = await verified(netBetween([2 ** -12, 2 ** -12, 2 ** 12, 2 ** 12], []), IN_HALF);
    expect(report.verdict).toBe('mismatch');
    expect(report.trials.find(({ kind }) => kind === 'float16')).toMatchObject({
      passed: false,
      message: expect.stringMatching(
        /^computed in float16, output "y" is off by \S+ of its scale: it begins in layer "m1" \(Mul\), whose values are at most \S+: below 6.1e-5/,
      ),
    });
    expect(verdictSentence(report)).toContain('computed in float16, output "y" is off');
    expect(nextStep(report)).toContain('without --float16-compute');
  });

  it('is no match where a sum loses what is small beside the rest', async () => {
    const add = (name: string, input: string, operand: number) => ({
      name,
      op: 'Add',
      inputs: [input],
      outputs: [name],
      weights: { operand: tensor(`${name}.o`, [1, 1, 1, 1], [operand]) },
    });
    const report = await verified(netBetween([1, 1], [add('more', 'm0', 30_000), add('less', 'more', -30_000)]), IN_HALF);
    const trial = report.trials.find(({ kind }) => kind === 'float16');
    expect([report.verdict, trial]).toMatchObject([
      'mismatch',
      { passed: false, message: expect.stringMatching(/begins in layer "less" \(Add\), whose values float16 moves by/) },
    ]);
  });

  it('is no match where it divides by what float16 has no number for, and that is said of the layer that divides', async () => {
    const least = { name: 'least', op: 'Abs', inputs: ['m0'], outputs: ['least'] };
    const over = { name: 'over', op: 'Div', inputs: ['m0', 'least'], outputs: ['over'] };
    const report = await verified(netBetween([2 ** -30, 1], [least, over]), IN_HALF);
    expect([report.verdict, report.firstDifference?.message]).toEqual([
      'mismatch',
      expect.stringMatching(/layer "over" \(Div\) gives NaN or infinity, although/),
    ]);
  });

  it('matches where small values are small beside others', async () => {
    const report = await verified(netBetween([2 ** -6, 2 ** 6], []), IN_HALF);
    expect([report.verdict, verdictSentence(report)]).toEqual([
      'match',
      expect.stringMatching(/float16 is enough for every value.*, computed in float16 by our evaluator$/),
    ]);
  });
});

describe('what the runtime shows of a net that is too large for our evaluator', () => {
  const looked = async (gain: number, range = RANGES.plain as Range) => {
    const map = netThatReaches(gain);
    const files = memoryFileSet(await written(map, 'onnx', IN_HALF), 'net.onnx');
    const own = await findWrittenFormat('onnx')!.open(files, map.layers);
    const feeds = [{ shape: [1, 3, 8, 8], data: Float32Array.from(spread(192, -2, 2)) }];
    const notes: string[] = [];
    const subject = { target: { files, format: 'onnx' }, written: own, layoutOf: own.layoutOf };
    return { trial: await tryHalfInside(subject, map, [{ feeds, range }], { engine: 'ort-cpu' }, notes), notes };
  };

  it('passes 65504 in the layer that makes it', async () => {
    const { trial, notes } = await looked(200_000);
    expect([trial, notes]).toMatchObject([{ passed: false, message: expect.stringMatching(/activations pass 65504.*"conv2" \(Conv\)/) }, []]);
  });

  it('is told, and not judged, on pixels', async () => {
    const { trial, notes } = await looked(200_000, RANGES.pixels);
    expect([trial, notes]).toMatchObject([{ passed: true }, [expect.stringMatching(/^on inputs of 0 to 255, activations pass 65504/)]]);
  });

  it('fits where it does', async () => {
    expect((await looked(10)).trial).toMatchObject({ passed: true, message: expect.stringMatching(/as ort-cpu shows 7 of 7 layers/) });
  });
});

describe('a net in float16 that is narrowed to int8', () => {
  it('is a match: its codes are weights behind a Cast, and what they are multiplied in is float16', async () => {
    const half = memoryFileSet(await written(netThatReaches(10), 'onnx', IN_HALF), 'net.onnx');
    const sink = memorySink();
    const { model, map } = await convert(half, sink, 'int8.onnx', { dtype: 'int8' });
    const files = memoryFileSet(Object.fromEntries(sink.files), 'int8.onnx');
    const { computeDType } = await findWrittenFormat('onnx')!.open(files, map!.layers);
    const report = await verifyConversion({ source: { files: half, path: undefined }, model, map, target: { files, format: 'onnx' } }, {});
    expect([report.verdict, computeDType, report.weights]).toMatchObject(['match', 'float16', { compared: 7, mismatches: [], unpaired: [] }]);
    expect(report.weights!.tensors.filter(({ method }) => method === 'int8 per channel')).toHaveLength(3);
    expect(report.quantisation?.correctness?.passed).toBe(true);
  });
});

describe('what a file computes in', () => {
  const port = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3, 8, 8], layout: 'nchw' } as const;
  const plain = mapOf([{ name: 'n', op: 'LeakyRelu', inputs: ['x'], outputs: ['y'], attributes: { alpha: 0.1 } }], [IMAGE], [port]);

  it('is seen where it has no weights', async () => {
    const report = await verified(plain, IN_HALF);
    expect([report.verdict, report.trials.some(({ kind }) => kind === 'float16')]).toEqual(['match', true]);
  });

  it('is float32 behind weights that are stored in float16', async () => {
    const files = memoryFileSet(await written(netBetween([1, 2], []), 'onnx', { dtype: 'float16' }), 'net.onnx');
    expect((await findWrittenFormat('onnx')!.open(files, [])).computeDType).toBe('float32');
  });

  it('may overflow on pixels, which is told and not judged', async () => {
    // What is turned afterwards the runtime holds in float16.
    const last = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 8, 8, 3], layout: 'nhwc' }) as const;
    const weights = { kernel: tensor('k', [3, 3, 3, 3], spread(81, 0, 60)), bias: tensor('b', [3]) };
    const conv = { name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['y'], weights, attributes: { pads: [1, 1, 1, 1] } };
    const report = await verified(mapOf([conv], [last('x')], [last('y')]), IN_HALF);
    expect([report.verdict, report.notes.join()]).toEqual(['match', expect.stringMatching(/on inputs of 0 to 255 the file gives values that are infinite/)]);
  });
});

describe('a net whose activations fit', () => {
  it('is a match in float16, which says that they were looked at', async () => {
    const report = await verified(netThatReaches(10), IN_HALF);
    expect(report.verdict).toBe('match');
    expect(report.trials.find(({ kind }) => kind === 'float16')).toMatchObject({ passed: true });
  });
});
