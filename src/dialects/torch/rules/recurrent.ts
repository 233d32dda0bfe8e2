/** torch.nn.LSTM, GRU and RNN, of any number of layers and both directions. */
import type { Value } from '../../../model/builder.js';
import { type Direction, GATES, type RecurrentKind, runSteps } from '../../recurrent.js';
import type { Call } from '../call.js';
import { List, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

/** The layer's part of a state [layers * directions, batch, hidden]. */
function stateOf(call: Call, state: Value, at: number): Value {
  if (state.shape?.[0] === 1) return state;
  return call.add('Slice', [state], { starts: [at], ends: [at + 1], axes: [0], steps: [1] }, 'state');
}

function recurrent(kind: RecurrentKind): Rule {
  return rule('input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first', (call) => {
    if (call.number('dropout') !== 0) call.trains('train');
    const states = call.item('hx') instanceof List ? call.tensors('hx') : [call.tensor('hx')];
    // Sequences of different lengths, packed together, have the lengths in the place of the states.
    if (!(call.item('params') instanceof List) || states.length !== (kind === 'lstm' ? 2 : 1)) throw call.decline('it takes a packed sequence');
    const params = call.tensors('params');
    const [hasBiases, layers, isBatchFirst] = [call.flag('has_biases'), call.number('num_layers'), call.flag('batch_first')];
    const directions = call.flag('bidirectional') ? 2 : 1;
    const each = params.length / (layers * directions);
    const own = hasBiases ? 4 : 2;
    const isProjected = kind === 'lstm' && each === own + 1;
    if (each !== own && !isProjected) throw call.decline(`it has ${params.length} weights for ${layers} layers`);
    const given = call.tensor('input');
    if (call.rank(given) !== 3) throw call.decline(`[${given.shape}] flows in, expected [steps, batch, inputs]`);
    const swap = (value: Value) => call.add('Transpose', [value], { perm: [1, 0, 2] }, 'steps');
    let x = isBatchFirst ? swap(given) : given;
    const ends: { hidden: Value; cell: Value | null }[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const runs = Array.from({ length: directions }, (_, direction) => {
        const at = layer * directions + direction;
        const [input, weights, inputBias = null, recurrentBias = null] = params.slice(at * each, at * each + own) as [Value, Value, Value?, Value?];
        const projection = isProjected ? params[(at + 1) * each - 1]! : null;
        const [hidden, cell] = states.map((state) => stateOf(call, state, at));
        const form: Direction = {
          input,
          recurrent: weights,
          inputBias,
          recurrentBias,
          projection,
          hidden: hidden!,
          cell: cell ?? null,
          backwards: direction === 1,
        };
        return runSteps(call.build, kind, GATES[kind].torch, x, form, call.layerName(`${layer}${direction ? '_reverse' : ''}`));
      });
      ends.push(...runs);
      x =
        runs.length === 1
          ? runs[0]!.sequence
          : call.add(
              'Concat',
              runs.map(({ sequence }) => sequence),
              { axis: 2 },
              'directions',
            );
    }
    const joined = (values: readonly Value[]) => (values.length === 1 ? values[0]! : call.add('Concat', values, { axis: 0 }, 'ends'));
    const made = [isBatchFirst ? swap(x) : x, joined(ends.map(({ hidden }) => hidden)), ...(kind === 'lstm' ? [joined(ends.map(({ cell }) => cell!))] : [])];
    return listOf(made);
  });
}

/** One step, whose state has no axis of steps. */
function cell(kind: RecurrentKind): Rule {
  return rule('input, hx, w_ih, w_hh, b_ih=None, b_hh=None', (call) => {
    const states = call.item('hx') instanceof List ? call.tensors('hx') : [call.tensor('hx')];
    const wide = (value: Value) => call.add('Unsqueeze', [value], { axes: [0] }, 'step');
    const narrow = (value: Value) => call.add('Squeeze', [value], { axes: [0] });
    const [hidden, own] = states.map(wide);
    const form: Direction = {
      input: call.tensor('w_ih'),
      recurrent: call.tensor('w_hh'),
      inputBias: call.optionalTensor('b_ih'),
      recurrentBias: call.optionalTensor('b_hh'),
      hidden: hidden!,
      cell: own ?? null,
      backwards: false,
    };
    const made = runSteps(call.build, kind, GATES[kind].torch, wide(call.tensor('input')), form, call.layerName('step'));
    return kind === 'lstm' ? listOf([narrow(made.hidden), narrow(made.cell!)]) : new TensorItem(narrow(made.hidden));
  });
}

export const recurrentRules: Rules = {
  lstm: recurrent('lstm'),
  gru: recurrent('gru'),
  rnn_tanh: recurrent('tanh'),
  rnn_relu: recurrent('relu'),
  lstm_cell: cell('lstm'),
  gru_cell: cell('gru'),
  rnn_tanh_cell: cell('tanh'),
  rnn_relu_cell: cell('relu'),
};
