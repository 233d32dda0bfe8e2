/** Layers that move values, or leave them where they are. */
import { productOf, quotientOf } from '../../../model/dims.js';
import type { Dim } from '../../../model/layer-map.js';
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';
import { channelsOf } from './normalisation.js';
import { pictureShape } from './pooling.js';
import { ANY, type Rule, simple } from './rule.js';

/** Of Concat and Slice, which have an older name for it. */
function axisOf(builder: CaffeBuilder, layer: CaffeLayer, params: Params, older: string): number {
  if (params.has(older) && params.has('axis')) throw builder.malformed(layer, `axis and ${older} are given; Caffe takes one or the other`);
  return builder.axis(layer, params.has(older) ? params.number(older, 1) : params.number('axis', 1));
}

export const concat: Rule = {
  block: 'concat_param',
  bottoms: [1, ANY],
  build(builder, layer, params) {
    const axis = axisOf(builder, layer, params, 'concat_dim');
    const shapes = layer.bottoms.map((_, i) => builder.inputShape(layer, i));
    if (new Set(shapes.map((shape) => shape.with(axis, 0).join())).size > 1)
      throw builder.malformed(layer, `Concat along axis ${axis} of blobs of the shapes ${shapes.map((shape) => `[${shape}]`).join(', ')}`);
    builder.output(layer, builder.add(layer, layer.name, 'Concat', builder.inputs(layer), { attributes: { axis } }));
  },
};

export const slice: Rule = {
  block: 'slice_param',
  tops: [1, ANY],
  build(builder, layer, params) {
    const axis = axisOf(builder, layer, params, 'slice_dim');
    const input = builder.input(layer);
    const size = builder.size(layer, builder.shapeOf(input)[axis], 'a slice along an axis whose size is not known');
    const points = params.numbers('slice_point');
    const pieces = layer.tops.length;
    const cuts = points.length > 0 ? points : Array.from({ length: pieces - 1 }, (_, i) => (size / pieces) * (i + 1));
    if (cuts.length !== pieces - 1 || !cuts.every((cut, i) => Number.isInteger(cut) && cut > (cuts[i - 1] ?? 0) && cut < size))
      throw builder.malformed(layer, `${size} does not divide into ${pieces} pieces at [${cuts}]`);
    layer.tops.forEach((top, i) => {
      const attributes = { starts: [cuts[i - 1] ?? 0], ends: [cuts[i] ?? size], axes: [axis] };
      builder.output(layer, builder.add(layer, `${layer.name}/${top}`, 'Slice', [input], { attributes }), i);
    });
  },
};

/** The part of the first blob that is as large as the second, from an offset on. */
export const crop: Rule = {
  block: 'crop_param',
  bottoms: [2, 2],
  build(builder, layer, params) {
    const shape = builder.inputShape(layer);
    const like = builder.inputShape(layer, 1);
    const first = builder.axis(layer, params.number('axis', 2));
    const offsets = params.numbers('offset');
    if (like.length !== shape.length) throw builder.malformed(layer, `a blob of shape [${shape}] cannot be cropped to one of shape [${like}]`);
    if (offsets.length > 1 && offsets.length !== shape.length - first)
      throw builder.malformed(layer, `${offsets.length} offsets for the ${shape.length - first} axes from ${first} on`);
    const cuts = shape.flatMap((size, axis) => {
      if (axis < first) return [];
      const start = offsets[axis - first] ?? offsets[0] ?? 0;
      if (start === 0 && size === like[axis]) return [];
      const [from, to] = [size, like[axis]].map((dim) => builder.size(layer, dim, 'a crop of an axis whose size is not known')) as [number, number];
      if (start + to > from) throw builder.malformed(layer, `${to} from offset ${start} on are more than the ${from} of axis ${axis}`);
      return [{ axis, start, end: start + to }];
    });
    const attributes = { starts: cuts.map(({ start }) => start), ends: cuts.map(({ end }) => end), axes: cuts.map(({ axis }) => axis) };
    const op = cuts.length === 0 ? 'Identity' : 'Slice';
    builder.output(layer, builder.add(layer, layer.name, op, [builder.input(layer)], op === 'Slice' ? { attributes } : {}));
  },
};

export const flatten: Rule = {
  block: 'flatten_param',
  build(builder, layer, params) {
    const shape = builder.inputShape(layer);
    const first = builder.axis(layer, params.number('axis', 1));
    const last = builder.axis(layer, params.number('end_axis', -1));
    if (last < first) throw builder.malformed(layer, `the axes from ${first} to ${last} cannot be made one`);
    const input = builder.input(layer);
    if (first === 1 && last === shape.length - 1) {
      builder.output(layer, builder.add(layer, layer.name, 'Flatten', [input]));
      return;
    }
    const merged = shape
      .slice(first, last + 1)
      .reduce<number>((product, size) => product * builder.size(layer, size, 'a Flatten of axes whose size is not known, or of the batch'), 1);
    builder.output(layer, builder.reshape(layer, layer.name, input, [...shape.slice(0, first), merged, ...shape.slice(last + 1)]));
  },
};

