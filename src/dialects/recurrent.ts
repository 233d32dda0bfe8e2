/** LSTM, GRU and plain recurrent layers over sequences of known length: a step after the other, as layers that every target has. */
import { ModelError } from '../errors.js';
import type { GraphBuilder, Value } from '../model/builder.js';

export type RecurrentKind = 'lstm' | 'gru' | 'tanh' | 'relu';

/** The gates of one step, in the order in which a dialect stacks their weights. */
export const GATES = {
  lstm: { torch: 'ifgo', onnx: 'iofg' },
  gru: { torch: 'rzn', onnx: 'zrn' },
  tanh: { torch: 'h', onnx: 'h' },
  relu: { torch: 'h', onnx: 'h' },
} as const;

export interface Direction {
  /** [gates * hidden, inputs] and [gates * hidden, hidden]. */
  readonly input: Value;
  readonly recurrent: Value;
  /** [gates * hidden] each. */
  readonly inputBias: Value | null;
  readonly recurrentBias: Value | null;
  /** [1, batch, hidden]. */
  readonly hidden: Value;
  readonly cell: Value | null;
  readonly backwards: boolean;
}

export interface Run {
  /** [steps, batch, hidden], in the order of the sequence. */
  readonly sequence: Value;
  /** After the last step: [1, batch, hidden]. */
  readonly hidden: Value;
  readonly cell: Value | null;
}

/** Each step becomes a dozen layers. */
const MAX_STEPS = 1024;

/**
 * One direction of one layer.
 *
 * @param x [steps, batch, inputs]
 * @param order the gates, a letter each, as `GATES` has them
 * @throws ModelError 'unsupported' where how many steps there are is known only when the model runs
 */
export function runSteps(build: GraphBuilder, kind: RecurrentKind, order: string, x: Value, direction: Direction, name: string): Run {
  const steps = x.shape?.[0];
  if (typeof steps !== 'number' || steps < 1) {
    throw new ModelError('unsupported', 'how many steps it takes is known only when the model runs; give the sizes of the input with --input-shape');
  }
  if (steps > MAX_STEPS) throw new ModelError('unsupported', `it takes ${steps} steps; up to ${MAX_STEPS} become layers`);
  const add = (op: string, inputs: readonly Value[], attributes = {}, step = op.toLowerCase()) => build.add(op, inputs, attributes, `${name}/${step}`);
  const turned = (kernel: Value) => add('Transpose', [kernel], { perm: [1, 0] }, 'kernel');
  const withBias = (value: Value, bias: Value | null) => (bias ? add('Add', [value, bias]) : value);
  const recurrent = turned(direction.recurrent);
  const all = withBias(add('MatMul', [x, turned(direction.input)], {}, 'inputs'), direction.inputBias);
  const parts = (value: Value, count: number, axis: number): readonly Value[] => {
    if (count === 1) return [value];
    const outputs = Array.from({ length: count }, (_, i) => build.freeValue(`${name}/part${i}`));
    return build.node('Split', [value], { axis }, { name: `${name}/split`, outputs });
  };
  const gatesOf = (value: Value) => Object.fromEntries(parts(value, order.length, 2).map((part, i) => [order[i]!, part])) as Readonly<Record<string, Value>>;
  const sigmoid = (value: Value) => add('Sigmoid', [value]);
  const tanh = (value: Value) => add('Tanh', [value]);
  const mul = (a: Value, b: Value) => add('Mul', [a, b]);
  const each = parts(all, steps, 0);
  let { hidden, cell } = direction;
  const made: Value[] = [];
  for (const step of direction.backwards ? each.toReversed() : each) {
    const own = withBias(add('MatMul', [hidden, recurrent]), direction.recurrentBias);
    if (kind === 'gru') {
      const [from, past] = [gatesOf(step), gatesOf(own)];
      const [reset, update] = ['r', 'z'].map((gate) => sigmoid(add('Add', [from[gate]!, past[gate]!]))) as [Value, Value];
      const candidate = tanh(add('Add', [from.n!, mul(reset, past.n!)]));
      hidden = add('Add', [candidate, mul(update, add('Sub', [hidden, candidate]))]);
    } else if (kind === 'lstm') {
      const gates = gatesOf(add('Add', [step, own]));
      cell = add('Add', [mul(sigmoid(gates.f!), cell!), mul(sigmoid(gates.i!), tanh(gates.g!))]);
      hidden = mul(sigmoid(gates.o!), tanh(cell));
    } else hidden = add(kind === 'tanh' ? 'Tanh' : 'Relu', [add('Add', [step, own])]);
    made.push(hidden);
  }
  const ordered = direction.backwards ? made.toReversed() : made;
  return { sequence: ordered.length === 1 ? ordered[0]! : add('Concat', ordered, { axis: 0 }, 'sequence'), hidden, cell };
}
