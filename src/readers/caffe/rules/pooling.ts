/** Pooling, as Caffe rounds and counts it. */
import type { Dim } from '../../../model/layer-map.js';
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';
import type { Rule } from './rule.js';
import { readWindow, spatial, type Window } from './window.js';

export const pooling: Rule = {
  block: 'pooling_param',
  tops: [1, 2],
  build(builder, layer, params) {
    const method = methodOf(builder, layer, params);
    pictureShape(builder, layer);
    if (params.number('axis', 1) !== 1) throw builder.unsupported(layer, 'pooling along other axes than height and width');
    if (spatial(builder, layer, params, 'dilation', 2, 1).some((size) => size !== 1)) throw builder.unsupported(layer, 'pooling with dilation');
    const roundUp = roundsUp(builder, layer, params);
    if (params.flag('global_pooling', false)) {
      if (layer.tops.length > 1) throw builder.unsupported(layer, 'global pooling that also gives the positions of its maxima');
      const size = ['kernel_size', 'kernel_h', 'kernel_w'].find((name) => params.has(name));
      if (size !== undefined) throw builder.malformed(layer, `global pooling, whose window is the picture, beside a ${size}: Caffe refuses both`);
      // A window that is the picture has nowhere to go.
      if (
        [...spatial(builder, layer, params, 'pad', 2, 0), ...spatial(builder, layer, params, 'stride', 2, 1).map((step) => step - 1)].some((size) => size !== 0)
      )
        throw builder.malformed(layer, 'global pooling with padding or a stride, which Caffe refuses');
      builder.output(layer, builder.add(layer, layer.name, method === 'MAX' ? 'GlobalMaxPool' : 'GlobalAveragePool', [builder.input(layer)]));
      return;
    }
    const window = readWindow(builder, layer, params, 2);
    const input = builder.input(layer);
    const pooled = addPooling(builder, layer, layer.name, { ...window, method, roundUp });
    builder.output(layer, pooled);
    if (layer.tops.length === 1) return;
    if (method !== 'MAX' || window.pad.some((size) => size !== 0) || window.kernel.some((size, i) => size !== window.stride[i]))
      throw builder.unsupported(layer, 'pooling that also gives the positions of its maxima, over windows that are padded or overlap');
    builder.positions.set(layer.tops[1]!, { layer, input, pooled, kernel: window.kernel });
  },
};

/** Spatial pyramid: poolings into 1, 2, 4, ... bins along each axis, one behind the other as a vector. */
export const spatialPyramid: Rule = {
  block: 'spp_param',
  build(builder, layer, params) {
    const method = methodOf(builder, layer, params);
    const height = params.number('pyramid_height', 0);
    const sizes = pictureShape(builder, layer)
      .slice(2)
      .map((size) => builder.size(layer, size, 'a pyramid over a picture whose size is not known'));
    if (height < 1 || height > MAX_PYRAMID) throw builder.malformed(layer, `pyramid_height is ${height}`);
    const levels = Array.from({ length: height }, (_, level) => {
      const kernel = sizes.map((size) => Math.ceil(size / 2 ** level));
      const pad = sizes.map((size, i) => Math.floor((kernel[i]! * 2 ** level - size + 1) / 2));
      const name = height === 1 ? layer.name : `${layer.name}/level${level}`;
      const pooled = addPooling(builder, layer, name, { kernel, stride: kernel, pad, method, roundUp: true });
      return height === 1 ? pooled : builder.add(layer, `${name}/flatten`, 'Flatten', [pooled]);
    });
    builder.output(layer, height === 1 ? levels[0]! : builder.add(layer, layer.name, 'Concat', levels, { attributes: { axis: 1 } }));
  },
};

/** A picture of 2 ** 12 pixels a side still has one in each bin. */
const MAX_PYRAMID = 12;

type Method = 'MAX' | 'AVE';

