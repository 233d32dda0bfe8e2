/**
 * What recurrent layers do at one step: LSTM, GRU, SimpleRNN, their forms for CuDNN, and stacks of cells.
 *
 * Kernels lie side by side: an LSTM's for input, forget, cell and output gate, a GRU's for update, reset and candidate.
 */
import { permute, reshape, sliceAxis, type Tensor } from '../../../model/tensor.js';
import { activation } from '../activation-setting.js';
import type { Activation } from '../activations.js';
import { slice } from '../axes.js';
import { brief, type ConfigView } from '../config-view.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { besides, cudnnWeights, GATES, type Kind, type Weights } from './gates.js';

/** What a step hands on to the next one; what is missing is nothing yet. */
export type States = readonly (Value | undefined)[];

export interface Made {
  readonly output: Value;
  readonly states: readonly Value[];
}

/** A cell that has its weights. */
export interface Running {
  /** What its gates take in; of one step, or of all at once where `isStepwise` is not set. */
  project(x: Value): Value;
  readonly isStepwise?: boolean;
  step(projected: Value, states: States): Made;
}

export interface Cell {
  /** How many values a step hands on. */
  readonly states: number;
  /** Features of what it makes. */
  readonly units: number;
  /** Takes the cell's weights, for so many features. */
  begin(features: number, scope: Scope): Running;
}

interface Settings {
  readonly kind: Kind;
  readonly units: number;
  readonly bias: boolean;
  readonly activation: Activation;
  readonly gate: Activation;
  /** Of a GRU: whether the reset gate acts behind the product, which then has a bias of its own. */
  readonly resetAfter: boolean;
}

/** Reads a cell's settings, from its own configuration or that of a layer of its kind. */
export function readCell(config: ConfigView, kind: Kind): Cell {
  const settings: Settings = {
    kind,
    units: config.integer(['units', 'output_dim']),
    bias: config.boolean(['use_bias'], true),
    activation: activation(config, 'activation', 'tanh'),
    gate:
      kind === 'SimpleRNN'
        ? (value) => value
        : activation(config, config.has('inner_activation') ? 'inner_activation' : 'recurrent_activation', 'hard_sigmoid'),
    resetAfter: kind === 'GRU' && config.boolean(['reset_after'], false),
  };
  // Keras 1 kept the weights of each gate apart, unless it was meant to run on a GPU.
  const keras1 = config.has('output_dim') && kind !== 'SimpleRNN';
  return plainCell(settings, (features, scope) =>
    keras1 && `${scope.nextShape}` === `${[features, settings.units]}` ? takeGates(settings, features, scope) : takeWeights(settings, features, scope),
  );
}

/** A layer for CuDNN, which has its functions and its order of weights. */
export function readCudnnCell(config: ConfigView, kind: 'LSTM' | 'GRU'): Cell {
  const units = config.integer(['units']);
  const sigmoid: Activation = (value, scope) => scope.add('Sigmoid', [value]);
  const settings: Settings = {
    kind,
    units,
    bias: true,
    activation: (value, scope) => scope.add('Tanh', [value]),
    gate: sigmoid,
    resetAfter: kind === 'GRU',
  };
  return plainCell(settings, (features, scope) => cudnnWeights(kind, features, units, scope));
}

/** The cell of an RNN layer: one of the kinds, or several that work one behind the other. */
export function readInnerCell(config: ConfigView, value: unknown): Cell | null {
  const inner = config.inner(value);
  const className = inner?.layer.className ?? '';
  const kind = /^(LSTM|GRU|SimpleRNN)Cell$/.exec(className)?.[1] as Kind | undefined;
  if (inner && className === 'StackedRNNCells') {
    const list = inner.value(['cells']);
    const cells = Array.isArray(list) ? list.map((one) => readInnerCell(inner, one)) : [];
    inner.finish();
    if (cells.length > 0) return cells.includes(null) ? null : stacked(cells as readonly Cell[]);
  }
  if (!inner || !kind) {
    config.decline(`a cell ${brief(className || value)} is not translated; LSTMCell, GRUCell, SimpleRNNCell and StackedRNNCells of them are`);
    return null;
  }
  const cell = readCell(inner, kind);
  inner.finish();
  return cell;
}

function plainCell(settings: Settings, take: (features: number, scope: Scope) => Weights): Cell {
  return {
    states: settings.kind === 'LSTM' ? 2 : 1,
    units: settings.units,
    begin(features, scope) {
      const weights = take(features, scope);
      return {
        project(x) {
          const product = scope.add('MatMul', [x], { weights: { kernel: weights.kernel } });
          return weights.bias ? scope.add('Add', [product], { weights: { operand: weights.bias } }) : product;
        },
        step(projected, states) {
          const made = STEPS[settings.kind](settings, projected, states, weights, scope);
          return { output: made[0]!, states: made };
        },
      };
    },
  };
}

function stacked(cells: readonly Cell[]): Cell {
  return {
    states: cells.reduce((sum, { states }) => sum + states, 0),
    units: cells.at(-1)!.units,
    begin(features, scope) {
      const running = cells.map((cell, i) => cell.begin(i === 0 ? features : cells[i - 1]!.units, scope));
      return {
        project: (x) => running[0]!.project(x),
        step(projected, states) {
          let taken = 0;
          let x = projected;
          const all: Value[] = [];
          for (const [i, one] of running.entries()) {
            const own = states.slice(taken, taken + cells[i]!.states);
            taken += cells[i]!.states;
            const made = one.step(i === 0 ? x : one.project(x), own);
            all.push(...made.states);
            x = made.output;
          }
          return { output: x, states: all };
        },
      };
    },
  };
}

