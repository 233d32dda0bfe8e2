/** LSTM, GRU and RNN nodes over sequences of known length, as the steps that they take. */
import { type Activation, type Direction, GATES, type Manner, type RecurrentKind, runSteps } from '../../dialects/recurrent.js';
import type { Attributes, Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import type { Node, Rule, Translator } from './translator.js';

const USUAL: Readonly<Record<string, readonly string[]>> = { LSTM: ['sigmoid', 'tanh', 'tanh'], GRU: ['sigmoid', 'tanh'], RNN: ['tanh'] };

/** Activations by their name, which runtimes take in any case; which of alpha and beta they have, and what those are where none is given. */
const ACTIVATIONS: Readonly<Record<string, { readonly op: string; readonly alpha?: number; readonly beta?: number }>> = {
  relu: { op: 'Relu' },
  tanh: { op: 'Tanh' },
  sigmoid: { op: 'Sigmoid' },
  softsign: { op: 'Softsign' },
  softplus: { op: 'Softplus' },
  leakyrelu: { op: 'LeakyRelu', alpha: 0.01 },
  thresholdedrelu: { op: 'ThresholdedRelu', alpha: 1 },
  elu: { op: 'Elu', alpha: 1 },
  hardsigmoid: { op: 'HardSigmoid', alpha: 0.2, beta: 0.5 },
};

/** f, g and h of each direction; undefined for what they are where nothing is said. */
function activationsOf({ op, attributes }: Node, directions: number): readonly (readonly Activation[])[] | undefined | NotUnderstood {
  const usual = USUAL[op]!;
  const given = attributes.get('activations');
  const words = Array.isArray(given) ? given.map((word) => String(word).toLowerCase()) : [];
  if (words.length === 0) return undefined;
  const unknown = words.find((word) => !Object.hasOwn(ACTIVATIONS, word));
  if (unknown !== undefined) return new NotUnderstood(`its activation ${unknown} is not known`);
  if (words.length !== usual.length * directions) return new NotUnderstood(`it has ${words.length} activations`);
  const numbers = (name: string) => {
    const value = attributes.get(name);
    return Array.isArray(value) ? [...(value as readonly number[])] : [];
  };
  // Consumed in their order, by those activations that have them.
  const [alphas, betas] = [numbers('activation_alpha'), numbers('activation_beta')];
  const made = words.map((word): Activation => {
    const { op: name, ...usually } = ACTIVATIONS[word]!;
    const settings: Attributes = {
      ...(usually.alpha === undefined ? {} : { alpha: alphas.shift() ?? usually.alpha }),
      ...(usually.beta === undefined ? {} : { beta: betas.shift() ?? usually.beta }),
    };
    return (build, value, prefix) => build.add(name, [value], settings, `${prefix}/${word}`);
  });
  if (alphas.length > 0 || betas.length > 0) return new NotUnderstood('it has more numbers for its activations than they take');
  return Array.from({ length: directions }, (_, at) => made.slice(at * usual.length, (at + 1) * usual.length));
}

const ATTRIBUTES: ReadonlySet<string> = new Set(
  'activations activation_alpha activation_beta clip direction hidden_size input_forget layout linear_before_reset output_sequence'.split(' '),
);

export const recurrent: Rule = async (node, t) => {
  const { op, attributes } = node;
  const kind: RecurrentKind = op === 'LSTM' ? 'lstm' : op === 'GRU' ? 'gru' : 'tanh';
  const unknown = [...attributes.keys()].find((name) => !ATTRIBUTES.has(name));
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const flag = (name: string) => Number(attributes.get(name) ?? 0);
  const batchFirst = flag('layout') === 1;
  const [given, weights, past, bias = null, lengths = null, hidden = null, cell = null, peepholes = null] = node.inputs as [
    Value,
    Value,
    Value,
    ...(Value | null)[],
  ];
  const size = past.shape?.[2];
  if (typeof given.shape?.[batchFirst ? 1 : 0] !== 'number') return new NotUnderstood('how many steps it takes is known only when the model runs');
  if (typeof size !== 'number' || weights.shape?.length !== 3) return new NotUnderstood('the shape of its weights is not known');
  const word = attributes.get('direction') ?? 'forward';
  const directions = word === 'bidirectional' ? [false, true] : [word === 'reverse'];
  const activations = activationsOf(node, directions.length);
  if (activations instanceof NotUnderstood) return activations;
  const turned = (value: Value, perm: readonly number[], step: string) => t.add(node, 'Transpose', [value], { perm }, step);
  const x = batchFirst ? turned(given, [1, 0, 2], 'steps-first') : given;
  const steps = x.shape![0] as number;
  // Lengths that are all of the sequence say nothing.
  const isWhole = lengths && (await t.known(lengths))?.every((length) => length === steps);
  const rows = GATES[kind].onnx.length * size;
  const zeros = () => t.build.numbers(x.dtype ?? 'float32', new Array<number>(size).fill(0), [1, 1, size]);
  const runs = directions.map((backwards, at) => {
    const [form, name] = [directionOf(node, t, at, rows), `${t.scope.prefix}${node.title}${at > 0 ? '/reverse' : ''}`];
    const state = (value: Value | null) => (value ? part(node, t, batchFirst ? turned(value, [1, 0, 2], 'state') : value, at) : zeros());
    const manner: Manner = {
      ...(activations ? { activations: activations[at]! } : {}),
      clip: flag('clip'),
      inputForget: flag('input_forget') === 1,
      peepholes: peepholes && t.add(node, 'Squeeze', [part(node, t, peepholes, at)], { axes: [0] }, 'peepholes'),
      resetFirst: kind === 'gru' && flag('linear_before_reset') === 0,
      lengths: isWhole ? null : lengths,
    };
    const direction: Direction = {
      input: form(weights),
      recurrent: form(past),
      inputBias: bias && form(bias, 0),
      recurrentBias: bias && form(bias, rows),
      hidden: state(hidden),
      cell: kind === 'lstm' ? state(cell) : null,
      backwards,
      manner,
    };
    return runSteps(t.build, kind, GATES[kind].onnx, x, direction, name);
  });
  const [all, last, lastCell] = node.outputs;
  const joined = (values: readonly Value[], axis: number, step: string, output: string | undefined, perm: readonly number[]): Value | null => {
    if (!output) return null;
    const names = { name: `${t.scope.prefix}${node.title}/${step}`, outputs: [t.outputName(output)] };
    if (batchFirst) {
      const together = values.length === 1 ? values[0]! : t.add(node, 'Concat', values, { axis }, `${step}-joined`);
      return t.build.node('Transpose', [together], { perm }, names)[0]!;
    }
    return t.build.node(values.length === 1 ? 'Identity' : 'Concat', values, values.length === 1 ? {} : { axis }, names)[0]!;
  };
  const state = (of: (run: (typeof runs)[number]) => Value, step: string, output: string | undefined) => joined(runs.map(of), 0, step, output, [1, 0, 2]);
  const wide = all ? runs.map(({ sequence }) => t.add(node, 'Unsqueeze', [sequence], { axes: [1] }, 'direction')) : [];
  return [
    joined(wide, 1, 'sequence', all, [2, 0, 1, 3]),
    state((run) => run.hidden, 'hidden', last),
    kind === 'lstm' ? state((run) => run.cell!, 'cell', lastCell) : null,
  ].slice(0, Math.max(1, node.outputs.length));
};

/** The rows of one direction's weights, without the axis of directions; of biases, from one row on. */
function directionOf(node: Node, t: Translator, at: number, rows: number): (value: Value, from?: number) => Value {
  return (value, from) => {
    const own = part(node, t, value, at);
    const rowed = from === undefined ? own : t.add(node, 'Slice', [own], { starts: [from], ends: [from + rows], axes: [1], steps: [1] }, 'rows');
    return t.add(node, 'Squeeze', [rowed], { axes: [0] }, 'direction');
  };
}

function part(node: Node, t: Translator, value: Value, at: number): Value {
  if (value.shape?.[0] === 1) return value;
  return t.add(node, 'Slice', [value], { starts: [at], ends: [at + 1], axes: [0], steps: [1] }, 'part');
}
