// @module-tag slow
/** Nets in files that name no layers, in the order that Keras's summaries print. */
import { describe, expect, it } from 'vitest';
import { inKerasOrder, isUnnamed } from '../../src/architectures/keras-order.js';
import { recogniseUnnamedKeras } from '../../src/architectures/recognise.js';
import { blankStore, type OrderedLayer } from '../../src/architectures/store.js';
import type { Layer } from '../../src/model/layer-map.js';
import type { Tensor } from '../../src/model/tensor.js';
import { wireKerasWeights } from '../../src/readers/keras/wire.js';
import { atOnce } from './at-once.js';
import { storedLayers } from './keras-stored.js';

const options = { file: 'model.weights.h5', format: 'keras-h5', producer: null };

function classOf({ name, tensors }: OrderedLayer): string {
  if (/layernorm/.test(name)) return 'layer_normalization';
  if (/layer_scale$/.test(name)) return 'layer_scale';
  const [first, second] = tensors.map(({ shape }) => shape) as [readonly number[], readonly number[] | undefined];
  if (tensors.length > 2 && first.length === 1) return tensors.at(-1)!.shape.length === 0 ? 'normalization' : 'batch_normalization';
  if (first.length === 2) return 'dense';
  if (second?.length === 4) return 'separable_conv2d';
  return first[3] === 1 && first[2]! > 1 ? 'depthwise_conv2d' : 'conv2d';
}

/** Groups by class, in the given order; tensors bear the names of their layers. */
function unnamed(layers: readonly OrderedLayer[]): OrderedLayer[] {
  const counts = new Map<string, number>();
  return layers.map((layer) => {
    const holder = layers.some(({ name }) => name.endsWith('layer_scale')) ? holderOf(layer.name) : '';
    const kind = `${holder}layers/${classOf(layer)}`;
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return { name: `${kind}${count === 0 ? '' : `_${count}`}`, tensors: layer.tensors.map((tensor) => ({ ...tensor, name: `${layer.name}/vars` })) };
  });
}

/** ConvNeXt keeps its stem and what makes pictures smaller in Sequential models. */
function holderOf(name: string): string {
  const [, place] = /_downsampling_\w+_(\d)$/.exec(name) ?? [];
  if (place !== undefined) return `layers/sequential_${Number(place) + 1}/`;
  return /^mine_stem_(conv|layernorm)$/.test(name) ? 'layers/sequential/' : '';
}

/** Moves a layer before another one. */
function before(layers: readonly OrderedLayer[], moved: string, place: string): OrderedLayer[] {
  const one = layers.find(({ name }) => name === moved)!;
  return layers.filter((layer) => layer !== one).flatMap((layer) => (layer.name === place ? [one, layer] : [layer]));
}

/** In a block that changes its size, what goes around stands before the last of its branch. */
function aroundLast(layers: readonly OrderedLayer[]): OrderedLayer[] {
  return layers
    .map(({ name }) => name)
    .filter((name) => /_0_(conv|bn)$/.test(name))
    .reduce((moved, name) => before(moved, name, name.replace('_0_', '_3_')), [...layers]);
}

/** Where a sum has its branch first, what goes around it stands behind the last of its class in the branch. */
function behind(pairs: Readonly<Record<string, string>>) {
  return (layers: readonly OrderedLayer[]) =>
    Object.entries(pairs).reduce<OrderedLayer[]>(
      (all, [around, last]) => {
        const moved = all.filter(({ name }) => name.endsWith(around));
        return all
          .filter((layer) => !moved.includes(layer))
          .flatMap((layer) => [layer, ...moved.filter(({ name }) => name.slice(0, -around.length) + last === layer.name)]);
      },
      [...layers],
    );
}

const asTheyRun = (layers: readonly OrderedLayer[]) => [...layers];

