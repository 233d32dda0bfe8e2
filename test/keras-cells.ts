/** Recurrent cells, one sample and one step after the other, in another way than the product's. */
import { type Weight, weight } from './keras-files.js';
import { at } from './keras-run.js';

export const range = (count: number) => Array.from({ length: count }, (_, i) => i);
export const sum = (count: number, term: (k: number) => number) => range(count).reduce((total, k) => total + term(k), 0);
export const w = ({ shape, values }: Weight, ...index: number[]) => at({ shape, data: values }, ...index);

export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
export const hardSigmoid = (x: number) => Math.min(1, Math.max(0, 0.2 * x + 0.5));

export interface Cell {
  readonly kernel: Weight;
  readonly recurrent: Weight;
  readonly bias: Weight;
}

export function cellWeights(features: number, units: number, gates: number, seed: number, biasShape: readonly number[] = [gates * units]): Cell {
  return { kernel: weight([features, gates * units], seed), recurrent: weight([units, gates * units], seed + 1), bias: weight(biasShape, seed + 2) };
}

export const named = ({ kernel, recurrent, bias }: Cell) => ({ 'kernel:0': kernel, 'recurrent_kernel:0': recurrent, 'bias:0': bias });

/** One sample, step by step, from states that are nothing unless given; gives what the layer makes at each step, and its states there. */
export type Walk = (x: (step: number, feature: number) => number, steps: readonly number[], states?: readonly (readonly number[])[]) => Steps;
export type Steps = number[][] & { states?: readonly (readonly number[])[] };

const sizes = ({ kernel, recurrent }: Cell) => ({ features: kernel.shape[0]!, units: recurrent.shape[0]! });
const nothing = (units: number) => range(units).map(() => 0);
const ended = (made: number[][], ...states: readonly (readonly number[])[]): Steps => Object.assign(made, { states });

export const walkSimple =
  (cell: Cell): Walk =>
  (x, steps, [start] = []) => {
    const { kernel, recurrent, bias } = cell;
    const { features, units } = sizes(cell);
    let h = [...(start ?? nothing(units))];
    const made = steps.map((t) => {
      const before = h;
      h = range(units).map((u) =>
        Math.tanh(bias.values[u]! + sum(features, (f) => x(t, f) * w(kernel, f, u)) + sum(units, (v) => before[v]! * w(recurrent, v, u))),
      );
      return h;
    });
    return ended(made, h);
  };

export const walkLstm =
  (cell: Cell, gate = sigmoid): Walk =>
  (x, steps, [start, startCell] = []) => {
    const { kernel, recurrent, bias } = cell;
    const { features, units } = sizes(cell);
    let h = [...(start ?? nothing(units))];
    let c = [...(startCell ?? nothing(units))];
    const made = steps.map((t) => {
      const before = h;
      const z = range(4 * units).map(
        (g) => bias.values[g]! + sum(features, (f) => x(t, f) * w(kernel, f, g)) + sum(units, (v) => before[v]! * w(recurrent, v, g)),
      );
      c = range(units).map((u) => gate(z[units + u]!) * c[u]! + gate(z[u]!) * Math.tanh(z[2 * units + u]!));
      h = range(units).map((u) => gate(z[3 * units + u]!) * Math.tanh(c[u]!));
      return h;
    });
    return ended(made, h, c);
  };

export const walkGru =
  (cell: Cell, resetAfter: boolean): Walk =>
  (x, steps, [start] = []) => {
    const { kernel, recurrent, bias } = cell;
    const { features, units } = sizes(cell);
    let h = [...(start ?? nothing(units))];
    const made = steps.map((t) => {
      const input = (g: number) => (resetAfter ? w(bias, 0, g) : bias.values[g]!) + sum(features, (f) => x(t, f) * w(kernel, f, g));
      const inner = (g: number, from: readonly number[]) => (resetAfter ? w(bias, 1, g) : 0) + sum(units, (v) => from[v]! * w(recurrent, v, g));
      const before = h;
      const z = range(units).map((u) => sigmoid(input(u) + inner(u, before)));
      const r = range(units).map((u) => sigmoid(input(units + u) + inner(units + u, before)));
      const gated = before.map((value, v) => r[v]! * value);
      h = range(units).map((u) => {
        const g = 2 * units + u;
        const candidate = Math.tanh(input(g) + (resetAfter ? r[u]! * inner(g, before) : inner(g, gated)));
        return z[u]! * before[u]! + (1 - z[u]!) * candidate;
      });
      return h;
    });
    return ended(made, h);
  };
