/** What Keras stores for its published nets. */
import { Net } from '../../src/architectures/net.js';
import { buildNet, familyNamed } from '../../src/architectures/recognise.js';
import { blankStore, type OrderedLayer, type WeightStore } from '../../src/architectures/store.js';
import type { Tensor } from '../../src/model/tensor.js';

const options = { file: 'model.h5', format: 'keras-h5', producer: null };

/** Which of its family's spellings a net has. */
const SPELLINGS: Readonly<Record<string, number>> = {
  mobilenet_v3_small: 1,
  mobilenet_v3_large_minimalistic: 2,
  mobilenet_v3_small_minimalistic: 3,
};

/** The layers that Keras would store for a published net: its names, its order, its axes; no values. */
export function storedLayers(name: string): OrderedLayer[] {
  const { family, size } = familyNamed(name)!;
  const { spell } = family.spellings.filter(({ ecosystem }) => ecosystem === 'keras')[SPELLINGS[name] ?? (name.startsWith('efficientnet_v2') ? 1 : 0)]!;
  const blank = blankStore('keras');
  const layers: OrderedLayer[] = [];
  const tensor = (shape: readonly number[]): Tensor => blank.takeParameter('weight', shape)!;
  const add = (path: string, shapes: readonly (readonly number[] | undefined)[], isDeep = false) => {
    const names = spell(path)!.split('|');
    // A place of EfficientNet v2 is that of a depthwise convolution or of a block's last.
    const fused = /^block/.test(names[0]!) && !isDeep && names.length > 1 ? 1 : 0;
    const own = names[path.endsWith('.1') && /dwconv2$/.test(layers.at(-1)?.name ?? '') ? 0 : fused]!;
    layers.push({ name: own.startsWith('_') ? `mine${own}` : own, tensors: shapes.filter((shape) => shape !== undefined).map(tensor) });
  };
  const last = (shape: readonly number[] | undefined) => shape && [shape[2]!, shape[3]!, shape[1]!, shape[0]!];
  const deep = (shape: readonly number[] | undefined) => shape && [shape[2]!, shape[3]!, shape[0]!, 1];
  const recording: WeightStore = {
    ...blank,
    take(path, kind, expected) {
      const { kernel, bias, scale, mean, variance, depthwise, pointwise } = expected;
      if (kind === 'norm') add(path, [name.startsWith('inception') ? undefined : scale, bias, mean, variance]);
      else if (kind === 'dense') add(path, [kernel?.toReversed(), bias]);
      else if (kind === 'separable') add(path, [deep(depthwise), last(pointwise), bias]);
      else if (kind === 'layer-norm') add(path, [scale, bias]);
      else add(path, [kind === 'depthwise' && !name.startsWith('convnext') ? deep(kernel) : last(kernel), bias], kind === 'depthwise');
      return blank.take(path, kind, expected);
    },
    takeParameter(path, shape) {
      add(path, [shape.slice(0, 1)]);
      return blank.takeParameter(path, shape);
    },
    takeStatistics(path) {
      add(path, [[3], [3], []]);
      return blank.takeStatistics!(path);
    },
  };
  buildNet(family, size, new Net(recording), options);
  return layers;
}
