/** Nodes that round what flows as integers would hold it: of nets that were trained for quantisation. */
import type { Value } from '../../model/builder.js';
import { NARROW_RANGES } from '../../model/dtype.js';
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
  const codes = x.dtype && NARROW_RANGES[x.dtype];
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

/**
 * Rounds to steps of the larger side of a range, zero among them.
 *
 * inputs: what flows, the least and the largest value; the number of bits, where `bits` says so.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/kernels/quantize_and_dequantize_op.h
 */
const rounded =
  (bits?: number): TfRule =>
  (operation) => {
    if (!operation.flag('range_given', true)) throw operation.decline('its range is that of what flows (range_given is false)');
    operation.rest('axis', -1);
    const isSigned = operation.flag('signed_input', true);
    const count = bits === undefined ? operation.number('num_bits', 8) : operation.known(bits, 'number of bits')[0]!;
    const isNarrow = operation.flag('narrow_range');
    const mode = operation.text('round_mode', 'HALF_TO_EVEN');
    const high = 2 ** (count - (isSigned ? 1 : 0)) - 1;
    const low = isSigned ? -high - (isNarrow ? 0 : 1) : isNarrow ? 1 : 0;
    const [[least], [largest]] = [operation.known(1, 'least value'), operation.known(2, 'largest value')] as [readonly number[], readonly number[]];
    const ofLeast = low * least! > 0 ? Math.fround(low / least!) : Number.POSITIVE_INFINITY;
    const ofLargest = high * largest! > 0 ? Math.fround(high / largest!) : Number.POSITIVE_INFINITY;
    const scale = Math.min(ofLeast, ofLargest);
    if (scale === Number.POSITIVE_INFINITY) throw operation.decline(`its range is ${least} to ${largest}`);
    const step = Math.fround(1 / scale);
    const range = ofLeast < ofLargest ? { min: least!, max: Math.fround(high * step) } : { min: Math.fround(low * step), max: largest! };
    const float = (value: number) => operation.build.numbers('float32', value);
    const places = operation.before('Mul', [operation.before('Clip', [operation.input(0)], range), float(scale)]);
    const isUp = mode === 'HALF_UP';
    const whole = isUp ? operation.before('Floor', [operation.before('Add', [places, float(0.5)])]) : operation.before('Round', [places]);
    return operation.add('Mul', [whole, float(step)]);
  };

export const quantised: Readonly<Record<string, TfRule>> = {
  FakeQuantWithMinMaxArgs: (operation) => fakeQuantised(operation, [[operation.number('min', -6), operation.number('max', 6)]]),
  Dequantize: dequantise,
  FakeQuantWithMinMaxVars: flowing,
  FakeQuantWithMinMaxVarsPerChannel: flowing,
  QuantizeAndDequantizeV2: rounded(),
  QuantizeAndDequantizeV3: rounded(3),
  QuantizeAndDequantizeV4: rounded(),
};
