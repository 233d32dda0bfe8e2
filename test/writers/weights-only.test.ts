/** Safetensors and npz as written: read by parsers of other origin, the source's values bit for bit, the same bytes each time. */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSafetensorsMetadata } from '@huggingface/hub';
import { unzipSync, zipSync } from 'fflate';
import { fromArrayBuffer } from 'numpy-parser';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { crc32 } from '../../src/bytes/crc32.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readNpz as readOwnNpz } from '../../src/containers/npy.js';
import { openZip } from '../../src/containers/zip.js';
import { crc32Of, writeZip } from '../../src/containers/zip-writer.js';
import { type ConvertOptions, canonicalWeights, convert } from '../../src/convert.js';
import { castStage, newCastTally } from '../../src/model/cast.js';
import type { DType } from '../../src/model/dtype.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { npz } from '../../src/writers/npz.js';
import { safetensors } from '../../src/writers/safetensors.js';
import { DIGITS, temporaryFolder, weighbridge } from '../cli/run-cli.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { VGG_NETS, vggFiles, vggStateDict } from '../vgg-nets.js';

const MODELS = ['digits.h5', 'digits.pth', 'digits.caffemodel'];

interface Foreign {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

async function write(model: string, to: string, options: ConvertOptions = {}): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = await nodeFileSet(join(DIGITS, model));
  const sink = memorySink();
  await convert(files, sink, `out.${to}`, { to, ...options }).finally(() => files.close());
  return sink.files;
}

/** The tensors that should be in the file: those of the source, rounded in one step. */
async function expected(model: string, names: 'source' | 'canonical', dtype: DType): Promise<Map<string, Foreign>> {
  const files = await nodeFileSet(join(DIGITS, model));
  const opened = await openModel(files);
  const tensors: Tensor[] = names === 'source' ? opened.tensors.map(({ tensor }) => tensor) : canonicalWeights(await opened.map());
  const found = new Map<string, Foreign>();
  for (const tensor of tensors) {
    const bytes = await tensorBytes(tensor);
    const cast = dtype === tensor.dtype ? bytes : castStage(tensor.dtype, dtype, newCastTally()).apply(bytes.slice());
    found.set(tensor.name, { dtype, shape: tensor.shape, bytes: Buffer.from(cast) });
  }
  await files.close();
  return found;
}

const SAFETENSORS_WORDS: Readonly<Record<string, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16', F64: 'float64' };

/** Reads headers and index with the parser of Hugging Face's own client, over files in memory. */
async function readSafetensors(files: ReadonlyMap<string, Uint8Array>, path: string): Promise<Map<string, Foreign>> {
  const serve = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const name = decodeURIComponent(new URL(url instanceof Request ? url.url : url).pathname.split('/').at(-1)!);
    const bytes = files.get(name);
    if (!bytes) return new Response(null, { status: 404 });
    const range = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get('range') ?? '');
    const [start, end] = range ? [Number(range[1]), Math.min(Number(range[2]) + 1, bytes.byteLength)] : [0, bytes.byteLength];
    const headers = { 'content-range': `bytes ${start}-${end - 1}/${bytes.byteLength}`, etag: '"x"', 'content-length': String(end - start) };
    return new Response(Buffer.from(bytes.subarray(start, end)), { status: range ? 206 : 200, headers });
  };
  const parsed = await parseSafetensorsMetadata({ repo: 'owner/model', path, fetch: serve as typeof fetch });
  const headers = parsed.sharded ? parsed.headers : { [path]: parsed.header };
  const found = new Map<string, Foreign>();
  for (const [file, header] of Object.entries(headers)) {
    const bytes = Buffer.from(files.get(file)!);
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    for (const [name, entry] of Object.entries(header)) {
      if (name === '__metadata__') continue;
      const { dtype, shape, data_offsets: offsets } = entry as { dtype: string; shape: number[]; data_offsets: [number, number] };
      found.set(name, { dtype: SAFETENSORS_WORDS[dtype] ?? dtype, shape, bytes: bytes.subarray(start + offsets[0], start + offsets[1]) });
    }
  }
  return found;
}

