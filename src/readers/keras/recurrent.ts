/**
 * Recurrent layers over sequences of known length, written out step by step.
 *
 * Kernels lie side by side: an LSTM's for input, forget, cell and output gate, a GRU's for update, reset and candidate.
 */
import { toFloat64Array } from '../../model/cast.js';
import { computedTensor, elementCount, permute, reshape, sliceAxis, type Tensor, tensorBytes } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import type { Activation } from './activations.js';
import { knownSize, slice, squeeze, unsqueeze } from './axes.js';
import { brief, type ConfigView } from './config-view.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

type Kind = 'LSTM' | 'GRU' | 'SimpleRNN';

/** Gates of each kind, in the order of the kernel. */
const GATES: Readonly<Record<Kind, number>> = { LSTM: 4, GRU: 3, SimpleRNN: 1 };

/** Each step takes some twenty operators. */
const MAX_STEPS = 512;

interface Recurrent {
  readonly kind: Kind;
  readonly units: number;
  readonly bias: boolean;
  readonly activation: Activation;
  readonly gate: Activation;
  readonly sequences: boolean;
  readonly states: boolean;
  readonly backwards: boolean;
  /** Of a GRU: whether the reset gate acts behind the product, which then has a bias of its own. */
  readonly resetAfter: boolean;
  readonly keras1: boolean;
}

function readRecurrent(config: ConfigView, kind: Kind): Recurrent {
  config.expect(['stateful'], [false, null], 'a layer that keeps its state from one call to the next is not translated');
  config.expect(['time_major'], [false], 'sequences whose steps come before the batch are not translated');
  config.expect(['zero_output_for_mask'], [false, null], 'masks are not followed into recurrent layers');
  const keras1 = config.has('output_dim');
  return {
    kind,
    keras1,
    units: config.integer(['units', 'output_dim']),
    bias: config.boolean(['use_bias'], true),
    activation: activation(config, 'activation', 'tanh'),
    gate:
      kind === 'SimpleRNN'
        ? (value) => value
        : activation(config, config.has('inner_activation') ? 'inner_activation' : 'recurrent_activation', 'hard_sigmoid'),
    sequences: config.boolean(['return_sequences'], false),
    states: config.boolean(['return_state'], false),
    backwards: config.boolean(['go_backwards'], false),
    resetAfter: kind === 'GRU' && config.boolean(['reset_after'], false),
  };
}

export const recurrent =
  (kind: Kind): Rule =>
  (config) => {
    const read = readRecurrent(config, kind);
    return ([input], scope) => {
      const { outputs, states } = run(read, input!, scope);
      const made = read.sequences ? { ...joined(outputs, scope), mask: input!.mask } : outputs.at(-1)!;
      return read.states ? [made, ...states] : made;
    };
  };

interface Weights {
  /** [features, gates · units] */
  readonly kernel: Tensor;
  /** [units, gates · units] */
  readonly recurrent: Tensor;
  readonly bias: Tensor | null;
  readonly recurrentBias: Tensor | null;
}

/** What the layer makes at each step that it goes, in that order, and its last states. */
function run(read: Recurrent, input: Value, scope: Scope): { outputs: Value[]; states: readonly Value[] } {
  const value = scope.builder.toKeras(input);
  if (value.shape.length !== 3) throw scope.malformed(`a value of ${value.shape.length} axes flows in, expected [batch, steps, features]`);
  const steps = knownSize(value, 1, 'a recurrent layer', scope);
  if (steps > MAX_STEPS) throw scope.unsupported(`a recurrent layer over ${steps} steps, more than the ${MAX_STEPS} that are written out,`);
  const weights = takeWeights(read, knownSize(value, 2, 'a recurrent layer', scope), scope);
  const product = scope.add('MatMul', [value], { weights: { kernel: weights.kernel } });
  const all = weights.bias ? scope.add('Add', [product], { weights: { operand: weights.bias } }) : product;
  const order = Array.from({ length: steps }, (_, i) => (read.backwards ? steps - 1 - i : i));
  const mask = input.mask as Value | undefined;
  const outputs: Value[] = [];
  let states: readonly Value[] = [];
  for (const step of order) {
    const x = squeeze(slice(all, 1, step, step + 1, scope), [1], scope);
    const made = STEPS[read.kind](read, x, states, weights, scope);
    const counts = mask ? slice(mask, 1, step, step + 1, scope) : null;
    states = counts ? made.map((state, i) => kept(state, states[i], counts, scope)) : made;
    outputs.push(states[0]!);
  }
  return { outputs, states };
}

