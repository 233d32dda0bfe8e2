/** PyTorch files that somebody unpacked, packed again or cut into shards, and files with odd objects beside the weights. */
import { gzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { encodeNpyHeader } from '../../src/containers/npy.js';
import { convert } from '../../src/convert.js';
import type { ModelFile } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';
import { verdictSentence } from '../../src/report/verdict.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { joined } from '../hdf5-image.js';
import { Call, Name, numpyArray, Persistent, pickle, Raw, TensorKeeper, Tuple, tinyVgg } from '../pickles.js';
import { member } from '../tar-image.js';

const open = (files: Record<string, Uint8Array>, main: string | null, options = {}) => openModel(memoryFileSet(files, main), options);
const said = ({ warnings }: ModelFile) => warnings.map(({ message }) => message).join('\n');
const NAMES = [...tinyVgg().keys()];
const namesOf = ({ tensors }: ModelFile) => tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor.name);

function keep(names = NAMES, extra: readonly (readonly [unknown, unknown])[] = []) {
  const keeper = new TensorKeeper();
  const weights = tinyVgg();
  const dict = new Map<unknown, unknown>(names.map((name) => [name, keeper.tensor(weights.get(name)!)]));
  return { keeper, value: extra.length === 0 ? dict : new Map<unknown, unknown>([['model', dict], ...extra]) };
}

const saved = (names = NAMES, extra: readonly (readonly [unknown, unknown])[] = []) => {
  const { keeper, value } = keep(names, extra);
  return keeper.pth(value);
};

describe('a file that an unpacker took apart', () => {
  const { keeper, value } = keep();
  const members = Object.fromEntries(Object.entries(keeper.members(value)).map(([name, bytes]) => [name.slice('archive/'.length), bytes]));

  it.each([
    ['by its folder', members, null],
    ['by the pickle in it', members, 'data.pkl'],
    ['by the folder around it', Object.fromEntries(Object.entries(members).map(([name, bytes]) => [`archive/${name}`, bytes])), null],
  ] as const)('is read, named %s', async (_, files, main) => {
    const model = await open(files, main);
    expect(namesOf(model)).toEqual(NAMES);
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
    expect(model.files.length).toBe(NAMES.length + 1);
  });

  it('without the folder of its values is called what it is', async () => {
    await expect(open({ 'data.pkl': members['data.pkl']! }, 'data.pkl')).rejects.toMatchObject({ message: expect.stringMatching(/was unpacked.*"data"/) });
    const { 'data/3': _, ...rest } = members;
    await expect(open(rest, null)).rejects.toMatchObject({ message: expect.stringMatching(/no data\/3/) });
  });
});

describe('weights in shards', () => {
  const [first, second] = [NAMES.slice(0, 4), NAMES.slice(4)];
  const names = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'] as const;
  const shards = { [names[0]]: saved(first), [names[1]]: saved(second) };
  const index = new TextEncoder().encode(JSON.stringify({ weight_map: Object.fromEntries(NAMES.map((name) => [name, names[first.includes(name) ? 0 : 1]])) }));

  it.each([
    ['through their index', { ...shards, 'pytorch_model.bin.index.json': index }, 'pytorch_model.bin.index.json'],
    ['through the index in the folder', { ...shards, 'pytorch_model.bin.index.json': index, 'config.json': new TextEncoder().encode('{}') }, null],
    ['from a folder without one', shards, null],
  ] as const)('are read %s', async (_, files, main) => {
    const model = await open(files, main);
    expect(namesOf(model).sort()).toEqual([...NAMES].sort());
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
  });

  it.each([
    ['PyTorch', shards[names[0]]!, names[0]],
    ['safetensors', null, 'model-00001-of-00002.safetensors'],
  ] as const)('one of them alone says so, and makes no net: %s', async (_, bytes, name) => {
    const file = bytes ?? (await moved(saved(first)));
    const model = await open({ [name]: file }, name);
    expect(said(model)).toContain('part 1 of 2');
    await expect(model.map()).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('part 1 of 2') });
  });

  it('are refused where one is missing, or holds what another holds', async () => {
    await expect(open({ [names[0]]: shards[names[0]]! }, null)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(open({ [names[0]]: shards[names[0]]!, 'pytorch_model.bin.index.json': index }, null)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(open({ [names[0]]: saved(first), [names[1]]: saved() }, null)).rejects.toMatchObject({ message: expect.stringMatching(/two shards/) });
  });

  async function moved(bytes: Uint8Array): Promise<Uint8Array> {
    const sink = memorySink();
    await convert(memoryFileSet({ 'x.pth': bytes }, 'x.pth'), sink, 'x.safetensors');
    return sink.files.get('x.safetensors')!;
  }
});

