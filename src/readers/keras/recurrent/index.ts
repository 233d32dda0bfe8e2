/** Recurrent layers over sequences of known length, written out step by step. */
import { knownSize, reshapeTo, slice, squeeze, unsqueeze } from '../axes.js';
import { brief, type ConfigView, type Dialect } from '../config-view.js';
import type { Rule } from '../rule.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Cell, type Made, type Running, readCell, readCudnnCell, readInnerCell, type States } from './cells.js';
import { channelsBehindPictures, channelsBehindSteps, readConvolutionalCell } from './convolutional.js';
import type { Kind } from './gates.js';

/** Each step takes some twenty operators. */
const MAX_STEPS = 512;

interface Recurrent {
  /** null where it has been declined. */
  readonly cell: Cell | null;
  readonly sequences: boolean;
  readonly states: boolean;
  readonly backwards: boolean;
  /** Whether nothing is made at steps that do not count, where else it is what the step before made. */
  readonly zeroMasked: boolean;
  /** Whether Keras writes the steps out, too. */
  readonly unrolled: boolean;
  /** Of pictures: how they lie between the layers, and how in the loop. */
  readonly arrange?: Arrange;
}

interface Arrange {
  readonly rank: number;
  before(input: Value, scope: Scope): Value;
  behindSequence(value: Value, scope: Scope): Value;
  readonly order: Value['order'];
  state(value: Value, scope: Scope): Value;
}

/** Layers by class; the rest of the name says what their cells are. */
function readRecurrent(config: ConfigView): Recurrent {
  const { className } = config.layer;
  config.expect(['stateful'], [false, null], 'a layer that keeps its state from one call to the next is not translated');
  config.expect(['time_major'], [false], 'sequences whose steps come before the batch are not translated');
  const [, rank] = /^ConvLSTM(\d)D$/.exec(className) ?? [];
  return {
    cell: rank ? readConvolutionalCell(config, Number(rank)) : readCellOf(config, className),
    sequences: config.boolean(['return_sequences'], false),
    states: config.boolean(['return_state'], false),
    backwards: config.boolean(['go_backwards'], false),
    zeroMasked: config.boolean(['zero_output_for_mask'], false),
    unrolled: config.boolean(['unroll'], false),
    ...(rank ? { arrange: arrangePictures(config, Number(rank)) } : {}),
  };
}

function readCellOf(config: ConfigView, className: string): Cell | null {
  if (className === 'RNN') return readInnerCell(config, config.value(['cell']));
  if (className === 'CuDNNLSTM' || className === 'CuDNNGRU') return readCudnnCell(config, className.slice('CuDNN'.length) as 'LSTM' | 'GRU');
  return readCell(config, className as Kind);
}

function arrangePictures(config: ConfigView, rank: number): Arrange {
  const format = config.dataFormat();
  return {
    rank: rank + 3,
    before: (input, scope) => channelsBehindSteps(input, format, scope),
    behindSequence: (value, scope) => channelsBehindPictures(value, format, scope),
    order: format === 'channels_last' ? 'moved' : 'keras',
    state: (value, scope) => ({ ...scope.inFormat(value, format), order: 'keras' }),
  };
}

export const recurrent: Rule = (config) => {
  const read = readRecurrent(config);
  return ([input, ...initial], scope) => {
    const { outputs, states } = run(read, input!, initial, scope);
    const made = read.sequences ? { ...joined(read, outputs, scope), mask: input!.mask } : asKeras(read, outputs.at(-1)!);
    return read.states ? [made, ...states.map((state) => asKeras(read, state))] : made;
  };
};

/** A value of the loop as the layers behind it take it. */
function asKeras({ arrange }: Recurrent, value: Value): Value {
  return arrange ? { ...value, order: arrange.order } : value;
}

/**
 * What the layer makes at each step that it goes, in that order, and its last states.
 *
 * @param initial states to begin with; nothing where there are none
 */