/** The new state where the step counts, the one before (nothing at first) where it does not. @param counts [N, 1] */
function kept(state: Value, before: Value | undefined, counts: Value, scope: Scope): Value {
  if (!before) return scope.add('Mul', [state, counts]);
  return scope.add('Add', [before, scope.add('Mul', [scope.add('Sub', [state, before]), counts])]);
}

type Step = (read: Recurrent, x: Value, states: readonly Value[], weights: Weights, scope: Scope) => readonly Value[];

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
  const taken = scope.add('Mul', [gate(gateOf(all, 0, units, scope), scope), act(gateOf(all, 2, units, scope), scope)]);
  const kept = cell ? scope.add('Mul', [gate(gateOf(all, 1, units, scope), scope), cell]) : null;
  const next = sum(taken, kept, scope);
  return [scope.add('Mul', [gate(gateOf(all, 3, units, scope), scope), act(next, scope)]), next];
};

const gruStep: Step = (read, x, [state], { recurrent: kernel, recurrentBias }, scope) => {
  const { activation: act, gate, units } = read;
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
  const after = read.resetAfter ? timesRecurrent(state, kernel, recurrentBias, scope) : null;
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

function takeWeights(read: Recurrent, features: number, scope: Scope): Weights {
  const { kind, units, bias, resetAfter } = read;
  const width = GATES[kind] * units;
  // Keras 1 kept the weights of each gate apart, unless it was meant to run on a GPU.
  if (read.keras1 && scope.weights.length === 3 * GATES[kind] && kind !== 'SimpleRNN') return takeGates(read, features, scope);
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

function takeGates({ kind, units }: Recurrent, features: number, scope: Scope): Weights {
  const taken = KERAS1_GATES[kind].map((place) => ({
    place,
    parts: [scope.weight('kernel', [features, units]), scope.weight('recurrent kernel', [units, units]), scope.weight('bias', [units])] as const,
  }));
  const gates = taken.toSorted((a, b) => a.place - b.place).map(({ parts }) => parts);
  const [kernel, recurrentKernel, bias] = [0, 1, 2].map((i) => besides(gates.map((parts) => parts[i]!))) as [Tensor, Tensor, Tensor];
  return { kernel, recurrent: recurrentKernel, bias, recurrentBias: null };
}

/** Small tensors side by side along their last axis. */
function besides(parts: readonly Tensor[]): Tensor {
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

/** [batch, steps, units] of the values at all steps. */
function joined(outputs: readonly Value[], scope: Scope): Value {
  const rows = outputs.map((output) => scope.builder.toKeras(unsqueeze(output, 1, scope)));
  return rows.length === 1 ? rows[0]! : scope.add('Concat', rows, { attributes: { axis: 1 } });
}

const MERGES: Readonly<Record<string, string>> = { sum: 'Add', mul: 'Mul', ave: 'Add', concat: 'Concat' };

/** A layer over the sequence as it comes, and another one over its end first. */
export const bidirectional: Rule = (config) => {
  const forward = readInner(config, config.value(['layer']));
  const given = config.value(['backward_layer']);
  const backward = given === null || given === undefined ? null : readInner(config, given);
  const mode = config.value(['merge_mode']) ?? null;
  if (mode !== null && !Object.hasOwn(MERGES, String(mode)))
    config.decline(`"merge_mode" is ${brief(mode)}, expected one of ${Object.keys(MERGES).join(', ')}`);
  return ([input], scope) => {
    const ahead = run(forward!, input!, scope);
    const other = backward ?? { ...forward!, backwards: !forward!.backwards };
    const behind = run(other, input!, scope);
    if (forward!.states) throw scope.unsupported('a Bidirectional layer that gives its states');
    const mask = forward!.sequences ? input!.mask : undefined;
    const pair = forward!.sequences
      ? [joined(ahead.outputs, scope), joined(behind.outputs.toReversed(), scope)]
      : [ahead.outputs.at(-1)!, behind.outputs.at(-1)!];
    if (mode === null) return pair;
    if (mode === 'concat') return { ...scope.add('Concat', pair, { attributes: { axis: forward!.sequences ? 2 : 1 } }), mask };
    return mode === 'ave' ? scope.withScalar('Mul', scope.add('Add', pair), 0.5) : scope.add(MERGES[String(mode)]!, pair);
  };
};

function readInner(config: ConfigView, value: unknown): Recurrent | null {
  const inner = config.inner(value);
  const kind = inner?.layer.className;
  if (!inner || !kind || !Object.hasOwn(GATES, kind)) {
    config.decline(`a Bidirectional layer of ${brief(kind ?? value)} is not translated; of LSTM, GRU and SimpleRNN it is`);
    return null;
  }
  const read = readRecurrent(inner, kind as Kind);
  inner.finish();
  return read;
}
