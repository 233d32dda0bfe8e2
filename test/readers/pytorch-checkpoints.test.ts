/** Which dictionary of a checkpoint is the model: what training code saves, in the shapes that it comes in. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { ModelFile } from '../../src/model/layer-map.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { Call, Name, numpyArray, pickledTensor, TensorKeeper, Tuple, tinyVgg, type Weights } from '../pickles.js';

type Save = (weights: Weights) => unknown;

const dict = (save: Save, seed: number, prefix = '') => new Map([...tinyVgg(seed)].map(([name, weights]) => [`${prefix}${name}`, save(weights)]));
const optimiser = (save: Save) =>
  new Map<string, unknown>([
    ['state', new Map([[0, new Map([['momentum_buffer', save({ shape: [2], values: [7, 7] })]])]])],
    ['param_groups', [new Map<string, unknown>([['lr', 0.1]])]],
  ]);

const open = (bytes: Uint8Array, options = {}) => openModel(memoryFileSet({ 'x.pth': bytes }, 'x.pth'), options);
const saved = (make: (save: Save) => unknown) => {
  const keeper = new TensorKeeper();
  return keeper.pth(make((weights) => keeper.tensor(weights)));
};

/** Names of the model, and which of the seeds its first weight is from. */
async function modelOf(model: ModelFile) {
  const own = model.tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  const first = own[0] && new Float32Array((await tensorBytes(own[0])).slice().buffer)[0];
  const seed = [1, 2, 3].find((candidate) => Math.fround([...tinyVgg(candidate).values()][0]!.values[0]!) === first) ?? null;
  return { names: own.map(({ name }) => name), seed, beside: model.tensors.length - own.length };
}

const NAMES = [...tinyVgg().keys()];
const said = ({ warnings }: ModelFile) => warnings.map(({ message }) => message).join('\n');

