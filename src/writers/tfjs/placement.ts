/**
 * Where a value of the layer map lies in a TensorFlow.js file.
 *
 * The map is channels-first, these files are channels-last. A transposition of the map therefore costs nothing as long as what follows
 * can do with the order that the file has: it only changes which axis is which.
 */
import { identity } from '../../model/axis-order.js';
import type { Layout, Port } from '../../model/layer-map.js';
import { isChannelsLast, toChannelsLast } from '../../model/ports.js';
import { permute, reshape, type Tensor } from '../../model/tensor.js';
import type { WriteOptions } from '../writer.js';
import type { FileValue } from './target.js';

/** The order of the axes of a picture that was flattened; the batch is not counted. */
export interface Flattening {
  /** In the file's order. */
  readonly sizes: readonly number[];
  /** Axis i in the file is axis `order[i]` in the map. */
  readonly order: readonly number[];
}

export type Placement =
  /** Axis i in the file is axis `order[i]` in the map. */
  | { readonly kind: 'axes'; readonly value: FileValue; readonly order: readonly number[] }
  /** [batch, features] in both, but the features are in the file's order. */
  | ({ readonly kind: 'flattened'; readonly value: FileValue } & Flattening)
  /** [batch, channels] in the file, [batch, channels, 1, ...] in the map. */
  | { readonly kind: 'squeezed'; readonly value: FileValue; readonly rank: number };

export function channelsLast(rank: number): number[] {
  return rank < 3 ? identity(rank) : toChannelsLast(rank);
}

/** A tensor's `axis`, whose elements are in the map's order, in the file's. */
export function toFileOrder(tensor: Tensor, axis: number, { sizes, order }: Flattening): Tensor {
  const inMap = order.map((_, mapAxis) => sizes[order.indexOf(mapAxis)]!);
  const before = identity(axis);
  const after = tensor.shape.slice(axis + 1).map((_, i) => axis + order.length + i);
  const split = reshape(tensor, [...tensor.shape.slice(0, axis), ...inMap, ...tensor.shape.slice(axis + 1)]);
  return reshape(permute(split, [...before, ...order.map((mapAxis) => axis + mapAxis), ...after]), tensor.shape);
}

const CHANNELS_LAST_OF: Readonly<Partial<Record<Layout, Layout>>> = { nchw: 'nhwc', ncw: 'nwc', ncdhw: 'ndhwc' };
const CHANNELS_FIRST_OF: Readonly<Partial<Record<Layout, Layout>>> = { nhwc: 'nchw', nwc: 'ncw', ndhwc: 'ncdhw' };

/** The layout of a port in the file: channels-last, as TensorFlow.js expects, unless the other one is asked for. */
export function filePortLayout(port: Port, { layout }: Pick<WriteOptions, 'layout'>): Layout {
  return (layout === 'nchw' ? CHANNELS_FIRST_OF : CHANNELS_LAST_OF)[port.layout] ?? port.layout;
}

/** The order of a port's axes in the file. */
export function portOrder(port: Port, options: Pick<WriteOptions, 'layout'>): number[] {
  return isChannelsLast(filePortLayout(port, options)) ? channelsLast(port.shape.length) : identity(port.shape.length);
}
