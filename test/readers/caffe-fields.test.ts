/** Every field of every message of Caffe's: used, known to be without effect, or an obstacle that names it. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { ENUMS } from '../../src/readers/caffe/enums.js';
import { OF_FORKS, RULES } from '../../src/readers/caffe/rules/index.js';
import { type FieldSpec, isMessage, SCHEMA } from '../../src/readers/caffe/schema.js';
import { openModel } from '../../src/readers/open.js';
import { type BlobSpec, type Blobs, blob, bytesOf, caffemodel, filesOf, refusal, values } from './caffe-files.js';

/** Fields of a message as text: scalars as they are written, or messages. */
interface Fields {
  readonly [name: string]: string | readonly string[] | Fields | undefined;
}

function textOf(fields: Fields): string {
  return Object.entries(fields)
    .map(([name, value]) => {
      if (value === undefined) return '';
      if (typeof value === 'string') return `${name}: ${value}`;
      return Array.isArray(value) ? value.map((one) => `${name}: ${one}`).join(' ') : `${name} { ${textOf(value as Fields)} }`;
    })
    .join(' ');
}

/** A layer that can be translated, and the message that it reads. */
interface Base {
  readonly type: string;
  readonly block: string | null;
  readonly settings: Fields;
  readonly blobs?: readonly BlobSpec[];
  readonly bottoms?: readonly string[];
  readonly tops?: readonly string[];
}

const windowed = { num_output: '4', kernel_size: '3' };
const bases: Readonly<Record<string, Omit<Base, 'type' | 'block'>>> = {
  Convolution: { settings: windowed, blobs: [blob(4, 4, 3, 3), blob(4)] },
  DepthwiseConvolution: { settings: windowed, blobs: [blob(4, 1, 3, 3), blob(4)] },
  ConvolutionDepthwise: { settings: windowed, blobs: [blob(4, 1, 3, 3), blob(4)] },
  Deconvolution: { settings: windowed, blobs: [blob(4, 4, 3, 3), blob(4)] },
  InnerProduct: { settings: { num_output: '3' }, blobs: [blob(3, 120), blob(3)] },
  Embed: { settings: { num_output: '3', input_dim: '5' }, blobs: [blob(5, 3), blob(3)] },
  Pooling: { settings: { kernel_size: '3', stride: '2' } },
  SPP: { settings: { pyramid_height: '2' } },
  LRN: { settings: {} },
  BatchNorm: { settings: {}, blobs: [values(1, 2, 3, 4), values(1, 2, 3, 4), values(2)] },
  BN: { settings: {}, blobs: [values(1, 2, 3, 4), values(1, 2, 3, 4), values(1, 2, 3, 4), values(1, 2, 3, 4)] },
  Scale: { settings: {}, blobs: [blob(4)] },
  Bias: { settings: {}, blobs: [blob(4)] },
  Normalize: { settings: {}, blobs: [blob(1)] },
  PReLU: { settings: {}, blobs: [blob(4)] },
  Clip: { settings: { min: '-1', max: '1' } },
  Eltwise: { settings: {}, bottoms: ['data', 'more'] },
  Axpy: { settings: {}, bottoms: ['factor', 'data', 'more'] },
  Crop: { settings: {}, bottoms: ['data', 'like'] },
  Reshape: { settings: { shape: { dim: ['0', '-1'] } } },
  Reduction: { settings: { axis: '1' } },
  Tile: { settings: { tiles: '2' } },
  Slice: { settings: {}, tops: ['out', 'rest'] },
  ShuffleChannel: { settings: { group: '2' } },
  Upsample: { settings: { scale: '2' } },
  Interp: { settings: { height: '7', width: '7' } },
  Power: { settings: { power: '2' } },
  Dropout: { settings: { scale_train: 'false' } },
};

const translated: Base[] = Object.entries(RULES)
  .filter(([type]) => type !== 'Silence')
  .map(([type, { block }]) => ({ type, block, settings: {}, ...bases[type] }));

/** A net of the layer, with more fields where a test plants them: by the message's path from the net. */
function textWith({ type, block, settings, bottoms = ['data'], tops = ['out'] }: Base, planted: { net?: Fields; layer?: Fields; block?: Fields }): string {
  const inputs = { data: '4 dim: 5 dim: 6', more: '4 dim: 5 dim: 6', like: '4 dim: 2 dim: 3', factor: '4 dim: 1 dim: 1' };
  const declared = Object.entries(inputs).map(([name, dims]) => `input: "${name}" input_shape { dim: 2 dim: ${dims} } `);
  const own = block === null ? {} : { [block]: { ...settings, ...planted.block } };
  const wiring = { name: '"out"', type: `"${type}"`, bottom: bottoms.map((name) => `"${name}"`), top: tops.map((name) => `"${name}"`) };
  return `${declared.join('')}${textOf(planted.net ?? {})} layer { ${textOf({ ...wiring, ...own, ...planted.layer })} }`;
}

