/** PyTorch as a target: padding that depends on sizes, and matrices as nn.Linear has them. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { derivationNames } from '../../src/model/derivations.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { DERIVED } from '../../src/writers/pytorch/derived.js';
import { stateOf, withNumbers } from '../../src/writers/pytorch/module.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { exportedFile, ints, type Node, tensor } from '../exported-files.js';

const folderOf = (name: string) => ARCHITECTURE_CASES.find(({ title }) => title === `architectures/${name}`)!.folder;

async function written(name: string) {
  const { files, options } = openDialect(folderOf(name));
  const sink = memorySink();
  const result = await convert(files, sink, 'model.pth', { ...options, to: 'pytorch' });
  return { files, options, result, made: memoryFileSet(Object.fromEntries(sink.files), 'model.pth') };
}

describe('a net that pads as TensorFlow does', () => {
  it('has the numbers for the size of picture that it takes, and says which', async () => {
    const { result, made } = await written('efficientnet_v2-timm-tf');
    const notice = result.warnings.find(({ code }) => code === 'padding-in-numbers');
    expect(notice?.message).toContain('32 x 32');
    const source = await (await made.open('model.py')).read(0, (await made.open('model.py')).byteLength);
    expect(new TextDecoder().decode(source)).toMatch(/F\.pad\(\w+, \(0, 1, 0, 1/);
  });

  it('says nothing of it where no layer pads so', async () => {
    const { result } = await written('resnet-basic');
    expect(result.warnings.map(({ code }) => code)).not.toContain('padding-in-numbers');
  });
});

/** Weights that PyTorch keeps apart in training are put together, under the names of the net's class without them. */
const REPARAMETRISED = /-(weight|spectral)-norm$/;
/** What a framework's own file counts, and none of its classes asks for. */
const COUNTER = /num_batches_tracked$/;
const RECOGNISED = ARCHITECTURE_CASES.filter(({ title, folder }) => !/\/own-/.test(title) && !REPARAMETRISED.test(title) && hasStateDict(folder));

function hasStateDict(folder: string): boolean {
  return readdirSync(folder).some((name) => /^model\.(pth|safetensors)$/.test(name));
}

describe('a recognised state dict', () => {
  it('is one of nearly every fixture', () => expect(RECOGNISED.length).toBeGreaterThanOrEqual(235));

  // Small nets, whose state dicts their own frameworks made: the classes load what was written strictly.
  it.each(RECOGNISED)('$title comes out with every tensor that its class has, bit for bit, and no other', { tags: 'slow' }, async ({ title }) => {
    const { files, options, result, made } = await written(title.replace('architectures/', ''));
    const { wrapper = '' } = result.map!;
    const own = (await openModel(files, options)).tensors.filter(({ beside, tensor }) => !beside && !COUNTER.test(tensor.name));
    const found = new Map((await openModel(made, { from: 'pytorch' })).tensors.map(({ tensor }) => [tensor.name, tensor]));
    expect([...found.keys()].sort()).toEqual(own.map(({ tensor }) => tensor.name.slice(wrapper.length)).sort());
    for (const { tensor } of own) {
      const back = found.get(tensor.name.slice(wrapper.length))!;
      expect([back.dtype, back.shape], tensor.name).toEqual([tensor.dtype, tensor.shape]);
      expect(Buffer.from(await tensorBytes(back)).equals(Buffer.from(await tensorBytes(tensor))), tensor.name).toBe(true);
    }
    expect(result.warnings.map(({ code }) => code)).not.toContain('other-weights');
  });

  it.each(['resnet-data-parallel'])('%s loses what stands before all names, and says so', async (name) => {
    const { result, made } = await written(name);
    expect(result.warnings.find(({ code }) => code === 'class-names')?.message).toContain('"module."');
    expect((await openModel(made, { from: 'pytorch' })).tensors.map(({ tensor }) => tensor.name)).toContain('layer1.0.conv1.weight');
  });

  it.each(['swin', 'swin_v2', 'nfnet-timm', 'xcit-timm', 'levit-timm', 'beit', 'googlenet'])(
    '%s verifies, with weights that the module works out',
    async (name) => {
      const { files, result, made } = await written(name);
      const report = await verifyConversion({
        source: { files, path: join(folderOf(name), 'model.pth') },
        model: result.model,
        map: result.map,
        target: { files: made, path: 'model.pth', format: 'pytorch' },
      });
      expect(report.verdict).toBe('match');
    },
  );

  it('goes without the heads of training once the net is cut', async () => {
    const { files, options } = openDialect(folderOf('googlenet'));
    const sink = memorySink();
    const { map } = await convert(files, sink, 'model.pth', { ...options, until: 'inception3a.branch1.conv' });
    expect(map!.beside).toBeUndefined();
    const { tensors } = await openModel(memoryFileSet(Object.fromEntries(sink.files), 'model.pth'), { from: 'pytorch' });
    expect(tensors.filter(({ tensor }) => tensor.name.startsWith('aux'))).toEqual([]);
  });

  it('works out every weight in the way that the net does: each way has a function in Python, but for those of Keras', () => {
    expect(derivationNames.filter((name) => !Object.hasOwn(DERIVED, name))).toEqual(['one-over-deviations']);
  });
});

