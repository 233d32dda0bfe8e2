/**
 * Inputs that show mistakes: several, seeded, different in every channel, with impulses in asymmetric places.
 *
 * A constant picture hides swapped channels, flips and padding; noise alone averages much of it out.
 */
import type { Dim, LayerMap, Port } from '../model/layer-map.js';
import { isChannelsLast } from '../model/ports.js';
import { elementCount } from '../model/tensor.js';
import type { NdArray } from './engine.js';

/** Size that a free dimension other than the batch is given. */
export const FREE_SIZE = 32;

/**
 * One sample (batch of one, or of the fixed batch) for each input port, in the port's layout.
 *
 * @param layers that read the ports; they tell where an input counts the rows of a table
 */
export function generateSample(ports: readonly Port[], sample: number, seed: number, layers: LayerMap['layers'] = []): NdArray[] {
  const rows = tableRows(layers);
  return ports.map((port, i) => generateInput(port, mix(seed * 7919 + sample * 104729 + i * 1299709), rows.get(port.value)));
}

/** Operators that move elements and leave their values alone. */
const MOVES: ReadonlySet<string> = new Set(['Transpose', 'Reshape', 'Flatten', 'Identity', 'Slice', 'Squeeze', 'Unsqueeze']);

/** For values that count the rows of an embedding's table, how many rows there are; their port may well be of a float dtype. */
function tableRows(layers: LayerMap['layers']): Map<string, number> {
  const rows = new Map<string, number>();
  for (const layer of layers.toReversed()) {
    const count = layer.op === 'Gather' ? layer.weights.table?.shape[0] : MOVES.has(layer.op) ? rows.get(layer.outputs[0]!) : undefined;
    const [value] = layer.inputs;
    if (count !== undefined && value !== undefined) rows.set(value, Math.min(count, rows.get(value) ?? count));
  }
  return rows;
}

/** @param rows of the table that the values are indices of; undefined where they are numbers */
function generateInput(port: Port, seed: number, rows: number | undefined): NdArray {
  const shape = port.shape.map((size: Dim, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : FREE_SIZE));
  const random = generator(seed);
  const count = elementCount(shape);
  const data = new Float32Array(count);
  if (rows !== undefined) {
    for (let i = 0; i < count; i++) data[i] = Math.floor(random() * rows);
    return { shape, data };
  }
  if (port.dtype !== 'float32' && port.dtype !== 'float16' && port.dtype !== 'float64') {
    for (let i = 0; i < count; i++) data[i] = Math.floor(random() * 2);
    return { shape, data };
  }
  const channelAxis = shape.length < 3 ? shape.length - 1 : isChannelsLast(port.layout) ? shape.length - 1 : 1;
  const channels = shape[channelAxis] ?? 1;
  // Each channel has a level, a slope and a loudness of its own, so that no two can be exchanged unseen.
  const levels = Array.from({ length: channels }, (_, c) => 0.6 * Math.sin(1.7 * c + 0.3) + 0.3 * (random() - 0.5));
  const loudness = Array.from({ length: channels }, (_, c) => 0.5 + ((c * 0.37) % 1) + 0.2 * random());
  const position = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    const c = position[channelAxis] ?? 0;
    let slope = 0;
    for (let axis = 1; axis < shape.length; axis++) if (axis !== channelAxis) slope += (axis % 2 ? 0.7 : -0.4) * (position[axis]! / shape[axis]! - 0.5);
    data[i] = levels[c]! + slope * loudness[c]! + loudness[c]! * (random() + random() + random() - 1.5);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++position[axis]! < shape[axis]!) break;
      position[axis] = 0;
    }
  }
  for (let impulse = 0; impulse < Math.min(8, Math.ceil(count / 16)); impulse++) data[Math.floor(random() * random() * count)]! += impulse % 2 ? -3 : 4;
  return { shape, data };
}

/** Uniform numbers in [0, 1): a counter through MurmurHash3's finaliser. */
function generator(seed: number): () => number {
  let counter = seed | 0;
  return () => {
    counter = (counter + 0x9e3779b9) | 0;
    return (mix(counter) >>> 0) / 2 ** 32;
  };
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