const NETS: Readonly<Record<string, (layers: readonly OrderedLayer[]) => OrderedLayer[]>> = {
  ...Object.fromEntries(['vgg16', 'mobilenet_v2', 'densenet121', 'efficientnet_b0', 'efficientnet_v2_b0', 'convnext_tiny'].map((name) => [name, asTheyRun])),
  resnet50: aroundLast,
  resnet50v2: aroundLast,
  ...Object.fromEntries(['regnetx002', 'regnety002'].map((name) => [name, behind({ skip_1x1: 'conv_1x1_2', skip_bn: 'conv_1x1_2_bn' })])),
  resnet_rs_50: behind({ projection_conv: 'se_se_expand', projection_batch_norm: 'batch_norm_3' }),
  nasnet_mobile: (layers) => {
    const order = nasnetOrder(4, 44, 32);
    return layers.toSorted((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  },
};

it.each(Object.keys(NETS))('%s is recognised, each layer with its own weights', (name) => {
  const layers = unnamed(NETS[name]!(storedLayers(name)));
  expect(isUnnamed(layers)).toBe(true);
  const { map, unknown } = atOnce(recogniseUnnamedKeras(layers, options));
  expect(unknown).toBeUndefined();
  expect(map!.architecture!.assumed.join()).toContain('the file names no layers');
  const weighty = map!.layers.filter(({ op, weights }) => /^(Conv|BatchNormalization|Gemm)$/.test(op) && Object.keys(weights).length > 0);
  const sources = weighty.map(({ weights }) => Object.values(weights)[0]!.name.replace(/\/vars.*$/, ''));
  // A net that is a chain has its layers in the order in which they run; others are told by the names that they have here.
  const isMap = ({ name: own }: OrderedLayer) => own !== 'normalization';
  if (NETS[name] === asTheyRun && name !== 'convnext_tiny')
    expect(sources).toEqual(
      storedLayers(name)
        .filter(isMap)
        .map((layer) => layer.name),
    );
  else expect(sources.map(plain)).toEqual(weighty.map((layer) => plain(layer.name.replace(/\.depthwise$/, ''))));
});

/** Without the net's own name, which stands before some. */
const plain = (name: string) => name.replace(/^mine/, '');

/** Names of NASNet's layers in the order of Keras's model, which is made here as keras/src/applications/nasnet.py makes it. */
function nasnetOrder(cells: number, filters: number, stem: number): string[] {
  interface Node {
    readonly name: string;
    readonly from: readonly Node[];
    readonly width: number;
    readonly size: number;
  }
  let unnamedCount = 0;
  const layer = (from: readonly Node[], name = `layer_${unnamedCount++}`, width = from[0]!.width, size = from[0]!.size): Node => ({ name, from, width, size });
  const halved = (node: Node) => Math.ceil(node.size / 2);
  const separable = (ip: Node, width: number, id: string, strides = false): Node => {
    let x = layer([ip]);
    if (strides) x = layer([x], `separable_conv_1_pad_${id}`);
    x = layer([x], `separable_conv_1_${id}`, width, strides ? halved(ip) : ip.size);
    x = layer([layer([x], `separable_conv_1_bn_${id}`)]);
    return layer([layer([x], `separable_conv_2_${id}`)], `separable_conv_2_bn_${id}`);
  };
  const adjusted = (p: Node | null, ip: Node, width: number, id: string): Node => {
    if (!p) return ip;
    if (p.size !== ip.size) {
      const seen = layer([p]);
      const one = layer([layer([seen], undefined, undefined, ip.size)], `adjust_conv_1_${id}`, width / 2);
      const two = layer([layer([layer([layer([seen])])], undefined, undefined, ip.size)], `adjust_conv_2_${id}`, width / 2);
      return layer([layer([one, two], undefined, width)], `adjust_bn_${id}`);
    }
    return p.width === width ? p : layer([layer([layer([p])], `adjust_conv_projection_${id}`, width)], `adjust_bn_${id}`);
  };
  const normal = (ip: Node, before: Node | null, width: number, id: string): Node => {
    const p = adjusted(before, ip, width, id);
    const h = layer([layer([layer([ip])], `normal_conv_1_${id}`, width)], `normal_bn_1_${id}`);
    const part = (from: Node, place: string) => separable(from, width, `normal_${place}_${id}`);
    const x1 = layer([part(h, 'left1'), part(p, 'right1')]);
    const x2 = layer([part(p, 'left2'), part(p, 'right2')]);
    const x3 = layer([layer([h]), p]);
    const x4 = layer([layer([p]), layer([p])]);
    return layer([p, x1, x2, x3, x4, layer([part(h, 'left5'), h])], undefined, 6 * width);
  };
  const reduction = (ip: Node, before: Node | null, width: number, id: string): Node => {
    const p = adjusted(before, ip, width, id);
    const h = layer([layer([layer([ip])], `reduction_conv_1_${id}`, width)], `reduction_bn_1_${id}`);
    const h3 = layer([h]);
    const part = (from: Node, place: string, strides = true) => separable(from, width, `reduction_${place}_${id}`, strides);
    const pooled = () => layer([h3], undefined, width, halved(h));
    const x1 = layer([part(h, 'left1'), part(p, 'right1')]);
    const x2 = layer([pooled(), part(p, 'right2')]);
    const x3 = layer([pooled(), part(p, 'right3')]);
    const x4 = layer([x2, layer([x1])]);
    return layer([x2, x3, x4, layer([part(x1, 'left4', false), pooled()])], undefined, 4 * width);
  };
  let p: Node | null = null;
  let x = layer([layer([], 'stem_conv1', stem, 111)], 'stem_bn1');
  const step = (cell: typeof normal, width: number, id: string) => {
    const made = cell(x, p, width, id);
    p = x;
    x = made;
  };
  step(reduction, filters / 4, 'stem_1');
  step(reduction, filters / 2, 'stem_2');
  for (const group of [0, 1, 2]) {
    if (group > 0) step(reduction, filters * 2 ** group, `reduce_${group * cells}`);
    for (let i = 0; i < cells; i++) step(normal, filters * 2 ** group, String(group * cells + i + Math.min(group, 1)));
  }
  const last = layer([layer([layer([x])])], 'predictions');
  // Keras walks from the output, and gives each layer its distance.
  const met: Node[] = [];
  const finished: Node[] = [];
  const walk = (node: Node) => {
    if (met.includes(node)) return;
    met.push(node);
    node.from.forEach(walk);
    finished.push(node);
  };
  walk(last);
  const depths = new Map<Node, number>();
  for (const node of finished.toReversed()) for (const one of node.from) depths.set(one, Math.max(depths.get(one) ?? 0, (depths.get(node) ?? 0) + 1));
  const place = (node: Node) => depths.get(node) ?? 0;
  return finished.toSorted((a, b) => place(b) - place(a) || met.indexOf(a) - met.indexOf(b)).map(({ name }) => name);
}

describe("a net of keras.applications in a net of one's own", () => {
  const tensor = (...shape: number[]): Tensor => blankStore('keras').takeParameter('weight', shape)!;
  const dense = (name: string, rows: number, columns: number): OrderedLayer => ({ name, tensors: [tensor(rows, columns), tensor(columns)] });
  const norm = (name: string, size: number): OrderedLayer => ({ name, tensors: [size, size, size, size].map((one) => tensor(one)) });
  const base = unnamed(storedLayers('mobilenet_v2').slice(0, -1));
  const inside = base.map(({ name, tensors }) => ({ name: `layers/functional/${name}`, tensors }));
  const end = (layers: readonly OrderedLayer[]) => {
    const { map, unknown } = atOnce(recogniseUnnamedKeras(layers, options));
    expect(unknown).toBeUndefined();
    expect(map!.architecture!.name).toContain('MobileNet v2');
    return map!.layers.slice(map!.layers.findIndex(({ name }) => name === 'Conv_1_bn') + 2).map(({ op }) => op);
  };

  it.each([
    ['a layer of it', inside, ''],
    ['a layer of a layer of it', inside.map(({ name, tensors }) => ({ name: `layers/sequential_1/${name}`, tensors })), ''],
    ['its beginning', base, '_52'],
  ])('that is %s, with a head whose layers are in no order', (_, own, count) => {
    const head = [norm(`layers/batch_normalization${count}`, 64), dense('layers/dense', 1280, 64), dense('layers/dense_1', 64, 3)];
    expect(end([...head, ...own])).toEqual(['GlobalAveragePool', 'Flatten', 'Gemm', 'Relu', 'BatchNormalization', 'Gemm', 'Softmax']);
  });

  it('without its classifier ends in features', () => {
    expect(end(base)).toEqual([]);
    expect(end(inside)).toEqual([]);
  });

  it('is none with a head that does not fit it', () => {
    expect(atOnce(recogniseUnnamedKeras([...inside, dense('layers/dense', 1281, 3)], options)).map).toBeNull();
    expect(atOnce(recogniseUnnamedKeras([...inside, dense('layers/dense', 1280, 8), dense('layers/dense_1', 9, 3)], options)).map).toBeNull();
  });
});

it('layers of branches come in the order of their distance from the output, as in the first block of Inception v3', () => {
  // The summary that Keras prints: conv2d_8, 6, 9, 5, 7, 10, 11.
  const layer = (name: string, op: string, ...inputs: string[]): Layer => ({ name, op, inputs, outputs: [name], attributes: {}, weights: {} });
  const unit = (i: number, from: string) => [
    layer(`conv_${i}`, 'Conv', from),
    layer(`bn_${i}`, 'BatchNormalization', `conv_${i}`),
    layer(`act_${i}`, 'Relu', `bn_${i}`),
  ];
  const layers = [
    ...[unit(5, 'x'), unit(6, 'x'), unit(7, 'act_6'), unit(8, 'x'), unit(9, 'act_8'), unit(10, 'act_9')].flat(),
    layer('pool', 'AveragePool', 'x'),
    ...unit(11, 'pool'),
    layer('mixed', 'Concat', 'act_5', 'act_7', 'act_10', 'act_11'),
  ];
  const convolutions = inKerasOrder(layers).filter((name) => name.startsWith('conv'));
  expect(convolutions).toEqual([8, 6, 9, 5, 7, 10, 11].map((i) => `conv_${i}`));
});

it('states of random generators are no layers, and a net of nobody is refused', async () => {
  const context = { ...options, options: {} };
  const saved = [
    ...unnamed(storedLayers('vgg16')).map(({ name, tensors }) => ({ layer: name, tensors })),
    { layer: 'layers/dropout/seed_generator', tensors: storedLayers('vgg16')[0]!.tensors.slice(1) },
  ];
  expect((await wireKerasWeights(saved, false, context)).architecture!.name).toContain('VGG-16');
  await expect(wireKerasWeights(saved.slice(1), false, context)).rejects.toThrow('class and its order alone');
});
