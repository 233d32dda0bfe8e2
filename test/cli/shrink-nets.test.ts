/** `shrink` of nets that are wired in uncommon ways: a file that is right is found right, and a weight that is used twice is stored once. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { float32Tensor } from '../../src/model/tensor.js';
import { type Graph, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { temporaryFolder, weighbridge } from './run-cli.js';

const weight = (name: string, ...shape: number[]) =>
  float32Tensor(
    name,
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * i * 0.7 + shape.length)),
    ORIGIN,
  );

async function shrink(graph: Graph, ...args: string[]) {
  const folder = temporaryFolder();
  const [source, output] = [join(folder, 'source.onnx'), join(folder, 'small.onnx')];
  writeFileSync(source, await onnxFile(graph));
  const { status, stdout, stderr } = weighbridge(['shrink', source, '-o', output, '--json', '--engine', 'evaluator', ...args]);
  return { source, output, status, stderr, document: JSON.parse(stdout) };
}

/** Whether a file was found right: its weights, and that it computes what they say. */
const found = ({ status, document }: Awaited<ReturnType<typeof shrink>>) => [
  status,
  document.report.verdict,
  document.report.weights.mismatches,
  document.report.quantisation.correctness.passed,
];
const RIGHT = [0, 'match', [], true];

const ONE_OUTPUT: Graph = {
  nodes: [node('Gemm', ['x', 'w1', 'b1'], ['a']), node('Relu', ['a'], ['r']), node('Gemm', ['r', 'w2'], ['s']), node('MatMul', ['s', 'w3'], ['y'])],
  tensors: [weight('w1', 64, 32), weight('b1', 32), weight('w2', 32, 1), weight('w3', 1, 1)],
  inputs: [['x', ['N', 64]]],
};

it.each([[[]], [['--step', '0.3']], [['--dtype', 'int4']]])(
  'dense layers of one output have one scale, which is that of all their values: %j',
  async (args) => {
    const small = await shrink(ONE_OUTPUT, ...args);
    expect(found(small)).toEqual(RIGHT);
    const dense = small.document.weights.filter(({ count }: { count: number }) => count === 32 || count === 1).map(({ method }: { method: string }) => method);
    if (args.length === 0) expect(dense.filter((method: string) => method.includes('steps'))).toEqual([]);
    const verified = JSON.parse(weighbridge(['verify', small.source, small.output, '--engine', 'evaluator', '--json']).stdout);
    expect([verified.verdict, verified.weights.mismatches]).toEqual(['match', []]);
  },
);

it.each([[[]], [['--dtype', 'int4']]])('a table of words that scores them as well is one weight in two places: %j', async (args) => {
  const tied: Graph = {
    nodes: [node('MatMul', ['x', 'w1'], ['a']), node('Transpose', ['e'], ['t'], {}), node('MatMul', ['a', 't'], ['b']), node('MatMul', ['b', 'e'], ['y'])],
    tensors: [weight('w1', 48, 48), weight('e', 100, 48)],
    inputs: [['x', ['N', 48]]],
  };
  expect(found(await shrink(tied, ...args))).toEqual(RIGHT);
});

it.each([[['--dtype', 'int4']], [['--palette', '16']]])('a weight may be an output, too: %j', async (args) => {
  const given: Graph = {
    nodes: [node('MatMul', ['x', 'w1'], ['a']), node('MatMul', ['a', 'w2'], ['b']), node('MatMul', ['b', 'w3'], ['y']), node('Identity', ['w2'], ['z'])],
    tensors: [weight('w1', 64, 64), weight('w2', 64, 64), weight('w3', 64, 64)],
    inputs: [['x', ['N', 64]]],
    outputs: ['y', 'z'],
  };
  // What narrower weights cost where they are the output themselves is judged as a loss, and is another matter.
  expect(found(await shrink(given, ...args)).slice(2)).toEqual(RIGHT.slice(2));
});

it.each([
  ['small.onnx', ['--step', '0.5'], 64 * 64],
  ['small.onnx', ['--dtype', 'uint4'], (64 * 64) / 2 + 2 * 64 * 5],
  ['model.json', ['--to', 'tfjs-graph'], 64 * 64],
])('layers that share a weight go on sharing it in %s %j', async (output, args, bytes) => {
  const folder = temporaryFolder();
  const source = join(folder, 'source.onnx');
  const shared = [0, 1, 2, 3].map((i) => node('Gemm', [i === 0 ? 'x' : `a${i - 1}`, 'w'], [i === 3 ? 'y' : `a${i}`]));
  writeFileSync(source, await onnxFile({ nodes: shared, tensors: [weight('w', 64, 64)], inputs: [['x', ['N', 64]]] }));
  const path = join(folder, output);
  expect(weighbridge(['shrink', source, '-o', path, '--engine', 'evaluator', ...args]).status).toBe(0);
  const files = output === 'model.json' ? [join(folder, 'group1-shard1of1.bin')] : [path];
  expect(files.reduce((sum, file) => sum + statSync(file).size, 0)).toBeLessThan(bytes + 2000);
});

it('an agreement that no output can have is refused before anything is written', async () => {
  const folder = temporaryFolder();
  const [source, output] = [join(folder, 'source.onnx'), join(folder, 'small.onnx')];
  writeFileSync(source, await onnxFile(ONE_OUTPUT));
  writeFileSync(output, 'kept');
  const { status, stderr } = weighbridge(['shrink', source, '-o', output, '--force', '--dtype', 'int8', '--min-agreement', '0.9']);
  expect([status, stderr, readFileSync(output, 'utf8')]).toEqual([2, expect.stringContaining('no output of this model is a list of classes'), 'kept']);
});
