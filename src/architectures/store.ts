/**
 * Weights without wiring, asked for by module and role.
 *
 * A family names modules as torchvision does (or as its paper does); a store knows how its source spells them, which tensors belong
 * to a module, and how they are laid out. What a family asks for is marked as used; what is left over was not understood.
 */
import type { ByteSource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { derive } from '../model/derivations.js';
import { elementCount, flip, float32Tensor, permute, reshape, storedTensor, type Tensor } from '../model/tensor.js';

/** What a module computes, which tells its tensors. */
export type ModuleKind = 'conv' | 'depthwise' | 'separable' | 'dense' | 'norm' | 'layer-norm';

/** Who made the net: the same weights mean different paddings, strides and epsilons in different houses. A port to PyTorch has TensorFlow's. */
export type Ecosystem = 'torchvision' | 'timm' | 'transformers' | 'tensorflow-port' | 'keras' | 'caffe';

export type Weights = Readonly<Record<string, Tensor>>;
/** Shapes by role, in the layer map's layouts. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

export interface WeightStore {
  readonly ecosystem: Ecosystem;
  /** The source's own names of all modules, in its order. */
  readonly modules: readonly string[];
  /** In which order a dense layer counts the places of a flattened picture. */
  readonly layout: 'nchw' | 'nhwc';
  /** Whether there is something of this name, or below it; undefined where there are no weights to look at. */
  has(path: string): boolean | undefined;
  /** The module's tensors by role, laid out as the layer map wants them; null where the source lacks it. `expected` counts where there are no weights. */
  take(path: string, kind: ModuleKind, expected: Shapes): Weights | null;
  /** A parameter that is no part of a layer. */
  takeParameter(path: string, expected: readonly number[]): Tensor | null;
  /** Mean and variance of a Keras Normalization layer, with the count that stands beside them. */
  takeStatistics?(path: string): { readonly mean: Tensor; readonly variance: Tensor } | null;
  /** Shape of what `take` gives, without using it up. */
  shape(path: string, role?: string): readonly number[] | undefined;
  /** The source's own name of a module. */
  sourceName(path: string): string;
  /** What modules right below one are called, in the source's order; of a state dict, where it has any. */
  childrenOf?(path: string): readonly string[];
  /** What stands before all of the net's names; its head may stand without. */
  readonly prefix?: string;
  /** The layers of which nobody asked for anything, in the source's order, under names that are taken with `RAW_NAME`. */
  rest?(): readonly OrderedLayer[];
  /** What nobody asked for. */
  leftOver(): readonly Tensor[];
}

/**
 * How a source spells a module, several spellings with | between them; null where it has none of that name. Of a state dict, `a+b` are two
 * modules whose weights stand one below the other in one.
 */
export type Spell = (path: string) => string | null;

/** Roles of the last part of a state dict's names, by kind. */
const TORCH_ROLES: Readonly<Record<ModuleKind, Readonly<Record<string, string>>>> = {
  conv: { kernel: 'weight', bias: 'bias' },
  depthwise: { kernel: 'weight', bias: 'bias' },
  separable: { depthwise: 'depthwise', pointwise: 'pointwise', bias: 'bias' },
  dense: { kernel: 'weight', bias: 'bias' },
  norm: { scale: 'weight', bias: 'bias', mean: 'running_mean', variance: 'running_var' },
  'layer-norm': { scale: 'weight', bias: 'bias' },
};
/** Kept beside a module, and without effect on what it predicts. */
const COUNTER = 'num_batches_tracked';

/** Before a name that is the source's own, whatever the spelling and the prefix. */
export const RAW_NAME = '^';

