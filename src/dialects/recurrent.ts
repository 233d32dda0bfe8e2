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
  /** [projected, hidden]: what leaves an LSTM's cell becomes its state by a product. */
  readonly projection?: Value | null;
  /** [1, batch, hidden]. */
  readonly hidden: Value;
  readonly cell: Value | null;
  readonly backwards: boolean;
  readonly manner?: Manner;
}

/** One number in, one out. */
export type Activation = (build: GraphBuilder, value: Value, name: string) => Value;

/** Where steps differ from what every framework has in common. */
export interface Manner {
  /** Those of the gates, of the candidate and of what leaves the cell, in ONNX's order: f, g, h. */
  readonly activations?: readonly Activation[];
  /** What enters an activation is cut off there, on both sides of zero. */
  readonly clip?: number;
  /** An LSTM forgets what it does not take in. */
  readonly inputForget?: boolean;
  /** [3 * hidden]: how much of the cell the gates i, o and f see. */
  readonly peepholes?: Value | null;
  /** A GRU resets what is behind it before the product, not what the product gave. */
  readonly resetFirst?: boolean;
  /** [batch] integers: where a sequence is over, its state stays as it is and its outputs are 0. */
  readonly lengths?: Value | null;
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
  const mul = (a: Value, b: Value) => add('Mul', [a, b]);
  const sum = (a: Value, b: Value) => add('Add', [a, b]);
  const manner = direction.manner ?? {};
  const clipped = (value: Value) => (manner.clip ? add('Clip', [value], { min: -manner.clip, max: manner.clip }) : value);
  const activation = (at: number, usual: string) => (value: Value) => manner.activations?.[at]?.(build, value, name) ?? add(usual, [value]);
  const plain = activation(0, kind === 'relu' ? 'Relu' : 'Tanh');
  const [gate, candidateOf, leave] = [activation(0, 'Sigmoid'), activation(1, 'Tanh'), activation(2, 'Tanh')];
  const peeps = manner.peepholes ? (parts(manner.peepholes, 3, 0) as [Value, Value, Value]) : null;
  const seen = (value: Value, at: number, cell: Value) => (peeps ? sum(value, mul(cell, peeps[at]!)) : value);
  const one = () => build.numbers(x.dtype ?? 'float32', 1);
  const reset = kind === 'gru' && manner.resetFirst ? resetFirst(build, direction, order, name) : null;

  const gru = (step: Value, hidden: Value): Value => {
    const from = gatesOf(step);
    if (reset) {
      const past = reset.gates(hidden);
      const [r, z] = ['r', 'z'].map((letter) => gate(clipped(sum(from[letter]!, past[letter]!)))) as [Value, Value];
      const candidate = candidateOf(clipped(sum(from.n!, reset.candidate(mul(r, hidden)))));
      return sum(candidate, mul(z, add('Sub', [hidden, candidate])));
    }
    const past = gatesOf(withBias(add('MatMul', [hidden, recurrent]), direction.recurrentBias));
    const [r, z] = ['r', 'z'].map((letter) => gate(clipped(sum(from[letter]!, past[letter]!)))) as [Value, Value];
    const candidate = candidateOf(clipped(sum(from.n!, mul(r, past.n!))));
    return sum(candidate, mul(z, add('Sub', [hidden, candidate])));
  };
  const projection = direction.projection ? turned(direction.projection) : null;
  const lstm = (step: Value, hidden: Value, cell: Value): readonly [Value, Value] => {
    const gates = gatesOf(sum(step, withBias(add('MatMul', [hidden, recurrent]), direction.recurrentBias)));
    const input = gate(clipped(seen(gates.i!, 0, cell)));
    const forget = manner.inputForget ? add('Sub', [one(), input]) : gate(clipped(seen(gates.f!, 2, cell)));
    const next = sum(mul(forget, cell), mul(input, candidateOf(clipped(gates.g!))));
    const left = mul(gate(clipped(seen(gates.o!, 1, next))), leave(next));
    return [projection ? add('MatMul', [left, projection]) : left, next];
  };

  const each = parts(all, steps, 0);
  const isOver = manner.lengths ? lengthsOf(build, manner.lengths, name) : null;
  let { hidden, cell } = direction;
  const made: Value[] = [];
  for (const at of direction.backwards ? [...each.keys()].toReversed() : each.keys()) {
    const step = each[at]!;
    const before: readonly [Value, Value | null] = [hidden, cell];
    if (kind === 'gru') hidden = gru(step, hidden);
    else if (kind === 'lstm') [hidden, cell] = lstm(step, hidden, cell!);
    else hidden = plain(clipped(sum(step, withBias(add('MatMul', [hidden, recurrent]), direction.recurrentBias))));
    if (!isOver) {
      made.push(hidden);
      continue;
    }
    const over = isOver(at);
    made.push(add('Where', [over, build.numbers(x.dtype ?? 'float32', 0), hidden]));
    hidden = add('Where', [over, before[0], hidden]);
    if (cell && before[1]) cell = add('Where', [over, before[1], cell]);
  }
  const ordered = direction.backwards ? made.toReversed() : made;
  return { sequence: ordered.length === 1 ? ordered[0]! : add('Concat', ordered, { axis: 0 }, 'sequence'), hidden, cell };
}

/** The products of a GRU that resets before them: those of the two gates, and that of the candidate. */
function resetFirst(build: GraphBuilder, { recurrent, recurrentBias }: Direction, order: string, name: string) {
  const size = (recurrent.shape as readonly number[])[1]!;
  const rows = (value: Value, letter: string, axis: number) => {
    const from = order.indexOf(letter) * size;
    return build.add('Slice', [value], { starts: [from], ends: [from + size], axes: [axis] }, `${name}/${letter}`);
  };
  const product = (letter: string) => {
    const kernel = build.add('Transpose', [rows(recurrent, letter, 0)], { perm: [1, 0] }, `${name}/kernel`);
    const bias = recurrentBias && rows(recurrentBias, letter, 0);
    return (past: Value) => {
      const made = build.add('MatMul', [past, kernel], {}, `${name}/matmul`);
      return bias ? build.add('Add', [made, bias], {}, `${name}/add`) : made;
    };
  };
  const [reset, update, candidate] = [product('r'), product('z'), product('n')];
  return { gates: (past: Value): Readonly<Record<string, Value>> => ({ r: reset(past), z: update(past) }), candidate };
}

/** Whether each sequence is over at a step: [1, batch, 1]. */
function lengthsOf(build: GraphBuilder, lengths: Value, name: string): (step: number) => Value {
  const wide = build.add('Unsqueeze', [lengths], { axes: [0, 2] }, `${name}/lengths`);
  return (step) => build.add('LessOrEqual', [wide, build.numbers(lengths.dtype ?? 'int32', step)], {}, `${name}/over`);
}
