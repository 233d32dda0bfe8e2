/** A weight times a factor for each channel, worked out in float64 and rounded once, while it is streamed. */
import { castStage, castTensor, newCastTally } from './cast.js';
import { ChannelCursor } from './channel-cursor.js';
import type { DType } from './dtype.js';
import { type Path, type Stage, type Tensor, withStage } from './tensor.js';

/**
 * @param path over the factors, with the tensor's axes
 * @param dtype that of the result, a float dtype
 */
export function scaleChannels(tensor: Tensor, path: Path, factors: Float64Array, dtype: DType): Tensor {
  const begin = (turned: Path): Stage['apply'] => {
    const cursor = new ChannelCursor(turned);
    const rounded = castStage('float64', dtype, newCastTally());
    return (input) => {
      const values = new Float64Array(input.buffer, input.byteOffset, input.byteLength / 8);
      for (let start = 0; start < values.length; ) {
        const { base, at, count } = cursor.next(values.length - start);
        const { offsets } = cursor;
        for (let i = 0; i < count; i++) values[start + i]! *= factors[offsets ? base + offsets[at + i]! : base]!;
        start += count;
      }
      return dtype === 'float64' ? input : rounded.apply(input);
    };
  };
  return withStage(castTensor(tensor, 'float64'), { dtype, ...path, begin });
}
