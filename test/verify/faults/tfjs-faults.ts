/** Faults that converters make, each in one layer of the digits net written for TensorFlow.js. */
import { moveValues, type TfjsEdit } from './tfjs-edit.js';

export interface TfjsFault {
  readonly kind: string;
  readonly format: 'tfjs' | 'tfjs-graph';
  readonly layer: string;
  readonly edit: TfjsEdit;
}

/** In the weights, which both forms name alike. */
const WEIGHT_FAULTS: readonly Omit<TfjsFault, 'format'>[] = [
  {
    kind: 'kernel left in the order of Caffe',
    layer: 'conv1_2',
    edit: (model) => {
      // [3, 3, 12, 12] holding what lay as [12, 12, 3, 3].
      moveValues('conv1_2/kernel', ([h, w, i, o]) => {
        const at = ((h! * 3 + w!) * 12 + i!) * 12 + o!;
        return [Math.floor(at / 3) % 3, at % 3, Math.floor(at / 9) % 12, Math.floor(at / 108)];
      })(model);
    },
  },
  { kind: 'kernel transposed (height and width)', layer: 'conv2_1', edit: moveValues('conv2_1/kernel', ([h, w, i, o]) => [w!, h!, i!, o!]) },
  { kind: 'BGR input', layer: 'conv1_1', edit: moveValues('conv1_1/kernel', ([h, w, i, o]) => [h!, w!, 2 - i!, o!]) },
  { kind: 'bias dropped', layer: 'conv2_1', edit: (model) => void model.values('conv2_1/bias').fill(0) },
  { kind: 'flatten order left channels-first', layer: 'fc6', edit: moveValues('fc6/kernel', ([i, o]) => [(i! % 16) * 32 + Math.floor(i! / 16), o!]) },
  { kind: 'dense matrix transposed', layer: 'fc7', edit: moveValues('fc7/kernel', ([i, o]) => [o!, i!]) },
  { kind: 'off-by-one span', layer: 'conv3_2', edit: (model) => void model.values('conv3_2/kernel').copyWithin(0, 1) },
  {
    kind: 'weights of another layer',
    layer: 'conv2_1',
    edit: (model) => {
      const [a, b] = [model.entry('conv2_1/bias'), model.entry('conv2_2/bias')];
      [a.name, b.name] = [b.name, a.name];
    },
  },
];

export const TFJS_FAULTS: readonly TfjsFault[] = [
  ...WEIGHT_FAULTS.map((fault) => ({ ...fault, format: 'tfjs' as const })),
  { kind: 'ReLU missing', format: 'tfjs', layer: 'relu2_1', edit: ({ config }) => void Object.assign(config('relu2_1'), { activation: 'linear' }) },
  {
    kind: 'average for max pooling',
    format: 'tfjs',
    layer: 'pool2',
    edit: ({ part }) => void Object.assign(part('pool2'), { class_name: 'AveragePooling2D' }),
  },
  { kind: 'softmax missing', format: 'tfjs', layer: 'prob', edit: ({ config }) => void Object.assign(config('prob'), { activation: 'linear' }) },
  { kind: 'sigmoid for softmax', format: 'tfjs', layer: 'prob', edit: ({ config }) => void Object.assign(config('prob'), { activation: 'sigmoid' }) },
  ...WEIGHT_FAULTS.slice(0, 5).map((fault) => ({ ...fault, format: 'tfjs-graph' as const })),
  { kind: 'ReLU missing', format: 'tfjs-graph', layer: 'relu2_1', edit: ({ part }) => void Object.assign(part('relu2_1'), { op: 'Identity' }) },
  { kind: 'average for max pooling', format: 'tfjs-graph', layer: 'pool2', edit: ({ part }) => void Object.assign(part('pool2'), { op: 'AvgPool' }) },
  {
    kind: 'pooling over a window of one',
    format: 'tfjs-graph',
    layer: 'pool2',
    edit: ({ part }) => {
      const pool = part('pool2') as { attr: { ksize: unknown } };
      pool.attr.ksize = { list: { i: ['1', '1', '1', '1'] } };
    },
  },
];