describe('a transformer', () => {
  it('has its matrices [out, in], under their own names, and verifies', async () => {
    const { files, result, made } = await written('vit');
    const source = await openModel(files, { from: 'pytorch' });
    const own = new Map((await openModel(made, { from: 'pytorch' })).tensors.map(({ tensor }) => [tensor.name, tensor]));
    const name = 'encoder.layers.encoder_layer_0.mlp.0.weight';
    const { tensor } = source.tensors.find((one) => one.tensor.name === name)!;
    expect(own.get(name)!.shape).toEqual(tensor.shape);
    expect(Buffer.from(await tensorBytes(own.get(name)!)).equals(Buffer.from(await tensorBytes(tensor)))).toBe(true);
    const report = await verifyConversion({
      source: { files, path: join(folderOf('vit'), 'model.pth') },
      model: result.model,
      map: result.map,
      target: { files: made, path: 'model.pth', format: 'pytorch' },
    });
    expect(report.verdict).toBe('match');
  });
});

describe('a module in Python', () => {
  const source = async (nodes: readonly Node[], output: string) => {
    const sink = memorySink();
    await convert(exportedFile({ parameters: {}, sizes: [2, 4, 6], nodes, output: tensor(output) }), sink, 'model.pth', { to: 'pytorch', simplify: false });
    return new TextDecoder().decode(sink.files.get('model.py')!);
  };
  const integers = (target: string, values: Readonly<Record<string, number>>, output: string): Node => ({
    target: `torch.ops.aten.${target}`,
    inputs: [['self', tensor('x')], ...Object.entries(values).map(([name, value]) => [name, { as_int: value }] as const)],
    outputs: [tensor(output)],
  });

  it('takes every so many elements where a slice has steps, and turns an axis around where they go backwards', async () => {
    expect(await source([integers('slice.Tensor', { dim: 1, start: 1, end: 4, step: 2 }, 's')], 's')).toContain('[:, 1:4:2]');
    expect(await source([integers('slice.Tensor', { dim: 2, start: 1, end: 5, step: 1 }, 's')], 's')).toMatch(/\[:, :, 1:5\]/);
    const flip: Node = {
      target: 'torch.ops.aten.flip.default',
      inputs: [
        ['self', tensor('x')],
        ['dims', ints(0, 2)],
      ],
      outputs: [tensor('f')],
    };
    expect(await source([flip], 'f')).toMatch(/= x\.flip\(\(0, 2\)\)\n/);
  });

  it('has a number that layers share once', async () => {
    const operand = float32Tensor('scale', [], [32], { file: 'made' });
    const layers = ['a', 'b'].map((name) =>
      makeLayer({ name, op: 'Mul', inputs: ['x'], outputs: [name], weights: { operand: { ...operand, known: undefined } } }),
    );
    const shared = layers.map((layer) => ({ ...layer, weights: layers[0]!.weights }));
    expect(stateOf(await withNumbers(shared)).map(({ name }) => name)).toEqual(['scale', 'scale']);
  });

  it('calls no part of itself as nn.Module calls its own', async () => {
    const gelu: Node = {
      target: 'torch.ops.aten.gelu.default',
      inputs: [
        ['self', tensor('x')],
        ['approximate', { as_string: 'tanh' }, 'keyword'],
      ],
      outputs: [tensor('g')],
    };
    const python = await source([gelu], 'g');
    expect(python).toMatch(/put\(self, "[^"]+",/);
    expect(python).not.toMatch(/put\(self, "([^"]*\.)?half[".]/);
  });
});
