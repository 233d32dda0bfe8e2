/** LocallyConnected1D and 2D: convolutions whose kernel is another one at each place. */
import { DTYPE_BYTES } from '../../model/dtype.js';
import { computedTensor, constantTensor, elementCount, type Tensor, tensorBytes } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import { combineTensor } from './arithmetic.js';
import { reduce } from './axes.js';
import { kernelSizes } from './convolutions.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** What a layer covers along its axes. */
interface Windows {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly begin: readonly number[];
  readonly sizes: readonly number[];
  readonly places: readonly number[];
}

export const locallyConnected =
  (rank: number): Rule =>
  (config) => {
    const ones = new Array<number>(rank).fill(1);
    const kernel = kernelSizes(config, rank);
    const strides = config.sizes(['strides', 'subsample', 'subsample_length'], rank, ones);
    const filters = config.integer(['filters', 'nb_filter']);
    const bias = config.boolean(['use_bias', 'bias'], true);
    const padding = config.oneOf(['padding', 'border_mode'], ['valid', 'same'], 'valid');
    const implementation = config.integer(['implementation'], 1);
    const then = activation(config);
    const isKeras1Sequence = rank === 1 && config.has('nb_filter');
    if (!isKeras1Sequence && config.dataFormat() !== 'channels_last') config.decline('a channels-first locally connected layer is not translated');
    if (implementation > 3) config.decline(`"implementation" is ${implementation}, of which Keras has 1, 2 and 3`);
    if (padding === 'same' && implementation === 1) config.decline('a padded locally connected layer of implementation 1, which Keras does not have');
    return ([input], scope) => {
      const value = scope.builder.toMoved(input!);
      const windows = windowsOver(value, { kernel, strides }, padding, scope);
      const features = elementCount(kernel) * (value.shape[1] as number);
      const count = elementCount(windows.places);
      const patches = scope.builder.toKeras(unfolded(value, windows, scope));
      const rows = scope.add('Reshape', [patches], { attributes: { shape: [0, count, features, 1] } });
      const weights = READ[implementation]!(windows, value.shape[1] as number, filters, scope);
      const sums = reduce('ReduceSum', combineTensor('Mul', rows, weights, scope), [2], false, scope);
      const made = scope.add('Reshape', [sums], { attributes: { shape: [0, ...windows.places, filters] }, order: 'keras' });
      return then(bias ? combineTensor('Add', made, scope.weight('bias', [...windows.places, filters]), scope) : made, scope);
    };
  };

/** Elements of the kernels that pick others; windows of 2,000 elements need as many. */
const MAX_PICKS = 2 ** 22;
/** What all windows cover together; 3 x 3 at each pixel of a picture of 224 x 224 is less. */
const MAX_COVERED = 2 ** 19;

function windowsOver(value: Value, { kernel, strides }: Pick<Windows, 'kernel' | 'strides'>, padding: 'valid' | 'same', scope: Scope): Windows {
  const [, channels, ...sizes] = value.shape;
  if (sizes.length !== kernel.length || typeof channels !== 'number') throw scope.malformed(`a value of the shape [${value.shape}] flows in`);
  if (!sizes.every((size) => typeof size === 'number')) throw scope.unsupported('a locally connected layer over sizes that are not given');
  const length = (size: number, axis: number) => Math.ceil((padding === 'same' ? size : size - kernel[axis]! + 1) / strides[axis]!);
  const places = (sizes as number[]).map(length);
  if (places.some((count) => count < 1)) throw scope.malformed(`windows of [${kernel}] do not fit into [${sizes}]`);
  if (elementCount(places) * elementCount(kernel) > MAX_COVERED) throw scope.unsupported(`a locally connected layer with windows at [${places}] places`);
  // Keras centres its windows, whatever the strides: half a kernel stands before the first place.
  const begin = kernel.map((size) => (padding === 'same' ? Math.floor(size / 2) : 0));
  return { kernel, strides, begin, sizes: sizes as number[], places };
}

type ReadKernel = (windows: Windows, channels: number, filters: number, scope: Scope) => Tensor;

