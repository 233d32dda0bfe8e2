/** Rules of graph models that cut pictures into parts and put them together: CenterCropPad, Col2Im, MaxUnpool, RoiAlign, DeformConv. */
import { identity } from '../../model/axis-order.js';
import { OPS } from '../../model/ops/index.js';
import { elementCount, float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import { flowingCenterCropPad } from './graph-flowing.js';
import { picked } from './graph-sampling.js';
import type { GraphTarget } from './graph-target.js';
import { convolved, MOST_EXACT, withBias } from './graph-windows.js';
import { axesPlace } from './rules.js';
import { type FileValue, knownSize } from './target.js';
import { grouped, placedLast } from './windows.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
const ORIGIN = { file: 'weighbridge' };
/** Matrices are written out. */
const MOST_PLACES = 2 ** 22;

const centerCropPad: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  const made = lowering.shape(layer.outputs[0]!);
  const margins = x.shape.map((size, axis): readonly [number, number] => {
    const to = made[axis]!;
    if (size === to) return [0, 0];
    if (typeof size !== 'number' || typeof to !== 'number') return lowering.decline('a CenterCropPad of free sizes; give them with --input-shape');
    const before = size > to ? -Math.floor((size - to) / 2) : Math.floor((to - size) / 2);
    return [before, to - size - before];
  });
  return axesPlace(graph.pad(x, margins, 'constant', 0));
};

/** Where each element of the windows goes is a matrix of zeros and ones, which the evaluator makes of unit vectors. */
const col2Im: GraphRule = (layer, lowering, graph) => {
  const { image, block } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  const [batch, depth, places] = lowering.shape(layer.inputs[0]!);
  if (!image || !block || typeof depth !== 'number' || typeof places !== 'number') return lowering.decline('a Col2Im of sizes that flow in');
  const window = elementCount(block);
  const [count, plane] = [window * places, elementCount(image)];
  if (count * plane > MOST_PLACES) return lowering.decline(`a matrix of ${count} x ${plane} numbers`);
  const unit = { shape: [count, window, places], data: Float64Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : 0)) };
  const [matrix] = OPS.Col2Im!.compute!({ x: unit } as never, layer.attributes as never, { outputs: 1 });
  const shares = graph.tensor('places', float32Tensor('places', [count, plane], matrix!.data, ORIGIN));
  const rows = graph.matMul(graph.reshape(lowering.plain(layer.inputs[0]!), ['rows', count]), shares);
  return axesPlace(graph.reshape(rows, [batch!, depth / window, ...image]));
};

const maxUnpool: GraphRule = (layer, lowering, graph) => {
  const { kernel_shape, strides, output_shape } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  const made = lowering.shape(layer.outputs[0]!);
  if (output_shape || layer.inputs.length > 2) return lowering.decline('a MaxUnpool to a size of its own');
  // Where windows overlap an element may be put in its place twice, and TensorFlow.js would add it twice.
  if (kernel_shape!.some((size, axis) => strides![axis]! < size)) return lowering.decline('a MaxUnpool of windows that overlap');
  const total = made.every((size) => typeof size === 'number') ? elementCount(made as number[]) : null;
  if (total === null || total > MOST_EXACT) return lowering.decline('a MaxUnpool of free or large sizes; give them with --input-shape');
  const places = graph.cast(graph.reshape(slotValue(layer, 'indices', lowering, graph)!, ['all', 1]), 'DT_FLOAT', 'DT_INT32');
  const inputs = [places, graph.reshape(lowering.plain(layer.inputs[0]!), ['all']), graph.ints('shape', [total])];
  return axesPlace(graph.reshape(graph.node('ScatterNd', inputs, { T: FLOAT, Tindices: INT }, [total]), made));
};

/** A neighbour of a place along an axis, and its share. */
type Tap = readonly [index: FileValue, share: FileValue];

