/** Two files of weights whose net nobody knows: what is in their tensors is seen, and told by its kind. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { verifyFiles } from '../../src/verify/files.js';
import { roundToHalf } from '../../src/verify/half.js';
import { npz } from '../../src/writers/npz.js';
import { safetensors } from '../../src/writers/safetensors.js';

const ORIGIN = { file: 'net' };
const SHAPES = { kernel: [8, 6, 3, 3], matrix: [12, 12], bias: [12], running_var: [12] };
const wave = (count: number, from: number) => Array.from({ length: count }, (_, i) => 1.2 + Math.sin(from + i * i * 0.37) / (1 + (i % 7)));

type Named = ReadonlyMap<string, Tensor>;

/** Four layers that are no net of anybody's. */
const net = (): Map<string, Tensor> =>
  new Map(
    [0, 1, 2, 3].flatMap((i) =>
      Object.entries(SHAPES).map(([role, shape], place) => {
        const count = shape.reduce((a, b) => a * b, 1);
        const name = `part${i}.${role}`;
        return [name, float32Tensor(name, shape, wave(count, 10 * i + place), ORIGIN)] as const;
      }),
    ),
  );

async function written(tensors: Named, writer: typeof npz | typeof safetensors, file: string): Promise<FileSet> {
  const sink = memorySink();
  await writer.write([...tensors.values()], sink, file, { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  return memoryFileSet(Object.fromEntries(sink.files), file);
}

async function verified(expected: Named, actual: Named) {
  const [files, others] = [await written(expected, npz, 'net.npz'), await written(actual, safetensors, 'net.safetensors')];
  const [model, target] = [await openModel(files, {}), { files: others, format: 'safetensors' }];
  return (await verifyFiles({ source: { files }, model, target }, () => ({}))).report;
}

const valuesOf = async (tensor: Tensor) => new Float32Array(Uint8Array.from(await tensorBytes(tensor)).buffer);
const named = (tensor: Tensor, name: string): Tensor => ({ ...tensor, name });

/** The net with one tensor otherwise. */
async function changed(name: string, of: (values: Float32Array) => ArrayLike<number>): Promise<Named> {
  const own = net();
  const tensor = own.get(name)!;
  return own.set(name, float32Tensor(name, tensor.shape, of(await valuesOf(tensor)), ORIGIN));
}

const turned = async (name: string, order: readonly number[]): Promise<Named> => {
  const own = net();
  return own.set(name, named(permute(own.get(name)!, order), name));
};

function exchanged(): Named {
  const own = net();
  const [a, b] = [own.get('part0.matrix')!, own.get('part3.matrix')!];
  return own.set('part0.matrix', named(b, 'part0.matrix')).set('part3.matrix', named(a, 'part3.matrix'));
}

describe('a tensor of an unknown net', () => {
  it('is a match where all are the same', async () => {
    expect((await verified(net(), net())).verdict).toBe('match');
  });

  it.each<[string, () => Promise<Named> | Named, string, string]>([
    ['turned within its window', () => turned('part2.kernel', [0, 1, 3, 2]), 'part2.kernel', 'kernel-transposed'],
    ['of a square matrix, transposed', () => turned('part1.matrix', [1, 0]), 'part1.matrix', 'matrix-transposed'],
    ['rounded to float16 alone', () => changed('part2.kernel', (values) => values.map(roundToHalf)), 'part2.kernel', 'narrower'],
    ['of another layer', exchanged, 'part0.matrix', 'weights-of-another'],
    ['of a bias, moved on', () => changed('part1.bias', (values) => values.map((_, i) => values[(i + 1) % values.length]!)), 'part1.bias', 'shifted'],
    ['of a variance, as a deviation', () => changed('part3.running_var', (values) => values.map(Math.sqrt)), 'part3.running_var', 'variance-as-deviation'],
  ])('%s is seen and named', async (_, make, name, kind) => {
    const { verdict, cause, weights } = await verified(net(), await make());
    expect(verdict).toBe('mismatch');
    expect(weights!.mismatches.length).toBeGreaterThan(0);
    expect(cause).toMatchObject({ layer: name, by: 'weights' });
    expect(cause!.explainedBy.map((each) => each.kind)).toContain(kind);
  });

  it('may lie in another order where all do, as in another framework', async () => {
    const own = net();
    for (const [name, tensor] of own) if (tensor.shape.length === 4) own.set(name, named(permute(tensor, [2, 3, 1, 0]), name));
    for (const [name, tensor] of own) if (tensor.shape.length === 2) own.set(name, named(permute(tensor, [1, 0]), name));
    expect((await verified(net(), own)).verdict).toBe('match');
  });

  it('may be rounded where all are, as after training in halves', async () => {
    const own = net();
    for (const [name, tensor] of own) own.set(name, float32Tensor(name, tensor.shape, (await valuesOf(tensor)).map(roundToHalf), ORIGIN));
    expect((await verified(net(), own)).verdict).toBe('match');
  });
});
