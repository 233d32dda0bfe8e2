/**
 * A net under construction: the words in which families describe themselves.
 *
 * Where there are weights they win: kernels, widths and groups are theirs, and what a family says about sizes counts only for a net
 * without weights. Everything else (strides, padding, activations) is the family's.
 */
import { ModelError } from '../errors.js';
import type { AttributeValue, Dim, Layer } from '../model/layer-map.js';
import { Names } from '../model/names.js';
import { numbersTensor } from '../model/numbers.js';
import { inferLayer, makeLayer } from '../model/ops/index.js';
import { permute, reshape, type Tensor } from '../model/tensor.js';
import type { Ecosystem, ModuleKind, Shapes, WeightStore, Weights } from './store.js';
import { Overrides } from './unseen.js';

/** What flows: a value's name, and its shape, channels-first. */
export interface Value {
  readonly name: string;
  readonly shape: readonly Dim[];
  /** Of a flattened picture: [channels, height, width]. */
  readonly picture?: readonly Dim[];
}

/** What a net gives, by the names of its outputs. */
export type Outputs = Readonly<Record<string, Value>>;

export function isValue(made: Value | Outputs): made is Value {
  return typeof made.name === 'string';
}

/** Where a file stops being of a family: the first tensor that is not there, or does not fit. */
export class Departure extends Error {
  constructor(
    readonly path: string,
    readonly problem: string,
  ) {
    super(`${path}: ${problem}`);
  }
}

export interface ConvOptions {
  /** For a net without weights; with weights, theirs. */
  readonly out?: number;
  readonly kernel?: number | readonly [height: number, width: number];
  readonly stride?: number;
  /** Zeros on each side; as many as keep the size where left out, see `padsAsTensorFlow`. */
  readonly pad?: number | readonly [height: number, width: number];
  readonly dilation?: number;
  /** For a net without weights; with weights, as many as they are made for. */
  readonly groups?: number;
  readonly depthwise?: boolean;
  readonly bias?: boolean;
}

export interface PoolOptions {
  readonly kernel: number;
  readonly stride?: number;
  readonly pad?: number;
  readonly ceil?: boolean;
  /** Keras's 'same'. */
  readonly same?: boolean;
  readonly countPadding?: boolean;
  readonly name?: string;
}

const KINDS = [
  'relu',
  'relu6',
  'leaky-relu',
  'elu',
  'selu',
  'silu',
  'mish',
  'softplus',
  'hard-swish',
  'hard-sigmoid',
  'sigmoid',
  'tanh',
  'gelu',
  'gelu-tanh',
  'quick-gelu',
] as const;
export type Activation = (typeof KINDS)[number] | 'none';
/** Those that people can ask for. */
export const ACTIVATIONS: ReadonlySet<string> = new Set(KINDS);
/** What is done with a number, as it is told. */
const VERBS = { Add: 'adding', Sub: 'subtracting', Mul: 'multiplying by', Div: 'dividing by' } as const;
/** Where a normalisation's statistics have names of their own. */
const BY_MODULES: ReadonlySet<Ecosystem> = new Set(['torchvision', 'timm']);
/** What GroupNorm is nearly always given. */
const GROUPS = 32;
const WITHOUT_STATISTICS =
  'there are no statistics beside the normalisations: each picture is normalised by its own, {} (group: some channels together, as nn.GroupNorm does; instance: each channel alone)';

/** PyTorch's. */
const SLOPE = 0.01;

export interface NetOptions {
  /** Paper's name of a module, where it has one. */
  readonly canonical?: (path: string) => string | null;
  /** What the user said about things that leave no trace in weights, by name. */
  readonly assume?: Readonly<Record<string, string>>;
  /** What the user calls the net. */
  readonly arch?: string;
}

export class Net {
  readonly layers: Layer[] = [];
  /** By name of the setting: what was taken, as a sentence. */
  readonly assumed = new Map<string, string>();
  /** Names of all that `setting` was asked for. */
  readonly settings = new Set<string>();
  /** The kinds of activations that the family has, each of which `--assume` replaces by its name. */
  readonly activations = new Set<Activation>();
  /** What values are multiplied by or added to, and by which layers. */
  readonly numbers = new Map<string, string[]>();
  /** What was taken for a setting, where it was told. */
  readonly #taken = new Map<string, Set<string>>();
  readonly #names = new Names(2);
  readonly #overrides: Overrides;
  /** Whether what is added is a part of an activation. */
  #isActivating = false;
  /** The module built last: layers without weights are named after it. */
  lastModule = 'net';

