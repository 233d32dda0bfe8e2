/** The layout of a port in a file that does not say it. */
import type { Dim, Layout, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';

/**
 * Files of other tools do not say which layout their ports have; a shape often does.
 *
 * @param shape of the port in the file; null where that is not known either
 */
export function layoutByShape(port: Port, shape: readonly Dim[] | null): Layout {
  const turned: Partial<Record<Layout, Layout>> = { nchw: 'nhwc', nhwc: 'nchw', ncw: 'nwc', nwc: 'ncw', ncdhw: 'ndhwc', ndhwc: 'ncdhw' };
  const other = turned[port.layout];
  if (other === undefined || shape === null || shape.length !== port.shape.length) return port.layout;
  const fits = (sizes: readonly Dim[]) => sizes.every((size, axis) => typeof size === 'string' || typeof shape[axis] === 'string' || size === shape[axis]);
  const order = isChannelsLast(port.layout) ? toChannelsFirst(shape.length) : toChannelsLast(shape.length);
  return !fits(port.shape) && fits(order.map((axis) => port.shape[axis]!)) ? other : port.layout;
}