describe('a file in an archive', () => {
  const inside = saved();

  it.each([
    ['zip, stored', zipSync({ 'folder/vgg.pth': inside, 'README.md': new Uint8Array(3) }, { level: 0 })],
    ['zip, deflated', zipSync({ 'vgg.pth': inside, '__MACOSX/._vgg.pth': new Uint8Array(3) }, { level: 6 })],
    ['tar', tar({ 'vgg.pth': inside, notes: new Uint8Array(3) })],
    ['gzip', gzipSync(inside)],
    ['tar in gzip', gzipSync(tar({ 'folder/vgg.pt': inside }))],
  ] as const)('is read: %s', async (_, bytes) => {
    const model = await open({ x: bytes }, 'x');
    expect(namesOf(model)).toEqual(NAMES);
    expect(model.details.container).toBe('zip in an archive');
  });

  it('in an archive in an archive, a thousand deep, is refused before memory or patience end', async () => {
    let bytes: Uint8Array = inside;
    for (let depth = 0; depth < 3; depth++) bytes = zipSync({ 'm.pth': bytes }, { level: 0 });
    expect(namesOf(await open({ 'x.zip': bytes }, 'x.zip'))).toEqual(NAMES);
    for (let depth = 0; depth < 300; depth++) bytes = zipSync({ 'm.pth': bytes }, { level: 0 });
    await expect(open({ 'x.zip': bytes }, 'x.zip')).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringMatching(/more than 3 archives/) });
  });

  it('with others is not guessed at', async () => {
    const error = await open({ x: zipSync({ 'a.pth': inside, 'b.pth': inside }, { level: 0 }) }, 'x').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unknown-format', message: expect.stringMatching(/a\.pth, b\.pth/) });
  });

  it.each([
    ['beside a model of another format', { 'a.pth': inside, 'b/digits.h5': new Uint8Array(8) }, /a\.pth, b\/digits\.h5/],
    ['of another format', { 'b/digits.h5': new Uint8Array(8), 'README.md': new Uint8Array(3) }, /holds b\/digits\.h5: unpack it/],
  ])('%s is called by its name', async (_, members, says) => {
    const error = await open({ x: zipSync(members, { level: 0 }) }, 'x').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unknown-format', message: expect.stringMatching(says) });
  });
});