function run(read: Recurrent, input: Value, initial: readonly Value[], scope: Scope): { outputs: Value[]; states: readonly Value[] } {
  const cell = read.cell!;
  const value = read.arrange ? read.arrange.before(input, scope) : scope.builder.toKeras(input);
  const rank = read.arrange?.rank ?? 3;
  if (value.shape.length !== rank) throw scope.malformed(`a value of ${value.shape.length} axes flows in, expected ${rank}, the steps behind the batch`);
  if (initial.length !== 0 && initial.length !== cell.states)
    throw scope.malformed(`the layer is called with ${initial.length} states to begin with, but it has ${cell.states}`);
  const steps = knownSize(value, 1, 'a recurrent layer', scope);
  if (steps > MAX_STEPS) throw scope.unsupported(`a recurrent layer over ${steps} steps, more than the ${MAX_STEPS} that are written out,`);
  if (steps === 1 && initial.length === 0)
    scope.tell('without-effect', 'it takes one step, before which nothing was: its recurrent kernel meets zeros alone, and is left out');
  const running = cell.begin(knownSize(value, 2, 'a recurrent layer', scope), scope);
  const takenIn = inputsOf(running, value, scope);
  const order = Array.from({ length: steps }, (_, i) => (read.backwards ? steps - 1 - i : i));
  const mask = input.mask as Value | undefined;
  // Keras turns the mask around for what it reads, and not for what it makes of a sequence whose steps it has written out.
  const isZeroedLate = read.zeroMasked && read.unrolled && read.backwards && read.sequences;
  const countsAt = (step: number, made: Value) => spreadTo(slice(mask!, 1, step, step + 1, scope), made.shape.length, scope);
  const outputs: Value[] = [];
  let states: States = initial.map((state) => (read.arrange ? read.arrange.state(state, scope) : scope.builder.toKeras(state)));
  for (const step of order) {
    const made = running.step(takenIn(step), states);
    const isZeroed = read.zeroMasked && !isZeroedLate;
    const next = mask ? heeded(made, states, outputs.at(-1), countsAt(step, made.output), isZeroed, initial.length > 0, scope) : made;
    states = next.states;
    outputs.push(next.output);
  }
  const zeroed = mask && isZeroedLate ? outputs.map((output, i) => scope.add('Mul', [output, countsAt(i, output)])) : outputs;
  return { outputs: zeroed, states: states as readonly Value[] };
}

/** What the gates take in at a step. */
function inputsOf(running: Running, value: Value, scope: Scope): (step: number) => Value {
  const at = (all: Value, step: number) => squeeze(slice(all, 1, step, step + 1, scope), [1], scope);
  if (running.isStepwise) return (step) => running.project(at(value, step));
  const all = running.project(value);
  return (step) => at(all, step);
}

/** A step whose mask counts it or not. @param counts 1 or 0 for each sample, in as many axes as the values have */
function heeded(made: Made, before: States, previous: Value | undefined, counts: Value, zero: boolean, hasInitial: boolean, scope: Scope): Made {
  const states = made.states.map((state, i) => kept(state, before[i], counts, scope));
  // What it makes is one of its states, unless these began otherwise.
  const place = made.states.indexOf(made.output);
  if (zero) return { states, output: scope.add('Mul', [made.output, counts]) };
  return { states, output: !hasInitial && place >= 0 ? states[place]! : kept(made.output, previous, counts, scope) };
}

/** The new value where the step counts, the one before (nothing at first) where it does not. */
function kept(value: Value, before: Value | undefined, counts: Value, scope: Scope): Value {
  if (!before) return scope.add('Mul', [value, counts]);
  return scope.add('Add', [before, scope.add('Mul', [scope.add('Sub', [value, before]), counts])]);
}

/** [N, 1] with further axes of one. */
function spreadTo(counts: Value, rank: number, scope: Scope): Value {
  return rank === 2 ? counts : reshapeTo(counts, [counts.shape[0]!, ...new Array<number>(rank - 1).fill(1)], 'keras', scope);
}

/** [batch, steps, ...] of the values at all steps. */
function joined({ arrange }: Recurrent, outputs: readonly Value[], scope: Scope): Value {
  const rows = outputs.map((output) => (arrange ? apart(output, scope) : scope.builder.toKeras(unsqueeze(output, 1, scope))));
  const all = rows.length === 1 ? rows[0]! : scope.add('Concat', rows, { attributes: { axis: 1 } });
  return arrange ? arrange.behindSequence(all, scope) : all;
}

