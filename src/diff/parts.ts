/** The weights of one file as they are compared: by layer and role where both files have a layer map, else as they are stored. */
import { withCanonicalNames } from '../architectures/index.js';
import { isModelError } from '../errors.js';
import type { Layer, LayerMap, ModelFile } from '../model/layer-map.js';
import { makersOf, valuesRead } from '../model/ops/index.js';
import { stateDict } from '../model/state-dict.js';
import type { Tensor } from '../model/tensor.js';
import { joinScales } from './joined-scales.js';

/** One use of a tensor; a tensor that two layers share is two parts. */
export interface Part {
  readonly tensor: Tensor;
  readonly layer: string | null;
  readonly role: string;
  /** Null where there is no layer map. */
  readonly op: string | null;
  /** 'conv1_1.kernel', where the architecture is recognised. */
  readonly canonical: string | null;
  /** As the file has it, without what training code puts before all names. */
  readonly storedName: string;
  /** What the layer and the role are called. */
  readonly title: string;
  /** Set for what was worked out from a convolution and the normalisation behind it. */
  readonly folded?: true;
}

/** A file with what is known of it. */
export interface Side {
  readonly model: ModelFile;
  readonly map: LayerMap | null;
  /** Why there is no map. */
  readonly withoutMap: string | null;
  /** Whether the wiring is the file's own and no family's. */
  readonly hasWiring: boolean;
}

/** @throws ModelError for a file whose wiring and weights disagree; wiring that is not there, or not understood, is none */
export async function readSide(model: ModelFile): Promise<Side> {
  try {
    const map = withCanonicalNames(await joinScales(await model.map()));
    return { model, map, withoutMap: null, hasWiring: (map.architecture?.assumed ?? []).length === 0 };
  } catch (error) {
    if (!isModelError(error, 'unsupported')) throw error;
    return { model, map: null, withoutMap: error.problem, hasWiring: false };
  }
}

/** How many batches a normalisation has seen in training; nothing depends on it. */
const COUNTER = /(^|[./])num_batches_tracked$/;

/** Weights of the layers that an output depends on, in running order. */
export function mapParts(map: LayerMap): Part[] {
  return partsOf(usedLayers(map), layerParts);
}

/** The parts of each layer; constants that a layer reads, as they are or turned, are parts of that one. */
export function partsOf(layers: readonly Layer[], own: (layer: Layer) => readonly Part[]): Part[] {
  const readers = new Map<string, Layer>();
  for (const layer of layers) for (const value of valuesRead(layer)) if (!readers.has(value)) readers.set(value, layer);
  const readerOf = (layer: Layer): Layer => {
    let reader = readers.get(layer.outputs[0] ?? '');
    while (reader && TURNS.has(reader.op)) reader = readers.get(reader.outputs[0] ?? '');
    return reader ?? layer;
  };
  return layers.flatMap((layer) => {
    if (layer.op !== 'Constant') return own(layer);
    const { name, canonicalName } = readerOf(layer);
    return own(layer).map((part) => ({ ...part, layer: name, title: canonicalName ?? name }));
  });
}

/** What stands between a weight and the product that it is for, in some graphs. */
const TURNS: ReadonlySet<string> = new Set(['Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Cast']);

export function layerParts({ name, canonicalName, op, weights }: Layer): Part[] {
  return Object.entries(weights).map(([role, tensor]) => ({
    tensor,
    layer: name,
    role,
    op,
    canonical: canonicalName === undefined ? null : `${canonicalName}.${role}`,
    storedName: tensor.origin.name ?? tensor.name,
    title: canonicalName ?? name,
  }));
}

/** Tensors as they are stored; the map of the same file, where there is one, says what their layers are called. */
export function storedParts({ model, map }: Side): Part[] {
  const titles = new Map<string, string>();
  for (const { canonicalName, name, weights } of map?.layers ?? [])
    for (const tensor of Object.values(weights)) titles.set(tensor.origin.name ?? tensor.name, canonicalName ?? name);
  const own = model.tensors.filter(({ beside, tensor }) => !beside && !COUNTER.test(tensor.name));
  const layers = new Map(own.map(({ tensor, layer }) => [tensor, layer]));
  const { tensors } = stateDict(own.map(({ tensor }) => tensor));
  // Equal names, which some formats allow, are no key.
  const named = tensors.size === own.length ? [...tensors] : own.map(({ tensor }) => [tensor.name, tensor] as const);
  return named.map(([storedName, tensor]) => {
    const cut = Math.max(storedName.lastIndexOf('.'), storedName.lastIndexOf('/'));
    const layer = layers.get(tensor) ?? (cut > 0 ? storedName.slice(0, cut) : null);
    return {
      tensor,
      layer,
      role: storedName.slice(cut + 1),
      op: null,
      canonical: null,
      storedName,
      title: titles.get(tensor.name) ?? (cut > 0 ? storedName.slice(0, cut) : storedName),
    };
  });
}

/** What the file stores and the net of its map does not use, under its stored names. */
export function leftOver({ model, map }: Side): Part[] {
  const used = new Set((map?.layers ?? []).flatMap(({ weights }) => Object.values(weights).flatMap(({ name, origin }) => [name, origin.name])));
  return storedParts({ model, map: null, withoutMap: null, hasWiring: false }).filter(
    ({ tensor, storedName }) => !used.has(tensor.name) && !used.has(storedName) && !used.has(tensor.origin.name),
  );
}

/** Layers that an output depends on: integers of weights that were turned back stand beside them, and nothing reads them. */
export function usedLayers(map: LayerMap): Layer[] {
  const makers = makersOf(map.layers);
  const used = new Set<Layer>();
  const open = map.outputs.map(({ value }) => makers.get(value));
  while (open.length > 0) {
    const layer = open.pop();
    if (!layer || used.has(layer)) continue;
    used.add(layer);
    for (const value of valuesRead(layer)) open.push(makers.get(value));
  }
  return map.layers.filter((layer) => used.has(layer));
}