/** Some axes become others; 0 copies a size, -1 is worked out. */
export const reshapeLayer: Rule = {
  block: 'reshape_param',
  build(builder, layer, params) {
    const shape = builder.inputShape(layer);
    const axis = params.number('axis', 0);
    const count = params.number('num_axes', -1);
    const start = axis < 0 ? axis + shape.length + 1 : axis;
    const end = count === -1 ? shape.length : start + count;
    if (start < 0 || start > shape.length || end > shape.length || count < -1) throw builder.malformed(layer, `${count} axes from ${axis} on, of [${shape}]`);
    const dims = params.child('shape').numbers('dim');
    if (dims.some((size) => size < -1) || dims.filter((size) => size === -1).length > 1) throw builder.malformed(layer, `[${dims}] is no shape`);
    const known = dims.map((size, i): Dim | null => {
      if (size !== 0) return size === -1 ? null : size;
      const copied = shape[start + i];
      if (copied === undefined) throw builder.malformed(layer, `a size is copied from axis ${start + i} of [${shape}]`);
      return copied;
    });
    const batch = shape[0];
    if (start === 0 && end > 0 && typeof batch === 'string' && typeof known[0] === 'number') {
      throw builder.unsupported(layer, `a Reshape that fixes the batch to ${known[0]}. Give the whole input shape, batch included, with --input-shape.`);
    }
    const target = [...shape.slice(0, start), ...filledIn(builder, layer, known, shape.slice(start, end)), ...shape.slice(end)];
    builder.output(layer, builder.reshape(layer, layer.name, builder.input(layer), target));
  },
};

/** The one size that is not given, from how much there is; free sizes that are copied cancel out. */
function filledIn(builder: CaffeBuilder, layer: CaffeLayer, known: readonly (Dim | null)[], from: readonly Dim[]): Dim[] {
  const given = known.filter((size) => size !== null);
  const isHole = given.length < known.length;
  const wanted = known.map((size) => size ?? -1);
  const freeOf = (sizes: readonly Dim[]) => sizes.filter((size) => typeof size === 'string').sort().join(); // biome-ignore format: one line says it
  if (freeOf(from) !== freeOf(given)) {
    const missing = isHole ? quotientOf(productOf(from), productOf(given)) : null;
    if (missing === null) throw builder.needsSize(layer, `a Reshape of [${from}] to [${wanted}], where sizes are not known`);
    return known.map((size) => size ?? missing);
  }
  const missing = product(from) / product(given);
  if (isHole ? !Number.isInteger(missing) : missing !== 1)
    throw builder.malformed(layer, `[${from}] cannot be read as [${wanted}]: the number of values differs`);
  return known.map((size) => size ?? missing);
}

/** Of the sizes that are numbers. */
function product(sizes: readonly Dim[]): number {
  return sizes.reduce<number>((result, size) => (typeof size === 'number' ? result * size : result), 1);
}

export const permute: Rule = simple('permute_param', (params, builder, layer) => {
  const rank = builder.inputShape(layer).length;
  const order = params.numbers('order');
  const rest = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !order.includes(axis));
  const perm = [...order, ...rest];
  if (perm.length !== rank || new Set(perm).size !== rank) throw builder.malformed(layer, `[${order}] is no order of ${rank} axes`);
  return { op: 'Transpose', attributes: { perm } };
});

/** More copies are nobody's net, and each is an operand. */
const MAX_TILES = 1024;

/** Copies side by side along one axis. */
export const tile: Rule = {
  block: 'tile_param',
  build(builder, layer, params) {
    const axis = builder.axis(layer, params.number('axis', 1));
    const tiles = params.number('tiles', 0);
    if (tiles < 1 || tiles > MAX_TILES) throw builder.malformed(layer, `${tiles} tiles; from 1 to ${MAX_TILES} are translated`);
    builder.size(layer, builder.inputShape(layer)[axis], 'a Tile along an axis whose size is not known');
    const copies = new Array<string>(tiles).fill(builder.input(layer));
    builder.output(layer, builder.add(layer, layer.name, 'Concat', copies, { attributes: { axis } }));
  },
};