describe('a checkpoint', () => {
  const cases: Readonly<Record<string, readonly [make: (save: Save) => unknown, beside: number, tells: RegExp]>> = {
    'with an optimiser': [
      (save) =>
        new Map<string, unknown>([
          ['network', dict(save, 1)],
          ['optimizer', optimiser(save)],
          ['epoch', 3],
        ]),
      1,
      /"network".*"optimizer" \(an optimiser/,
    ],
    'with averaged weights': [
      (save) =>
        new Map([
          ['params_ema', dict(save, 2)],
          ['params', dict(save, 1)],
        ]),
      10,
      /"params".*"params_ema" \(averaged.*--weights-key params_ema/,
    ],
    'of a GAN': [
      (save) =>
        new Map([
          ['discriminator', dict(save, 2)],
          ['generator', dict(save, 1)],
        ]),
      10,
      /"generator".*"discriminator"/,
    ],
    'of a GAN with short names': [
      (save) =>
        new Map([
          ['d', dict(save, 2)],
          ['g_ema', dict(save, 3)],
          ['g', dict(save, 1)],
        ]),
      20,
      /"g".*"g_ema"/,
    ],
    'of a student and its teacher': [
      (save) =>
        new Map([
          ['teacher', dict(save, 2)],
          ['student', dict(save, 1)],
        ]),
      10,
      /"student".*"teacher"/,
    ],
    'with everything that Lightning keeps': [
      (save) =>
        new Map<string, unknown>([
          ['epoch', 1],
          ['state_dict', dict(save, 1)],
          ['optimizer_states', [optimiser(save)]],
          ['lr_schedulers', [new Map([['last_lr', save({ shape: [1], values: [1] })]])]],
          ['loops', new Map([['progress', save({ shape: [], values: [1] })]])],
        ]),
      3,
      /"state_dict".*"optimizer_states"/,
    ],
    'in a dictionary of a dictionary': [
      (save) =>
        new Map<string, unknown>([
          [
            'model',
            new Map<string, unknown>([
              ['state_dict', dict(save, 1)],
              ['ema', dict(save, 2)],
            ]),
          ],
          ['optimizer', optimiser(save)],
        ]),
      11,
      /"model\.state_dict".*"ema"/,
    ],
    'of DeepSpeed': [
      (save) =>
        new Map<string, unknown>([
          ['module', dict(save, 1)],
          ['optimizer', optimiser(save)],
          ['lr_scheduler', null],
        ]),
      1,
      /"module"/,
    ],
    'with the optimiser known by what it is made of': [
      (save) =>
        new Map<string, unknown>([
          ['a', optimiser(save)],
          ['b', dict(save, 1)],
        ]),
      1,
      /"b".*"a" \(an optimiser/,
    ],
    'that is a tuple': [(save) => new Tuple(dict(save, 1), optimiser(save)), 1, /"0".*"1" \(an optimiser/],
    'with the best accuracy so far': [
      (save) =>
        new Map<string, unknown>([
          ['best_acc1', save({ shape: [], values: [0.5] })],
          ['state_dict', dict(save, 1)],
        ]),
      1,
      /"state_dict".*"best_acc1"/,
    ],
    'that is an object': [
      (save) =>
        new Call(new Name('trainer', 'Trainer'), [], {
          via: '\x81',
          state: new Map<string, unknown>([
            ['model', dict(save, 1)],
            ['optimizer', optimiser(save)],
          ]),
        }),
      1,
      /"model".*"optimizer"/,
    ],
  };

  it.each(Object.entries(cases))('%s: the model is taken, and what was left out is told', async (_, [make, beside, tells]) => {
    const model = await open(saved(make));
    expect(await modelOf(model)).toEqual({ names: NAMES, seed: 1, beside });
    expect(said(model)).toMatch(tells);
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
  });

  it('gives another dictionary to whoever asks for it, at any depth', async () => {
    const bytes = saved(
      (save) =>
        new Map<string, unknown>([
          ['model', dict(save, 1)],
          ['extra', new Map([['ema.v2', dict(save, 2)]])],
          ['optimizer', optimiser(save)],
        ]),
    );
    expect(await modelOf(await open(bytes, { weightsKey: 'extra.ema.v2' }))).toEqual({ names: NAMES, seed: 2, beside: 11 });
    expect(await modelOf(await open(bytes, { weightsKey: 'model' }))).toEqual({ names: NAMES, seed: 1, beside: 11 });
    await expect(open(bytes, { weightsKey: 'nothing' })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringMatching(/There are: model, extra, extra\.ema\.v2/),
    });
    await expect(open(bytes, { weightsKey: 'optimizer' })).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(/never taken for weights/) });
  });

  it('looks for a prefix inside of the dictionary that is the model, and names those that there are', async () => {
    const inside = (save: Save) => new Map([...dict(save, 1, 'module.encoder_q.'), ...dict(save, 2, 'module.encoder_k.')]);
    const bytes = saved(
      (save) =>
        new Map<string, unknown>([
          ['state_dict', inside(save)],
          ['optimizer', optimiser(save)],
        ]),
    );
    for (const weightsKey of ['module.encoder_k', 'state_dict.module.encoder_k']) expect((await modelOf(await open(bytes, { weightsKey }))).seed).toBe(2);
    const there = /There are: state_dict, .*state_dict\.module\.encoder_q, state_dict\.module\.encoder_k/;
    await expect(open(bytes, { weightsKey: 'encoder_q' })).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(there) });
    const bare = saved((save) => inside(save));
    await expect(open(bare, { weightsKey: 'encoder_q' })).rejects.toMatchObject({ message: expect.stringMatching(/module\.encoder_q, module\.encoder_k/) });
  });

  it('gives the weights under a prefix to whoever asks for it, from any container', async () => {
    const bytes = saved((save) => new Map([...dict(save, 1, 'model.'), ...dict(save, 2, 'model_ema.')]));
    expect(await modelOf(await open(bytes, { weightsKey: 'model_ema' }))).toEqual({ names: NAMES, seed: 2, beside: 10 });
    const sink = memorySink();
    await convert(memoryFileSet({ 'x.pth': bytes }, 'x.pth'), sink, 'x.safetensors');
    const moved = memoryFileSet(Object.fromEntries(sink.files), 'x.safetensors');
    expect(await modelOf(await openModel(moved, { weightsKey: 'model_ema' }))).toEqual({ names: NAMES, seed: 2, beside: 10 });
    await expect(openModel(moved, { weightsKey: 'ema' })).rejects.toMatchObject({ kind: 'usage' });
  });

  it.each<readonly [string, (save: Save) => unknown]>([
    [
      'an average',
      (save) =>
        new Map<string, unknown>([
          ['ema', dict(save, 1)],
          ['model', null],
        ]),
    ],
    ['a place in a tuple', (save) => new Tuple(dict(save, 1), new Map([['epoch', 3]]))],
    ['a place in a list', (save) => [dict(save, 1)]],
  ])('whose only weights lie under the name of %s has the names of the net', async (_, make) => {
    const model = await open(saved(make));
    expect(await modelOf(model)).toEqual({ names: NAMES, seed: 1, beside: 0 });
  });

  it('with gradients or moments of each weight has no weights', async () => {
    for (const key of ['exp_avg', 'grads', 'momentum_buffer']) {
      const model = await open(saved((save) => new Map([[key, dict(save, 1)]])));
      expect(await modelOf(model)).toMatchObject({ names: [] });
      await expect(model.map()).rejects.toMatchObject({ kind: 'unsupported' });
    }
  });

  it('of a net that is cut over devices is a part, which its neighbour tells', async () => {
    const bytes = saved((save) => dict(save, 1));
    for (const [name, other] of [
      ['consolidated.00.pth', 'consolidated.01.pth'],
      ['mp_rank_01_model_states.pt', 'mp_rank_00_model_states.pt'],
    ] as const) {
      await expect(openModel(memoryFileSet({ [name]: bytes, [other]: bytes }, name)).then((model) => model.map())).rejects.toThrow(/part [12] of several/);
      expect((await (await openModel(memoryFileSet({ [name]: bytes }, name))).map()).architecture?.name).toMatch(/VGG/);
    }
  });

  it.each([
    ['base_model.model.layers.0.q_proj.lora_A.weight', /LoRA/],
    ['lora_unet_mid.lora_down.weight', /LoRA/],
    ['model.layers.0.q_proj.qzeros', /GPTQ or AWQ/],
    ['layers.0.weight.absmax', /four bits of bitsandbytes/],
    ['classifier.0.SCB', /eight bits of bitsandbytes/],
    ['layers.0._flat_param', /FSDP/],
  ] as const)('with %s is named for what it is', async (name, what) => {
    const model = await open(saved((save) => new Map([...dict(save, 1), [name, save({ shape: [1], values: [1] })]])));
    await expect(model.map()).rejects.toThrow(what);
  });

  it('with nothing but an optimiser has no weights, and is never written as if it had', async () => {
    for (const make of [(save: Save) => optimiser(save), (save: Save) => new Map([['optimizer', optimiser(save)]])]) {
      const bytes = saved(make);
      const model = await open(bytes);
      expect(await modelOf(model)).toEqual({ names: [], seed: null, beside: 1 });
      await expect(convert(memoryFileSet({ 'x.pth': bytes }, 'x.pth'), memorySink(), 'y.safetensors')).rejects.toMatchObject({ kind: 'unsupported' });
      await expect(model.map()).rejects.toMatchObject({ kind: 'unsupported' });
    }
  });

  it('whose dictionaries are all alike is taken whole, and that is told', async () => {
    const model = await open(
      saved(
        (save) =>
          new Map<string, unknown>([
            ['left', dict(save, 1)],
            ['right', dict(save, 2)],
            ['optimizer', optimiser(save)],
          ]),
      ),
    );
    expect(await modelOf(model)).toMatchObject({ names: [...NAMES.map((name) => `left.${name}`), ...NAMES.map((name) => `right.${name}`)], beside: 1 });
    expect(said(model)).toMatch(/"left", "right".*all were taken.*--weights-key left/);
  });
});

