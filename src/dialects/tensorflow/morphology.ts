/** Dilation of pictures by a structure: the largest of what lies in a window, to each of which a number is added. */
import type { Value } from '../../model/builder.js';
import { reshape, sliceAxis } from '../../model/tensor.js';
import type { TfRule } from './rule.js';

/** Each place of the window becomes a few layers. */
const MOST_PLACES = 256;
/** What lies beyond the border is never the largest. */
const LEAST = -3.4028234663852886e38;

/** Picture [batch, height, width, channels], structure [height, width, channels]. */
const dilation: TfRule = (operation) => {
  const [x, structure] = [operation.input(0), operation.constant(1, 'structure')];
  const [strides, rates] = [operation.numbers('strides'), operation.numbers('rates')];
  const word = operation.text('padding');
  const [, ...picture] = operation.sizes(x);
  const [height, width] = structure.shape as [number, number];
  if (height * width > MOST_PLACES) throw operation.decline(`its window has ${height} x ${width} places, each of which would become layers`);
  if (word !== 'SAME' && word !== 'VALID') throw operation.decline(`padding is ${JSON.stringify(word)}`);
  const across = [0, 1].map((axis) => {
    const [size, stride, rate] = [picture[axis]!, strides[axis + 1]!, rates[axis + 1]!];
    if (typeof size !== 'number') throw operation.decline('the size of its pictures is not known; give it with --input-shape');
    const extent = (structure.shape[axis]! - 1) * rate + 1;
    const made = word === 'SAME' ? Math.ceil(size / stride) : Math.ceil((size - extent + 1) / stride);
    const beyond = word === 'SAME' ? Math.max(0, (made - 1) * stride + extent - size) : 0;
    const before = Math.floor(beyond / 2);
    return { stride, rate, made, before, after: beyond - before };
  });
  const [rows, columns] = across as [(typeof across)[0], (typeof across)[0]];
  const pads = [0, rows.before, columns.before, 0, 0, rows.after, columns.after, 0];
  const framed = pads.every((size) => size === 0) ? x : operation.before('Pad', [x], { pads, value: LEAST });
  const sums: Value[] = [];
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++) {
      const starts = [i * rows.rate, j * columns.rate];
      const ends = [rows, columns].map(({ made, stride }, axis) => starts[axis]! + (made - 1) * stride + 1);
      const part = operation.before('Slice', [framed], { starts, ends, axes: [1, 2], steps: [rows.stride, columns.stride] });
      const added = reshape(sliceAxis(sliceAxis(structure, 0, i, i + 1), 1, j, j + 1), structure.shape.slice(2));
      sums.push(operation.before('Add', [part, operation.build.constant(added)]));
    }
  return sums.length === 1 ? operation.add('Identity', sums) : operation.add('Max', sums);
};

export const morphology: Readonly<Record<string, TfRule>> = { Dilation2D: dilation };
