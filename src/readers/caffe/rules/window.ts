/** Kernel, stride and padding, which Caffe has once for all spatial axes, once for each, or as _h and _w. */
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';

export interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly pad: readonly number[];
}

/** @param axes how many spatial axes there are */
export function readWindow(builder: CaffeBuilder, layer: CaffeLayer, params: Params, axes: number): Window {
  const kernel = spatial(builder, layer, params, 'kernel_size', axes, null);
  const stride = spatial(builder, layer, params, 'stride', axes, 1);
  const pad = spatial(builder, layer, params, 'pad', axes, 0);
  if (kernel.includes(0) || stride.includes(0)) throw builder.malformed(layer, `kernel [${kernel}] and stride [${stride}] must be at least 1`);
  return { kernel, stride, pad };
}

/** One number for each spatial axis. */
export function spatial(builder: CaffeBuilder, layer: CaffeLayer, params: Params, name: string, axes: number, fallback: number | null): readonly number[] {
  const sizes = params.numbers(name);
  const stem = name === 'kernel_size' ? 'kernel' : name;
  const pair = [`${stem}_h`, `${stem}_w`];
  if (pair.some((part) => params.has(part))) {
    if (sizes.length > 0) throw builder.malformed(layer, `${name} and ${pair.join(', ')} are given; Caffe takes one or the other`);
    if (axes !== 2) throw builder.malformed(layer, `${pair.join(' and ')} are for pictures, but there are ${axes} spatial axes`);
    return pair.map((part) => params.number(part, name === 'pad' ? 0 : (fallback ?? 0)));
  }
  if (sizes.length === 0) {
    if (fallback === null) throw builder.malformed(layer, `${layer.type} has no ${name}`);
    return new Array<number>(axes).fill(fallback);
  }
  if (sizes.length === 1) return new Array<number>(axes).fill(sizes[0]!);
  if (sizes.length !== axes) throw builder.malformed(layer, `${name} has ${sizes.length} sizes for ${axes} spatial axes`);
  return sizes;
}