const blobsOf = ({ blobs }: Base): Blobs => (blobs ? { out: blobs } : {});

/** Everything that a map says, weights and notices included. */
async function documentOf(text: string, blobs: Blobs): Promise<string> {
  const map = await (await openModel(filesOf(text, caffemodel(blobs)), {})).map();
  return JSON.stringify(await withBytes(map));
}

async function withBytes(map: LayerMap) {
  const layers = [];
  for (const { weights, ...layer } of map.layers) {
    const bytes: Record<string, string> = {};
    for (const [role, tensor] of Object.entries(weights)) bytes[role] = `${tensor.shape} ${Buffer.from(await tensorBytes(tensor)).toString('hex')}`;
    layers.push({ ...layer, bytes });
  }
  return { ...map, layers };
}

/** Unusual values of a scalar field's type, as text. */
function oddValues({ type, name, repeated }: FieldSpec): (string | string[])[] {
  if (type === 'FuseType') return ['FUSED_CONV_RELU'];
  if (ENUMS[type]) return Object.values(ENUMS[type]);
  const samples: Readonly<Record<string, string[]>> = {
    bool: ['true', 'false'],
    int: ['3', '-3'],
    uint: ['2', '7'],
    float: ['0.123'],
    string: [`"${name}"`],
    word: ['CAFFE'],
  };
  return repeated ? samples[type]!.map((value) => [value, value]) : samples[type]!;
}

describe('layers that are translated', () => {
  it('all have a net here that is', async () => {
    for (const base of translated) {
      const outcome = await documentOf(textWith(base, {}), blobsOf(base)).catch((error: unknown) => error);
      expect(typeof outcome, `${base.type}: ${outcome}`).toBe('string');
    }
    expect(translated.length).toBeGreaterThan(40);
  });

  it.each(translated)('$type: a field that its message does not have is named', async (base) => {
    const blobs = blobsOf(base);
    expect((await refusal(textWith(base, { layer: { zzz: '17' } }), blobs)).message).toMatch(/"out".* zzz 17/);
    if (base.block === null) return;
    expect((await refusal(textWith(base, { block: { zzz: '17' } }), blobs)).message).toMatch(new RegExp(`"out".*${base.block}.zzz 17`));
    const { type } = SCHEMA.get('Layer')!.byName.get(base.block)!;
    for (const field of SCHEMA.get(type)!.byName.values()) {
      if (!isMessage(field) || field.type === 'Opaque') continue;
      const inner = { ...(base.settings[field.name] as Fields | undefined), zzz: '17' };
      expect((await refusal(textWith(base, { block: { [field.name]: inner } }), blobs)).message).toMatch(new RegExp(`${field.name}.zzz 17`));
    }
  });

  it.each(translated.filter(({ block }) => block !== null))(
    '$type: each field changes something, is refused, or is known to be without effect',
    async (base) => {
      const plain = await documentOf(textWith(base, {}), blobsOf(base));
      const { type } = SCHEMA.get('Layer')!.byName.get(base.block!)!;
      for (const field of SCHEMA.get(type)!.byName.values()) {
        if (isMessage(field)) continue;
        const outcomes = await Promise.all(
          oddValues(field).map((value) =>
            documentOf(textWith(base, { block: { [field.name]: value } }), blobsOf(base)).catch((error: unknown) => String(error)),
          ),
        );
        const changes = outcomes.filter((outcome) => outcome !== plain);
        if (field.idle === true) expect([field.name, changes]).toEqual([field.name, []]);
        else expect(changes.length, `${base.type}: ${field.name} has no effect`).toBeGreaterThan(0);
      }
    },
  );

  it.each(translated)('$type: fields of layers of any type are without effect, or refused', async (base) => {
    const plain = await documentOf(textWith(base, {}), blobsOf(base));
    const still = {
      loss_weight: '2',
      propagate_down: 'true',
      phase: 'TRAIN',
      param: { lr_mult: '0', decay_mult: '3' },
      include: { phase: 'TEST' },
      debug: 'true',
      forward_type: 'FLOAT16',
    };
    expect(await documentOf(textWith(base, { layer: still }), blobsOf(base))).toBe(plain);
    const other = base.block === 'tanh_param' ? 'sigmoid_param' : 'tanh_param';
    const stray = textWith(base, { layer: { [other]: {} } });
    if (OF_FORKS.has(base.type)) expect((await refusal(stray, blobsOf(base))).message).toMatch(new RegExp(other));
    else {
      const { warnings, ...rest } = JSON.parse(await documentOf(stray, blobsOf(base)));
      expect(warnings).toContainEqual({
        code: 'setting-ignored',
        message: expect.stringContaining(`${other}, which Caffe gives to layers of other types only`),
        layer: 'out',
      });
      expect(rest).toEqual({ ...JSON.parse(plain), warnings: undefined });
    }
    expect((await refusal(textWith(base, { layer: { [other]: { zzz: '17' } } }), blobsOf(base))).message).toMatch(new RegExp(other));
    for (const message of ['param', 'include', 'exclude']) {
      expect((await refusal(textWith(base, { layer: { [message]: { zzz: '17' } } }), blobsOf(base))).message).toMatch(new RegExp(`${message}.zzz 17`));
    }
    expect((await refusal(textWith(base, { layer: { blobs: { data: '1' } } }), blobsOf(base))).message).toMatch(/blobs/);
  });
});

