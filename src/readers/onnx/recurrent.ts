/** LSTM, GRU and RNN nodes over sequences of known length, as the steps that they take. */
import { type Direction, GATES, type RecurrentKind, runSteps } from '../../dialects/recurrent.js';
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import type { Node, Rule, Translator } from './translator.js';

const USUAL: Readonly<Record<string, readonly string[]>> = { LSTM: ['Sigmoid', 'Tanh', 'Tanh'], GRU: ['Sigmoid', 'Tanh'], RNN: ['Tanh'] };

function kindOf({ op, attributes }: Node): RecurrentKind | null {
  const given = attributes.get('activations');
  const words = Array.isArray(given) ? given.map(String) : [];
  const isAll = (usual: readonly string[]) => words.every((word, i) => word === usual[i % usual.length]);
  if (op === 'RNN' && words.length > 0 && isAll(['Relu'])) return 'relu';
  if (!isAll(USUAL[op]!)) return null;
  return op === 'RNN' ? 'tanh' : op === 'LSTM' ? 'lstm' : 'gru';
}

/** What it does that is not said in steps; null where it is. */
function beyond(node: Node): string | null {
  const { op, attributes, inputs } = node;
  if (inputs[4]) return 'its sequences have lengths of their own';
  if (inputs[7]) return 'it has peepholes';
  for (const name of ['clip', 'input_forget', 'layout', 'activation_alpha', 'activation_beta']) {
    const value = attributes.get(name);
    if (value !== undefined && value !== 0 && !(Array.isArray(value) && value.length === 0)) return `it has ${name}`;
  }
  if (op === 'GRU' && attributes.get('linear_before_reset') !== 1) return 'it resets before its product (linear_before_reset is 0)';
  return typeof inputs[0]?.shape?.[0] === 'number' ? null : 'how many steps it takes is known only when the model runs';
}

export const recurrent: Rule = (node, t) => {
  const kind = kindOf(node);
  const [x, weights, past, bias = null, , hidden = null, cell = null] = node.inputs as [Value, Value, Value, ...(Value | null)[]];
  const problem = kind === null ? 'its activations are not the usual ones' : beyond(node);
  const size = past.shape?.[2];
  if (kind === null || problem !== null) return new NotUnderstood(problem!);
  if (typeof size !== 'number' || weights.shape?.length !== 3) return new NotUnderstood('the shape of its weights is not known');
  const word = node.attributes.get('direction') ?? 'forward';
  const directions = word === 'bidirectional' ? [false, true] : [word === 'reverse'];
  const rows = GATES[kind].onnx.length * size;
  const zeros = () => t.build.numbers(x.dtype ?? 'float32', new Array<number>(size).fill(0), [1, 1, size]);
  const runs = directions.map((backwards, at) => {
    const [form, name] = [directionOf(node, t, at, rows), `${t.scope.prefix}${node.title}${at > 0 ? '/reverse' : ''}`];
    const state = (value: Value | null) => (value ? part(node, t, value, at) : zeros());
    const direction: Direction = {
      input: form(weights),
      recurrent: form(past),
      inputBias: bias && form(bias, 0),
      recurrentBias: bias && form(bias, rows),
      hidden: state(hidden),
      cell: kind === 'lstm' ? state(cell) : null,
      backwards,
    };
    return runSteps(t.build, kind, GATES[kind].onnx, x, direction, name);
  });
  const [all, last, lastCell] = node.outputs;
  const joined = (values: readonly Value[], axis: number, step: string, output: string | undefined): Value | null => {
    if (!output) return null;
    const names = { name: `${t.scope.prefix}${node.title}/${step}`, outputs: [t.outputName(output)] };
    return t.build.node(values.length === 1 ? 'Identity' : 'Concat', values, values.length === 1 ? {} : { axis }, names)[0]!;
  };
  const wide = all ? runs.map(({ sequence }) => t.add(node, 'Unsqueeze', [sequence], { axes: [1] }, 'direction')) : [];
  return [
    joined(wide, 1, 'sequence', all),
    joined(
      runs.map((run) => run.hidden),
      0,
      'hidden',
      last,
    ),
    kind === 'lstm'
      ? joined(
          runs.map((run) => run.cell!),
          0,
          'cell',
          lastCell,
        )
      : null,
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