/** Kernels by Keras's way to compute the layer, as [places, window · channels, filters]. */
const READ: Readonly<Record<number, ReadKernel>> = {
  1: ({ kernel, places }, channels, filters, scope) => scope.weight('kernel', [elementCount(places), elementCount(kernel) * channels, filters]),
  // One matrix from all inputs to all outputs, of which what lies outside the windows is not used.
  2: (windows, channels, filters, scope) => {
    const { sizes, places } = windows;
    const stored = scope.weight('kernel', [...sizes, channels, ...places, filters]);
    const count = elementCount(places);
    return picked(stored, windows, channels, filters, scope, (place, at, channel, filter) => ((at * channels + channel) * count + place) * filters + filter);
  },
  // The used elements of that matrix alone, by output and then by input.
  3: (windows, channels, filters, scope) => {
    const ranks = coverage(windows).map((inside) => new Map(inside.filter((at) => at >= 0).map((at, rank) => [at, rank])));
    const first: number[] = [];
    let total = 0;
    for (const { size } of ranks) {
      first.push(total);
      total += size * channels * filters;
    }
    const stored = scope.weight('kernel', [total]);
    return picked(stored, windows, channels, filters, scope, (place, at, channel, filter) => {
      const rank = ranks[place]!;
      return first[place]! + (filter * rank.size + rank.get(at)!) * channels + channel;
    });
  },
};

/** For each place, the inputs that its window covers, row by row; -1 for those outside. */
function coverage({ kernel, strides, begin, sizes, places }: Windows): readonly (readonly number[])[] {
  const indices = (shape: readonly number[]) =>
    shape.reduce<number[][]>((all, size) => all.flatMap((index) => Array.from({ length: size }, (_, i) => [...index, i])), [[]]);
  const offsets = indices(kernel);
  return indices(places).map((place) =>
    offsets.map((offset) => {
      const at = place.map((index, axis) => index * strides[axis]! - begin[axis]! + offset[axis]!);
      if (at.some((index, axis) => index < 0 || index >= sizes[axis]!)) return -1;
      return at.reduce((sum, index, axis) => sum * sizes[axis]! + index, 0);
    }),
  );
}

/** Kernels that are picked out of others, one element each; larger ones than any that is known. */
const MAX_PICKED = 2 ** 24;

function picked(
  stored: Tensor,
  windows: Windows,
  channels: number,
  filters: number,
  scope: Scope,
  sourceOf: (place: number, at: number, channel: number, filter: number) => number,
): Tensor {
  const covered = coverage(windows);
  const shape = [covered.length, elementCount(windows.kernel) * channels, filters];
  if (Math.max(elementCount(shape), elementCount(stored.shape)) > MAX_PICKED)
    throw scope.unsupported(`a locally connected layer whose kernel [${stored.shape}] is kept as one matrix`);
  const width = DTYPE_BYTES[stored.dtype];
  return computedTensor(stored.name, stored.dtype, shape, stored.origin, async () => {
    const from = await tensorBytes(stored);
    const to = new Uint8Array(elementCount(shape) * width);
    let next = 0;
    for (const [place, inside] of covered.entries()) {
      for (const at of inside) {
        for (let channel = 0; channel < channels; channel++) {
          for (let filter = 0; filter < filters; filter++, next += width) {
            if (at < 0) continue;
            const source = sourceOf(place, at, channel, filter) * width;
            to.set(from.subarray(source, source + width), next);
          }
        }
      }
    }
    return to;
  });
}

/** What each window covers, as channels [...window, channel]: a convolution whose kernels pick one element each. */
export function unfolded(value: Value, { kernel, strides, begin, sizes, places }: Windows, scope: Scope): Value {
  const channels = value.shape[1] as number;
  const window = elementCount(kernel);
  if ((window * channels) ** 2 > MAX_PICKS) throw scope.unsupported(`a locally connected layer whose windows have ${window * channels} elements`);
  const picks = new Float32Array(window * channels * channels * window);
  for (let place = 0; place < window; place++) for (let c = 0; c < channels; c++) picks[((place * channels + c) * channels + c) * window + place] = 1;
  const shape = [window * channels, channels, ...kernel];
  const tensor = constantTensor(`${scope.name}/windows`, 'float32', shape, new Uint8Array(picks.buffer), { file: scope.builder.file });
  const end = places.map((count, axis) => Math.max(0, (count - 1) * strides[axis]! + kernel[axis]! - begin[axis]! - sizes[axis]!));
  return scope.add('Conv', [value], { attributes: { kernel_shape: kernel, strides, pads: [...begin, ...end] }, weights: { kernel: tensor } });
}
