/** Nodes that round what flows as integers would hold it: of nets that were trained for quantisation. */
import type { Value } from '../../model/builder.js';
import { dequantiseAffine } from '../../model/quantise.js';
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

/** Of DataType, the least and the largest code. */
const CODES: Readonly<Record<string, readonly [number, number]>> = { uint8: [0, 255], int8: [-128, 127], uint16: [0, 65_535], int16: [-32_768, 32_767] };

/**
 * Codes as the numbers that they stand for: least + step code.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/kernels/dequantize_op.cc and quantization_utils.h
 */
const dequantise: TfRule = (operation) => {
  const x = operation.input(0);
  const [[least], [largest]] = [operation.known(1, 'least value'), operation.known(2, 'largest value')] as [readonly number[], readonly number[]];
  const mode = operation.text('mode', 'MIN_COMBINED');
  operation.rest('narrow_range', false);
  operation.rest('axis', -1);
  const codes = CODES[x.dtype ?? ''];
  if (!codes) throw operation.decline(`its codes are ${x.dtype}`);
  const [low, high] = codes;
  const steps = Math.fround((largest! - least!) / (high - low));
  let [scale, min] = [steps, least! - low * steps];
  if (mode === 'MIN_FIRST') min = (steps === 0 ? least! : Math.round(least! / steps) * steps) - low * steps;
  else if (mode === 'SCALED') [scale, min] = [Math.fround(low === 0 ? largest! / high : Math.max(least! / low, largest! / high)), 0];
  else if (mode !== 'MIN_COMBINED') throw operation.decline(`mode is ${mode}`);
  if (x.constant && (x.dtype === 'uint8' || x.dtype === 'uint16'))
    return operation.build.constant(dequantiseAffine(x.constant, { dtype: x.dtype, scale, min }));
  const numbers = operation.before('Mul', [operation.before('Cast', [x], { to: 'float32' }), operation.build.numbers('float32', scale)]);
  return operation.add('Add', [numbers, operation.build.numbers('float32', min)]);
};

export const quantised: Readonly<Record<string, TfRule>> = {
  FakeQuantWithMinMaxArgs: (operation) => fakeQuantised(operation, [[operation.number('min', -6), operation.number('max', 6)]]),
  Dequantize: dequantise,
  FakeQuantWithMinMaxVars: flowing,
  FakeQuantWithMinMaxVarsPerChannel: flowing,
};
