/** LocallyConnected1D and 2D: convolutions whose kernel is another one at each place. */
import { constantTensor, elementCount } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import { combineTensor } from './arithmetic.js';
import { reduce } from './axes.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

export const locallyConnected =
  (rank: number): Rule =>
  (config) => {
    const kernel = config.sizes(['kernel_size'], rank);
    const strides = config.sizes(['strides'], rank, new Array(rank).fill(1));
    const filters = config.integer(['filters']);
    const bias = config.boolean(['use_bias'], true);
    const then = activation(config);
    if (config.dataFormat() !== 'channels_last') config.decline('a channels-first locally connected layer is not translated');
    config.expect(['padding'], ['valid'], 'only locally connected layers without padding are translated');
    // The other ways to compute it keep their kernels as one large matrix, of which most is not used.
    config.expect(['implementation'], [1], 'only kernels that are kept place by place are translated');
    return ([input], scope) => {
      const patches = scope.builder.toKeras(unfolded(scope.builder.toMoved(input!), kernel, strides, scope));
      const sizes = patches.shape.slice(1);
      if (!sizes.every((size) => typeof size === 'number')) throw scope.unsupported('a locally connected layer over sizes that are not given');
      const features = sizes.at(-1) as number;
      const places = sizes.slice(0, -1) as readonly number[];
      const count = elementCount(places);
      const rows = scope.add('Reshape', [patches], { attributes: { shape: [0, count, features, 1] } });
      const products = combineTensor('Mul', rows, scope.weight('kernel', [count, features, filters]), scope);
      const sums = reduce('ReduceSum', products, [2], false, scope);
      const made = scope.add('Reshape', [sums], { attributes: { shape: [0, ...places, filters] }, order: 'keras' });
      return then(bias ? combineTensor('Add', made, scope.weight('bias', [...places, filters]), scope) : made, scope);
    };
  };

/** Elements of the kernels that pick others; windows of 2,000 elements need as many. */
const MAX_PICKS = 2 ** 22;

/** What each window covers, as channels [...window, channel]: a convolution whose kernels pick one element each. */
function unfolded(value: Value, kernel: readonly number[], strides: readonly number[], scope: Scope): Value {
  const channels = value.shape[1];
  if (typeof channels !== 'number' || value.shape.length !== kernel.length + 2) throw scope.malformed(`a value of the shape [${value.shape}] flows in`);
  const window = elementCount(kernel);
  if ((window * channels) ** 2 > MAX_PICKS) throw scope.unsupported(`a locally connected layer whose windows have ${window * channels} elements`);
  const picks = new Float32Array(window * channels * channels * window);
  for (let place = 0; place < window; place++) for (let c = 0; c < channels; c++) picks[((place * channels + c) * channels + c) * window + place] = 1;
  const shape = [window * channels, channels, ...kernel];
  const tensor = constantTensor(`${scope.name}/windows`, 'float32', shape, new Uint8Array(picks.buffer), { file: scope.builder.file });
  return scope.add('Conv', [value], { attributes: { kernel_shape: kernel, strides }, weights: { kernel: tensor } });
}