const roiAlign: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { mode, output_height, output_width, sampling_ratio, spatial_scale, coordinate_transformation_mode } = layer.attributes;
  const [rows, columns, each] = [output_height, output_width, sampling_ratio] as [number, number, number];
  if (each < 1) return lowering.decline('a RoiAlign that takes as many samples as its regions are large (sampling_ratio 0)');
  const x = lowering.last(layer.inputs[0]!);
  const [height, width, channels] = x.shape.slice(1).map(knownSize) as [number | null, number | null, number | null];
  if (height === null || width === null || channels === null) return lowering.decline('a RoiAlign of free sizes; give them with --input-shape');
  if (height * width * (knownSize(x.shape[0]) ?? 1) > MOST_EXACT) return lowering.decline(`regions of pictures of ${height} x ${width}`);
  const rois = slotValue(layer, 'rois', lowering, graph)!;
  const count = rois.shape[0]!;
  const isHalf = coordinate_transformation_mode === 'half_pixel';
  const corner = (i: number) => f.sub(f.mul(graph.slice(rois, 1, i, i + 1), spatial_scale as number), isHalf ? 0.5 : 0);
  const along = (from: number, bins: number, size: number): { taps: readonly Tap[]; isInside: FileValue } => {
    const [start, end] = [corner(from), corner(from + 2)];
    const extent = isHalf ? f.sub(end, start) : f.two('Maximum', f.sub(end, start), 1);
    const offsets = identity(bins * each).map((i) => Math.floor(i / each) + ((i % each) + 0.5) / each);
    const at = f.add(start, f.mul(f.mul(extent, 1 / bins), graph.floats('offsets', offsets)));
    const isInside = f.mul(f.compare('GreaterEqual', at, -1), f.compare('LessEqual', at, size));
    const settled = f.two('Minimum', f.two('Maximum', at, 0), size - 1);
    const low = f.one('Floor', settled);
    const share = f.sub(settled, low);
    return { taps: [[low, f.sub(1, share)], [f.two('Minimum', f.add(low, 1), size - 1), share]], isInside }; // biome-ignore format: a neighbour each
  };
  const [down, across] = [along(1, rows, height), along(0, columns, width)];
  const tall = (value: FileValue) => graph.reshape(value, [count, rows * each, 1]);
  const wide = (value: FileValue) => graph.reshape(value, [count, 1, columns * each]);
  const first = graph.reshape(f.mul(slotValue(layer, 'batch', lowering, graph)!, height * width), [count, 1, 1]);
  const pixels = graph.reshape(x, ['pixels', channels]);
  const whole = [count, rows * each, columns * each] as const;
  const deep = (value: FileValue) => graph.reshape({ ...value, shape: whole }, [...whole, 1]);
  const corners = down.taps.flatMap(([row, rowShare]) =>
    across.taps.map(([column, columnShare]) => {
      const places = f.add(f.add(first, f.mul(tall(row), width)), wide(column));
      return f.mul(gathered(pixels, { ...places, shape: whole }, graph), deep(f.mul(tall(rowShare), wide(columnShare))));
    }),
  );
  const samples = f.mul(corners.reduce(mode === 'avg' ? f.add : (a, b) => f.two('Maximum', a, b)), deep(f.mul(tall(down.isInside), wide(across.isInside))));
  const parts = graph.reshape(samples, [count, rows, each, columns, each, channels]);
  return placedLast(f.reduce(mode === 'avg' ? 'Mean' : 'Max', parts, [2, 4], false));
};

/** Rows by number. */
function gathered(rows: FileValue, places: FileValue, graph: GraphTarget): FileValue {
  const inputs = [rows, graph.cast(places, 'DT_FLOAT', 'DT_INT32'), graph.int('axis', 0)];
  return graph.node('GatherV2', inputs, { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } }, [...places.shape, ...rows.shape.slice(1)]);
}

