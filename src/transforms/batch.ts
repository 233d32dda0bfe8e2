/**
 * Gives a net another batch: a free one, or so many rows at a time.
 *
 * A free batch is fixed by putting the number in its place. One that the source has fixed (as exporters do that trace a single picture) is
 * only changed where it can be shown that the net treats each row as if it were alone: rows are followed from the inputs through every
 * layer, and a layer that would mix them, or that has a number of its own for each, is an obstacle by name. Shapes that hold the old
 * batch (of Reshape, Expand, Resize) follow.
 */
import { ModelError, throwAll } from '../errors.js';
import type { Change } from '../model/edited.js';
import type { Dim, LayerMap, Port } from '../model/layer-map.js';
import { inferMap, type ValueType } from '../model/ops/index.js';
import { isChannelsLast, portValueShape, toChannelsLast } from '../model/ports.js';
import { followRows, type Rows } from './rows.js';

export type Batch = 'dynamic' | number;

/** What a free batch is called, where the source has no name for it. */
const FREE = 'N';

/**
 * @throws ModelError 'usage' where no input has rows, 'unsupported' naming every layer whose rows cannot be shown to be apart
 */
export function setBatch(map: LayerMap, batch: Batch): { readonly map: LayerMap; readonly change: Change } {
  const [first] = map.inputs;
  const own = first && portValueShape(first)[0];
  if (own === undefined) throw new ModelError('usage', '--batch means nothing for this net: its input has no axes.');
  const wanted: Dim = batch === 'dynamic' ? (typeof own === 'string' ? own : FREE) : batch;
  const told = (message: string, layers: readonly string[] = []): Change => ({ transform: 'batch', message, layers });
  const isAlready = map.inputs.every(({ shape }) => (batch === 'dynamic' ? typeof shape[0] !== 'number' : shape[0] === batch));
  if (isAlready) return { map, change: told(`the batch is ${spelt(batch)} already`) };
  const changed = typeof own === 'string' ? fixed(map, wanted) : freed(map, own, wanted);
  const message = `the net takes a batch of ${spelt(batch)}, ${typeof own === 'string' ? 'not of any size' : `not of ${own}`}`;
  return { map: changed.map, change: told(message, changed.layers) };
}

const spelt = (batch: Batch): string => (batch === 'dynamic' ? 'any size' : String(batch));

/** Free batches get a number. */
function fixed(map: LayerMap, wanted: Dim): { map: LayerMap; layers: string[] } {
  const names = new Set(map.inputs.flatMap(({ shape: [batch] }) => (typeof batch === 'string' ? [batch] : [])));
  const inputs = map.inputs.map((port) => ({ ...port, shape: port.shape.map((size, axis) => (axis === 0 && typeof size === 'string' ? wanted : size)) }));
  const made = { ...map, inputs, layers: [...map.layers] };
  const types = inferMap(made);
  const outputs = map.outputs.map((port) => {
    const shown = portOf(port, types);
    return { ...shown, shape: shown.shape.map((size) => (typeof size === 'string' && names.has(size) ? wanted : size)) };
  });
  return { map: { ...made, outputs }, layers: [] };
}

/** Rows that the source counts become as many as wanted. */
function freed(map: LayerMap, own: number, wanted: Dim): { map: LayerMap; layers: string[] } {
  const inputs = map.inputs.map((port) => (port.shape[0] === own ? { ...port, shape: port.shape.with(0, wanted) } : port));
  const starts = new Map<string, Rows>(inputs.flatMap((port, i) => (port === map.inputs[i] ? [] : [[port.value, { axis: 0, each: 1 }] as const])));
  const { layers, obstacles } = followRows({ ...map, inputs }, inferMap(map), starts, { own, wanted });
  if (obstacles.length > 0) {
    const errors = obstacles.map(({ layer, problem }) => new ModelError('unsupported', `${layer.op} ${problem}`, { layer: layer.name }));
    throwAll(errors, `The batch of ${own} cannot be changed, because the rows of a batch are not shown to be apart:`);
  }
  const made = { ...map, inputs, layers };
  const types = inferMap(made);
  const unchanged = new Set(map.layers);
  const touched = layers.filter((layer) => !unchanged.has(layer)).map(({ name }) => name);
  return { map: { ...made, outputs: map.outputs.map((port) => portOf(port, types)) }, layers: touched };
}

/** The port with the shape that its value has now. */
function portOf(port: Port, types: ReadonlyMap<string, ValueType>): Port {
  const shape = types.get(port.value)?.shape;
  if (!shape || shape.length !== port.shape.length) return port;
  return { ...port, shape: isChannelsLast(port.layout) ? toChannelsLast(shape.length).map((axis) => shape[axis]!) : shape };
}
