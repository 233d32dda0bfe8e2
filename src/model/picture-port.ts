/** The input of a net that takes pictures, and what the net itself does to them. */
import { ModelError } from '../errors.js';
import type { Dim, Layer, LayerMap, Port } from './layer-map.js';
import { portValueShape } from './ports.js';

/** The input that pictures flow into. @throws ModelError 'usage' where there is none, or more than one, or its channels are not known */
export function picturePort(map: LayerMap): Port {
  const pictures = map.inputs.filter((port) => {
    const shape = portValueShape(port);
    return shape.length === 4 && (port.layout !== 'other' || shape[1] === 3 || shape[1] === 1);
  });
  const [port, ...others] = pictures;
  const list = map.inputs.map(({ name, shape }) => `"${name}" [${shape}]`).join(', ');
  if (!port || others.length > 0)
    throw new ModelError('usage', `${port ? 'several inputs take' : 'no input takes'} pictures, so none can be prepared: ${list}.`);
  if (typeof portValueShape(port)[1] !== 'number')
    throw new ModelError('usage', `how many channels "${port.name}" has is not known, so they cannot be prepared.`);
  return port;
}

/** The port of a graph that does not name its axes, as pictures lie in it where its sizes show that colours come last: [batch, height, width, 1 or 3]. */
export function withColoursLast(port: Port): Port {
  const isColours = (size: Dim | undefined) => size === 1 || size === 3;
  const [, first, , last] = port.shape;
  return port.layout === 'other' && port.shape.length === 4 && isColours(last) && !isColours(first) ? { ...port, layout: 'nhwc' } : port;
}

/** Layers that do so already: all that reads the picture treats each value, or each channel, with constants (Keras's Rescaling and Normalization). */
export function ownPreparation(map: LayerMap, port: Port): readonly Layer[] {
  const readers = map.layers.filter(({ inputs }) => inputs.includes(port.value));
  const isOne = ({ op, inputs, weights }: Layer) =>
    inputs.length === 1 && (op === 'BatchNormalization' || (['Mul', 'Div', 'Add', 'Sub'].includes(op) && weights.operand !== undefined));
  return readers.length > 0 && readers.every(isOne) ? readers : [];
}
