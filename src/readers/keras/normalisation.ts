/** Layers that bring values to a common scale: by stored statistics, or by those of the sample itself. */
import { toFloat64Array } from '../../model/cast.js';
import { computedTensor, elementCount, float32Tensor, reshape, type Tensor, tensorBytes } from '../../model/tensor.js';
import { combineTensor, combineValues } from './arithmetic.js';
import { kerasAxes, knownSize, reduce, reshapeTo } from './axes.js';
import { brief, type ConfigView, isBefore, isKeras3, isStandalone } from './config-view.js';
import type { Constant } from './constant.js';
import { fusedEpsilon } from './fused.js';
import { unit } from './operations/arrangement.js';
import { arithmeticOf } from './precision.js';
import type { Build, Rule } from './rule.js';
import type { Scope } from './scope.js';
import { kerasShape, type Value } from './value.js';

export const batchNormalization: Rule = (config) => {
  const epsilon = config.number(['epsilon'], 1e-3);
  const axes = readAxes(config, [-1]);
  const scaled = config.boolean(['scale'], true);
  const centred = config.boolean(['center'], true);
  // Batch renormalisation counts three statistics more (four in TensorFlow 1), which only training reads.
  const renorm = config.boolean(['renorm'], false);
  const isApart = renorm || config.layer.className === 'SyncBatchNormalization' || config.boolean(['synchronized'], false);
  const isFused = !isApart && config.value(['fused']) !== false && arithmeticOf(config.value(['dtype'])) !== 'float64';
  config.expect(['mode'], [0], 'only mode 0 normalises by stored statistics, axis by axis');
  return ([input], scope) => {
    const own = axesOf(input!, axes, scope);
    const isChannel = own.length === 1 && (own[0] === 1 || own[0] === input!.shape.length - 1);
    const value = isChannel ? channelsAtOne(input!, own[0]!, scope) : scope.builder.unflattened(input!);
    const sizes = isChannel ? [value.shape[1]!] : own.map((axis) => kerasShape(value)[axis]!);
    if (!sizes.every((size) => typeof size === 'number')) throw scope.unsupported('normalisation over an axis whose size is not given');
    // Of several axes, the statistics have all of the value's.
    const shape = sizes.length === 1 ? sizes : value.shape.map((_, axis) => (own.includes(axis) ? sizes[own.indexOf(axis)]! : 1));
    const added = isFused && own.length === 1 ? raisedEpsilon(epsilon, input!.shape.length, own[0]!, scope) : epsilon;
    const gamma = scaled ? scope.weight('gamma', shape) : null;
    const beta = centred ? scope.weight('beta', shape) : null;
    // Keras 1 calls the second statistic "running_std", but it is a variance there, too.
    const statistics = { mean: scope.weight('moving mean', shape), variance: scope.weight('moving variance', shape) };
    if (renorm)
      for (const { shape: one } of scope.weights.slice((gamma ? 1 : 0) + (beta ? 1 : 0) + 2))
        scope.weight('statistic of training', one.length === 0 ? [] : shape);
    if (!isChannel) return normalisedBy({ ...statistics, gamma, beta }, value, own, sizes, added, scope);
    const constant = (role: string, filling: number) =>
      float32Tensor(`${scope.name}/${role}`, shape, new Float32Array(shape[0]!).fill(filling), { file: scope.builder.file });
    const weights = { scale: gamma ?? constant('gamma', 1), bias: beta ?? constant('beta', 0), ...statistics };
    return scope.add('BatchNormalization', [value], { attributes: { epsilon: added }, weights });
  };
};

/** TensorFlow's fused kernel takes no epsilon that is as small as others may be. */
function raisedEpsilon(epsilon: number, rank: number, axis: number, scope: Scope): number {
  const raised = fusedEpsilon(epsilon, rank, axis, scope.dialect.fusing);
  if (raised.isOpen) scope.assume(`an epsilon of ${epsilon} was taken as it is; where the model ran on TensorFlow 1, its fused kernel took 1.001e-5 instead`);
  return raised.epsilon;
}

/** Keras's axes in order, none of them the batch. */
function axesOf(value: Value, axes: readonly number[], scope: Scope): readonly number[] {
  const own = kerasAxes(value, axes, scope).toSorted((a, b) => a - b);
  if (own.includes(0) || new Set(own).size !== own.length) throw scope.unsupported(`normalisation over the axes ${axes} of ${value.shape.length}`);
  return own;
}

interface Statistics {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly gamma: Tensor | null;
  readonly beta: Tensor | null;
}

