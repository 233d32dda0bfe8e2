/** Gates of recurrent layers, and their weights where a file keeps them otherwise than side by side: each apart, or as CuDNN takes them. */
import { toFloat64Array } from '../../../model/cast.js';
import { computedTensor, elementCount, permute, reshape, sliceAxis, type Tensor, tensorBytes } from '../../../model/tensor.js';
import type { Scope } from '../scope.js';

export type Kind = 'LSTM' | 'GRU' | 'SimpleRNN';

/** Gates of each kind, in the order of the kernel. */
export const GATES: Readonly<Record<Kind, number>> = { LSTM: 4, GRU: 3, SimpleRNN: 1 };

export interface Weights {
  /** [features, gates · units] */
  readonly kernel: Tensor;
  /** [units, gates · units] */
  readonly recurrent: Tensor;
  readonly bias: Tensor | null;
  readonly recurrentBias: Tensor | null;
}

/** Small tensors side by side along their last axis. */
export function besides(parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor, ...Tensor[]];
  const width = first.shape.at(-1)!;
  const shape = first.shape.with(-1, width * parts.length);
  return computedTensor(`${first.name} ...`, 'float32', shape, first.origin, async () => {
    const values = await Promise.all(parts.map(async (part) => toFloat64Array(await tensorBytes(part), part.dtype)));
    const joined = Float32Array.from({ length: elementCount(shape) }, (_, i) => {
      const [row, column] = [Math.floor(i / shape.at(-1)!), i % shape.at(-1)!];
      return values[Math.floor(column / width)]![row * width + (column % width)]!;
    });
    return new Uint8Array(joined.buffer);
  });
}

/**
 * Weights of a CuDNNLSTM or CuDNNGRU. Each gate's kernels are transposed; that of the input keeps the shape [features, units] around the
 * transposed elements. There are two biases for each gate, those of the recurrent kernels behind the others.
 *
 * @see https://github.com/keras-team/keras/blob/v2.15.0/keras/saving/legacy/hdf5_format.py, _convert_rnn_weights
 */
export function cudnnWeights(kind: 'LSTM' | 'GRU', features: number, units: number, scope: Scope): Weights {
  const gates = Array.from({ length: GATES[kind] }, (_, i) => i);
  const width = GATES[kind] * units;
  const kernel = scope.weight('kernel', [features, width]);
  const recurrent = scope.weight('recurrent kernel', [units, width]);
  const biases = scope.weight('bias', [2 * width]);
  const gate = (tensor: Tensor, i: number) => sliceAxis(tensor, 1, i * units, (i + 1) * units);
  const [first, second] = [sliceAxis(biases, 0, 0, width), sliceAxis(biases, 0, width, 2 * width)] as const;
  return {
    kernel: besides(gates.map((i) => permute(reshape(gate(kernel, i), [units, features]), [1, 0]))),
    recurrent: besides(gates.map((i) => permute(gate(recurrent, i), [1, 0]))),
    bias: kind === 'LSTM' ? sumOf(first, second) : first,
    recurrentBias: kind === 'LSTM' ? null : second,
  };
}

function sumOf(a: Tensor, b: Tensor): Tensor {
  return computedTensor(a.name, 'float32', a.shape, a.origin, async () => {
    const [left, right] = await Promise.all([a, b].map(async (part) => toFloat64Array(await tensorBytes(part), part.dtype)));
    return new Uint8Array(Float32Array.from(left!, (value, i) => value + right![i]!).buffer);
  });
}
