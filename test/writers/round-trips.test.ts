// @module-tag slow
/**
 * One small net of every family to every target and back: the weights are the state dict's bit for bit, under its names where the target has
 * room for them, and what a target cannot express is declined, by the name of what it lacks.
 */
import { describe, expect, it } from 'vitest';
import { families } from '../../src/architectures/list.js';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { isModelError } from '../../src/errors.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { elementCount, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { stateOf, withNumbers } from '../../src/writers/pytorch/module.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';

/** The family's net, where it is not called like the family. */
const CASES: Readonly<Record<string, string>> = {
  inception_resnet_v2: 'inception_resnet_v2-timm',
  legacy_xception: 'xception-timm',
  metaformer: 'caformer-timm',
  mobilenet: 'mobilenet-listed',
  nasnet: 'nasnet-keras',
  resnet_rs: 'resnet_rs-keras',
  resnet_v2: 'resnet_v2-keras',
  xception: 'xception-keras',
  mobilenet_v3: 'mobilenet_v3_small',
  mobilevit: 'mobilevit-transformers',
  pvt_v2: 'pvt_v2-transformers',
  regnet: 'regnet_y',
  resnet: 'resnet-basic',
  segmentation: 'fcn_resnet',
  squeezenet: 'squeezenet1_1',
  rcnn: 'fasterrcnn',
  ssd: 'ssd_vgg',
  unet_resnet: 'unet-resnet',
  vgg: 'vgg-small-picture',
  dcgan: 'dcgan-generator',
  cait: 'cait-timm',
  dla: 'dla-timm',
  dpn: 'dpn-timm',
  edgenext: 'edgenext-timm',
  efficientformer: 'efficientformer-timm',
  eva: 'eva02-timm',
  dinov3: 'dinov3-timm',
  hrnet: 'hrnet-timm',
  levit: 'levit-timm',
  timm_blocks: 'lcnet-timm',
  tiny_vit: 'tiny_vit-timm',
  convmixer: 'convmixer-timm',
  davit: 'davit-timm',
  hgnet: 'hgnet-timm',
  inception_next: 'inception_next-timm',
  repvit: 'repvit-timm',
  rexnet: 'rexnet-timm',
  selecsls: 'selecsls-timm',
  starnet: 'starnet-timm',
  preact_resnet: 'preact_resnet-timm',
  pit: 'pit-timm',
  sknet: 'sknet-timm',
  xcit: 'xcit-timm',
  vovnet: 'vovnet-timm',
  cspnet: 'cspnet-timm',
  efficientvit: 'efficientvit-timm',
  nfnet: 'nfnet-timm',
  tresnet: 'tresnet-timm',
  twins: 'twins-timm',
};

const TARGETS = [
  ['onnx', 'model.onnx'],
  ['tfjs', 'model.json'],
  ['tfjs-graph', 'model.json'],
  ['keras-h5', 'model.h5'],
  ['keras-v3', 'model.keras'],
  ['caffe', 'model.caffemodel'],
  ['pytorch', 'model.pth'],
  ['safetensors', 'model.safetensors'],
] as const;

const WITHOUT_LAYERS =
  'twins efficientvit efficientformer cait xcit davit eva dinov3 edgenext levit pit tiny_vit metaformer mobilevit pvt_v2 segformer ssd vit beit clip convnext swin maxvit fast_neural_style cyclegan facenet'.split(
    ' ',
  );
const WITHOUT_CAFFE =
  'twins efficientvit efficientformer cait xcit davit eva dinov3 pit convmixer inception_next repvit edgenext levit tiny_vit metaformer mobilevit pvt_v2 segformer vit beit clip mixer swin maxvit convnext'.split(
    ' ',
  );

/** What a target has no word for: in which families, and what the refusal names. */
const DECLINED: Readonly<Record<string, { readonly families: readonly string[]; readonly words: RegExp }>> = {
  tfjs: { families: WITHOUT_LAYERS, words: /TensorFlow.js has no such layer, but a graph model/ },
  caffe: { families: WITHOUT_CAFFE, words: /with erf|Erf has no translation|two values that flow in/ },
};
/** Convolutions in groups become as many, each with its part of the kernel. */
const IN_GROUPS: Readonly<Record<string, readonly string[]>> = { tfjs: ['dpn', 'nfnet', 'regnet'], 'tfjs-graph': ['dpn', 'efficientvit', 'nfnet', 'regnet'] };

/** Names of weights of more than a few elements, by their bytes. */
async function values(tensors: readonly Tensor[]): Promise<Map<string, string>> {
  const large = tensors.filter(({ dtype, shape }) => dtype === 'float32' && elementCount(shape) > 2);
  return new Map(await Promise.all(large.map(async (tensor) => [Buffer.from(await tensorBytes(tensor)).toString('base64'), tensor.name] as const)));
}

const weightsOf = ({ layers }: LayerMap) => layers.flatMap(({ weights }) => Object.values(weights));

const folderOf = (family: string) => ARCHITECTURE_CASES.find(({ title }) => title === `architectures/${CASES[family] ?? family}`)?.folder;

