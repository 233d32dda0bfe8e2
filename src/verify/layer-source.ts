/** Where the values inside a net come from: a runtime that shows them, recorded arrays, or our evaluator. */
import { isClosedGroup, layerGroup } from '../model/groups.js';
import type { Dim, Layer, LayerMap, Port } from '../model/layer-map.js';
import { inferShapes } from '../model/ops/index.js';
import { isChannelsLast, portValueShape, toChannelsFirst } from '../model/ports.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { permuteArray, rows, toArray } from './array.js';
import type { NdArray, Session, ShelvedArray } from './engine.js';
import { FREE_SIZE } from './inputs.js';
import { runLayers } from './reference/session.js';
import type { Feeds } from './side.js';
import type { WrittenModel } from './written/written.js';

/** Values inside a net, channels-first. */
export interface LayerSource {
  /** 'recorded', the name of an engine, or 'reference'. */
  readonly name: string;
  /** The layers that it shows. */
  readonly layers: ReadonlySet<Layer>;
  /**
   * Shows what each of the layers makes, in running order and a few at a time, so that memory stays bounded.
   *
   * @param layers some of those it has, in running order
   */
  visit(feeds: Feeds, sample: number, layers: readonly Layer[], see: (layer: Layer, value: NdArray) => Promise<void>): Promise<void>;
  /** Leaves what all layers make in a folder, and gives what reads it; left out where values are in this process anyway. */
  visitAside?(feeds: Feeds, folder: string): Promise<Map<Layer, () => Promise<NdArray>>>;
}

/** Bytes of float32 that one run may bring out. */
const BATCH_BYTES = 2 ** 25;
/** What a value of unknown shape is taken for. */
const UNKNOWN_BYTES = 2 ** 22;

/** Operators that compute nothing and depend on the order of axes, which differs inside a channels-last net. */
export const ARRANGING: ReadonlySet<string> = new Set(['Flatten', 'Reshape', 'Transpose']);

export interface SessionLayers {
  readonly name: string;
  /** Shapes of the layers' values, channels-first; empty where nothing tells them. */
  readonly shapes: ReadonlyMap<string, readonly Dim[]>;
  readonly session: Session;
  /** Turns arrays of the map's ports into those of the session. */
  readonly feed: (feeds: Feeds) => Promise<Map<string, NdArray>>;
  /** The session's names of the layers' values. */
  readonly names: ReadonlyMap<Layer, string>;
  /** Whether values have their channels last, where their shape leaves it open. */
  readonly channelsLast: boolean;
  /** The order in which the session has the axes of a layer's value, where the file says it. */
  readonly orderOf?: WrittenModel['orderOf'];
}

/** A runtime that was opened with `layers`. */
export function sessionLayers({ name, shapes, session, feed, names, channelsLast, orderOf }: SessionLayers): LayerSource {
  const layers = new Set([...names.keys()].filter((layer) => !channelsLast || !ARRANGING.has(layer.op) || orderOf?.(layer)));
  const turned = (layer: Layer, value: NdArray) => {
    const order = orderOf?.(layer);
    return order?.length === value.shape.length
      ? permuteArray(
          value,
          order.map((_, axis) => order.indexOf(axis)),
        )
      : channelsFirst(value, shapes.get(layer.outputs[0]!), channelsLast);
  };
  const visitAside: LayerSource['visitAside'] = async (feeds, folder) => {
    const fed = await feed(feeds);
    const found = new Map<Layer, () => Promise<NdArray>>();
    for (const batch of batches([...layers], shapes)) {
      const values = await session.runAside!(fed, [...new Set(batch.map((layer) => names.get(layer)!))], folder);
      for (const layer of batch) found.set(layer, async () => turned(layer, await readShelved(values.get(names.get(layer)!)!)));
    }
    return found;
  };
  return {
    name,
    layers,
    async visit(feeds, _sample, wanted, see) {
      const fed = await feed(feeds);
      for (const batch of batches(wanted, shapes)) {
        const values = await session.run(fed, [...new Set(batch.map((layer) => names.get(layer)!))]);
        for (const layer of batch) await see(layer, turned(layer, values.get(names.get(layer)!)!));
      }
    },
    ...(session.runAside ? { visitAside } : {}),
  };
}

/**
 * The names under which a session shows what layers make.
 *
 * An output's name may also be that of another layer inside (Keras names an output after the layer whose activation follows), so
 * outputs stand for the layers that make them, and for no other.
 *
 * @param nameOf its name of what a layer makes, where it shows it
 * @param outputOf its name of an output of the map
 * @param standsFor whether an output shows what its layer makes although the file does not keep that layer apart
 */
export function writtenNames(
  map: LayerMap,
  nameOf: WrittenModel['valueOf'],
  session: Session,
  outputOf: (port: Port) => string | undefined,
  standsFor: (port: Port) => boolean = () => false,
): Map<Layer, string> {
  const inner = new Set(session.intermediates);
  const names = new Map<Layer, string>();
  for (const layer of map.layers) {
    const name = nameOf(layer);
    const port = map.outputs.find(({ value }) => layer.outputs[0] === value);
    if (name !== undefined && inner.has(name)) names.set(layer, name);
    else if (port && (name !== undefined || standsFor(port))) {
      const shown = outputOf(port);
      if (shown !== undefined) names.set(layer, shown);
    }
  }
  return names;
}