describe('odd objects beside the weights', () => {
  const call = (path: string, ...args: unknown[]) => {
    const at = path.lastIndexOf('.');
    return new Call(new Name(path.slice(0, at), path.slice(at + 1)), args);
  };
  const stored = (type: string, key: string, count: number) => new Persistent(new Tuple('storage', new Name('torch', type), key, 'cpu', count));
  const CASES: Readonly<Record<string, readonly [value: unknown, told: RegExp | null]>> = {
    'a date with a zone': [call('datetime.datetime', 'x', call('datetime.timezone', call('datetime.timedelta', 0, 0, 0))), /datetime\.timezone/],
    'an enum': [call('__main__.Mode', 1), /__main__\.Mode/],
    'a bound method': [call('builtins.getattr', new Name('torch.nn.modules.conv', 'Conv2d'), 'forward'), /builtins\.getattr/],
    'what a method gives': [new Call(call('builtins.getattr', new Name('a.B', 'C'), 'make'), [1]), /builtins\.getattr/],
    'a partial function': [
      new Call(new Name('functools', 'partial'), [new Name('torch.nn', 'ReLU')], {
        state: new Tuple(new Name('torch.nn', 'ReLU'), new Tuple(), new Map(), null),
      }),
      /functools\.partial/,
    ],
    "a class of a package named after Python's module": [
      new Call(new Name('code.models', 'Net'), [], { via: '\x81', state: new Map([['x', 1]]) }),
      /code\.models\.Net/,
    ],
    'a class in a class': [call('config.Outer.Inner', 1), /config\.Outer\.Inner/],
    'an object of a class of its own': [new Call(new Name('lib.config', 'Config'), [], { via: '\x81', state: new Map([['lr', 0.1]]) }), /lib\.config\.Config/],
    'a subclass of OrderedDict': [new Call(new Name('lib.types', 'MyDict'), [], { items: new Map([['a', 1]]) }), /lib\.types\.MyDict/],
    'options of the command line': [new Call(new Name('argparse', 'Namespace'), [], { via: '\x81', state: new Map([['lr', 0.1]]) }), null],
    'a path': [call('pathlib.PosixPath', '/', 'home'), null],
    'a number of NumPy': [call('numpy.core.multiarray.scalar', call('numpy.dtype', 'f8', 0, 1), Uint8Array.of(0, 0, 0, 0, 0, 0, 240, 63)), null],
    'a generator of random numbers': [call('numpy.random._pickle.__randomstate_ctor', 'MT19937'), /numpy\.random\._pickle/],
    'a persistent id of another program': [new Persistent('user.42'), /persistent_id/],
    'a quantised tensor': [call('torch._utils._rebuild_qtensor', stored('QInt8Storage', '90', 1), 0, new Tuple(1), new Tuple(1)), /_rebuild_qtensor/],
    'a tensor over an unknown storage': [
      call('torch._utils._rebuild_tensor_v2', stored('QUInt4x2Storage', '91', 1), 0, new Tuple(1), new Tuple(1)),
      /_rebuild_tensor_v2|persistent_id/,
    ],
    'a tensor without values': [
      call('torch._utils._rebuild_meta_tensor_no_storage', new Name('torch', 'float32'), new Tuple(1), new Tuple(1), false),
      /meta_tensor/,
    ],
    'a registered extension that nobody uses': [new Raw('N'), null],
  };

  it.each(Object.entries(CASES))('%s', async (_, [value, told]) => {
    const model = await open({ 'x.pth': withStorage(value) }, 'x.pth');
    expect(namesOf(model)).toEqual(NAMES);
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
    if (told) expect(said(model)).toMatch(told);
    else expect(model.warnings).toEqual([]);
  });

  it('a quantised tensor in the container before 1.6, whose values lie among the others', async () => {
    const { keeper, value } = keep(NAMES, [['odd', call('torch._utils._rebuild_qtensor', stored('QInt8Storage', '90', 3), 0, new Tuple(3), new Tuple(1))]]);
    const model = await open({ 'x.pth': keeper.legacy(value, { 90: [3, Uint8Array.of(1, 2, 3)] }) }, 'x.pth');
    expect(namesOf(model)).toEqual(NAMES);
    expect(said(model)).toMatch(/_rebuild_qtensor/);
  });

  it('among the weights are named, and the net is not built without them', async () => {
    const { keeper, value } = keep();
    const sparse = call(
      'torch._utils._rebuild_sparse_tensor',
      new Name('torch', 'sparse_coo'),
      new Tuple(keeper.filled([1, 1], 0), keeper.filled([1], 1), new Tuple(4)),
    );
    const model = await open({ 'x.pth': keeper.pth(new Map([...value, ['features.9.mask', sparse]])) }, 'x.pth');
    expect(namesOf(model)).toEqual(NAMES);
    expect(said(model)).toMatch(/features\.9\.mask \(a sparse tensor\)/);
    await expect(model.map()).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/features\.9\.mask is a sparse tensor.*to_dense.*--weights-key/),
    });
  });

  it.each([
    ['neg', '_rebuild_tensor_v2', []],
    ['conj', '_rebuild_tensor_v2', []],
    ['neg', '_rebuild_tensor_v3', [new Name('torch', 'float32')]],
  ])('a view with the bit "%s" (%s) is not taken for what is stored', async (bit, rebuild, between) => {
    const { keeper, value } = keep();
    const { args } = keeper.filled([2], 3);
    const lazy = (isSet: boolean) => call(`torch._utils.${rebuild}`, ...args, ...between, new Map([[bit, isSet]]));
    const model = await open({ 'x.pth': keeper.pth(new Map([...value, ['a.weight', lazy(true)]])) }, 'x.pth');
    expect(namesOf(model)).toEqual(NAMES);
    expect(said(model)).toMatch(/a\.weight \(a view whose values are negated or conjugated/);
    await expect(model.map()).rejects.toMatchObject({ kind: 'unsupported' });
    expect(namesOf(await open({ 'x.pth': keeper.pth(new Map([...value, ['a.weight', lazy(false)]])) }, 'x.pth'))).toEqual([...NAMES, 'a.weight']);
  });

  it('a tensor of a dtype that is not read is named by it', async () => {
    const place = [stored('UntypedStorage', '90', 8), 0, new Tuple(8), new Tuple(1), false, new Map()] as const;
    const odd = call('torch._utils._rebuild_tensor_v3', ...place, new Name('torch', 'float8_e4m3fnuz'));
    const { keeper, value } = keep();
    const members = { ...keeper.members(new Map([...value, ['a.weight', odd]])), 'archive/data/90': new Uint8Array(8) };
    const model = await open({ 'x.pth': zipSync(members, { level: 0 }) }, 'x.pth');
    expect(said(model)).toMatch(/a\.weight \(a tensor of torch\.float8_e4m3fnuz\)/);
  });

  it('tensors none of which is read are named, and nothing is written of them', async () => {
    const odd = call('torch._utils._rebuild_sparse_tensor', new Name('torch', 'sparse_coo'), new Tuple());
    const { keeper } = keep();
    const files = { 'x.pth': keeper.pth(new Map([['a.weight', odd]])) };
    const model = await open(files, 'x.pth');
    expect(said(model)).toMatch(/not read: a\.weight \(a sparse tensor\)/);
    expect(said(model)).not.toMatch(/kept beside one in training/);
    const sink = memorySink();
    await expect(convert(memoryFileSet(files, 'x.pth'), sink, 'x.safetensors', { to: 'safetensors' })).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('not read: a.weight (a sparse tensor)'),
    });
    expect([...sink.files.keys()]).toEqual([]);
  });

  it('a tensor that is not read is told by the verdict on the others', async () => {
    const odd = call('torch._utils._rebuild_sparse_tensor', new Name('torch', 'sparse_coo'), new Tuple());
    const { keeper, value } = keep();
    const source = memoryFileSet({ 'x.pth': keeper.pth(new Map([...value, ['a.weight', odd]])) }, 'x.pth');
    const sink = memorySink();
    const { model } = await convert(source, sink, 'x.safetensors', { to: 'safetensors' });
    const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'x.safetensors'), format: 'safetensors' };
    const report = await verifyConversion({ source: { files: source }, model, map: null, target });
    expect(report).toMatchObject({ verdict: 'match', weights: { compared: NAMES.length } });
    expect(verdictSentence(report)).toMatch(/of the source not read: a\.weight \(a sparse tensor\)/);
  });

  it('a parameter of a lazy module that never ran is named', async () => {
    const { keeper, value } = keep();
    const lazy = call('torch.nn.parameter.UninitializedParameter', true);
    const model = await open({ 'x.pth': keeper.pth(new Map([...value, ['head.weight', lazy]])) }, 'x.pth');
    expect(said(model)).toMatch(/head\.weight \(a tensor that was never given a shape/);
  });

  it.each([
    'os.system',
    'posix.popen',
    'builtins.eval',
    'builtins.exec',
    'subprocess.Popen',
    'torch.serialization.os.system',
    'runpy._run_code',
    'webbrowser.open',
    'code.interact',
    'types.CodeType',
    'collections.namedtuple.__globals__',
  ])('%s is no odd object: the file is refused', async (path) => {
    const dot = path.startsWith('torch') ? 'torch.serialization'.length : path.startsWith('collections') ? 'collections'.length : path.lastIndexOf('.');
    const evil = new Call(new Name(path.slice(0, dot), path.slice(dot + 1)), ['touch EXECUTED']);
    for (const protocol of [2, 4] as const) {
      const { keeper, value } = keep(NAMES, [['when', evil]]);
      await expect(open({ 'x.pth': keeper.pth(value, protocol) }, 'x.pth')).rejects.toMatchObject({
        kind: 'unsafe',
        message: expect.stringMatching(/nothing was executed/),
      });
    }
  });

  it('alone are named where a tensor is looked for', async () => {
    const own = new Call(new Name('mine.trees', 'Forest'), [], { via: '\x81', state: new Map([['trees', 3]]) });
    await expect(open({ 'x.pkl': pickle(own) }, 'x.pkl')).rejects.toMatchObject({ message: expect.stringMatching(/no tensor.*mine\.trees\.Forest/) });
    const forest = new Call(new Name('sklearn.ensemble', 'RandomForest'), [], { via: '\x81', state: new Map([['trees', 3]]) });
    await expect(open({ 'x.pkl': pickle(forest) }, 'x.pkl')).rejects.toMatchObject({
      message: expect.stringMatching(/scikit-learn \(sklearn\.ensemble\.RandomForest\).*skl2onnx/),
    });
  });

  function withStorage(value: unknown): Uint8Array {
    const { keeper, value: all } = keep(NAMES, [['odd', value]]);
    const extra = Object.fromEntries(['90', '91'].map((key) => [`archive/data/${key}`, new Uint8Array(8)]));
    return zipSync({ ...keeper.members(all), ...extra }, { level: 0 });
  }
});