  constructor(
    readonly store: WeightStore,
    readonly options: NetOptions = {},
  ) {
    this.padsAsTensorFlow = store.ecosystem === 'keras' || store.ecosystem === 'tensorflow-port';
    this.#overrides = new Overrides(options.assume ?? {}, this.settings);
  }

  /** Whether what a convolution pads with is TensorFlow's 'same': one zero more at the end than at the beginning, where that does not come out even. */
  padsAsTensorFlow: boolean;
  /** Whether the last value is one of classes. */
  endsInClasses = false;
  /** Several heads over the same features, by what they are called. */
  heads: Outputs | null = null;
  /** Whether somebody else made the layers that end in them, and may have put something behind. */
  hasOwnHead = false;

  get ecosystem(): Ecosystem {
    return this.store.ecosystem;
  }

  /** Whether the weights have this module; `otherwise` without weights. */
  has(path: string, otherwise: boolean): boolean {
    return this.store.has(path) ?? otherwise;
  }

  /**
   * Something that weights do not show: the user's word for it, else the family's.
   *
   * @param meaning a sentence; `{}` stands for the value
   * @param quiet what is usual is so usual that it is not told
   */
  setting<T extends string | number>(name: string, usual: T, meaning: string, quiet = false): T {
    this.settings.add(name);
    const given = this.options.assume?.[name];
    if (given !== undefined && typeof usual === 'number' && !Number.isFinite(Number(given))) {
      throw new ModelError('usage', `--assume ${name}=${given}: a number is expected`);
    }
    const value = (given === undefined ? usual : typeof usual === 'number' ? Number(given) : given) as T;
    const told = given === undefined ? `; --assume ${name}=... says otherwise` : ', as --assume says';
    if (quiet && given === undefined) return value;
    // A net may have two epsilons.
    const taken = this.#taken.get(name) ?? new Set();
    this.#taken.set(name, taken.add(spelt(value)));
    if (!this.assumed.has(name) || taken.size > 1) this.assumed.set(name, `${meaning.replace('{}', [...taken].join(' or '))}${told}`);
    return value;
  }

  /** Something that was taken for granted and cannot be set. */
  assume(name: string, sentence: string): void {
    if (!this.assumed.has(name)) this.assumed.set(name, sentence);
  }

  /** Adds an operator. */
  op(op: string, inputs: readonly Value[], attributes: Readonly<Record<string, AttributeValue>> = {}, extra: Partial<Layer> = {}): Value {
    const name = this.#names.take(extra.name ?? `${this.lastModule}.${op.toLowerCase()}`);
    const layer = this.#overrides.apply(makeLayer({ ...extra, name, op, inputs: inputs.map((value) => value.name), outputs: [name], attributes }));
    if (!layer) return inputs[0]!;
    this.layers.push(layer);
    const [made] = inferLayer(
      layer,
      inputs.map(({ shape }) => ({ dtype: 'float32' as const, shape })),
    );
    return { name, shape: made!.shape! };
  }

  /** Adds an operator with the weights of a module. */
  module(
    path: string,
    op: string,
    x: Value,
    weights: Weights,
    attributes: Readonly<Record<string, AttributeValue>> = {},
    canonical = this.options.canonical?.(path),
  ): Value {
    this.lastModule = this.store.sourceName(path);
    return this.op(op, [x], attributes, { name: this.lastModule, weights, ...(canonical ? { canonicalName: canonical } : {}) });
  }

  /** @throws Departure where the source has no such module */
  weights(path: string, kind: ModuleKind, expected: Shapes): Weights {
    const weights = this.store.take(path, kind, expected);
    if (!weights) throw new Departure(this.store.sourceName(path), this.has(path, false) ? `is no ${kind} layer` : 'is missing');
    return weights;
  }