/** Reads with fflate and numpy-parser; the latter knows no float16 and gives vectors a second axis, so that much is done here. */
function readNpz(bytes: Uint8Array): Map<string, Foreign> {
  const found = new Map<string, Foreign>();
  for (const [member, content] of Object.entries(unzipSync(bytes))) {
    const name = member.replace(/\.npy$/, '');
    const header = Buffer.from(content).toString('latin1', 10, 10 + content[8]! + 256 * content[9]!);
    const descr = /'descr': '<(f\d)'/.exec(header)![1]!;
    const shape = /'shape': \(([^)]*)\)/
      .exec(header)![1]!
      .split(',')
      .filter((part) => part.trim() !== '')
      .map(Number);
    expect((10 + header.length) % 64).toBe(0);
    if (descr === 'f2') {
      found.set(name, { dtype: 'float16', shape, bytes: Buffer.from(content.subarray(10 + header.length)) });
      continue;
    }
    const { data } = fromArrayBuffer(content.slice().buffer);
    const values = data as Float32Array;
    found.set(name, { dtype: descr === 'f4' ? 'float32' : 'float64', shape, bytes: Buffer.from(values.buffer, values.byteOffset, values.byteLength) });
  }
  return found;
}

function expectSame(found: ReadonlyMap<string, Foreign>, wanted: ReadonlyMap<string, Foreign>) {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, { dtype, shape, bytes }] of wanted) {
    const other = found.get(name)!;
    expect([other.dtype, other.shape], name).toEqual([dtype, shape]);
    expect(other.bytes.equals(bytes), name).toBe(true);
  }
}

describe.each(MODELS)('%s', (model) => {
  describe.each(['source', 'canonical'] as const)('with names of the %s kind', (names) => {
    it.each(['float32', 'float16', 'bfloat16', 'float64'] as const)("becomes safetensors of %s that Hugging Face's parser reads", async (dtype) => {
      const files = await write(model, 'safetensors', { names, dtype });
      expectSame(await readSafetensors(files, 'out.safetensors'), await expected(model, names, dtype));
    });

    it.each(['float32', 'float16', 'float64'] as const)('becomes npz of %s that other parsers read', async (dtype) => {
      const files = await write(model, 'npz', { names, dtype });
      expectSame(readNpz(files.get('out.npz')!), await expected(model, names, dtype));
    });
  });

  it.each(['safetensors', 'npz'])('gives the same bytes twice, and the same tensors when its %s is read back', async (to) => {
    const [first, second] = [await write(model, to), await write(model, to)];
    expect(Buffer.compare(first.get(`out.${to}`)!, second.get(`out.${to}`)!)).toBe(0);
    const back = await openModel(memoryFileSet(Object.fromEntries(first), `out.${to}`));
    const found = new Map<string, Foreign>();
    for (const { tensor } of back.tensors) found.set(tensor.name, { ...tensor, bytes: Buffer.from(await tensorBytes(tensor)) });
    expectSame(found, await expected(model, 'source', 'float32'));
  });

  it('becomes shards with an index, none larger than asked unless one tensor is', async () => {
    const files = await write(model, 'safetensors', { shardBytes: 50_000 });
    expect([...files.keys()]).toEqual(['out.safetensors.index.json', ...[1, 2, 3, 4, 5].map((i) => `out-0000${i}-of-00005.safetensors`)]);
    for (const [name, bytes] of files) if (!name.endsWith('.json')) expect(bytes.byteLength).toBeLessThan(100_000 + 4_000);
    expectSame(await readSafetensors(files, 'out.safetensors.index.json'), await expected(model, 'source', 'float32'));
  });
});

it('counts what float16 loses, in both formats', async () => {
  const tensors = [float32Tensor('w', [4], [1e6, 1e-9, Number.NaN, 1], { file: 'made' })];
  for (const writer of [safetensors, npz]) {
    const sink = memorySink();
    const { warnings } = await writer.write(tensors, sink, `out.${writer.name}`, { dtype: 'float16', layout: 'source', metadata: async () => ({}) });
    await sink.commit();
    expect(warnings.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      'overflow: w: 1 finite value too large for float16 became infinite',
      'underflow: w: 1 nonzero value too small for float16 became zero',
      'nan: w: 1 values are NaN',
    ]);
  }
});