/** A state dict: `<module>.weight`, `<module>.running_mean`, ... */
export function stateDictStore(tensors: ReadonlyMap<string, Tensor>, spell: Spell, ecosystem: Ecosystem, prefix = ''): WeightStore {
  const used = new Set<string>();
  const modules = modulesOf(tensors);
  const spelt = (path: string) => (path.startsWith(RAW_NAME) ? path : spell(path));
  /** The modules that make up one of the family's; mostly one. */
  const parts = (path: string): readonly string[] => {
    if (path.startsWith(RAW_NAME)) return [path.slice(RAW_NAME.length)];
    const choices = (spell(path) ?? path).split('|').map((choice) => choice.split('+').map((name) => prefix + name));
    return (choices.length === 1 ? undefined : choices.find((choice) => choice.every((name) => modules.has(name)))) ?? choices[0]!;
  };
  // PyTorch's attention has its matrices as parameters of its own: in_proj_weight.
  const keyOf = (name: string, suffix: string) => (tensors.has(`${name}.${suffix}`) ? `${name}.${suffix}` : `${name}_${suffix}`);
  const keysOf = (path: string, suffix: string) => (spelt(path) === null ? [] : parts(path).map((name) => keyOf(name, suffix)));
  const find = (path: string, suffix: string) => joined(keysOf(path, suffix).map((key) => tensors.get(key)));
  const parameters = (path: string) => parts(path).map((name) => tensors.get(name));
  return {
    ecosystem,
    prefix,
    get modules() {
      const inside = [...tensors.keys()].filter((name) => name.startsWith(prefix));
      return [...new Set(inside.map((name) => name.slice(prefix.length, name.lastIndexOf('.'))))];
    },
    layout: 'nchw',
    has: (path) => spelt(path) !== null && parts(path).every((name) => modules.has(name)),
    sourceName: (path) => parts(path).join('+'),
    childrenOf: (path) => {
      const below = `${parts(path).join('+')}.`;
      const inside = [...modules].filter((name) => name.startsWith(below));
      return [...new Set(inside.map((name) => name.slice(below.length).split('.', 1)[0]!))].filter((child) => !tensors.has(below + child));
    },
    shape: (path, role = 'kernel') => {
      for (const roles of Object.values(TORCH_ROLES)) {
        const tensor = roles[role] === undefined ? undefined : find(path, roles[role]!);
        if (tensor) return tensor.shape;
      }
      return joined(parameters(path))?.shape;
    },
    take(path, kind) {
      const weights: Record<string, Tensor> = {};
      for (const [role, suffix] of Object.entries(TORCH_ROLES[kind])) {
        const tensor = find(path, suffix);
        if (!tensor) continue;
        weights[role] = tensor;
        for (const key of keysOf(path, suffix)) used.add(key);
      }
      return complete(weights, kind);
    },
    takeParameter(path) {
      const tensor = joined(parameters(path));
      if (tensor) for (const name of parts(path)) used.add(name);
      return tensor ?? null;
    },
    leftOver: () => [...tensors.keys()].filter((name) => !used.has(name) && !name.endsWith(COUNTER)).map((name) => tensors.get(name)!),
  };
}

/** Tensors one below the other; undefined where one is not there, or they do not fit. */
function joined(parts: readonly (Tensor | undefined)[]): Tensor | undefined {
  const [first] = parts;
  if (!first || parts.length === 1) return first;
  const all = parts.filter((part) => part !== undefined);
  const fits = all.every(({ dtype, shape }) => dtype === first.dtype && shape.slice(1).join() === first.shape.slice(1).join() && shape.length > 0);
  return all.length < parts.length || !fits ? undefined : derive(all.map(({ name }) => name).join('+'), 'joined', all);
}

/** The tensors of one Keras layer, in Keras's order. */
export interface OrderedLayer {
  readonly name: string;
  readonly tensors: readonly Tensor[];
}

/**
 * Keras weights: each layer a list of tensors in a fixed order, kernels [height, width, in, out], or [out, in, height, width] in
 * channels-first files of Keras 0 and 1.
 *
 * @param theano kernels are turned by 180 degrees
 * @param prefix what names of the net begin with, those that have it
 */
export function kerasStore(layers: readonly OrderedLayer[], spell: Spell, theano = false, prefix = ''): WeightStore {
  const order = kernelOrder(layers);
  const byName = countedFromZero(layers.filter(({ tensors }) => tensors.length > 0));
  const used = new Set<string>();
  const nameOf = (path: string) => {
    const spelt = spell(path) ?? path;
    const behind = chosen(spelt, (name) => byName.has(prefix + name), prefix);
    return byName.has(behind) ? behind : chosen(spelt, (name) => byName.has(name));
  };
  const find = (path: string) =>
    path.startsWith(RAW_NAME) ? byName.get(path.slice(RAW_NAME.length)) : spell(path) === null ? undefined : byName.get(nameOf(path));
  const sourceName = (path: string) => find(path)?.name ?? nameOf(path);
  return {
    ecosystem: 'keras',
    modules: [...byName.values()].map(({ name }) => name),
    layout: order === 'oihw' ? 'nchw' : 'nhwc',
    has: (path) => find(path) !== undefined,
    sourceName,
    shape: (path, role = 'kernel') => {
      const layer = find(path);
      const kind =
        layer && (role === 'pointwise' ? 'separable' : layer.tensors[0]!.shape.length === 4 ? 'conv' : layer.tensors[0]!.shape.length === 2 ? 'dense' : 'norm');
      return layer && kind ? fromKeras(layer.tensors, kind, order, theano)?.[role]?.shape : undefined;
    },
    take(path, kind) {
      const layer = find(path);
      if (!layer) return null;
      used.add(layer.name);
      return complete(fromKeras(layer.tensors, kind, order, theano) ?? {}, kind);
    },
    takeParameter(path) {
      const layer = find(path);
      if (layer) used.add(layer.name);
      return layer?.tensors[0] ?? null;
    },
    takeStatistics(path) {
      const layer = find(path);
      const [mean, variance, count, ...more] = layer?.tensors ?? [];
      if (!mean || !variance || more.length > 0 || (count && elementCount(count.shape) !== 1)) return null;
      used.add(layer!.name);
      return { mean, variance };
    },
    rest: () => [...byName].flatMap(([name, layer]) => (used.has(layer.name) ? [] : [{ name, tensors: layer.tensors }])),
    leftOver: () => [...byName.values()].filter(({ name }) => !used.has(name)).flatMap(({ tensors }) => tensors),
  };
}

