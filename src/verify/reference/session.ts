/**
 * The reference evaluator: runs a layer map in float64, layer by layer, reading each weight when its layer runs.
 *
 * It follows ONNX's operator definitions to the letter and shares no code with any runtime, so it tells a writer's mistake
 * from a runtime's. What it cannot see is a reader's mistake, which is in the map already.
 */
import { ModelError, throwAll } from '../../errors.js';
import type { Layer, LayerMap, Port } from '../../model/layer-map.js';
import { toValue, transposeValue, type Value } from '../../model/ops/array.js';
import { canEvaluate, evaluateLayer } from '../../model/ops/evaluate.js';
import { valuesRead } from '../../model/ops/index.js';
import type { Precision } from '../../model/ops/product-task.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast, uniqueNames } from '../../model/ports.js';
import type { NdArray, Session, SessionPort } from '../engine.js';
import { threadedMultiplier } from './threads.js';

export interface ReferenceOptions {
  /** Called after each layer. */
  readonly onProgress?: (layersDone: number, layersTotal: number) => void;
  /** Also show what each layer makes, by the layer's name and channels-first (`Session.intermediates`). */
  readonly layers?: boolean;
  /** float64 where left out; see `Precision`. */
  readonly precision?: Precision;
}

/** Sees a value right after its layer has made it, channels-first; the value may be freed afterwards. */
export type LayerVisitor = (layer: Layer, value: NdArray) => void | Promise<void>;

/** Another arithmetic than float64's: changes values on their way through the net. The values given are not to be written to. */
export interface Arithmetic {
  /** What a layer reads instead. */
  read?(layer: Layer, inputs: readonly (Value | undefined)[]): readonly (Value | undefined)[];
  /** What a layer makes instead, or (null) what is fed. */
  made?(layer: Layer | null, value: Value): Value;
  /** What the products of large layers are computed in; float64 where left out. */
  readonly precision?: Precision;
}

/**
 * A session over a layer map. Ports have the map's names, shapes and layouts.
 *
 * @throws ModelError 'engine' naming every operator that the evaluator lacks
 */
export async function referenceSession(map: LayerMap, options: ReferenceOptions = {}): Promise<Session> {
  const missing = map.layers.filter((layer) => !canEvaluate(layer));
  if (missing.length > 0) {
    const errors = missing.map(({ op, name }) => new ModelError('engine', `the reference evaluator has no operator ${op}`, { layer: name }));
    throwAll(errors, 'The reference evaluator cannot run this model:');
  }
  let done = 0;
  const [inputs, outputs] = [sessionPorts(map.inputs), sessionPorts(map.outputs)];
  return {
    inputs,
    outputs,
    intermediates: options.layers ? map.layers.map(({ name }) => name) : undefined,
    async run(feeds, wanted) {
      done = 0;
      const asked = new Set(wanted);
      const seen = new Map<string, NdArray>();
      const fed = inputs.map(({ name }) => feeds.get(name) ?? nothingFed(name));
      const see = (layer: Layer, value: NdArray) => {
        options.onProgress?.(++done, map.layers.length);
        if (asked.has(layer.name)) seen.set(layer.name, value);
      };
      const made = await runLayers(map, fed, see, { precision: options.precision });
      const shown = new Map(outputs.map(({ name }, i) => [name, made[i]!]));
      return wanted === undefined ? shown : new Map(wanted.map((name) => [name, shown.get(name) ?? seen.get(name) ?? noValue(name)]));
    },
    async close() {},
  };
}

function noValue(name: string): never {
  throw new ModelError('engine', `the reference evaluator has no value named "${name}"`);
}

function nothingFed(name: string): never {
  throw new ModelError('engine', `nothing was fed to the input "${name}"`);
}

/**
 * Runs the map and shows every layer's output.
 *
 * @param feeds one for each input port, in the port's own layout
 * @returns one for each output port, in the port's own layout, float64
 * @throws ModelError 'engine' naming the layer
 */
export async function runLayers(map: LayerMap, feeds: readonly NdArray[], visit: LayerVisitor, arithmetic?: Arithmetic): Promise<NdArray[]> {
  const walk = walkLayers(map, feeds, arithmetic);
  try {
    for (;;) {
      const step = await walk.next();
      if (step.done) return step.value;
      await visit(step.value.layer, step.value.value);
    }
  } finally {
    // Where the visitor throws, what the walk holds is given back.
    await walk.return([]);
  }
}

/** A layer that has just run, and what it made first, channels-first. */
export interface LayerStep {
  readonly layer: Layer;
  readonly value: Value;
}

/** As `runLayers`, one layer for each step, so that several runs can be walked side by side. */
export async function* walkLayers(
  map: LayerMap,
  feeds: readonly NdArray[],
  { read, made: changed, precision = 'float64' }: Arithmetic = {},
): AsyncGenerator<LayerStep, NdArray[], undefined> {
  const multiplier = threadedMultiplier(precision);
  try {
    const change = (layer: Layer | null, value: Value) => (changed ? changed(layer, value) : value);
    const values = new Map(map.inputs.map((port, i) => [port.value, change(null, feedValue(port, feeds[i] ?? nothingFed(port.name)))]));
    const lastUse = lastUses(map);
    for (const [index, layer] of map.layers.entries()) {
      const inputs = layer.inputs.map((name) => {
        const value = values.get(name);
        if (!value && name !== '') throw new ModelError('engine', `reads "${name}", which no earlier layer makes`, { layer: layer.name });
        return value;
      });
      const made = (await evaluateLayer(layer, read ? read(layer, inputs) : inputs, multiplier)).map((value) => change(layer, value));
      for (const [i, name] of layer.outputs.entries()) if (made[i]) values.set(name, made[i]);
      yield { layer, value: made[0]! };
      for (const name of [...layer.inputs, ...layer.outputs]) {
        if ((lastUse.get(name) ?? -1) <= index) values.delete(name);
      }
    }
    return map.outputs.map((port) => portValue(port, values));
  } finally {
    multiplier.close();
  }
}

/** Index of the last layer that reads each value; past the end for outputs. A value that nothing reads is not in it. */
function lastUses(map: LayerMap): Map<string, number> {
  const uses = new Map<string, number>();
  for (const [index, layer] of map.layers.entries()) for (const name of valuesRead(layer)) uses.set(name, index);
  for (const port of map.outputs) uses.set(port.value, map.layers.length);
  return uses;
}

function feedValue(port: Port, feed: NdArray): Value {
  const fits = feed.shape.length === port.shape.length && feed.shape.every((size, axis) => typeof port.shape[axis] === 'string' || port.shape[axis] === size);
  if (!fits) throw new ModelError('engine', `the input "${port.name}" has the shape [${port.shape}], but [${feed.shape}] was fed`);
  const value = toValue(feed);
  const turned = isChannelsLast(port.layout) ? transposeValue(value, toChannelsFirst(value.shape.length)) : value;
  return { ...turned, dtype: port.valueDType ?? 'float32' };
}

function portValue(port: Port, values: ReadonlyMap<string, Value>): Value {
  const value = values.get(port.value);
  if (!value) throw new ModelError('engine', `no layer makes the output "${port.name}"`);
  return isChannelsLast(port.layout) ? transposeValue(value, toChannelsLast(value.shape.length)) : value;
}

function sessionPorts(ports: readonly Port[]): SessionPort[] {
  const names = uniqueNames(ports.map(({ name }) => name));
  return ports.map(({ dtype, shape, layout }, i) => ({ name: names[i]!, dtype, shape: shape.map((size) => (typeof size === 'number' ? size : null)), layout }));
}