type Step = (settings: Settings, x: Value, states: States, weights: Weights, scope: Scope) => readonly Value[];

/** Part of what all gates take in. */
function gateOf(value: Value, i: number, units: number, scope: Scope): Value {
  return slice(value, 1, i * units, (i + 1) * units, scope);
}

function timesRecurrent(state: Value, recurrent: Tensor, bias: Tensor | null, scope: Scope): Value {
  return scope.add('Gemm', [state], { weights: { kernel: permute(recurrent, [1, 0]), ...(bias ? { bias } : {}) } });
}

const sum = (a: Value, b: Value | null, scope: Scope): Value => (b ? scope.add('Add', [a, b]) : a);

const simpleStep: Step = ({ activation: act }, x, [state], { recurrent: kernel }, scope) => [
  act(sum(x, state ? timesRecurrent(state, kernel, null, scope) : null, scope), scope),
];

const lstmStep: Step = ({ activation: act, gate, units }, x, [state, cell], { recurrent: kernel }, scope) => {
  const all = sum(x, state ? timesRecurrent(state, kernel, null, scope) : null, scope);
  return lstmGates((i) => gateOf(all, i, units, scope), cell, act, gate, scope);
};

/** What an LSTM makes of what its four gates take in: output and cell. */
export function lstmGates(taken: (gate: number) => Value, cell: Value | undefined, act: Activation, gate: Activation, scope: Scope): [Value, Value] {
  const fresh = scope.add('Mul', [gate(taken(0), scope), act(taken(2), scope)]);
  const kept = cell ? scope.add('Mul', [gate(taken(1), scope), cell]) : null;
  const next = sum(fresh, kept, scope);
  return [scope.add('Mul', [gate(taken(3), scope), act(next, scope)]), next];
}

const gruStep: Step = (settings, x, [state], { recurrent: kernel, recurrentBias }, scope) => {
  const { activation: act, gate, units } = settings;
  const [xz, xr, xh] = [0, 1, 2].map((i) => gateOf(x, i, units, scope)) as [Value, Value, Value];
  if (!state && !recurrentBias) {
    const candidate = act(xh, scope);
    return [scope.add('Sub', [candidate, scope.add('Mul', [gate(xz, scope), candidate])])];
  }
  if (!state) {
    // The products are nothing yet, but their biases are there.
    const [bz, br, bh] = [0, 1, 2].map((i) => sliceAxis(recurrentBias!, 0, i * units, (i + 1) * units)) as [Tensor, Tensor, Tensor];
    const withBias = (value: Value, operand: Tensor) => scope.add('Add', [value], { weights: { operand } });
    const reset = scope.add('Mul', [gate(withBias(xr, br), scope)], { weights: { operand: bh } });
    const candidate = act(scope.add('Add', [xh, reset]), scope);
    return [scope.add('Sub', [candidate, scope.add('Mul', [gate(withBias(xz, bz), scope), candidate])])];
  }
  const part = (i: number) => sliceAxis(kernel, 1, i * units, (i + 1) * units);
  const after = settings.resetAfter ? timesRecurrent(state, kernel, recurrentBias, scope) : null;
  const from = (i: number) => (after ? gateOf(after, i, units, scope) : timesRecurrent(state, part(i), null, scope));
  const update = gate(scope.add('Add', [xz, from(0)]), scope);
  const reset = gate(scope.add('Add', [xr, from(1)]), scope);
  const recalled = after ? scope.add('Mul', [reset, from(2)]) : timesRecurrent(scope.add('Mul', [reset, state]), part(2), null, scope);
  const candidate = act(scope.add('Add', [xh, recalled]), scope);
  // z · h + (1 - z) · candidate
  const difference = scope.add('Sub', [state, candidate]);
  return [scope.add('Add', [candidate, scope.add('Mul', [update, difference])])];
};

const STEPS: Readonly<Record<Kind, Step>> = { SimpleRNN: simpleStep, LSTM: lstmStep, GRU: gruStep };

function takeWeights({ kind, units, bias, resetAfter }: Settings, features: number, scope: Scope): Weights {
  const width = GATES[kind] * units;
  const kernel = scope.weight('kernel', [features, width]);
  const recurrentKernel = scope.weight('recurrent kernel', [units, width]);
  if (!bias) return { kernel, recurrent: recurrentKernel, bias: null, recurrentBias: null };
  if (!resetAfter) return { kernel, recurrent: recurrentKernel, bias: scope.weight('bias', [width]), recurrentBias: null };
  const both = scope.weight('bias', [2, width]);
  const row = (i: number) => reshape(sliceAxis(both, 0, i, i + 1), [width]);
  return { kernel, recurrent: recurrentKernel, bias: row(0), recurrentBias: row(1) };
}

/** In which order Keras 1 lists the gates, by their place in the kernel of later versions. */
const KERAS1_GATES: Readonly<Record<Kind, readonly number[]>> = { LSTM: [0, 2, 1, 3], GRU: [0, 1, 2], SimpleRNN: [0] };

function takeGates({ kind, units }: Settings, features: number, scope: Scope): Weights {
  const taken = KERAS1_GATES[kind].map((place) => ({
    place,
    parts: [scope.weight('kernel', [features, units]), scope.weight('recurrent kernel', [units, units]), scope.weight('bias', [units])] as const,
  }));
  const gates = taken.toSorted((a, b) => a.place - b.place).map(({ parts }) => parts);
  const [kernel, recurrentKernel, bias] = [0, 1, 2].map((i) => besides(gates.map((parts) => parts[i]!))) as [Tensor, Tensor, Tensor];
  return { kernel, recurrent: recurrentKernel, bias, recurrentBias: null };
}
