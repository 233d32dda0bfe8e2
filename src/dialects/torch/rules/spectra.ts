/** Fourier transforms of frames that overlap: a convolution whose kernels are the cosines and sines, each cut out by the window; and windows. */
import { listedTensor } from '../../../model/numbers.js';
import { halfOf, turns } from '../../fourier.js';
import type { Call } from '../call.js';
import { ComplexItem, TensorItem } from '../items.js';
import { type Rule, type Rules, rule } from '../rule.js';
import { sized } from './complex.js';

const SIGNATURE = 'self, n_fft, hop_length=None, win_length=None, window=None, normalized=False, onesided=None, return_complex=None, align_to_window=None';

/** [batch, length] to [batch, frequencies, frames]. */
const stft = rule(SIGNATURE, (call) => {
  const signal = call.tensorItem('self').unread;
  if (signal.dtype?.startsWith('complex')) throw call.decline('it transforms complex numbers');
  const [x, size] = [call.tensor('self'), sized(call, call.number('n_fft'))];
  if (call.has('align_to_window') && call.flag('align_to_window')) throw call.decline('its frames are aligned to the window');
  const hop = call.has('hop_length') ? call.number('hop_length') : Math.floor(size / 4);
  const width = call.has('win_length') ? call.number('win_length') : size;
  const to = call.has('onesided') && !call.flag('onesided') ? size : halfOf(size);
  const transform = { from: size, of: size, to, scale: call.flag('normalized') ? 1 / Math.sqrt(size) : 1 };
  const parts = [turns(transform, Math.cos), turns(transform, (angle) => -Math.sin(angle))];
  const values = Float64Array.from({ length: 2 * to * size }, (_, i) => {
    const [out, place] = [Math.floor(i / size), i % size];
    return parts[out < to ? 0 : 1]![place * to + (out % to)]!;
  });
  const [left, given] = [Math.floor((size - width) / 2), call.optionalTensor('window')];
  const ones = () => call.build.numbers(x.dtype ?? 'float32', new Array<number>(width).fill(1));
  const window = width === size ? given : call.add('Pad', [given ?? ones()], { pads: [left, size - width - left] }, 'window');
  const plain = call.build.constant(listedTensor(`${call.layerName()}.turns`, x.dtype ?? 'float32', [2 * to, 1, size], values, call.build.origin));
  const kernel = window ? call.add('Mul', [plain, window], {}, 'windowed') : plain;
  const isAlone = call.rank(x) === 1;
  const channel = call.add('Unsqueeze', [x], { axes: isAlone ? [0, 1] : [1] }, 'channel');
  const frames = call.add('Conv', [channel, kernel], { strides: [hop], kernel_shape: [size] }, 'frames');
  const part = (start: number, step: string) => {
    const made = call.add('Slice', [frames], { starts: [start], ends: [start + to], axes: [1], steps: [1] }, step);
    return isAlone ? call.add('Squeeze', [made], { axes: [0] }, step) : made;
  };
  const [re, im] = [part(0, 're'), part(to, 'im')];
  if (call.has('return_complex') && call.flag('return_complex')) return new ComplexItem(re, im);
  const axis = call.rank(re);
  return new TensorItem(
    call.add(
      'Concat',
      [re, im].map((value) => call.add('Unsqueeze', [value], { axes: [axis] }, 'column')),
      { axis },
    ),
  );
});

/**
 * A window of numbers. One for transforms (`periodic`, as where nothing is said) lacks the last number of the symmetric one that is longer by one.
 *
 * @param at what stands at a part of the way from the window's start to its end
 */
const windowOf = (at: (part: number, call: Call) => number, signature = ''): Rule =>
  rule(`window_length, periodic=True${signature}, dtype=None, requires_grad=False`, (call) => {
    const length = sized(call, call.number('window_length'));
    const last = call.flag('periodic') ? length : length - 1;
    const values = Float64Array.from({ length }, (_, i) => (length === 1 ? 1 : at(i / last, call)));
    return call.build.constant(listedTensor(`${call.layerName()}.window`, call.dtype('dtype') ?? 'float32', [length], values, call.build.origin));
  });

const wave = (part: number, times = 1) => Math.cos(2 * Math.PI * times * part);

export const spectra: Rules = {
  stft,
  hann_window: windowOf((part) => 0.5 - 0.5 * wave(part)),
  hamming_window: windowOf((part, call) => call.number('alpha') - call.number('beta') * wave(part), ', alpha=0.54, beta=0.46'),
  blackman_window: windowOf((part) => 0.42 - 0.5 * wave(part) + 0.08 * wave(part, 2)),
  bartlett_window: windowOf((part) => 1 - Math.abs(2 * part - 1)),
};