  conv(x: Value, path: string, options: ConvOptions = {}): Value {
    const { stride = 1, dilation = 1 } = options;
    const channels = sizeOf(x, 1);
    const depthwise = options.depthwise === true;
    const [kernelH, kernelW] = pairOf(options.kernel ?? 1);
    const groups = depthwise ? channels : (options.groups ?? 1);
    const out = options.out ?? channels;
    const expected: Shapes = { kernel: [out, channels / groups, kernelH, kernelW], ...(options.bias ? { bias: [out] } : {}) };
    const weights = this.weights(path, depthwise ? 'depthwise' : 'conv', expected);
    const shape = weights.kernel!.shape;
    const group = channels / shape[1]!;
    if (shape.length !== 4) throw new Departure(this.store.sourceName(path), `has a kernel of shape [${shape}], which is of no picture`);
    if (!Number.isInteger(group) || shape[0]! % group !== 0) {
      throw new Departure(this.store.sourceName(path), `has a kernel of shape [${shape}], but ${channels} channels flow in`);
    }
    if (depthwise && group !== channels) throw new Departure(this.store.sourceName(path), `is no depthwise convolution of ${channels} channels`);
    const keeps = shape.slice(2).map((size) => ((size - 1) * dilation) / 2);
    const asTensorFlow = this.padsAsTensorFlow && options.pad === undefined;
    const pads = options.pad === undefined ? keeps : this.#padsOf(path, shape, pairOf(options.pad), [kernelH, kernelW], keeps);
    if (!asTensorFlow && !pads.every(Number.isInteger))
      throw new Departure(this.store.sourceName(path), `has a kernel of ${shape.slice(2).join(' x ')}, with which no padding keeps the size of a picture`);
    return this.module(path, 'Conv', x, weights, {
      strides: [stride, stride],
      dilations: [dilation, dilation],
      group,
      ...(asTensorFlow ? { auto_pad: 'SAME_UPPER' } : { pads: [...pads, ...pads] }),
    });
  }

