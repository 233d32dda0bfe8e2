/** The layout of a port in a file that does not say it. */
import type { Dim, Layout, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';

const TURNED: Readonly<Partial<Record<Layout, Layout>>> = { nchw: 'nhwc', nhwc: 'nchw', ncw: 'nwc', nwc: 'ncw', ncdhw: 'ndhwc', ndhwc: 'ncdhw' };

/**
 * Files of other tools do not say which layout their ports have; a shape often does.
 *
 * @param shape of the port in the file; null where that is not known either
 * @param habit the layout where the shape leaves it open; the port's own where left out
 */
export function layoutByShape(port: Port, shape: readonly (Dim | null)[] | null, habit: Layout = port.layout): Layout {
  const other = TURNED[port.layout];
  if (other === undefined || shape === null || shape.length !== port.shape.length) return habit;
  const fits = (sizes: readonly Dim[]) => sizes.every((size, axis) => typeof size !== 'number' || typeof shape[axis] !== 'number' || size === shape[axis]);
  const order = isChannelsLast(port.layout) ? toChannelsFirst(shape.length) : toChannelsLast(shape.length);
  const [asItIs, turned] = [fits(port.shape), fits(order.map((axis) => port.shape[axis]!))];
  if (asItIs === turned) return habit;
  return asItIs ? port.layout : other;
}