/** Layers that nets leave without a name of their own, and that Keras then counts. */
const COUNTED = /^(conv2d|batch_normalization|layer_normalization|normalization)(?:_(\d+))?$/;

/**
 * Layers by name. Keras counts those without one through a session, and once began with 1: here the first of each kind has the bare
 * word for a name.
 */
function countedFromZero(layers: readonly OrderedLayer[]): Map<string, OrderedLayer> {
  const counts = layers.map(({ name }) => COUNTED.exec(name));
  const firsts = new Map<string, number>();
  for (const [, kind, count = '0'] of counts.filter((match) => match !== null)) firsts.set(kind!, Math.min(firsts.get(kind!) ?? Infinity, Number(count)));
  return new Map(
    layers.map((layer, i) => {
      const [, kind, count = '0'] = counts[i] ?? [];
      if (kind === undefined) return [layer.name, layer];
      const place = Number(count) - firsts.get(kind)!;
      return [place === 0 ? kind : `${kind}_${place}`, layer];
    }),
  );
}

/** A kernel's axes. */
type KernelOrder = 'hwio' | 'oihw';

/** The order that all kernels share: square windows at the front, or only at the back. */
function kernelOrder(layers: readonly OrderedLayer[]): KernelOrder {
  const kernels = layers.map(({ tensors }) => tensors[0]?.shape ?? []).filter(({ length }) => length === 4);
  const isWindow = (a: number, b: number) => a === b && a <= 11;
  const front = kernels.every(([a, b]) => isWindow(a!, b!));
  const back = kernels.length > 0 && kernels.every(([, , a, b]) => isWindow(a!, b!));
  return !front && back ? 'oihw' : 'hwio';
}

/** The layer's list by role, in the layer map's layouts; null where it is no such list. */
function fromKeras(tensors: readonly Tensor[], kind: ModuleKind, order: KernelOrder, theano: boolean): Record<string, Tensor> | null {
  const [first, second, third, fourth] = tensors as readonly [Tensor, ...Tensor[]];
  if (kind === 'norm') {
    // Without `scale` there is no gamma, which is first; a net without `center` has no beta, and is not known to exist.
    const [scale, bias, mean, variance] = tensors.length === 3 ? [undefined, first, second, third] : [first, second, third, fourth];
    if (tensors.length < 3 || tensors.length > 4 || tensors.some(({ shape }) => shape.length !== 1)) return null;
    return { ...(scale ? { scale } : {}), bias: bias!, mean: mean!, variance: variance! };
  }
  if (kind === 'separable') {
    if (tensors.length < 2 || tensors.length > 3 || first.shape.length !== 4 || second!.shape.length !== 4) return null;
    return { depthwise: depthwiseKernel(first), pointwise: permute(second!, [3, 2, 0, 1]), ...(third ? { bias: third } : {}) };
  }
  if (kind === 'layer-norm') return tensors.length === 2 ? { scale: first, bias: second! } : null;
  if (tensors.length > 2 || (second && second.shape.length !== 1)) return null;
  const bias: Record<string, Tensor> = second ? { bias: second } : {};
  if (kind === 'dense') return first.shape.length === 2 ? { kernel: permute(first, [1, 0]), ...bias } : null;
  if (first.shape.length !== 4) return null;
  if (kind === 'conv') {
    const kernel = order === 'hwio' ? permute(first, [3, 2, 0, 1]) : first;
    return { kernel: theano ? flip(kernel, [2, 3]) : kernel, ...bias };
  }
  return { kernel: depthwiseKernel(first), ...bias };
}