/** What each tap sees lies between four pixels; what all see is multiplied by the kernel. */
const deformConv: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { strides, pads, dilations, kernel_shape } = layer.attributes as Readonly<Record<string, readonly number[]>>;
  const parts = layer.attributes.offset_group as number;
  const x = lowering.plain(layer.inputs[0]!);
  const made = lowering.shape(layer.outputs[0]!);
  const sizes = [...x.shape.slice(1), ...made.slice(2)].map(knownSize);
  if (sizes.includes(null)) return lowering.decline('a DeformConv of free sizes; give them with --input-shape');
  const [channels, height, width, rows, columns] = sizes as [number, number, number, number, number];
  const [taps, places, own] = [elementCount(kernel_shape!), rows * columns, channels / parts];
  const count = taps * places;
  const offset = graph.reshape(slotValue(layer, 'offset', lowering, graph)!, ['parts', taps, 2, places]);
  /** Where each tap would lie without its offset, and the two neighbours of where it lies. */
  const along = (axis: 0 | 1, size: number): readonly Tap[] => {
    const still = identity(count).map((i) => {
      const [tap, place] = [Math.floor(i / places), i % places];
      const [out, inner] = axis === 0 ? [Math.floor(place / columns), Math.floor(tap / kernel_shape![1]!)] : [place % columns, tap % kernel_shape![1]!];
      return out * strides![axis]! - pads![axis]! + inner * dilations![axis]!;
    });
    // Constants stand first: verification takes those that stand second for the layer's bias.
    const at = f.add(graph.floats('taps', still), graph.reshape(graph.slice(offset, 2, axis, axis + 1), ['parts', count]));
    const low = f.one('Floor', at);
    const share = f.sub(at, low);
    return [[low, f.sub(1, share)], [f.add(1, low), share]].map(([index, part]): Tap => {
      // What lies outside counts nothing.
      const held = f.two('Minimum', f.two('Maximum', index!, 0), size - 1);
      return [held, f.mul(part!, f.compare('Equal', held, index!))];
    }); // biome-ignore format: a neighbour each
  };
  const [down, across] = [along(0, height), along(1, width)];
  const pixels = graph.reshape(graph.transpose(graph.reshape(x, ['parts', own, height * width]), [0, 2, 1]), ['parts', height * width, own]);
  const given = slotValue(layer, 'mask', lowering, graph);
  const mask = given && graph.reshape(given, ['parts', count]);
  const seen = down
    .flatMap(([row, rowShare]) =>
      across.map(([column, columnShare]) => {
        const share = f.mul(rowShare, columnShare);
        const values = picked(pixels, { ...f.add(f.mul(row, width), column), shape: ['parts', count] }, graph);
        return f.mul(values, graph.reshape(mask ? f.mul(share, mask) : share, ['parts', count, 1]));
      }),
    )
    .reduce(f.add);
  // Beside each other, what the taps of a place see is a picture that the kernel goes over in steps of its own size.
  const [high, wide] = kernel_shape as [number, number];
  const apart = graph.transpose(graph.reshape(seen, ['parts', high, wide, rows, columns, own]), [0, 3, 1, 4, 2, 5]);
  const together = graph.transpose(graph.reshape(apart, ['batch', parts, count, own]), [0, 2, 1, 3]);
  const picture = { ...graph.reshape(together, ['batch', rows * high, columns * wide, channels]), shape: [made[0]!, rows * high, columns * wide, channels] };
  const steps = { strides: [high, wide], dilations: [1, 1] };
  const isStored = layer.weights.kernel && (layer.weights.bias || !slotValue(layer, 'bias', lowering, graph));
  if (isStored) return placedLast(grouped(layer, lowering, picture, { ...steps, padding: 'valid' }));
  const plain = { ...layer, attributes: { ...layer.attributes, ...steps, auto_pad: 'VALID' } };
  return withBias(convolved(picture, slotValue(layer, 'kernel', lowering, graph)!, plain, lowering, graph), layer, lowering, graph);
};

export const PATCH_RULES: Readonly<Record<string, GraphRule>> = {
  CenterCropPad: flowingCenterCropPad(centerCropPad),
  Col2Im: col2Im,
  MaxUnpool: maxUnpool,
  RoiAlign: roiAlign,
  DeformConv: deformConv,
};