describe('the net itself', () => {
  const base = translated.find(({ type }) => type === 'ReLU')!;
  it('may have settings of training', async () => {
    const plain = await documentOf(textWith(base, {}), {});
    const still = { force_backward: 'true', debug_info: 'True', state: { phase: 'TRAIN' }, default_forward_type: 'FLOAT16', global_grad_scale: '1000' };
    expect(await documentOf(textWith(base, { net: still }), {})).toBe(plain);
  });

  it.each([
    [{ zzz: '17' }, / zzz 17/],
    [{ state: { zzz: '17' } }, /state.zzz 17/],
    [{ input_shape: { zzz: '17' } }, /input_shape.zzz 17/],
  ])('%j is named', async (planted, words) => {
    expect((await refusal(textWith(base, { net: planted as Fields }), {})).message).toMatch(words);
  });
});

describe('layers that feed a net', () => {
  const feeds: Readonly<Record<string, Fields>> = {
    Input: { input_param: { shape: { dim: ['2', '4', '5', '6'] } } },
    Data: { transform_param: {}, data_param: { crop_size: '5' } },
    ImageData: { transform_param: {}, image_data_param: { new_height: '5', new_width: '6' } },
    WindowData: { transform_param: {}, window_data_param: { crop_size: '5' } },
    MemoryData: { transform_param: {}, memory_data_param: { channels: '4', height: '5', width: '6' } },
    DummyData: { dummy_data_param: { channels: '4', height: '5', width: '6' } },
    HDF5Data: { hdf5_data_param: { source: '"x"' } },
    AnnotatedData: { transform_param: { resize_param: { height: '5', width: '6' } }, data_param: {}, annotated_data_param: {} },
  };
  const blobs = { conv: [blob(3, 4, 3, 3), blob(3)] };
  const text = (type: string, blocks: Fields) =>
    `layer { name: "feed" type: "${type}" top: "data" ${textOf(blocks)} } layer { name: "conv" type: "Convolution" bottom: "data" top: "out" convolution_param { num_output: 3 kernel_size: 3 } }`;
  const places = Object.entries(feeds).flatMap(([type, blocks]) => Object.keys(blocks).map((block) => ({ type, block, blocks })));

  it.each(places)('$type: a field that $block does not have is named', async ({ type, block, blocks }) => {
    const planted = { ...blocks, [block]: { ...(blocks[block] as Fields), zzz: '17' } };
    expect((await refusal(text(type, planted), blobs)).message).toMatch(new RegExp(`"feed".*${block}.zzz 17`));
    expect((await refusal(text(type, { ...blocks, zzz: '17' }), blobs)).message).toMatch(/"feed".* zzz 17/);
  });

  it('a field that a message in a message does not have is named', async () => {
    const planted = { transform_param: { resize_param: { height: '5', width: '6', zzz: '17' } } };
    expect((await refusal(text('AnnotatedData', planted), blobs)).message).toMatch(/transform_param.resize_param.zzz 17/);
  });

  it.each(places)('$type: each field of $block is told, or known to be without effect', async ({ type, block, blocks }) => {
    const plain = await documentOf(text(type, blocks), blobs);
    const own = SCHEMA.get(SCHEMA.get('Layer')!.byName.get(block)!.type)!;
    for (const field of own.byName.values()) {
      if (isMessage(field)) continue;
      const outcomes = await Promise.all(
        // Both sides of a crop are needed.
        oddValues(field).map((value) => {
          const pair = { crop_h: { crop_w: '3' }, crop_w: { crop_h: '3' } }[field.name] ?? {};
          return documentOf(text(type, { ...blocks, [block]: { ...(blocks[block] as Fields), ...pair, [field.name]: value } }), blobs).catch((error: unknown) =>
            String(error),
          );
        }),
      );
      const changes = outcomes.filter((outcome) => outcome !== plain);
      if (field.idle === true) expect([field.name, changes]).toEqual([field.name, []]);
      else expect(changes.length, `${type}: ${block}.${field.name} is not told`).toBeGreaterThan(0);
    }
  });
});