describe('what is no checkpoint', () => {
  it('parameters by layer are one model', async () => {
    const model = await open(
      saved(
        (save) =>
          new Map([
            ['conv', new Map([['weight', save({ shape: [1], values: [1] })]])],
            ['net', new Map([['bias', save({ shape: [1], values: [2] })]])],
          ]),
      ),
    );
    expect(await modelOf(model)).toMatchObject({ names: ['conv.weight', 'net.bias'], beside: 0 });
    expect(model.warnings).toEqual([]);
  });

  it('a layer called like a part of training stays in a state dict', async () => {
    const model = await open(
      saved(
        (save) =>
          new Map([
            ['loss.weight', save({ shape: [1], values: [1] })],
            ['optimizer.bias', save({ shape: [1], values: [2] })],
          ]),
      ),
    );
    expect(await modelOf(model)).toMatchObject({ names: ['loss.weight', 'optimizer.bias'], beside: 0 });
  });

  it('wrappers around the names are no part of the net', async () => {
    for (const prefix of ['module.', '_orig_mod.module.', 'network.']) {
      const map = await (await open(saved((save) => dict(save, 1, prefix)))).map();
      expect(map.layers[0]!.name).toBe('features.0');
      expect(map.warnings.map(({ message }) => message).join()).toContain(prefix);
    }
  });

  it('wrappers between the parts of names are none either', async () => {
    for (const wrapper of ['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module']) {
      const bytes = saved((save) => new Map([...dict(save, 1)].map(([name, weights]) => [name.replace('.', `.${wrapper}.`), weights])));
      expect((await (await open(bytes)).map()).layers[0]!.name).toBe('features.0');
    }
  });
});

