/** The same weights are the same model, whatever container they are in; what a target cannot do is refused, and what it cannot keep is told. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../src/bytes/byte-sink.js';
import { memoryFileSet } from '../src/bytes/file-set.js';
import { encodeSafetensorsHeader } from '../src/containers/safetensors.js';
import { convert } from '../src/convert.js';
import { openModel } from '../src/readers/open.js';
import { verifyConversion } from '../src/verify/verify.js';
import { DIGITS, temporaryFolder, weighbridge } from './cli/run-cli.js';
import { TensorKeeper, tinyVgg, type Weights } from './pickles.js';

type Named = ReadonlyMap<string, Weights>;

function pth(weights: Named): Uint8Array {
  const keeper = new TensorKeeper();
  return keeper.pth(new Map([...weights].map(([name, tensor]) => [name, keeper.tensor(tensor)])));
}

async function moved(bytes: Uint8Array, to: 'safetensors' | 'npz' | 'pytorch'): Promise<Uint8Array> {
  const sink = memorySink();
  const name = `x.${to === 'pytorch' ? 'pth' : to}`;
  await convert(memoryFileSet({ 'y.pth': bytes }, 'y.pth'), sink, name);
  return sink.files.get(name)!;
}

function safetensors(weights: Named, metadata: Readonly<Record<string, string>>): Uint8Array {
  const tensors = [...weights].map(([name, { shape, values }]) => ({ name, dtype: 'float32' as const, shape, byteLength: 4 * values.length }));
  return Buffer.concat([
    encodeSafetensorsHeader(tensors, metadata),
    ...[...weights.values()].map(({ values }) => Buffer.from(Float32Array.from(values).buffer)),
  ]);
}

const renamed = (weights: Named, change: (name: string) => string) => new Map([...weights].map(([name, tensor]) => [change(name), tensor]));

async function compare(expected: readonly [name: string, bytes: Uint8Array], actual: readonly [name: string, bytes: Uint8Array, format: string]) {
  const source = memoryFileSet({ [expected[0]]: expected[1] }, expected[0]);
  const files = memoryFileSet({ [actual[0]]: actual[1] }, actual[0]);
  const model = await openModel(source);
  const map = await model.map().catch(() => null);
  return verifyConversion({ source: { files: source, path: expected[0] }, model, map, target: { files, path: actual[0], format: actual[2] } });
}

describe('the same weights', async () => {
  const bytes = pth(tinyVgg());
  const containers = [
    ['a.pth', bytes, 'pytorch'],
    ['a.safetensors', await moved(bytes, 'safetensors'), 'safetensors'],
    ['a.npz', await moved(bytes, 'npz'), 'npz'],
  ] as const;

  it.each(containers)('are recognised in %s', async (name, content) => {
    const { architecture, layers } = await (await openModel(memoryFileSet({ [name]: content }, name))).map();
    expect(architecture?.name).toMatch(/VGG/);
    expect(layers.length).toBeGreaterThan(10);
  });

  it.each(containers.flatMap((a) => containers.map((b) => [a[0], b[0], a, b] as const)))('match: %s and %s', async (_, __, a, b) => {
    const report = await compare([a[0], a[1]], b);
    expect([report.verdict, report.weights?.compared, report.weights?.equal]).toEqual(['match', 10, 10]);
  });

  it.each(containers)('match in %s under the prefix of a wrapper too', async (name, content, format) => {
    const report = await compare(['w.pth', pth(renamed(tinyVgg(), (key) => `module.${key}`))], [name, content, format]);
    expect([report.verdict, report.weights?.equal]).toEqual(['match', 10]);
  });

  it.each(containers)('are told from others: %s', async (name, content, format) => {
    const other = await compare(['o.pth', pth(tinyVgg(2))], [name, content, format]);
    expect([other.verdict, other.weights?.equal]).toEqual(['mismatch', 0]);
    const one = new Map(tinyVgg());
    one.set('classifier.bias', { shape: [5], values: [9, 9, 9, 9, 9] });
    expect((await compare(['o.pth', pth(one)], [name, content, format])).weights?.mismatches.map(({ layer }) => layer)).toEqual(['classifier']);
  });

  it('and one more are not the same', async () => {
    const more = new Map([...tinyVgg(), ['extra.weight', { shape: [1], values: [1] }]]);
    const report = await compare(['a.pth', bytes], ['b.pth', pth(more), 'pytorch']);
    expect([report.verdict, report.firstDifference?.message]).toEqual(['mismatch', expect.stringContaining('extra.weight')]);
    expect((await compare(['a.pth', pth(more)], ['b.pth', bytes, 'pytorch'])).verdict).toBe('mismatch');
  });

  it('but for the counter of a normalisation are', async () => {
    const more = new Map([...tinyVgg(), ['features.1.num_batches_tracked', { shape: [], values: [1] }]]);
    expect((await compare(['a.pth', bytes], ['b.pth', pth(more), 'pytorch'])).verdict).toBe('match');
    expect((await compare(['a.pth', pth(more)], ['b.pth', bytes, 'pytorch'])).verdict).toBe('match');
  });

  it.each([
    ['digits.h5', 'digits.pth'],
    ['digits.caffemodel', 'digits.pth'],
  ])('match between frameworks, layer by layer: %s and %s', (expected, actual) => {
    const { status, stdout } = weighbridge(['verify', join(DIGITS, expected), join(DIGITS, actual), '--quiet']);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/18 of 18 tensors equal[\s\S]*match/)]);
  });
});

describe("a source's own metadata", () => {
  const source = safetensors(tinyVgg(), { format: 'pt', author: 'somebody', 'weighbridge.version': '0.0.1', 'weighbridge.source.format': 'other' });
  const files = () => memoryFileSet({ 'x.safetensors': source }, 'x.safetensors');

  it('goes over to safetensors, and what an earlier conversion recorded does not', async () => {
    const sink = memorySink();
    await convert(files(), sink, 'y.safetensors');
    const { metadata } = await openModel(memoryFileSet(Object.fromEntries(sink.files), 'y.safetensors'));
    expect(metadata).toMatchObject({ author: 'somebody', format: 'pt', 'weighbridge.source.format': 'safetensors' });
    expect(metadata!['weighbridge.version']).not.toBe('0.0.1');
  });

  it('goes over to ONNX', async () => {
    const sink = memorySink();
    await convert(files(), sink, 'y.onnx');
    expect((await openModel(memoryFileSet(Object.fromEntries(sink.files), 'y.onnx'))).metadata).toMatchObject({ author: 'somebody' });
  });

  it.each(['npz', 'pth'])('is told to be lost in %s', async (extension) => {
    const { warnings } = await convert(files(), memorySink(), `y.${extension}`);
    expect(warnings.filter(({ code }) => code === 'metadata-lost').map(({ message }) => message)).toEqual([expect.stringMatching(/\(author\)/)]);
  });
});

describe('options that a target does not have', () => {
  const folder = temporaryFolder();
  mkdirSync(folder, { recursive: true });
  const model = join(folder, 'x.pth');
  writeFileSync(model, pth(tinyVgg()));

  it.each([
    ['onnx', ['--shard-size', '5KB'], /--shard-size.*ONNX.*safetensors/],
    ['onnx', ['--names', 'canonical'], /--names/],
    ['safetensors', ['--opset', '17'], /--opset.*ONNX/],
    ['safetensors', ['--layout', 'nhwc'], /--layout/],
    ['npz', ['--external-data'], /--external-data/],
    ['npz', ['--shard-size', '5KB'], /--shard-size/],
    ['pth', ['--float16-compute'], /--float16-compute/],
    ['h5', ['--opset', '17', '--shard-size', '1MB'], /--opset[\s\S]*--shard-size/],
    ['caffemodel', ['--layout', 'nchw'], /--layout/],
  ])('%s: %s is refused', (extension, options, says) => {
    const { status, stderr } = weighbridge(['convert', model, '-o', join(folder, `out.${extension}`), ...options]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(says)]);
  });

  it('a weights key is refused where a format has no sets of weights', () => {
    const { status, stderr } = weighbridge(['inspect', join(DIGITS, 'digits.h5'), '--weights-key', 'ema']);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/weights key.*PyTorch/)]);
  });
});