it('has no bfloat16 in npz, says so for every tensor, and takes it when it is widened', async () => {
  const files = await write('digits.pth', 'safetensors', { dtype: 'bfloat16' });
  const set = () => memoryFileSet(Object.fromEntries(files), 'out.safetensors');
  const error = await convert(set(), memorySink(), 'out.npz').catch((caught) => caught);
  expect(error).toMatchObject({ kind: 'unsupported' });
  expect(error.message.match(/NumPy has no bfloat16/g)).toHaveLength(18);
  const refused = await convert(set(), memorySink(), 'out.npz', { dtype: 'bfloat16' }).catch((caught) => caught);
  expect(refused).toMatchObject({ kind: 'usage' });
  const sink = memorySink();
  await convert(set(), sink, 'out.npz', { dtype: 'float32' });
  expect(readNpz(sink.files.get('out.npz')!).size).toBe(18);
});

it('reads deflated npz members up to a limit on all of them', async () => {
  const stored = (await write('digits.pth', 'npz')).get('out.npz')!;
  const deflated = memorySource(zipSync(unzipSync(stored)));
  expect((await readOwnNpz(deflated)).size).toBe(18);
  await expect(readOwnNpz(deflated, 100_000)).rejects.toMatchObject({ kind: 'unsafe' });
  expect((await readOwnNpz(memorySource(stored), 100_000)).size).toBe(18);
});

describe('a zip archive', () => {
  const members = ['a', 'größe', 'c/d'].map((name, i) => {
    const pieces = [Buffer.alloc(100 + i, i + 1)];
    return { name, pieces, crc32: () => crc32Of(pieces) };
  });

  it.each([
    { bytes: 0xffffffff, count: 0xffff, what: 'plain fields' },
    { bytes: 102, count: 0xffff, what: '64-bit fields for what is too large' },
    { bytes: 1, count: 2, what: '64-bit fields for everything' },
  ])('with $what is read by fflate and by the reader, checksums and local headers included', async ({ bytes, count }) => {
    const sink = memorySink();
    const file = await sink.create('x.zip');
    await writeZip(members, file, undefined, { bytes, count });
    await file.close();
    await sink.commit();
    const archive = sink.files.get('x.zip')!;
    const foreign = unzipSync(archive);
    expect(Object.keys(foreign)).toEqual(members.map(({ name }) => name));
    const { entries } = await openZip(memorySource(archive));
    for (const [i, { name, pieces }] of members.entries()) {
      expect(Buffer.compare(foreign[name]!, pieces[0]!)).toBe(0);
      const source = await entries[i]!.source();
      expect(Buffer.compare(await source.read(0, source.byteLength), pieces[0]!)).toBe(0);
      expect(entries[i]!.crc32).toBe(crc32(pieces[0]!));
    }
    // The first local header has its checksum in place, for readers that walk without the directory.
    expect(Buffer.from(archive).readUInt32LE(14)).toBe(crc32(members[0]!.pieces[0]!));
    expect(Buffer.from(archive).readUInt16LE(12)).toBe(0x21);
  });
});