describe('pickles that PyTorch did not write', () => {
  it.each([0, 1, 2, 3, 4, 5] as const)("NumPy's arrays are read from protocol %i, whatever their order", async (protocol) => {
    const { pickle } = await import('../pickles.js');
    const value = { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] };
    const bytes = pickle(
      new Map([
        [
          'model',
          new Map([
            ['a.plain', numpyArray(value)],
            ['a.swapped', numpyArray(value, { bigEndian: true })],
            ['a.columns', numpyArray(value, { fortran: true })],
          ]),
        ],
        ['__author__', 'somebody' as never],
      ]),
      protocol,
    );
    const model = await open(bytes);
    const listed = await Promise.all(
      model.tensors.map(async ({ tensor }) => [tensor.name, tensor.shape, [...new Float32Array((await tensorBytes(tensor)).slice().buffer)]]),
    );
    expect(listed).toEqual([
      ['a.plain', [2, 3], [1, 2, 3, 4, 5, 6]],
      ['a.swapped', [2, 3], [1, 2, 3, 4, 5, 6]],
      ['a.columns', [2, 3], [1, 3, 5, 2, 4, 6]],
    ]);
  });

  it.each([0, 1, 2, 3, 4, 5] as const)('a state dict that pickle.dump wrote is read from protocol %i', async (protocol) => {
    const { pickle } = await import('../pickles.js');
    const model = await open(pickle(dict(pickledTensor, 1), protocol));
    expect(await modelOf(model)).toEqual({ names: NAMES, seed: 1, beside: 0 });
    expect((await model.map()).architecture?.name).toMatch(/VGG/);
  });

  it("PaddlePaddle's are listed and are no net: its dense kernels lie the other way round", async () => {
    const { pickle } = await import('../pickles.js');
    const own = new Map<string, unknown>([...dict(numpyArray, 1), ['StructuredToParameterName@@', new Map(NAMES.map((name) => [name, `${name}_0`]))]]);
    const byKey = await open(pickle(own));
    const byName = await openModel(memoryFileSet({ 'x.pdparams': pickle(dict(numpyArray, 1)) }, 'x.pdparams'));
    for (const model of [byKey, byName]) {
      expect(await modelOf(model)).toEqual({ names: NAMES, seed: 1, beside: 0 });
      expect(model.producer).toBe('PaddlePaddle');
      await expect(model.map()).rejects.toThrow(/PaddlePaddle.*the other way round.*paddle2onnx/);
    }
  });
});