function apart(value: Value, scope: Scope): Value {
  return reshapeTo(value, value.shape.toSpliced(1, 0, 1), 'keras', scope);
}

const MERGES: Readonly<Record<string, string>> = { sum: 'Add', mul: 'Mul', ave: 'Add', concat: 'Concat' };

/** A layer over the sequence as it comes, and another one over its end first. */
export const bidirectional: Rule = (config) => {
  const forward = readInner(config, config.value(['layer']));
  const given = config.value(['backward_layer']);
  const backward = given === null || given === undefined ? null : readInner(config, given);
  const mode = config.has('merge_mode') ? (config.value(['merge_mode']) ?? null) : 'concat';
  if (mode !== null && !Object.hasOwn(MERGES, String(mode)))
    config.decline(`"merge_mode" is ${brief(mode)}, expected one of ${Object.keys(MERGES).join(', ')}`);
  const zeroMasked = zeroesMasked(config.dialect);
  return ([input, ...initial], scope) => {
    const { sequences, states } = forward!;
    if (sequences && input!.mask && zeroMasked === null)
      throw scope.unsupported('a Bidirectional layer that gives sequences behind a mask, where Keras before 2.4 differs from version to version,');
    const other = backward ?? { ...forward!, backwards: !forward!.backwards };
    if (initial.length % 2 !== 0) throw scope.malformed(`the layer is called with ${initial.length} states to begin with, half of them for each direction`);
    const half = initial.length / 2;
    const zero = { zeroMasked: sequences && zeroMasked === true };
    const ahead = run({ ...forward!, ...zero }, input!, initial.slice(0, half), scope);
    const behind = run({ ...other, ...zero }, input!, initial.slice(half), scope);
    const mask = sequences ? input!.mask : undefined;
    const pair = sequences
      ? ([joined(forward!, ahead.outputs, scope), joined(other, behind.outputs.toReversed(), scope)] as const)
      : ([asKeras(forward!, ahead.outputs.at(-1)!), asKeras(other, behind.outputs.at(-1)!)] as const);
    const merged = mode === null ? pair.map((one) => ({ ...one, mask })) : [{ ...merge(String(mode), pair, scope), mask }];
    const last = [...ahead.states.map((state) => asKeras(forward!, state)), ...behind.states.map((state) => asKeras(other, state))];
    return states ? [...merged, ...last] : merged;
  };
};

/**
 * Whether a Bidirectional layer makes nothing of steps that do not count, where sequences are wanted: tf.keras does since some release of
 * TensorFlow 1, and Keras 3; Keras 1 and 2 gave what the step before gave. null where the version does not tell.
 */
function zeroesMasked({ version }: Dialect): boolean | null {
  const [major, minor] = version ?? [2, 2];
  if (major !== 2) return major > 2;
  return minor >= 4 ? true : minor < 1 ? false : null;
}

function merge(mode: string, pair: readonly [Value, Value], scope: Scope): Value {
  const [{ shape, order }] = pair;
  if (mode === 'concat') return scope.add('Concat', pair, { attributes: { axis: order === 'moved' ? 1 : shape.length - 1 } });
  return mode === 'ave' ? scope.withScalar('Mul', scope.add('Add', pair), 0.5) : scope.add(MERGES[mode]!, pair);
}

function readInner(config: ConfigView, value: unknown): Recurrent | null {
  const inner = config.inner(value);
  const className = inner?.layer.className;
  if (!inner || !className || !RECURRENT.test(className)) {
    config.decline(`a Bidirectional layer of ${brief(className ?? value)} is not translated; of LSTM, GRU, SimpleRNN, RNN and ConvLSTM it is`);
    return null;
  }
  const read = readRecurrent(inner);
  inner.finish();
  return read;
}

const RECURRENT = /^(LSTM|GRU|SimpleRNN|CuDNN(LSTM|GRU)|RNN|ConvLSTM[123]D)$/;