/** Channels of all groups in turn: the first of each, then the second of each. */
export const shuffleChannel: Rule = {
  block: 'shuffle_channel_param',
  build(builder, layer, params) {
    const { name } = layer;
    const shape = pictureShape(builder, layer);
    const channels = channelsOf(builder, layer);
    if (!params.has('group')) throw builder.unsupported(layer, 'ShuffleChannel without a group in its shuffle_channel_param');
    const group = params.number('group', 1);
    if (group < 1 || channels % group !== 0) throw builder.malformed(layer, `${channels} channels do not divide into ${group} groups`);
    const split = builder.reshape(layer, `${name}/groups`, builder.input(layer), [shape[0]!, group, channels / group, ...shape.slice(2)]);
    const turned = builder.add(layer, `${name}/shuffle`, 'Transpose', [split], { attributes: { perm: [0, 2, 1, 3, 4] } });
    builder.output(layer, builder.reshape(layer, name, turned, shape));
  },
};

/**
 * Each value as often as the scale says, along height and width; or, with the positions of a pooling, back to where its windows had their
 * maxima, with zeros around (SegNet).
 *
 * Caffe takes the first of equal maxima, so places in a window are numbered downwards, and where the maximum is the largest number wins.
 */
export const upsample: Rule = {
  block: 'upsample_param',
  bottoms: [1, 2],
  build(builder, layer, params) {
    const { name } = layer;
    const [, , height, width] = pictureShape(builder, layer);
    const hasPositions = layer.bottoms.length > 1;
    const scale = params.number('scale', hasPositions ? 2 : 0);
    const scales = ['scale_h', 'scale_w'].map((side) => params.number(side, scale));
    const sizes = ['upsample_h', 'upsample_w'].map((side) => params.number(side, 0));
    const enlarged = (value: string, step: string, by: readonly number[]) =>
      builder.add(layer, step, 'Resize', [value], { attributes: { scales: [1, 1, ...by] } });
    if (!hasPositions) {
      if (sizes.some((size) => size !== 0)) throw builder.unsupported(layer, 'an Upsample to a size without the positions of a pooling');
      if (!scales.every((each) => Number.isInteger(each) && each >= 1))
        throw builder.unsupported(layer, `an Upsample of scale ${scales.join(' x ')}; whole ones from 1 on are translated`);
      builder.output(layer, enlarged(builder.input(layer), name, scales));
      return;
    }
    const { input, pooled, kernel } = builder.positionsOf(layer, 1);
    const from = builder
      .shapeOf(input)
      .slice(2)
      .map((size) => builder.size(layer, size, 'an Upsample of a picture whose size is not known'));
    const small = [height, width].map((size) => builder.size(layer, size, 'an Upsample of a picture whose size is not known'));
    const to = small.map((size, i) => sizes[i] || size * scales[i]! - (params.flag(i === 0 ? 'pad_out_h' : 'pad_out_w', false) ? 1 : 0));
    if (builder.shapeOf(pooled).join() !== builder.inputShape(layer).join() || to.join() !== from.join())
      throw builder.unsupported(layer, `an Upsample of [${builder.inputShape(layer)}] to ${to.join(' x ')}, by positions in a picture of ${from.join(' x ')}`);
    const attributes = { starts: [0, 0], ends: from, axes: [2, 3] };
    /** As large as what was pooled; the last windows may reach beyond it. */
    const spread = (value: string, step: string) => {
      const whole = enlarged(value, `${name}/${step}`, kernel);
      return small.every((size, i) => size * kernel[i]! === from[i]) ? whole : builder.add(layer, `${name}/${step}/cut`, 'Slice', [whole], { attributes });
    };
    const [rows, columns] = from as [number, number];
    const places = builder.computed(layer, `${name}/places`, [1, 1, rows, columns], () =>
      Float32Array.from(
        { length: rows * columns },
        (_, i) => kernel[0]! * kernel[1]! - (Math.floor(i / columns) % kernel[0]!) * kernel[1]! - ((i % columns) % kernel[1]!),
      ),
    );
    const asNumber = (value: string, step: string) => builder.add(layer, `${name}/${step}`, 'Cast', [value], { attributes: { to: 'float32' } });
    const isMaximum = asNumber(builder.add(layer, `${name}/maxima`, 'Equal', [input, spread(pooled, 'maximum')]), 'is-maximum');
    const numbered = builder.add(layer, `${name}/numbered`, 'Mul', [isMaximum], { weights: { operand: places } });
    const ends = small.map((size, i) => size * kernel[i]! - from[i]!);
    const first = builder.add(layer, `${name}/first`, 'MaxPool', [numbered], { attributes: { kernel_shape: kernel, strides: kernel, pads: [0, 0, ...ends] } });
    const chosen = asNumber(builder.add(layer, `${name}/chosen`, 'Equal', [numbered, spread(first, 'number')]), 'is-chosen');
    builder.output(layer, builder.add(layer, name, 'Mul', [spread(builder.input(layer), 'values'), chosen]));
  },
};

