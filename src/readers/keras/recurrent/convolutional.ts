/** ConvLSTM1D to 3D: an LSTM whose gates are convolutions over pictures. */
import { permute, type Tensor } from '../../../model/tensor.js';
import { activation } from '../activation-setting.js';
import { slice } from '../axes.js';
import type { ConfigView, DataFormat } from '../config-view.js';
import { type Padding, turned, windowAttributes } from '../convolutions.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Cell, lstmGates } from './cells.js';

const GATES = 4;

/** A cell over [batch, channels, ...spatial]. */
export function readConvolutionalCell(config: ConfigView, rank: number): Cell {
  const kernel = config.sizes(['kernel_size'], rank);
  const ones = kernel.map(() => 1);
  const strides = config.sizes(['strides'], rank, ones);
  const dilations = config.sizes(['dilation_rate'], rank, ones);
  const padding = config.oneOf<Padding>(['padding'], ['valid', 'same'], 'valid');
  const filters = config.integer(['filters']);
  const hasBias = config.boolean(['use_bias'], true);
  const act = activation(config, 'activation', 'tanh');
  const gate = activation(config, 'recurrent_activation', 'hard_sigmoid');
  const spatial = Array.from({ length: rank }, (_, axis) => axis);
  return {
    states: 2,
    units: filters,
    begin(channels, scope) {
      const wide = GATES * filters;
      const [own, recurrent] = [channels, filters].map((from, i) =>
        turned(permute(scope.weight(i === 0 ? 'kernel' : 'recurrent kernel', [...kernel, from, wide]), [rank + 1, rank, ...spatial]), scope),
      );
      const bias: Readonly<Record<string, Tensor>> = hasBias ? { bias: scope.weight('bias', [wide]) } : {};
      const convolve = (value: Value, window: Parameters<typeof windowAttributes>[0], weights: Parameters<Scope['add']>[2]) =>
        scope.add('Conv', [value], { ...weights, attributes: { ...windowAttributes(window, value.shape, scope), dilations: window.dilations } });
      return {
        isStepwise: true,
        project: (x) => convolve(x, { kernel, strides, dilations, padding }, { weights: { kernel: own!, ...bias } }),
        step(projected, [state, cell]) {
          const within = { kernel, strides: ones, dilations: ones, padding: 'same' } as const;
          const all = state ? scope.add('Add', [projected, convolve(state, within, { weights: { kernel: recurrent! } })]) : projected;
          // Channels are behind the batch here.
          const made = lstmGates((i) => slice(all, 1, i * filters, (i + 1) * filters, scope), cell, act, gate, scope);
          return { output: made[0], states: made };
        },
      };
    },
  };
}

/** [batch, steps, channels, ...spatial], wherever Keras has the channels. */
export function channelsBehindSteps(input: Value, format: DataFormat, scope: Scope): Value {
  const value = scope.builder.toKeras(input);
  const rank = value.shape.length;
  if (format === 'channels_first') return value;
  return scope.add('Transpose', [value], { attributes: { perm: [0, 1, rank - 1, ...Array.from({ length: rank - 3 }, (_, i) => i + 2)] } });
}

/** The same way back. */
export function channelsBehindPictures(value: Value, format: DataFormat, scope: Scope): Value {
  const rank = value.shape.length;
  if (format === 'channels_first') return value;
  return scope.add('Transpose', [value], { attributes: { perm: [0, 1, ...Array.from({ length: rank - 3 }, (_, i) => i + 3), 2] } });
}