/** (x - mean) / √(variance + epsilon) · gamma + beta, each along these of Keras's axes. */
function normalisedBy(
  { mean, variance, gamma, beta }: Statistics,
  value: Value,
  axes: readonly number[],
  sizes: readonly number[],
  epsilon: number,
  scope: Scope,
): Value {
  const along = (tensor: Tensor) => spread(reshape(tensor, sizes), value, axes);
  const factor = mapped(along(variance), '1 / deviation', (number) => 1 / Math.sqrt(number + epsilon));
  let made = combineTensor('Mul', combineTensor('Sub', value, along(mean), scope), factor, scope);
  if (gamma) made = combineTensor('Mul', made, along(gamma), scope);
  return beta ? combineTensor('Add', made, along(beta), scope) : made;
}

/** The value with the normalised axis second. */
function channelsAtOne(input: Value, axis: number, scope: Scope): Value {
  const rank = input.shape.length;
  const positive = axis < 0 ? axis + rank : axis;
  if (positive === rank - 1 && rank > 2) return scope.builder.toMoved(input);
  if (positive === 1) return scope.builder.toKeras(input);
  throw scope.unsupported(`normalisation over axis ${axis} of ${rank}`);
}

/** One or several axes. */
function readAxes(config: ConfigView, fallback: readonly number[]): readonly number[] {
  const given = config.value(['axis']) ?? fallback;
  const axes = Array.isArray(given) ? (given as unknown[]) : [given];
  if (axes.every((axis) => Number.isSafeInteger(axis))) return axes as number[];
  config.decline(`"axis" is ${brief(given)}, expected axes`);
  return fallback;
}

/** Weights that lie along some of Keras's axes, so that they broadcast to the value. */
function spread(tensor: Tensor, value: Value, axes: readonly number[]): Tensor {
  const sizes = tensor.shape;
  const shape = value.shape.map((_, axis) => (axes.includes(axis) ? sizes[axes.indexOf(axis)]! : 1));
  return reshape(tensor, shape);
}

interface Affine {
  readonly scaled: boolean;
  readonly centred: boolean;
  readonly epsilon: number;
}

function readAffine(config: ConfigView, epsilon: number): Affine {
  return { scaled: config.boolean(['scale'], true), centred: config.boolean(['center'], true), epsilon: config.number(['epsilon'], epsilon) };
}

/**
 * x · gamma + beta, weights along these of Keras's axes, which are in order.
 *
 * @param stored the axes in the order in which weights have their sizes; Keras takes their elements as they lie all the same
 */
function affine(value: Value, axes: readonly number[], { scaled, centred }: Affine, scope: Scope, stored = axes): Value {
  const sizesOf = (of: readonly number[]) => of.map((axis) => knownSize(value, axis, 'a normalisation', scope));
  const along = (role: string) => spread(reshape(scope.weight(role, sizesOf(stored)), sizesOf(axes)), value, axes);
  let made = value;
  if (scaled) made = combineTensor('Mul', made, along('gamma'), scope);
  if (centred) made = combineTensor('Add', made, along('beta'), scope);
  return made;
}

/** The axes in the order in which a layer has its weights: Keras 3 sorts them as they were given, negative ones first. */
function storedAxes(value: Value, given: readonly number[], scope: Scope): readonly number[] {
  return kerasAxes(value, isBefore(scope.dialect, 3, 0) ? given : given.toSorted((a, b) => a - b), scope);
}

/** (x - mean) / √(variance + epsilon), both of the sample itself, over these of Keras's axes. */
function standardised(value: Value, axes: readonly number[], epsilon: number, scope: Scope): Value {
  const { centred, deviation } = spreadOf(value, axes, epsilon, scope);
  return combineValues('Div', centred, deviation, scope);
}

/** x - mean, and √(variance + epsilon). */
function spreadOf(value: Value, axes: readonly number[], epsilon: number, scope: Scope): { readonly centred: Value; readonly deviation: Value } {
  const centred = combineValues('Sub', value, reduce('ReduceMean', value, axes, true, scope), scope);
  const variance = reduce('ReduceMean', scope.add('Mul', [centred, centred]), axes, true, scope);
  return { centred, deviation: scope.add('Sqrt', [scope.withScalar('Add', variance, epsilon)]) };
}

export const layerNormalization: Rule = (config) => {
  const given = readAxes(config, [-1]);
  const read = readAffine(config, 1e-3);
  const uncentred = config.boolean(['rms_scaling'], false);
  const isForeign = isStandalone(config.dialect);
  if (isForeign && !config.has('epsilon'))
    config.decline('a LayerNormalization that does not say its epsilon: it is none of Keras, which had no such layer then, and its code is not in the file');
  return ([input], scope) => {
    if (isForeign) scope.assume('Keras had no LayerNormalization then; it is taken for one that divides by the root of variance and epsilon');
    const value = scope.builder.unflattened(input!);
    const axes = kerasAxes(value, given, scope).toSorted((a, b) => a - b);
    if (axes.includes(0)) throw scope.unsupported('a normalisation over the batch');
    const stored = storedAxes(value, given, scope);
    // Keras then divides by the deviation (of the mean, whatever its documentation says), multiplies, and shifts nothing.
    if (uncentred) {
      const { deviation } = spreadOf(value, axes, read.epsilon, scope);
      return affine(combineValues('Div', value, deviation, scope), axes, { ...read, scaled: true, centred: false }, scope, stored);
    }
    return affine(standardised(value, axes, read.epsilon, scope), axes, read, scope, stored);
  };
};