/**
 * DeepLab's bilinear interpolation, corner to corner: a product with a matrix along the width, and one along the height.
 *
 * Negative paddings cut off; the size is given, or follows from factors.
 */
export const interpolate: Rule = {
  block: 'interp_param',
  bottoms: [1, 2],
  build(builder, layer, params) {
    const { name } = layer;
    const shape = pictureShape(builder, layer);
    const [begin, end] = [params.number('pad_beg', 0), params.number('pad_end', 0)];
    if (begin > 0 || end > 0) throw builder.malformed(layer, 'pad_beg and pad_end above 0, which Caffe refuses');
    const like = layer.bottoms.length > 1 ? builder.inputShape(layer, 1) : null;
    const zoom = params.has('zoom_factor') ? params.number('zoom_factor', 1) : null;
    const shrink = params.has('shrink_factor') ? params.number('shrink_factor', 1) : null;
    const given = ['height', 'width'].map((side) => params.number(side, 0));
    const ways = [like !== null, given.some((size) => size > 0), zoom !== null || shrink !== null].filter(Boolean).length;
    if (ways > 1)
      throw builder.malformed(layer, 'its size is given in several ways (another blob, height and width, factors), of which forks take one or another');
    const sizes = [2, 3].map((axis) => {
      const from = builder.size(layer, shape[axis], 'an interpolation of a picture whose size is not known') + begin + end;
      return { axis, from, to: target(axis, from) };
    });
    let value = builder.input(layer);
    if (begin !== 0 || end !== 0) {
      const attributes = { starts: [-begin, -begin], ends: sizes.map(({ from }) => from - begin), axes: [2, 3] };
      value = builder.add(layer, `${name}/cut`, 'Slice', [value], { attributes });
    }
    const [rows, columns] = sizes as [(typeof sizes)[number], (typeof sizes)[number]];
    value = builder.add(layer, `${name}/columns`, 'MatMul', [value], { weights: { kernel: matrix('columns', columns) } });
    value = builder.add(layer, `${name}/turned`, 'Transpose', [value], { attributes: { perm: [0, 1, 3, 2] } });
    value = builder.add(layer, `${name}/rows`, 'MatMul', [value], { weights: { kernel: matrix('rows', rows) } });
    builder.output(layer, builder.add(layer, name, 'Transpose', [value], { attributes: { perm: [0, 1, 3, 2] } }));

    function target(axis: number, from: number): number {
      if (like) return builder.size(layer, like[axis], 'an interpolation to a size that is not known');
      if (shrink !== null || zoom !== null) {
        if ((shrink ?? 1) < 1 || (zoom ?? 1) < 1) throw builder.malformed(layer, 'factors below 1');
        const shrunk = shrink === null ? from : Math.floor((from - 1) / shrink) + 1;
        return zoom === null ? shrunk : shrunk + (shrunk - 1) * (zoom - 1);
      }
      if (given.every((size) => size > 0)) return given[axis - 2]!;
      throw builder.malformed(layer, 'Interp has neither height and width, nor a factor, nor another blob');
    }

    /** [from, to]: what each value gives to those that are made of it. */
    function matrix(what: string, { from, to }: { readonly from: number; readonly to: number }) {
      if (from < 1 || to < 1) throw builder.malformed(layer, `an interpolation of ${from} to ${to} values`);
      return builder.computed(layer, `${name}/${what}`, [from, to], () => {
        const values = new Float32Array(from * to);
        for (let i = 0; i < to; i++) {
          const at = to > 1 ? (i * (from - 1)) / (to - 1) : 0;
          const low = Math.min(Math.floor(at), from - 1);
          const high = Math.min(low + 1, from - 1);
          values[low * to + i]! += 1 - (at - low);
          values[high * to + i]! += at - low;
        }
        return values;
      });
    }
  },
};

/** The same value under other names. */
export const split: Rule = {
  block: null,
  tops: [1, ANY],
  build(builder, layer) {
    for (const i of layer.tops.keys()) builder.output(layer, builder.input(layer), i);
  },
};

/** Takes blobs, so that they are no outputs. */
export const silence: Rule = { block: null, bottoms: [1, ANY], tops: [0, 0], build() {} };

/** At test time the values as they are; a fork's scale_train: false scales them here instead of in training. */
export const dropout: Rule = {
  block: 'dropout_param',
  build(builder, layer, params) {
    const ratio = params.number('dropout_ratio', 0.5);
    const input = builder.input(layer);
    if (!params.flag('scale_train', true)) {
      builder.output(layer, builder.withScalar(layer, layer.name, 'Mul', input, 1 - ratio));
      return;
    }
    builder.warnings.push({ code: 'training-layer-removed', message: 'Dropout acts in training only and was left out', layer: layer.name });
    builder.output(layer, input);
  },
};