function methodOf(builder: CaffeBuilder, layer: CaffeLayer, params: Params): Method {
  const method = params.word('pool', 'MAX');
  if (method === 'MAX' || method === 'AVE') return method;
  throw builder.unsupported(layer, `${method} pooling is not translated`);
}

/** Caffe rounds up; `ceil_mode: false` of many forks is what became `round_mode: FLOOR`. */
function roundsUp(builder: CaffeBuilder, layer: CaffeLayer, params: Params): boolean {
  const byMode = params.has('round_mode') ? params.word('round_mode', 'CEIL') === 'CEIL' : null;
  const byFlag = params.has('ceil_mode') ? params.flag('ceil_mode', true) : null;
  if (byMode !== null && byFlag !== null && byMode !== byFlag) throw builder.malformed(layer, 'round_mode and ceil_mode contradict each other');
  return byMode ?? byFlag ?? true;
}

export function pictureShape(builder: CaffeBuilder, layer: CaffeLayer): readonly Dim[] {
  const shape = builder.inputShape(layer);
  if (shape.length !== 4) throw builder.unsupported(layer, `${layer.type} over an input of shape [${shape}]; four axes are translated`);
  return shape;
}

/**
 * Caffe rounds the number of windows up, leaves out one that would start in the end padding, and in averages divides by the
 * part of the window that lies within the padded picture. Stated with explicit padding, because runtimes differ about ceil_mode.
 */
function addPooling(
  builder: CaffeBuilder,
  layer: CaffeLayer,
  name: string,
  { kernel, stride, pad, method, roundUp }: Window & { readonly method: Method; readonly roundUp: boolean },
): string {
  const input = builder.input(layer);
  if (pad.some((size, i) => size >= kernel[i]!)) throw builder.malformed(layer, `padding [${pad}] must be smaller than the kernel [${kernel}]`);
  const isPadded = pad.some((size) => size > 0);
  const end = pad.map((size, i) => {
    // Without rounding up there is no window that reaches past the padding.
    if (!roundUp || stride[i] === 1) return size;
    return endPadding(builder, layer, builder.shapeOf(input)[i + 2]!, kernel[i]!, stride[i]!, size, isPadded);
  });
  const attributes = { kernel_shape: kernel, strides: stride, pads: [...pad, ...end] };
  if (method === 'MAX') return builder.add(layer, name, 'MaxPool', [input], { attributes });
  if (!isPadded) return builder.add(layer, name, 'AveragePool', [input], { attributes });
  if (pad.every((size, i) => size === end[i])) return builder.add(layer, name, 'AveragePool', [input], { attributes: { ...attributes, count_include_pad: 1 } });
  // The padding counts as picture, what a window reaches beyond it does not.
  const padded = builder.add(layer, `${name}/pad`, 'Pad', [input], { attributes: { pads: [0, 0, ...pad, 0, 0, ...pad] } });
  const beyond = end.map((size, i) => Math.max(0, size - pad[i]!));
  return builder.add(layer, name, 'AveragePool', [padded], { attributes: { ...attributes, pads: [0, 0, ...beyond] } });
}

function endPadding(builder: CaffeBuilder, layer: CaffeLayer, dim: Dim, kernel: number, stride: number, pad: number, isPadded: boolean): number {
  const size = builder.size(layer, dim, 'pooling over a picture whose size is not known, because Caffe rounds up');
  let count = Math.ceil((size + 2 * pad - kernel) / stride) + 1;
  if (isPadded && (count - 1) * stride >= size + pad) count--;
  if (count < 1) throw builder.malformed(layer, `a kernel of ${kernel} does not fit into ${size} with padding ${pad}. Is the input too small?`);
  if ((count - 1) * stride - pad >= size)
    throw builder.malformed(layer, `the last window of ${kernel} at stride ${stride} lies outside of the picture of ${size}`);
  return Math.max(0, (count - 1) * stride + kernel - size - pad);
}
