/** What a witness makes in its layers, put aside before the written file is opened: in the system's temporary folder, as memory is what it is to save. */
import { temporaryFolder } from '../bytes/temporary.js';
import type { Layer } from '../model/layer-map.js';
import type { NdArray } from './engine.js';
import type { LayerSource } from './layer-source.js';
import type { Feeds } from './side.js';

export interface HeldLayers {
  /** The inputs that it was asked for. */
  readonly feeds: readonly Feeds[];
  readonly source: LayerSource;
  close(): void;
}

/** Asks a source for all of its layers, so that it may be closed. What is in this process anyway stays in its memory. */
export async function holdLayers(source: LayerSource, feeds: readonly Feeds[]): Promise<HeldLayers> {
  const folder = source.visitAside ? temporaryFolder('layers') : null;
  const held: ReadonlyMap<Layer, () => Promise<NdArray>>[] = [];
  try {
    for (const [sample, feed] of feeds.entries()) held.push(folder ? await source.visitAside!(feed, folder.path) : await inMemory(source, feed, sample));
  } catch (error) {
    folder?.remove();
    throw error;
  }
  const { name, layers } = source;
  const visit: LayerSource['visit'] = async (_feeds, sample, wanted, see) => {
    for (const layer of wanted) await see(layer, await held[sample]!.get(layer)!());
  };
  return { feeds, source: { name, layers, visit }, close: () => folder?.remove() };
}

async function inMemory(source: LayerSource, feeds: Feeds, sample: number): Promise<Map<Layer, () => Promise<NdArray>>> {
  const values = new Map<Layer, () => Promise<NdArray>>();
  await source.visit(feeds, sample, [...source.layers], async (layer, value) => void values.set(layer, async () => value));
  return values;
}