/**
 * Lines a runtime's names on the original file up with layers. A layer of the source that became several of the map ('fc6' and
 * 'fc6/Relu') shows what the last of them makes.
 */
export function sourceNames(map: LayerMap, shown: readonly string[]): Map<Layer, string> {
  const names = new Map<Layer, string>();
  for (const name of shown) {
    const group = layerGroup(map, name);
    if (isClosedGroup(group, map)) names.set(group.at(-1)!, name);
  }
  return names;
}

/** The same for a session on the original file, as it names values. A graph's values keep their names in the map. */
export function originalNames(map: LayerMap, { intermediates = [], outputs }: Pick<Session, 'intermediates' | 'outputs'>): Map<Layer, string> {
  const shown = [...intermediates, ...outputs.map(({ name }) => name)];
  if (map.format !== 'onnx') return sourceNames(map, shown);
  const known = new Set(shown);
  return new Map(map.layers.map((layer) => [layer, layer.outputs[0] ?? ''] as const).filter(([, value]) => known.has(value)));
}

/**
 * What is known of layers of the original, by the layers of the net that it was changed into: values stay what they are, and a layer
 * that took others in makes what the last of them made.
 */
export function byValue<T>(known: ReadonlyMap<Layer, T>, map: LayerMap): Map<Layer, T> {
  const values = new Map([...known].map(([layer, one]) => [layer.outputs[0], one] as const));
  return new Map(map.layers.flatMap((layer) => (values.has(layer.outputs[0]) ? [[layer, values.get(layer.outputs[0])!] as const] : [])));
}

/** Arrays 'layer:<name>' of a golden file, by the source's names or canonical ones. @param original that of the recording */
export function recordedLayers(map: LayerMap, golden: ReadonlyMap<string, Tensor>, original = map): LayerSource | null {
  const shapes = mapShapes(map);
  const channelsLast = map.inputs.some(({ layout }) => isChannelsLast(layout));
  const recorded = new Map([...golden].filter(([name]) => name.startsWith('layer:')).map(([name, tensor]) => [name.slice('layer:'.length), tensor]));
  const named = new Map([...sourceNames(original, [...recorded.keys()])].map(([layer, name]) => [layer, recorded.get(name)!]));
  for (const layer of original.layers) {
    const tensor = recorded.get(layer.canonicalName ?? '');
    if (tensor && !named.has(layer)) named.set(layer, tensor);
  }
  const found = byValue(named, map);
  if (found.size === 0) return null;
  return {
    name: 'recorded',
    layers: new Set([...found.keys()].filter(({ op }) => !channelsLast || !ARRANGING.has(op))),
    async visit(feeds, sample, layers, see) {
      const batch = feeds[0]?.shape[0] ?? 1;
      for (const layer of layers) {
        const all = await toArray(found.get(layer)!);
        if ((sample + 1) * batch > all.shape[0]!) continue;
        await see(layer, channelsFirst(rows(all, sample * batch, (sample + 1) * batch), shapes.get(layer.outputs[0]!), channelsLast));
      }
    },
  };
}

/** Our evaluator: every layer, in float64, each seen as it is made. */
export function referenceLayers(map: LayerMap, onProgress?: (done: number, total: number) => void): LayerSource {
  return {
    name: 'reference',
    layers: new Set(map.layers),
    async visit(feeds, _sample, layers, see) {
      const wanted = new Set(layers);
      let done = 0;
      await runLayers(map, feeds, async (layer, value) => {
        onProgress?.(++done, map.layers.length);
        if (wanted.has(layer)) await see(layer, value);
      });
    },
  };
}

async function readShelved({ shape, path }: ShelvedArray): Promise<NdArray> {
  const bytes = await process.getBuiltinModule('node:fs/promises').readFile(path);
  return { shape, data: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) };
}

function* batches(layers: readonly Layer[], shapes: ReadonlyMap<string, readonly Dim[]>): Generator<Layer[]> {
  let batch: Layer[] = [];
  let bytes = 0;
  for (const layer of layers) {
    const shape = shapes.get(layer.outputs[0]!);
    const size = shape ? 4 * elementCount(shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : FREE_SIZE))) : UNKNOWN_BYTES;
    if (batch.length > 0 && bytes + size > BATCH_BYTES) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(layer);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Turns a value that has its channels last; its shape tells where it can. */
export function channelsFirst(value: NdArray, shape: readonly Dim[] | undefined, channelsLast: boolean): NdArray {
  if (value.shape.length < 3 || !shape || shape.length !== value.shape.length) return value;
  const fits = (sizes: readonly number[]) => sizes.every((size, axis) => typeof shape[axis] === 'string' || shape[axis] === size);
  const order = toChannelsFirst(value.shape.length);
  const turned = fits(order.map((axis) => value.shape[axis]!));
  return turned && (channelsLast || !fits(value.shape)) ? permuteArray(value, order) : value;
}

export function mapShapes(map: LayerMap): Map<string, readonly Dim[]> {
  return inferShapes(map.layers, new Map(map.inputs.map((port) => [port.value, portValueShape(port)])));
}