describe('losses that become activations', () => {
  const text = (type: string, more: string) =>
    `input: "data" input_shape { dim: 2 dim: 4 } layer { name: "loss" type: "${type}" bottom: "data" bottom: "label" top: "loss" ${more} }`;
  it.each([
    ['SoftmaxWithLoss', 'zzz: 17', / zzz 17/],
    ['SoftmaxWithLoss', 'softmax_param { zzz: 17 }', /softmax_param.zzz 17/],
    ['SoftmaxWithLoss', 'loss_param { zzz: 17 }', /loss_param.zzz 17/],
    ['SigmoidCrossEntropyLoss', 'loss_param { zzz: 17 }', /loss_param.zzz 17/],
    ['SigmoidCrossEntropyLoss', 'softmax_param { axis: 1 }', /softmax_param/],
  ])('%s with %s names it', async (type, more, words) => {
    expect((await refusal(text(type, more), {})).message).toMatch(words);
  });

  it('may have what only training looks at', async () => {
    expect(await documentOf(text('SoftmaxWithLoss', 'loss_weight: 2 loss_param { ignore_label: 255 normalize: false normalization: NONE }'), {})).toBe(
      await documentOf(text('SoftmaxWithLoss', ''), {}),
    );
  });
});

describe('binary descriptions', () => {
  /** A net of one pooling, with more in one of its messages. */
  const binary = (place: string, more: (message: MessageBuilder) => void) => {
    const built = (name: string, message: MessageBuilder) => {
      if (name === place) more(message);
      return message;
    };
    const pooling = built('pooling', new MessageBuilder().int(1, 1).int(2, 3).int(3, 2));
    const wired = (name: string, type: string, from: string) => new MessageBuilder().string(1, name).string(2, type).string(3, from).string(4, name);
    const shape = new MessageBuilder();
    for (const size of [2, 4, 5, 6]) shape.int(1, size);
    const net = new MessageBuilder()
      .string(1, 'made')
      .string(3, 'data')
      .message(8, built('shape', shape))
      .message(100, built('layer pool', wired('pool', 'Pooling', 'data').message(121, pooling)))
      .message(
        100,
        built('layer out', wired('out', 'ReLU', 'pool').message(123, built('relu', new MessageBuilder())).message(6, built('param', new MessageBuilder()))),
      );
    return bytesOf(built('net', net));
  };
  const open = async (description: Uint8Array) => (await openModel(filesOf(description, caffemodel({})), {})).map();

  it('mean what the text means', async () => {
    const text =
      'name: "made" input: "data" input_shape { dim: 2 dim: 4 dim: 5 dim: 6 } layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } } layer { name: "out" type: "ReLU" bottom: "pool" top: "out" }';
    expect(JSON.stringify((await open(binary('', () => {}))).layers)).toBe(JSON.stringify((await open(new TextEncoder().encode(text))).layers));
  });

  it.each([
    ['shape', /input_shape.field 999 17/],
    ['pooling', /"pool".*pooling_param.field 999 17/],
    ['relu', /"out".*relu_param.field 999 17/],
    ['layer pool', /"pool".* field 999 17/],
    ['param', /"out".*param.field 999 17/],
  ])('a field of %s that is not known is named', async (place, words) => {
    expect(
      (
        await refusal(
          binary(place, (message) => void message.int(999, 17)),
          {},
        )
      ).message,
    ).toMatch(words);
  });

  it('a net with a field that is not known is no Caffe net', async () => {
    expect(
      (
        await refusal(
          binary('net', (message) => void message.int(999, 17)),
          {},
        )
      ).message,
    ).toMatch(/no field 999/);
  });

  it('numbers that mean a message in one fork and arithmetic in another are told apart', async () => {
    const plain = JSON.stringify(await open(binary('', () => {})));
    // forward_type FLOAT16 of NVIDIA's, where BVLC has parameter_param.
    expect(JSON.stringify(await open(binary('layer out', (message) => void message.int(145, 2))))).toBe(plain);
    expect(
      (
        await refusal(
          binary('layer out', (message) => void message.message(145, new MessageBuilder())),
          {},
        )
      ).message,
    ).toMatch(/parameter_param/);
  });

  it('a method that is not known is named', async () => {
    expect(
      (
        await refusal(
          binary('pooling', (message) => void message.int(1, 9)),
          {},
        )
      ).message,
    ).toMatch(/pool 9/);
  });
});

