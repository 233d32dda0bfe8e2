/** What a TensorFlow.js file says of how it relates to the layer map that it was made from (`userDefinedMetadata`). */
import { ModelError } from '../../errors.js';
import { CLAIMS_KEY, type Claim, claimsIn } from '../../model/claims.js';
import type { Layer, Layout, Port } from '../../model/layer-map.js';
import { isObject, type Json, type ModelJson } from '../../readers/tfjs/model-json.js';
import type { SessionPort } from '../engine.js';
import { layoutByShape } from '../layout.js';

/** The order of the features that a layer's weights belong to: those of a picture, in the file's order of its axes. */
export interface FeatureOrder {
  readonly sizes: readonly number[];
  /** Axis i in the file is axis `order[i]` in the map, the batch not counted. */
  readonly order: readonly number[];
}

export interface LayerFacts {
  /** Name in the file. */
  readonly node: string;
  /** Whether a runtime shows what the layer makes with its channels last, in [batch, features] order, or in that of `order`. */
  readonly shown: boolean;
  /** The order of the axes of what the layer makes, where its channels are not last. */
  readonly order: readonly number[] | null;
  readonly features: FeatureOrder | null;
}

export interface TfjsNotes {
  readonly isOurs: boolean;
  readonly claims: readonly Claim[];
  /** The file's names of layers, by the map's. */
  owners(layers: readonly Layer[]): ReadonlySet<string>;
  layer(name: string): LayerFacts;
  layoutOf(port: Port, shown: SessionPort): Layout;
}

const CHANNELS_LAST: Readonly<Partial<Record<Layout, Layout>>> = { nchw: 'nhwc', ncw: 'nwc', ncdhw: 'ndhwc' };

/** @throws ModelError 'malformed' where what the file says of its layers makes no sense */
export function readNotes({ top, file }: ModelJson): TfjsNotes {
  const metadata = isObject(top.userDefinedMetadata) ? top.userDefinedMetadata : {};
  const layers = isObject(metadata['weighbridge.layers']) ? metadata['weighbridge.layers'] : {};
  const layer = (name: string): LayerFacts => {
    const note = Object.hasOwn(layers, name) && isObject(layers[name]) ? layers[name] : {};
    const order = note.order === undefined ? null : permutation(note.order, name, file);
    const features = isObject(note.features) ? featureOrder(note.features, name, file) : null;
    return { node: typeof note.node === 'string' ? note.node : name, shown: note.shown !== false, order, features };
  };
  return {
    isOurs: metadata['weighbridge.version'] !== undefined,
    claims: claimsIn(metadata[CLAIMS_KEY]),
    layer,
    owners: (layers) => new Set(layers.map(({ name }) => layer(name).node)),
    // Files of other tools do not say; TensorFlow.js has channels last, unless sizes speak against it.
    layoutOf: (port, { shape }) =>
      (metadata[`weighbridge.layout.${port.name}`] as Layout | undefined) ?? layoutByShape(port, shape, CHANNELS_LAST[port.layout] ?? port.layout),
  };
}

function featureOrder({ sizes, order }: Json, layer: string, file: string): FeatureOrder {
  const axes = permutation(order, layer, file);
  if (Array.isArray(sizes) && sizes.length === axes.length && sizes.every((size) => Number.isSafeInteger(size) && size > 0)) return { sizes, order: axes };
  throw new ModelError('malformed', `the metadata says that its features have the sizes ${JSON.stringify(sizes)?.slice(0, 80)}`, { file, layer });
}

function permutation(value: unknown, layer: string, file: string): readonly number[] {
  if (Array.isArray(value) && value.every((_, axis) => value.includes(axis))) return value;
  throw new ModelError('malformed', `the metadata says that its axes have the order ${JSON.stringify(value)?.slice(0, 80)}`, { file, layer });
}