  /** What a family pads with speaks of its own kernel: where that keeps the size and the file has another kernel, as many zeros as keep it. */
  #padsOf(path: string, shape: readonly number[], pads: readonly number[], usual: readonly number[], keeps: readonly number[]): readonly number[] {
    if (usual.every((size, axis) => size === shape[axis + 2])) return pads;
    const kept = pads.every((pad, axis) => 2 * pad === usual[axis]! - 1);
    const taken = kept ? keeps : pads;
    const kernels = `kernel of ${shape.slice(2).join(' x ')}, where others of the family have one of ${usual.join(' x ')}`;
    this.assume(`pads of ${path}`, `"${this.store.sourceName(path)}" pads with ${taken.join(' x ')} zeros: it has a ${kernels}`);
    return taken;
  }

  /** A depthwise and a 1 x 1 convolution that are one layer (Keras's SeparableConv2D). */
  separable(
    x: Value,
    path: string,
    { out, kernel = 3, stride = 1 }: { readonly out?: number; readonly kernel?: number; readonly stride?: number } = {},
  ): Value {
    const channels = sizeOf(x, 1);
    const weights = this.weights(path, 'separable', { depthwise: [channels, 1, kernel, kernel], pointwise: [out ?? channels, channels, 1, 1] });
    const { depthwise, pointwise, bias } = weights as { depthwise: Tensor; pointwise: Tensor; bias?: Tensor };
    const name = this.store.sourceName(path);
    if (depthwise.shape[0] !== channels || pointwise.shape[1] !== channels) {
      throw new Departure(name, `has kernels of shape [${depthwise.shape}] and [${pointwise.shape}], but ${channels} channels flow in`);
    }
    const attributes = { group: channels, strides: [stride, stride], auto_pad: 'SAME_UPPER' };
    const deep = this.op('Conv', [x], attributes, { name: `${name}.depthwise`, weights: { kernel: depthwise } });
    return this.module(path, 'Conv', deep, { kernel: pointwise, ...(bias ? { bias } : {}) });
  }

  /** Batch normalisation; its epsilon is in no weight. Where the file has no statistics, somebody normalises by those of the picture itself. */
  norm(x: Value, path: string, epsilon = 1e-5): Value {
    const channels = sizeOf(x, 1);
    const shape = [channels];
    const { shape: shapeOf } = this.store;
    if (BY_MODULES.has(this.ecosystem) && !shapeOf(path, 'mean') && shapeOf(path, 'scale')?.length === 1)
      return this.#ownStatistics(x, path, channels, epsilon);
    const weights = this.weights(path, 'norm', { scale: shape, bias: shape, mean: shape, variance: shape });
    this.#checkLength(path, weights.mean!, channels);
    const taken = this.setting('epsilon', epsilon, 'batch normalisation adds {} to the variance');
    return this.module(path, 'BatchNormalization', x, weights, { epsilon: taken });
  }

  #ownStatistics(x: Value, path: string, channels: number, epsilon: number): Value {
    const weights = this.weights(path, 'layer-norm', { scale: [channels], bias: [channels] });
    this.#checkLength(path, weights.scale!, channels);
    const kind = this.setting<string>('norm', 'group', WITHOUT_STATISTICS);
    const taken = this.setting('epsilon', epsilon, 'normalisation adds {} to the variance');
    if (kind === 'instance') return this.module(path, 'InstanceNormalization', x, weights, { epsilon: taken });
    if (kind !== 'group') throw new ModelError('usage', `--assume norm=${kind} is none of group, instance`);
    const groups = this.setting('groups', Math.min(GROUPS, channels), 'channels are normalised in {} groups');
    if (channels % groups !== 0) throw new Departure(this.store.sourceName(path), `has ${channels} channels, which are no ${groups} groups`);
    return this.module(path, 'GroupNormalization', x, weights, { epsilon: taken, num_groups: groups });
  }

  /** @param options `canonical`: instead of what the module is called; `change`: what to make of weights by role before they are used */
  dense(
    x: Value,
    path: string,
    options: { out?: number; bias?: boolean; canonical?: string; change?: Readonly<Record<string, (tensor: Tensor) => Tensor>> } = {},
  ): Value {
    const features = sizeOf(x, x.shape.length - 1);
    const out = options.out ?? features;
    const stored = this.weights(path, 'dense', { kernel: [out, features], ...((options.bias ?? true) ? { bias: [out] } : {}) });
    const weights = Object.fromEntries(Object.entries(stored).map(([role, tensor]) => [role, options.change?.[role]?.(tensor) ?? tensor]));
    const kernel = asMatrix(weights.kernel!);
    if (kernel.shape.length !== 2 || kernel.shape[1] !== features) {
      throw new Departure(this.store.sourceName(path), `has a matrix of shape [${kernel.shape}], but ${features} features flow in`);
    }
    if (x.shape.length === 2) return this.module(path, 'Gemm', x, { ...weights, kernel: this.#inPictureOrder(kernel, x) }, {}, options.canonical);
    const product = this.module(path, 'MatMul', x, { kernel: permute(kernel, [1, 0]) });
    return weights.bias ? this.constantOp('Add', product, weights.bias, `${this.store.sourceName(path)}.bias`) : product;
  }

  /** An operator whose second operand is a constant. */
  constantOp(op: 'Add' | 'Sub' | 'Mul' | 'Div', x: Value, operand: Tensor | number, name?: string): Value {
    const tensor = typeof operand === 'number' ? numbersTensor(`${op.toLowerCase()}.operand`, 'float32', [], [operand], { file: '' }) : operand;
    const y = this.op(op, [x], {}, { ...(name === undefined ? {} : { name }), weights: { operand: tensor } });
    // What a normalisation adds is a setting, which tells of itself.
    if (typeof operand === 'number' && !this.#isActivating && !y.name.endsWith('.epsilon')) {
      const told = `${VERBS[op]} ${spelt(Number(operand.toPrecision(6)))}`;
      this.numbers.set(told, [...(this.numbers.get(told) ?? []), y.name]);
    }
    return y;
  }

  /**
   * An activation of the family's, or the one that the user has in the place of all of its kind.
   *
   * @throws ModelError 'usage' for a word that is no activation
   */
  activation(x: Value, usual: Activation, name?: string, slope = SLOPE): Value {
    const kind = this.#activationFor(usual);
    this.#isActivating = true;
    try {
      return this.#activated(x, kind, name === undefined ? {} : { name }, slope);
    } finally {
      this.#isActivating = false;
    }
  }

  #activated(x: Value, kind: Activation, named: { name?: string }, slope: number): Value {
    switch (kind) {
      case 'none':
        return x;
      case 'leaky-relu':
        return this.op('LeakyRelu', [x], { alpha: this.setting('slope', slope, 'leaky ReLUs multiply what is negative by {}') }, named);
      case 'relu':
        return this.op('Relu', [x], {}, named);
      case 'relu6':
        return this.op('Clip', [x], { min: 0, max: 6 }, named);
      case 'elu':
        return this.op('Elu', [x], {}, named);
      case 'selu':
        return this.op('Selu', [x], {}, named);
      case 'softplus':
        return this.op('Softplus', [x], {}, named);
      case 'mish':
        return this.op('Mul', [x, this.op('Tanh', [this.op('Softplus', [x])])], {}, named);
      case 'sigmoid':
        return this.op('Sigmoid', [x], {}, named);
      case 'tanh':
        return this.op('Tanh', [x], {}, named);
      case 'hard-sigmoid':
        return this.op('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 }, named);
      case 'silu':
        return this.op('Mul', [x, this.op('Sigmoid', [x])], {}, named);
      case 'hard-swish':
        return this.op('Mul', [x, this.op('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 })], {}, named);
      case 'quick-gelu':
        return this.op('Mul', [x, this.op('Sigmoid', [this.constantOp('Mul', x, 1.702)])], {}, named);
      // Hendrycks & Gimpel's approximation, which JAX has unless told.
      case 'gelu-tanh': {
        const cube = this.op('Mul', [this.op('Mul', [x, x]), x]);
        const inner = this.constantOp('Mul', this.op('Add', [x, this.constantOp('Mul', cube, 0.044715)]), Math.sqrt(2 / Math.PI));
        return this.op('Mul', [this.constantOp('Mul', x, 0.5), this.constantOp('Add', this.op('Tanh', [inner]), 1)], {}, named);
      }
      case 'gelu': {
        const half = this.constantOp('Mul', x, 0.5);
        const erf = this.op('Erf', [this.constantOp('Mul', x, Math.SQRT1_2)]);
        return this.op('Mul', [half, this.constantOp('Add', erf, 1)], {}, named);
      }
    }
  }

  #activationFor(usual: Activation): Activation {
    if (usual !== 'none') {
      this.activations.add(usual);
      this.settings.add(usual);
    }
    // Behind one module, or of a kind.
    const own = usual === 'none' ? undefined : this.#overrides.find(this.lastModule, 'activation');
    const taken = own ?? this.options.assume?.[usual] ?? usual;
    if (taken === 'none' || ACTIVATIONS.has(taken)) return taken as Activation;
    throw new ModelError('usage', `${taken} is no activation; known: ${[...ACTIVATIONS, 'none'].join(', ')}`);
  }

  maxPool(x: Value, options: PoolOptions): Value {
    return this.#pool('MaxPool', x, options);
  }

  averagePool(x: Value, options: PoolOptions): Value {
    return this.#pool('AveragePool', x, options);
  }

  /** The mean of each channel, as [batch, channels]. */
  globalPool(x: Value): Value {
    return this.flatten(this.op('GlobalAveragePool', [x]));
  }

  flatten(x: Value, name?: string): Value {
    return { ...this.op('Flatten', [x], {}, name === undefined ? {} : { name }), picture: x.shape.slice(1) };
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }

  multiply(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }

  concat(values: readonly Value[], axis = 1): Value {
    return values.length === 1 ? values[0]! : this.op('Concat', values, { axis });
  }

  slice(x: Value, axis: number, start: number, end: number): Value {
    return this.op('Slice', [x], { starts: [start], ends: [end], axes: [axis] });
  }

  /** Sizes of 0 are kept, -1 is worked out. */
  reshape(x: Value, shape: readonly number[]): Value {
    return this.op('Reshape', [x], { shape });
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op('Transpose', [x], { perm });
  }

  #pool(op: 'MaxPool' | 'AveragePool', x: Value, { kernel, stride = kernel, pad = 0, ceil, same, countPadding, name }: PoolOptions): Value {
    const attributes = {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      ...(same ? { auto_pad: 'SAME_UPPER' } : { pads: [pad, pad, pad, pad] }),
      ceil_mode: ceil ? 1 : 0,
      ...(op === 'AveragePool' ? { count_include_pad: countPadding ? 1 : 0 } : {}),
    };
    return this.op(op, [x], attributes, name === undefined ? {} : { name });
  }

  /** A source whose pictures are channels-last counts the inputs of a dense layer after Flatten in that order. */
  #inPictureOrder(kernel: Tensor, { picture }: Value): Tensor {
    if (this.store.layout === 'nchw' || picture === undefined || picture.length < 3) return kernel;
    const [channels, height, width] = picture as readonly [number, number, number];
    const [out, features] = kernel.shape as readonly [number, number];
    return reshape(permute(reshape(kernel, [out, height, width, channels]), [0, 3, 1, 2]), [out, features]);
  }

  #checkLength(path: string, tensor: Tensor, channels: number): void {
    if (tensor.shape.length === 1 && tensor.shape[0] === channels) return;
    throw new Departure(this.store.sourceName(path), `is of shape [${tensor.shape}], but ${channels} channels flow in`);
  }
}

/** @throws Departure for a size that is not known */
export function sizeOf({ shape, name }: Value, axis: number): number {
  const size = shape[axis];
  if (typeof size !== 'number') throw new Departure(name, `the size of axis ${axis} is not known ([${shape}])`);
  return size;
}

export function pairOf(size: number | readonly [number, number]): readonly [number, number] {
  return typeof size === 'number' ? [size, size] : size;
}

/** What a convolution of 1 x 1 does to each place, as a dense layer over channels: timm has some nets either way. */
function asMatrix(kernel: Tensor): Tensor {
  const [out, features, ...window] = kernel.shape as readonly [number, number];
  return window.join() === '1,1' ? reshape(kernel, [out, features]) : kernel;
}

/** Small numbers as people write them: 1e-5. */
function spelt(value: string | number): string {
  return typeof value === 'number' && value !== 0 && Math.abs(value) < 1e-2 ? value.toExponential() : String(value);
}