describe('scalars of the text format', () => {
  const map = (params: string) =>
    documentOf(
      `input: "data" input_shape { dim: 2 dim: 4 dim: 5 dim: 6 } layer { name: "out" type: "Pooling" bottom: "data" top: "out" pooling_param { ${params} } }`,
      {},
    );

  it.each([
    ['kernel_size: 3 pool: 1', 'kernel_size: 3 pool: AVE'],
    ['kernel_size: 0x3 stride: 02', 'kernel_size: 3 stride: 2'],
    ...['true', 'True', 't', '1'].map((word) => [`global_pooling: ${word}`, 'global_pooling: true']),
    ...['false', 'False', 'f', '0'].map((word) => [`kernel_size: 2 ceil_mode: ${word}`, 'kernel_size: 2 ceil_mode: false']),
    ['kernel_size: [3, 2]; stride: 2,', 'kernel_size: 3 kernel_size: 2 stride: 2'],
  ])('%s is %s', async (one, other) => {
    expect(await map(one!)).toBe(await map(other!));
  });

  it.each(['inf', '-Infinity', '1e3f', '.5', '2.F', '-3'])('%s is a number', async (text) => {
    const out = await documentOf(
      `input: "data" input_shape { dim: 2 dim: 4 } layer { name: "out" type: "Clip" bottom: "data" top: "out" clip_param { min: ${text} max: 9 } }`,
      {},
    );
    const value = Number(
      text
        .replace(/f$/i, '')
        .replace(/^(-?)inf.*/i, '$1Infinity')
        .replace(/^(-?)in$/i, '$1Infinity'),
    );
    expect(JSON.parse(out).layers[0].attributes.min).toBe(Number.isFinite(value) ? value : null);
  });

  it.each([
    ['global_pooling: yes', /global_pooling is "yes", where true or false/],
    ['global_pooling: 2', /where true or false/],
    ['global_pooling: "true"', /where true or false/],
    ['pool: MEAN', /pool is "MEAN", where MAX, AVE or STOCHASTIC/],
    ['pool: 7', /where MAX, AVE or STOCHASTIC/],
    ['kernel_size: 2.5', /a whole number of at least 0/],
    ['kernel_size: -1', /a whole number of at least 0/],
    ['kernel_size: 09', /a whole number/],
    ['kernel_size: 99999999999999999999', /a whole number/],
    ['kernel_size { }', /kernel_size holds fields/],
    ['kernel_h: 2 kernel_h: 3', /kernel_h is given a second time/],
  ])('%s is refused, with its line', async (params, words) => {
    const error = await refusal(
      `input: "data"\ninput_dim: 2 input_dim: 4 input_dim: 5 input_dim: 6\nlayer { name: "out" type: "Pooling" bottom: "data" top: "out" pooling_param {\n${params} } }`,
    );
    expect(error.message).toMatch(words);
    expect(error.message).toMatch(/line 4/);
  });

  it('a message where a scalar stands is refused', async () => {
    expect((await refusal('layer: 3')).message).toMatch(/fields in braces/);
    expect((await refusal('input: data')).message).toMatch(/a string in quotes/);
  });
});

describe('docs/caffe.md', () => {
  const page = readFileSync(new URL('../../docs/caffe.md', import.meta.url), 'utf8');
  const cells = page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|')[1]!);
  it('has a row for every type of layer', () => {
    const listed = cells.flatMap((cell) => cell.split(/[ ,`]+/));
    expect(Object.keys(RULES).filter((type) => !listed.includes(type))).toEqual([]);
  });
});
