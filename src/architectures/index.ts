/** What others may ask of architectures. */
import { ModelError } from '../errors.js';
import { elementCount } from '../model/tensor.js';
import { type ArchitectureDocument, architectureLayers } from './document.js';
import { IMAGENET_LABELS } from './family.js';
import { families } from './list.js';
import { Net } from './net.js';
import { buildNet, familyNamed, unknownArchitecture } from './recognise.js';
import { blankStore } from './store.js';

export { withCanonicalNames } from './canonical.js';
export type { ArchitectureDocument } from './document.js';

export interface FamilySummary {
  readonly name: string;
  readonly title: string;
  readonly source: string;
  readonly nets: readonly string[];
}

export function listArchitectures(): FamilySummary[] {
  return families.map(({ name, title, source, sizes }) => ({ name, title, source, nets: Object.keys(sizes) }));
}

/**
 * A published net as a document: its layer map without weights, with the names that torchvision gives them, or else those of Keras.
 *
 * @throws ModelError 'usage' for a name that is not known
 */
export function describeArchitecture(name: string): ArchitectureDocument {
  const found = familyNamed(name);
  if (!found) throw new ModelError('usage', unknownArchitecture(name));
  const { family, size } = found;
  // As torchvision has it, or whoever published it.
  const ecosystems = family.spellings.map(({ ecosystem }) => ecosystem);
  const store = blankStore(ecosystems.includes('torchvision') ? 'torchvision' : ecosystems[0]);
  const net = new Net(store, { ...(family.canonical ? { canonical: family.canonical } : {}), arch: name });
  const map = buildNet(family, size, net, { file: name, format: 'architecture', producer: null });
  const known = Object.entries(family.sizes).find(([, published]) => published === size)?.[0];
  const tensors = new Map(map.layers.flatMap(({ weights }) => Object.values(weights)).map((tensor) => [tensor.name, tensor]));
  return {
    schema: 'weighbridge/architecture@1',
    name: known ?? family.name,
    title: family.title,
    source: family.source,
    preprocessing: family.preprocessing(store.ecosystem, size),
    labels: family.labels ?? IMAGENET_LABELS,
    assumed: map.architecture?.assumed ?? [],
    parameterCount: [...tensors.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0),
    inputs: map.inputs,
    outputs: map.outputs,
    layers: architectureLayers(map),
  };
}
