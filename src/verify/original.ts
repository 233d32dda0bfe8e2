/** The original of a net that was changed on the way, run behind the changed net's ports: fed what reaches its own inputs, read where the changed net ends. */
import { ModelError } from '../errors.js';
import { type EditedMap, rowsOfSource } from '../model/edited.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsLast } from '../model/ports.js';
import { permuteArray, toLayout } from './array.js';
import type { NdArray, Session } from './engine.js';
import { inBatches } from './feeds.js';
import { generateSample, RANGES } from './inputs.js';
import { byValue, channelsFirst, type LayerSource, mapShapes, originalNames, type SessionLayers, sessionLayers } from './layer-source.js';
import { runLayers } from './reference/session.js';
import { adaptPorts, type Feeds, type Side } from './side.js';

/** Inputs of the changed net as the source's own layers see them. */
export function feedsBehind({ prelude }: Pick<EditedMap, 'prelude'>, feeds: Feeds): Promise<Feeds> {
  return through(prelude?.forward, feeds);
}

/** Recorded inputs of the source as the changed net takes them. */
export function feedsBefore({ prelude }: Pick<EditedMap, 'prelude'>, feeds: Feeds): Promise<Feeds> {
  return through(prelude?.back, feeds);
}

async function through(map: LayerMap | undefined, feeds: Feeds): Promise<Feeds> {
  if (!map) return feeds;
  const values = await runLayers(map, feeds, () => {});
  return values.map(({ shape, data }) => ({ shape, data: Float32Array.from(data as ArrayLike<number>, Number) }));
}

/**
 * @param session the original file, opened with `layers`
 * @throws ModelError 'engine' where it does not show what the changed net ends in
 */
export function originalRunner(session: Session, edited: EditedMap): Side['run'] {
  const { map, original } = edited;
  const { outputOf } = adaptPorts(session, original, (port) => port.layout);
  const feed = originalFeed(session, original, edited);
  const names = originalNames(original, session);
  const shapes = mapShapes(original);
  const channelsLast = original.inputs.some(({ layout }) => isChannelsLast(layout));
  const makers = new Map(original.layers.map((layer) => [layer.outputs[0]!, layer] as const));
  const shown = map.outputs.map((port) => {
    const value = edited.shown.get(port.value) ?? port.value;
    const own = original.outputs.find((output) => output.value === value);
    const outer = own && outputOf(own);
    if (own && outer !== undefined) return { name: outer, show: (array: NdArray) => toLayout(array, own.layout, port.layout) };
    const maker = makers.get(value);
    const name = maker && names.get(maker);
    if (name === undefined) throw new ModelError('engine', `it does not show what "${port.name}" is`);
    const turn = (array: NdArray) => (isChannelsLast(port.layout) ? permuteArray(array, toChannelsLast(array.shape.length)) : array);
    return { name, show: (array: NdArray) => turn(channelsFirst(array, shapes.get(value), channelsLast)) };
  });
  const run = async (feeds: Feeds) => {
    const values = await session.run(await feed(feeds), [...new Set(shown.map(({ name }) => name))]);
    return shown.map(({ name, show }) => show(values.get(name)!));
  };
  return inBatches(run, rowsOfSource(edited.comparable, map));
}

/** Turns inputs of the changed net into those of a session on the original. Inputs that nothing depends on any more are fed zeros. */
export function originalFeed(session: Session, original: LayerMap, edited?: EditedMap): SessionLayers['feed'] {
  const { feed } = adaptPorts(session, original, (port) => port.layout);
  if (!edited) return async (feeds) => feed(feeds);
  const places = original.inputs.map(({ value }) => edited.comparable.inputs.findIndex((port) => port.value === value));
  return async (feeds) => {
    const inner = await feedsBehind(edited, feeds);
    const batch = inner[0]?.shape[0] ?? 1;
    const zeros = (port: Port) => {
      const shape = port.shape.map((size, axis) => (axis === 0 && typeof size === 'string' ? batch : size));
      return generateSample([{ ...port, shape }], 0, 0, { range: RANGES.zeros })[0]!;
    };
    return feed(original.inputs.map((port, i) => inner[places[i]!] ?? zeros(port)));
  };
}

/** What the layers of the map make in a session on the original, which was opened with `layers`. */
export function originalLayers(name: string, session: Session, map: LayerMap, edited?: EditedMap): LayerSource {
  const original = edited?.original ?? map;
  const feed = originalFeed(session, original, edited);
  const names = byValue(originalNames(original, session), map);
  const channelsLast = map.inputs.some(({ layout }) => isChannelsLast(layout));
  return sessionLayers({ name, shapes: mapShapes(map), session, feed, names, channelsLast });
}