/** A tar archive as GNU tar writes it. */
function tar(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const blocks = Object.entries(files).flatMap(([name, bytes]) => {
    const header = new Uint8Array(512);
    const put = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
    put(name, 0);
    put('0000644\0', 100);
    put(`${bytes.byteLength.toString(8).padStart(11, '0')}\0`, 124);
    put('        ', 148);
    put('0', 156);
    put('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const padded = new Uint8Array(Math.ceil(bytes.byteLength / 512) * 512);
    padded.set(bytes);
    return [header, padded];
  });
  return Buffer.concat([...blocks, new Uint8Array(1024)]);
}

describe('arrays of Python objects', () => {
  const header = (shape: string) => {
    const text = `{'descr': '|O', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117);
    return Uint8Array.from([0x93, ...[...'NUMPY'].map((c) => c.charCodeAt(0)), 1, 0, 118, 0, ...[...`${text}\n`].map((c) => c.charCodeAt(0))]);
  };
  /** As NumPy pickles an array of objects. */
  const objects = (shape: Tuple, items: readonly unknown[]) =>
    new Call(new Name('numpy.core.multiarray', '_reconstruct'), [new Name('numpy', 'ndarray'), new Tuple(0), Uint8Array.of(0x62)], {
      state: new Tuple(1, shape, new Call(new Name('numpy', 'dtype'), ['O8', 0, 1]), false, items),
    });
  const whole = (shape: string, value: unknown) => Uint8Array.from([...header(shape), ...pickle(value)]);
  const weights = tinyVgg();
  const dict = new Map(NAMES.map((name) => [name, numpyArray(weights.get(name)!)]));

  it('that are a dictionary are read, as numpy.save keeps one', async () => {
    const model = await open({ 'x.npy': whole('()', objects(new Tuple(), [dict])) }, 'x.npy');
    expect(model.details.container).toBe('pickle in an array');
    expect(namesOf(model)).toEqual(NAMES);
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
  });

  it('that are a list are numbered', async () => {
    const list = objects(new Tuple(2), [numpyArray({ shape: [2], values: [1, 2] }), 'note']);
    expect(namesOf(await open({ 'x.npy': whole('(2,)', list) }, 'x.npy'))).toEqual(['0']);
  });

  it('beside the weights of an archive are named', async () => {
    const number = joined(encodeNpyHeader('float32', [1]), new Uint8Array(4));
    const model = await open({ 'x.npz': zipSync({ 'w.npy': number, 'note.npy': whole('()', objects(new Tuple(), ['a'])) }, { level: 0 }) }, 'x.npz');
    expect(model.tensors.map(({ tensor }) => tensor.name)).toEqual(['w']);
    expect(said(model)).toMatch(/not read: note \(the array holds pickled Python objects/);
  });

  it('that ask for a program are refused', async () => {
    const evil = new Call(new Name('os', 'system'), ['touch EXECUTED']);
    await expect(open({ 'x.npy': whole('()', evil) }, 'x.npy')).rejects.toMatchObject({ kind: 'unsafe' });
  });
});

describe('what trainers leave beside the weights', () => {
  it('of Hugging Face is not taken for shards', async () => {
    const other = pickle(new Map([['a', 1]]));
    const files = { 'pytorch_model.bin': saved(), 'training_args.bin': other, 'optimizer.bin': other, 'random_states_0.bin': other };
    expect(namesOf(await open(files, null))).toEqual(NAMES);
  });

  it.each([
    ['DeepSpeed', { latest: new Uint8Array(3), 'zero_to_fp32.py': new Uint8Array(3) }, /DeepSpeed.*zero_to_fp32\.py/],
    ['Megatron', { 'latest_checkpointed_iteration.txt': new Uint8Array(3) }, /Megatron.*model_optim_rng\.pt/],
  ])('of %s is a folder that is called by its name', async (_, files, says) => {
    await expect(open(files, null)).rejects.toMatchObject({ kind: 'unknown-format', message: expect.stringMatching(says) });
  });

  it('of ZeRO stage 3 has empty tensors, which is said', async () => {
    const keeper = new TensorKeeper();
    const dict = new Map(NAMES.map((name) => [name, keeper.filled([0], 0)]));
    const model = await open({ 'x.pt': keeper.pth(new Map<string, unknown>([['module', dict], ['ds_version', '0.9']])) }, 'x.pt'); // biome-ignore format: one line
    expect(model.details.checkpoint).toBe('module');
    expect(said(model)).toMatch(/its tensors are empty.*zero_to_fp32/);
  });
});

it('a tar archive of an archive is called what it is, though it ends in zeros', async () => {
  const content = zipSync({ 'a.pth': saved() }, { level: 0 });
  const files = { 'x.tar': joined(member({ name: 'inner.zip', content }), new Uint8Array(10_240)) };
  await expect(open(files, 'x.tar')).rejects.toMatchObject({ message: expect.stringMatching(/a tar archive.*unpack it, and name the model\.$/) });
});
