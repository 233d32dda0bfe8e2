/** Padding, cropping and slicing in a graph model. */
import { addDims, divideDim } from '../../model/dims.js';
import type { Dim } from '../../model/layer-map.js';
import { FLOAT, type GraphNodes, INT, text } from './graph-nodes.js';
import { type FileValue, inexpressible, knownSize, type Margins } from './target.js';

/** Negative margins cut off, before the others add. @throws ModelError 'unsupported' where TensorFlow.js has no such mode */
export function padded(x: FileValue, margins: Margins, mode: string, value: number, graph: GraphNodes): FileValue {
  const cut = cropped(x, margins, graph);
  const adds = margins.map(([before, after]) => [Math.max(before, 0), Math.max(after, 0)] as const);
  if (adds.every(([before, after]) => before === 0 && after === 0)) return cut;
  if (mode === 'constant') return filled(cut, adds, value, graph);
  if (mode === 'reflect') return mirrored(cut, adds, 'REFLECT', graph);
  if (mode !== 'edge') throw inexpressible(`padding with mode ${mode}`);
  // A mirror that repeats the edge gives the edge, one element at a time.
  let made = cut;
  let left = adds;
  while (left.some(([before, after]) => before > 0 || after > 0)) {
    const one = left.map(([before, after]) => [Math.min(before, 1), Math.min(after, 1)] as const);
    made = mirrored(made, one, 'SYMMETRIC', graph);
    left = left.map(([before, after]) => [Math.max(before - 1, 0), Math.max(after - 1, 0)] as const);
  }
  return made;
}

function filled(x: FileValue, margins: Margins, value: number, graph: GraphNodes): FileValue {
  const amounts = graph.pairs('paddings', margins);
  const attributes = { T: FLOAT, Tpaddings: INT };
  const shape = grown(x.shape, margins);
  if (value === 0) return graph.made('Pad', 'pad', [x, amounts], attributes, shape);
  return graph.made('PadV2', 'pad', [x, amounts, graph.scalar('pad_value', value)], attributes, shape);
}

function mirrored(x: FileValue, margins: Margins, mode: string, graph: GraphNodes): FileValue {
  const inputs = [x, graph.pairs('paddings', margins)];
  return graph.made('MirrorPad', 'pad', inputs, { T: FLOAT, Tpaddings: INT, mode: text(mode) }, grown(x.shape, margins));
}

function grown(shape: readonly Dim[], margins: Margins): Dim[] {
  return shape.map((size, axis) => addDims(size, margins[axis]![0] + margins[axis]![1]));
}

function cropped(x: FileValue, margins: Margins, graph: GraphNodes): FileValue {
  return margins.reduce((value, [before, after], axis) => {
    if (before >= 0 && after >= 0) return value;
    const size = knownSize(value.shape[axis]);
    const [start, cut] = [Math.max(-before, 0), Math.max(-after, 0)];
    return size === null ? withoutEnds(value, axis, start, cut, graph) : sliced(value, axis, start, size - cut, graph);
  }, x);
}

/** Without so many elements in front and behind, of an axis of free size. */
function withoutEnds(x: FileValue, axis: number, start: number, cut: number, graph: GraphNodes): FileValue {
  const all = 2 ** x.shape.length - 1;
  const bounds = (number: number) =>
    graph.ints(
      'bounds',
      x.shape.map((_, other) => (other === axis ? number : 0)),
    );
  const strides = () =>
    graph.ints(
      'strides',
      x.shape.map(() => 1),
    );
  const attributes = bounded(all - 2 ** axis, cut === 0 ? all : all - 2 ** axis);
  return graph.made('StridedSlice', 'cut', [x, bounds(start), bounds(-cut), strides()], attributes, x.shape.with(axis, addDims(x.shape[axis]!, -start - cut)));
}

/** Attributes of a StridedSlice. @param begin, end bits of the axes that it takes from their begin, or to their end */
function bounded(begin: number, end: number) {
  const none = { i: '0' };
  return {
    T: FLOAT,
    Index: INT,
    begin_mask: { i: String(begin) },
    end_mask: { i: String(end) },
    ellipsis_mask: none,
    new_axis_mask: none,
    shrink_axis_mask: none,
  };
}

export function sliced(x: FileValue, axis: number, start: number, end: number, graph: GraphNodes): FileValue {
  const begin = x.shape.map((_, other) => (other === axis ? start : 0));
  const size = x.shape.map((_, other) => (other === axis ? end - start : -1));
  const inputs = [x, graph.ints('begin', begin), graph.ints('size', size)];
  return graph.made('Slice', 'slice', inputs, { T: FLOAT, Index: INT }, x.shape.with(axis, end - start));
}

/** Every stride-th element along each spatial axis. */
export function subsampled(x: FileValue, strides: readonly number[], graph: GraphNodes): FileValue {
  const all = [1, ...strides, 1];
  const zeros = all.map(() => 0);
  const whole = 2 ** all.length - 1;
  const inputs = [x, graph.ints('begin', zeros), graph.ints('end', zeros), graph.ints('strides', all)];
  const shape = x.shape.map((size, axis) => divideDim(addDims(size, all[axis]! - 1), all[axis]!));
  return graph.made('StridedSlice', 'subsample', inputs, bounded(whole, whole), shape);
}