it('has a net of every family', () => {
  expect(families.filter(({ name }) => folderOf(name) === undefined).map(({ name }) => name)).toEqual([]);
});

describe.each(families.map(({ name }) => name))('%s', (family) => {
  const folder = folderOf(family)!;

  it.each(TARGETS)('goes to %s and comes back', async (to, name) => {
    const { files, options } = openDialect(folder);
    const source = await openModel(files, options);
    const sink = memorySink();
    const refusal = DECLINED[to]?.families.includes(family) ? DECLINED[to].words : undefined;
    let result: Awaited<ReturnType<typeof convert>>;
    try {
      result = await convert(files, sink, name, { ...(to === 'safetensors' ? {} : options), to });
    } catch (error) {
      if (!isModelError(error) || !refusal) throw error;
      expect(error.message).toMatch(refusal);
      expect(sink.files.size).toBe(0);
      return;
    }
    expect(refusal, 'declined').toBeUndefined();
    const back = await openModel(memoryFileSet(Object.fromEntries(sink.files), name), { from: to });
    const stored = back.tensors.map(({ tensor }) => tensor);
    if (to === 'safetensors' || to === 'pytorch') {
      const known = new Map(stored.map((tensor) => [tensor.name, tensor]));
      for (const { tensor } of source.tensors.filter(({ tensor }) => known.has(tensor.name))) {
        expect(known.get(tensor.name)!.shape, tensor.name).toEqual(tensor.shape);
        expect(Buffer.from(await tensorBytes(known.get(tensor.name)!)).equals(Buffer.from(await tensorBytes(tensor))), tensor.name).toBe(true);
      }
      const own = source.tensors.filter(({ tensor }) => tensor.dtype === 'float32');
      if (to === 'safetensors') expect(known.size).toBeGreaterThanOrEqual(own.length);
    }
    const map = result.map ?? (await source.map());
    const after = to === 'safetensors' || to === 'pytorch' ? stored : weightsOf(await back.map());
    const own = () => source.tensors.map(({ tensor }) => tensor);
    const kept = async () => stateOf(await withNumbers(map.layers)).map(({ tensor }) => tensor);
    const before = to === 'safetensors' ? own() : to === 'pytorch' ? await kept() : weightsOf(map);
    const found = await values(after);
    const missing = [...(await values(before))].filter(([bytes]) => !found.has(bytes));
    // Where pictures are channels-last, rows of a matrix behind Flatten stand in that order, and constants have other axes last.
    const turned = to.startsWith('tfjs') || to.startsWith('keras') ? new Set([...found.keys()].map(sorted)) : new Set<string>();
    const lost = missing.filter(([bytes]) => !turned.has(sorted(bytes))).map(([, name]) => name);
    if (!IN_GROUPS[to]?.includes(family)) expect(lost).toEqual([]);
  });
});

describe('features that are averaged over windows of several sizes', () => {
  it.each(['keras-h5', 'keras-v3'])('reach the dense layer behind them in their order: %s', async (to) => {
    const folder = ARCHITECTURE_CASES.find(({ title }) => title === 'architectures/vgg-small-picture')!.folder;
    const { files, options } = openDialect(folder);
    const sink = memorySink();
    // 3 x 3 features for 7 x 7 places.
    const result = await convert(files, sink, 'model.h5', { ...options, inputShape: [1, 3, 96, 96], to });
    const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'model.h5'), path: 'model.h5', format: to };
    const report = await verifyConversion({ source: { files, path: 'model.pth' }, model: result.model, map: result.map, target });
    expect(report.verdict).toBe('match');
  });
});

describe('by way of ONNX', () => {
  it.each(['convnext', 'vit', 'ssd_vgg', 'resnet-bottleneck', 'swin', 'swin-timm', 'maxvit', 'regnet_y'])(
    '%s comes back to PyTorch under the names and in the shapes of its own class',
    async (name) => {
      const { files, options } = openDialect(ARCHITECTURE_CASES.find(({ title }) => title === `architectures/${name}`)!.folder);
      const there = memorySink();
      await convert(files, there, 'model.onnx', { ...options, to: 'onnx' });
      const back = memorySink();
      await convert(memoryFileSet(Object.fromEntries(there.files), 'model.onnx'), back, 'model.pth', { to: 'pytorch' });
      const found = await openModel(memoryFileSet(Object.fromEntries(back.files), 'model.pth'), { from: 'pytorch' });
      const shapes = (all: readonly { readonly tensor: Tensor }[]) =>
        Object.fromEntries(all.flatMap(({ tensor }) => (tensor.dtype === 'float32' ? [[tensor.name, tensor.shape]] : [])));
      expect(shapes(found.tensors)).toEqual(shapes((await openModel(files, options)).tensors));
    },
  );
});

/** The numbers of a weight, whatever their order. */
function sorted(bytes: string): string {
  const buffer = Buffer.from(bytes, 'base64');
  return Array.from({ length: buffer.byteLength / 4 }, (_, i) => buffer.readInt32LE(4 * i))
    .sort((a, b) => a - b)
    .join();
}