/** x / √(mean of x² + epsilon) · scale, which Keras spreads over the last axes whichever are normalised. */
export const rmsNormalization: Rule = (config) => {
  const given = readAxes(config, [-1]);
  const epsilon = config.number(['epsilon'], 1e-6);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    const axes = kerasAxes(value, given, scope).toSorted((a, b) => a - b);
    if (axes.includes(0)) throw scope.unsupported('a normalisation over the batch');
    const square = reduce('ReduceMean', scope.add('Mul', [value, value]), axes, true, scope);
    const made = combineValues('Div', value, scope.add('Sqrt', [scope.withScalar('Add', square, epsilon)]), scope);
    const sizes = storedAxes(value, given, scope).map((axis) => knownSize(value, axis, 'a normalisation', scope));
    const last = sizes.map((_, i) => value.shape.length - sizes.length + i);
    if (last.some((axis, i) => sizes[i] !== 1 && knownSize(value, axis, 'a normalisation', scope) !== sizes[i]))
      throw scope.malformed(`a scale of the shape [${sizes}] does not fit the last axes of the value, along which Keras spreads it`);
    return combineTensor('Mul', made, spread(scope.weight('scale', sizes), value, last), scope);
  };
};

/** By mean and variance of each group of channels, over all places. @param usual groups where none are said; -1 for one of each channel */
export const groupNormalization =
  (usual: number): Rule =>
  (config) => {
    const given = config.number(['groups'], usual);
    const [axis, ...others] = readAxes(config, [-1]);
    const read = readAffine(config, 1e-3);
    if (others.length > 0) config.decline('"axis" has several axes; groups of the channels of one are translated');
    if (config.layer.className === 'GroupNormalization' && isBefore(config.dialect, 2, 11)) return neighbourGroups(given, axis!, read);
    return ([input], scope) => {
      const value = channelsAtOne(input!, axis!, scope);
      const channels = value.shape[1];
      if (typeof channels !== 'number') throw scope.unsupported('normalisation over an axis whose size is not given');
      const groups = given === -1 ? channels : given;
      if (!Number.isInteger(channels / groups)) throw scope.malformed(`${groups} groups do not divide ${channels} channels`);
      const rows = scope.add('Reshape', [value], { attributes: { shape: [0, groups, -1] }, order: 'keras' });
      const made = reshapeTo(standardised(rows, [2], read.epsilon, scope), value.shape, value.order, scope);
      return affine(made, [value.order === 'moved' ? value.shape.length - 1 : 1], read, scope);
    };
  };

/**
 * keras_contrib's GroupNormalization, of which Keras had none then: its groups are what lies side by side, which is channels only where
 * these are first; gamma and beta are spread over groups and the channels in each.
 *
 * @see https://github.com/keras-team/keras-contrib/blob/master/keras_contrib/layers/normalization/groupnormalization.py
 */
function neighbourGroups(groups: number, axis: number, read: Affine): Build {
  return ([input], scope) => {
    scope.assume("Keras had no GroupNormalization then; it is taken for keras_contrib's, whose groups are what lies side by side");
    const value = scope.builder.toKeras(input!);
    const [channelAxis] = kerasAxes(value, [axis], scope) as [number];
    const sizes = value.shape.slice(1).map((_, i) => knownSize(value, i + 1, 'a GroupNormalization', scope));
    const channels = sizes[channelAxis - 1]!;
    if (!Number.isInteger(channels / groups)) throw scope.malformed(`${groups} groups do not divide ${channels} channels`);
    const places = elementCount(sizes) / channels;
    const isLast = channelAxis === sizes.length;
    if (!isLast && channelAxis !== 1) throw scope.unsupported(`groups along axis ${axis} of ${value.shape.length}`);
    const own = channels / groups;
    const parts = scope.add('Reshape', [value], { attributes: { shape: [0, groups, ...(isLast ? [places, own] : [own, places])] } });
    const along = (role: string) => reshape(scope.weight(role, [channels]), isLast ? [1, groups, 1, own] : [1, groups, own, 1]);
    let made = standardised(parts, [2, 3], read.epsilon, scope);
    if (read.scaled) made = combineTensor('Mul', made, along('gamma'), scope);
    if (read.centred) made = combineTensor('Add', made, along('beta'), scope);
    return scope.add('Reshape', [made], { attributes: { shape: [0, ...sizes] } });
  };
}