/** From [height, width, channels, multiplier]. */
function depthwiseKernel(tensor: Tensor): Tensor {
  const [height, width, channels, multiplier] = tensor.shape as readonly [number, number, number, number];
  return reshape(permute(tensor, [2, 3, 0, 1]), [channels * multiplier, 1, height, width]);
}

/** Caffe's blobs: each layer a kernel [out, in, height, width] and a bias; InnerProduct has a matrix, once of four axes. */
export function caffeStore(blobs: ReadonlyMap<string, readonly Tensor[]>): WeightStore {
  const used = new Set<string>();
  const take = (path: string, kind: ModuleKind): Weights | null => {
    const [kernel, bias, ...more] = blobs.get(path) ?? [];
    if (!kernel || more.length > 0 || (kind !== 'conv' && kind !== 'dense')) return null;
    const matrix = kind === 'dense' ? reshape(kernel, kernel.shape.slice(-2)) : kernel;
    return { kernel: matrix, ...(bias ? { bias: reshape(bias, [bias.shape.at(-1)!]) } : {}) };
  };
  return {
    ecosystem: 'caffe',
    modules: [...blobs.keys()],
    layout: 'nchw',
    has: (path) => blobs.has(path),
    sourceName: (path) => path,
    shape: (path) => blobs.get(path)?.[0]?.shape,
    take(path, kind) {
      used.add(path);
      return take(path, kind);
    },
    takeParameter: () => null,
    leftOver: () => [...blobs].filter(([name]) => !used.has(name)).flatMap(([, tensors]) => tensors),
  };
}

/** No weights at all: every module has the shapes that the family expects. */
export function blankStore(ecosystem: Ecosystem = 'torchvision'): WeightStore {
  const place = (name: string, shape: readonly number[]) => storedTensor({ name, dtype: 'float32', shape, source: nothing(shape), origin: { file: '' } });
  return {
    ecosystem,
    modules: [],
    layout: 'nchw',
    has: () => undefined,
    sourceName: (path) => path,
    shape: () => undefined,
    take: (path, kind, expected) => {
      const names = TORCH_ROLES[kind];
      return Object.fromEntries(
        Object.entries(expected).map(([role, shape]) => [role, place(`${path}${path.endsWith('in_proj') ? '_' : '.'}${names[role] ?? role}`, shape)]),
      );
    },
    takeParameter: (path, shape) => place(path, shape),
    takeStatistics: (path) => ({ mean: place(`${path}.mean`, [3]), variance: place(`${path}.variance`, [3]) }),
    leftOver: () => [],
  };
}

/** The bytes of a weight that is described but not there. */
function nothing(shape: readonly number[]): ByteSource {
  const missing = async (): Promise<never> => {
    throw new ModelError('usage', 'an architecture without weights has no bytes to read');
  };
  return { name: '', byteLength: elementCount(shape) * 4, read: missing, readInto: missing, close: async () => {} };
}

/** Fills in what a normalisation without scale or shift does not store; null where something that is needed is not there. */
function complete(weights: Record<string, Tensor>, kind: ModuleKind): Weights | null {
  if (kind === 'layer-norm') return weights.scale && weights.bias ? weights : null;
  if (kind === 'separable') return weights.depthwise && weights.pointwise ? weights : null;
  if (kind !== 'norm') return weights.kernel ? weights : null;
  const { mean, variance } = weights;
  if (!mean || !variance) return null;
  const filled = (value: number) => float32Tensor(`${mean.name}.default`, mean.shape, new Array<number>(mean.shape[0]!).fill(value), mean.origin);
  return { scale: weights.scale ?? filled(1), bias: weights.bias ?? filled(0), mean, variance };
}

/** The first of several spellings that the source has. */
function chosen(spelt: string, has: (name: string) => boolean, prefix = ''): string {
  const [first, ...others] = spelt.split('|') as [string, ...string[]];
  return prefix + (others.length === 0 || has(first) ? first : (others.find(has) ?? first));
}

/** All that a file's names name, gone through once: every family looks among them, and under several prefixes. */
function modulesOf(tensors: ReadonlyMap<string, Tensor>): ReadonlySet<string> {
  const modules = MODULES.get(tensors) ?? new Set([...tensors.keys()].flatMap(ancestors));
  MODULES.set(tensors, modules);
  return modules;
}

const MODULES = new WeakMap<ReadonlyMap<string, Tensor>, ReadonlySet<string>>();

/** 'a.b.weight' stands in 'a.b.weight', 'a.b' and 'a'. */
function ancestors(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}
