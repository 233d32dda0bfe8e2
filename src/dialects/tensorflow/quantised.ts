/** Nodes that round what flows as integers would hold it: of nets that were trained for quantisation. */
import type { Value } from '../../model/builder.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

/**
 * Rounds to steps of a range that is moved so that zero is one of them.
 *
 * @param ranges one, or one for each place of the last axis
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/kernels/fake_quant_ops_functor.h
 */
function fakeQuantised(operation: TfOperation, ranges: readonly (readonly [least: number, largest: number])[]): Value {
  const x = operation.input(0);
  const steps = 2 ** operation.number('num_bits', 8) - 1;
  const first = operation.flag('narrow_range') ? 1 : 0;
  // TensorFlow.js passes over it.
  if (operation.runtime === 'tfjs') return x;
  const each = ranges.map(([least, largest]) => {
    const step = Math.fround(Math.fround(largest - least) / (steps - first));
    if (step === 0) return { step: 1, low: 0, high: 0 };
    const zero = Math.min(steps, Math.max(first, Math.round(Math.fround(first - Math.fround(least / step)))));
    return { step, low: Math.fround((first - zero) * step), high: Math.fround((steps - zero) * step) };
  });
  const numbers = (of: (one: (typeof each)[0]) => number) => operation.build.numbers('float32', each.length === 1 ? of(each[0]!) : each.map(of));
  const [step, low] = [numbers((one) => one.step), numbers((one) => one.low)];
  const held = operation.before('Min', [operation.before('Max', [x, low]), numbers((one) => one.high)]);
  const places = operation.before('Div', [operation.before('Sub', [held, low]), step]);
  const whole = operation.before('Floor', [operation.before('Add', [places, operation.build.numbers('float32', 0.5)])]);
  return operation.add('Add', [operation.before('Mul', [whole, step]), low]);
}

const flowing: TfRule = (operation) => {
  const [least, largest] = [operation.known(1, 'least value'), operation.known(2, 'largest value')];
  return fakeQuantised(
    operation,
    least.map((low, i) => [low, largest[i]!] as const),
  );
};

export const quantised: Readonly<Record<string, TfRule>> = {
  FakeQuantWithMinMaxArgs: (operation) => fakeQuantised(operation, [[operation.number('min', -6), operation.number('max', 6)]]),
  FakeQuantWithMinMaxVars: flowing,
  FakeQuantWithMinMaxVarsPerChannel: flowing,
};