/**
 * keras_contrib's InstanceNormalization: by the deviation of each sample, to which epsilon is added, over all axes or all but one.
 *
 * @see https://github.com/keras-team/keras-contrib/blob/master/keras_contrib/layers/normalization/instancenormalization.py
 */
export const instanceNormalization: Rule = (config) => {
  const stored = config.value(['axis']);
  const [axis] = stored === null ? [] : readAxes(config, []);
  const read = readAffine(config, 1e-3);
  for (const key of ['axis', 'epsilon', 'center', 'scale'])
    if (!config.has(key)) config.decline(`an InstanceNormalization without "${key}" is not keras_contrib's, and the code of others is not in the file`);
  return ([input], scope) => {
    scope.assume("InstanceNormalization is taken for keras_contrib's, which adds epsilon to the deviation");
    const value = scope.builder.unflattened(input!);
    const own = axis === undefined ? [] : kerasAxes(value, [axis], scope);
    if (own.includes(0)) throw scope.unsupported('a normalisation over the batch');
    const over = value.shape.map((_, i) => i).filter((i) => i > 0 && !own.includes(i));
    const { centred, deviation } = spreadOf(value, over, 0, scope);
    const made = combineValues('Div', centred, scope.withScalar('Add', deviation, read.epsilon), scope);
    if (own.length > 0) return affine(made, own, read, scope);
    const one = (role: string) => scope.weight(role, [1]);
    const scaled = read.scaled ? combineTensor('Mul', made, one('gamma'), scope) : made;
    return read.centred ? combineTensor('Add', scaled, one('beta'), scope) : scaled;
  };
};

export const unitNormalization: Rule = (config) => {
  const axes = readAxes(config, [-1]);
  // Keras 3 keeps the length from zero, tf.keras its square.
  const least = isKeras3(config.dialect) ? 1e-24 : 1e-12;
  return ([input], scope) => unit(input!, axes, least, scope);
};

/** What a deviation is kept from being below. */
const KERAS_EPSILON = 1e-7;

/** (x - mean) / max(√variance, epsilon) by statistics that were given, or gathered from data; `invert` undoes it. */
export const normalization: Rule = (config) => {
  const stored = config.value(['axis']);
  const given = stored === null ? [] : readAxes(config, [-1]);
  const [mean, variance] = [readStatistic(config, 'mean'), readStatistic(config, 'variance')];
  if ((mean === null) !== (variance === null)) config.decline('only one of "mean" and "variance" is given');
  const invert = config.boolean(['invert'], false);
  return ([input], scope) => {
    const value = { ...scope.builder.unflattened(input!), integer: false };
    const axes = kerasAxes(value, given, scope);
    if (axes.includes(0)) throw scope.unsupported('a normalisation of each sample by statistics of its own');
    const sizes = axes.map((axis) => knownSize(value, axis, 'a normalisation', scope));
    const statistic = (role: string, given: Constant | null) => spread(given ? filledTo(given, sizes, role, scope) : scope.weight(role, sizes), value, axes);
    const [shift, square] = [statistic('mean', mean), statistic('variance', variance)];
    if (!mean) scope.nextWeight('count');
    const deviation = (number: number) => Math.max(Math.sqrt(number), KERAS_EPSILON);
    if (invert) return combineTensor('Add', combineTensor('Mul', value, mapped(square, 'deviation', deviation), scope), shift, scope);
    const factor = mapped(square, '1 / deviation', (number) => 1 / deviation(number));
    return combineTensor('Mul', combineTensor('Sub', value, shift, scope), factor, scope);
  };
};

/** A statistic that was given; null where it was gathered, and is among the weights. */
function readStatistic(config: ConfigView, role: string): Constant | null {
  const keys = [role, `input_${role}`];
  return config.value(keys) === null || config.value(keys) === undefined ? null : config.constant(keys);
}

/** Statistics of the configuration, one for all or one for each. */
function filledTo({ shape, values }: Constant, sizes: readonly number[], role: string, scope: Scope): Tensor {
  if (values.length !== 1 && values.length !== elementCount(sizes))
    throw scope.malformed(`the ${role} has the shape [${shape}], but the input asks for [${sizes}]`);
  const own = values.length === 1 ? sizes.map(() => 1) : sizes;
  return float32Tensor(`${scope.name}/${role}`, own, values, { file: scope.builder.file });
}

/** A small tensor whose numbers are a function of another's, worked out when they are read. */
function mapped(tensor: Tensor, name: string, change: (value: number) => number): Tensor {
  return computedTensor(`${tensor.name} (${name})`, 'float32', tensor.shape, tensor.origin, async () => {
    const values = Float32Array.from(toFloat64Array(await tensorBytes(tensor), tensor.dtype), change);
    return new Uint8Array(values.buffer);
  });
}