describe('a folder of safetensors', () => {
  const folder = join(temporaryFolder(), 'model');

  it('is written where the output has no extension, verified, and read with its index, without it, or not at all', async () => {
    const written = weighbridge(['convert', join(DIGITS, 'digits.pth'), '-o', folder, '--to', 'safetensors', '--shard-size', '50KB']);
    expect([written.status, written.stderr]).toEqual([0, expect.any(String)]);
    expect(written.stdout).toContain('18 of 18 tensors equal');
    const shards = [1, 2, 3, 4, 5].map((i) => `model-0000${i}-of-00005.safetensors`);
    expect((await readdir(folder)).sort()).toEqual([...shards, 'model.safetensors.index.json']);
    const bytes = Object.fromEntries((await readdir(folder)).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
    const wanted = await expected('digits.pth', 'source', 'float32');
    const open = (files: Record<string, Uint8Array>) => openModel(memoryFileSet(files, null));
    expect((await open(bytes)).tensors).toHaveLength(wanted.size);
    const { 'model.safetensors.index.json': index, ...bare } = bytes;
    expect((await open(bare)).tensors).toHaveLength(wanted.size);
    const { [shards[1]!]: _, ...torn } = bare;
    await expect(open(torn)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(open({ ...torn, 'model.safetensors.index.json': index! })).rejects.toMatchObject({ kind: 'malformed' });
    const alone = await openModel(memoryFileSet(bytes, shards[1]!));
    expect(alone.warnings.map(({ message }) => message).join()).toContain('part 2 of 5');
  });

  it.each([
    ['no JSON', '{'],
    ['no map', '{"weight_map": []}'],
    ['an empty map', '{"weight_map": {}}'],
    ['a file that is no text', '{"weight_map": {"a": 1}}'],
    ['a file outside', '{"weight_map": {"a": "../a.safetensors"}}'],
    ['a file that is not there', '{"weight_map": {"a": "b.safetensors"}}'],
  ])('is refused when its index has %s', async (_, text) => {
    const files = memoryFileSet({ 'model.safetensors.index.json': new TextEncoder().encode(text) }, null);
    const error = await openModel(files).catch((caught) => caught);
    expect(['malformed', 'unsafe']).toContain(error.kind);
  });
});

it.each(['safetensors', 'npz'])('weights under canonical names are compared with the layer map, a wrong one is found: %s', async (to) => {
  const files = await write('digits.h5', to, { names: 'canonical' });
  const name = `out.${to}`;
  const source = await nodeFileSet(join(DIGITS, 'digits.h5'));
  const model = await openModel(source);
  const map = await model.map();
  const verify = (bytes: Uint8Array) =>
    verifyConversion({ source: { files: source }, model, map, target: { files: memoryFileSet({ [name]: bytes }, name), format: to } });
  const right = await verify(files.get(name)!);
  expect([right.verdict, right.weights?.equal, right.witness.kind, right.inputs.samples]).toEqual(['match', 18, 'weights', 0]);
  expect(right.notes.join()).toContain('predictions were not');
  // An archive would be told to be damaged before its values were compared.
  const members = to === 'npz' ? unzipSync(files.get(name)!) : null;
  const wrong = (members?.['fc6.kernel.npy'] ?? files.get(name)!).slice();
  // The last quarter holds values of the first dense layer or of one after it, whatever the format puts around them.
  wrong[Math.floor(wrong.length * 0.8)]! ^= 0x10;
  const report = await verify(members ? zipSync({ ...members, 'fc6.kernel.npy': wrong }, { level: 0 }) : wrong);
  await source.close();
  expect(report.verdict).toBe('mismatch');
  expect(report.weights!.mismatches).toHaveLength(1);
  expect(report.firstDifference!.layer).toMatch(/fc|predictions/);
});

it.each(VGG_NETS)('VGG configuration $title as safetensors holds, for a parser of other origin, the values that were seeded', async (net) => {
  const sink = memorySink();
  await convert(await vggFiles(net), sink, 'net.safetensors');
  const found = await readSafetensors(sink.files, 'net.safetensors');
  const seeded = vggStateDict(net);
  expect([...found.keys()].sort()).toEqual(seeded.map(({ key }) => key).sort());
  for (const { key, tensor } of seeded) {
    const values = new Float32Array(tensor.shape.reduce((a, b) => a * b, 1));
    tensor.fill(values, 0);
    expect(found.get(key)).toEqual({ dtype: 'float32', shape: tensor.shape, bytes: Buffer.from(values.buffer) });
  }
});

it('tensors of a state dict go to .pth as they are, without a module, and with the version of the outermost module', async () => {
  const { folder } = ARCHITECTURE_CASES.find(({ title }) => title === 'architectures/swin')!;
  const { files, options } = openDialect(folder);
  const sink = memorySink();
  await convert(files, sink, 'swin.pth', { ...options, inputShape: undefined, assume: undefined, names: 'source' });
  expect([...sink.files.keys()]).toEqual(['swin.pth']);
  const back = await openModel(memoryFileSet(Object.fromEntries(sink.files), 'swin.pth'));
  const before = await openModel(files);
  const bytes = async ({ tensors }: typeof back) =>
    Promise.all(tensors.map(async ({ tensor }) => [tensor.name, tensor.dtype, tensor.shape, Buffer.from(await tensorBytes(tensor)).toString('base64')]));
  expect(await bytes(back)).toEqual(await bytes(before));
  const pickle = Buffer.from(unzipSync(sink.files.get('swin.pth')!)['swin/data.pkl']!).toString('latin1');
  expect(pickle).toContain('_metadata');
});
