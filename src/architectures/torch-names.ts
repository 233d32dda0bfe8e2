/**
 * The names that torchvision's class has for the weights of a net that comes from elsewhere under others, where it is the same net: as many
 * layers, of the same operators, that stride, pad and share as that class does.
 */
import { isModelError } from '../errors.js';
import type { Layer, LayerMap, Notice } from '../model/layer-map.js';
import { plainName } from '../model/state-dict.js';
import type { Tensor } from '../model/tensor.js';
import { COUNTED, mapStore } from './canonical.js';
import { type Family, namesOf, type Spelling } from './family.js';
import { families } from './list.js';
import { Departure, Net } from './net.js';
import { buildNet } from './recognise.js';
import { blankStore } from './store.js';

/** The map under torchvision's names, and what is to be said of it; null where it is of no net of torchvision's, or is named so already. */
export function withTorchNames(map: LayerMap): { readonly map: LayerMap; readonly notices: readonly Notice[] } | null {
  for (const family of families.filter(hasTorchvision)) {
    for (const spelling of family.spellings) {
      const found = pairsBy(family, spelling, map);
      if (found) return named(map, family, found);
    }
  }
  return null;
}

/** The map under the names of the net's own class, where its file has something before all of them (`module.`, a Lightning module's `model.`). */
export function withoutWrapper(map: LayerMap): { readonly map: LayerMap; readonly notices: readonly Notice[] } | null {
  const { wrapper, beside } = map;
  if (wrapper === undefined) return null;
  const known = new Map<Tensor, Tensor>();
  const bare = (tensor: Tensor): Tensor => {
    const { name, derived } = tensor;
    const made = known.get(tensor) ?? {
      ...tensor,
      name: plainName(name).replace(wrapper, (found, at: number) => (at === 0 ? '' : found)),
      ...(derived ? { derived: { ...derived, from: derived.from.map(bare) } } : {}),
    };
    known.set(tensor, made);
    return made;
  };
  const layers = map.layers.map((layer) => ({
    ...layer,
    weights: Object.fromEntries(Object.entries(layer.weights).map(([role, tensor]) => [role, bare(tensor)])),
  }));
  const what = wrapper === '' ? 'what PyTorch puts around modules' : `the "${wrapper}" before all of them`;
  const message = `names are those of the net's own class, without ${what}: --names source keeps it`;
  return { map: { ...map, layers, ...(beside ? { beside: beside.map(bare) } : {}) }, notices: [{ code: 'class-names', message }] };
}

const hasTorchvision = ({ spellings }: Family) => spellings.some(({ ecosystem }) => ecosystem === 'torchvision') && spellings.some(isOther);
/** Where files come from whose names are not PyTorch's. */
const isOther = ({ ecosystem }: Spelling) => ecosystem === 'keras' || ecosystem === 'caffe';

/** A layer of the map, and the one of torchvision's net that has its place. */
type Pair = readonly [own: Layer, theirs: Layer];

interface Found {
  readonly pairs: readonly Pair[];
  readonly theirs: readonly Layer[];
}

function pairsBy(family: Family, { ecosystem, spell }: Spelling, map: LayerMap): Found | null {
  const store = mapStore(map.layers, spell, ecosystem);
  // A family that takes its names from the source has no first one.
  if (store.modules.length === 0 || (!family.renamed && store.has(family.stem) !== true)) return null;
  const size = family.measure(namesOf(store));
  if (size === null) return null;
  const build = (net: Net, of: unknown) => {
    buildNet(family, of, net, { file: '', format: map.format, producer: null });
    return net.layers;
  };
  try {
    const own = build(new Net(store), size).filter(isCounted);
    if (store.leftOver().length > 0) return null;
    const theirs = build(new Net(blankStore('torchvision')), family.renamed?.(size) ?? size);
    const weighted = theirs.filter(isCounted);
    const byName = new Map(map.layers.filter(isCounted).map((layer) => [layer.name, layer]));
    if (own.length !== weighted.length || own.every(({ name }, i) => name === weighted[i]!.name)) return null;
    const pairs = own.map(({ name }, i) => [byName.get(name), weighted[i]!] as const);
    return pairs.every((pair): pair is Pair => pair[0] !== undefined) ? { pairs, theirs } : null;
  } catch (error) {
    if (error instanceof Departure || isModelError(error)) return null;
    throw error;
  }
}

const isCounted = ({ op }: Layer) => COUNTED.has(op);

function named(map: LayerMap, family: Family, { pairs, theirs }: Found): ReturnType<typeof withTorchNames> {
  const padded = paddingBefore(map.layers);
  const departure = pairs.map(([own, other]) => difference(own, other, padded)).find((one) => one !== null) ?? otherOperators(map.layers, theirs);
  if (departure !== null) {
    const message = `torchvision's ${family.title} is another net (${departure}): names stay those of the source, and the module beside the file is what loads it`;
    return { map, notices: [{ code: 'other-class', message }] };
  }
  const places = new Map(pairs);
  const layers = map.layers.map((layer) => {
    const other = places.get(layer);
    if (!other) return layer;
    const weights = Object.entries(layer.weights).map(([role, tensor]) => [role, { ...tensor, name: other.weights[role]!.name }]);
    return { ...layer, name: other.name, weights: Object.fromEntries(weights) };
  });
  const kept = ["it takes pictures as it did, not as torchvision's own weights do"];
  const [epsilon, usual] = pairs
    .flatMap(([own, other]) => (own.attributes.epsilon === other.attributes.epsilon ? [] : [own, other]))
    .map(({ attributes }) => attributes.epsilon);
  if (epsilon !== undefined) kept.push(`its normalisations add ${epsilon} to the variance, and that class ${usual} unless told`);
  if (map.layers.at(-1)?.op === 'Softmax') kept.push('that class gives logits, without the softmax at the end');
  const message = `weights are called as in torchvision's ${family.title}, whose class loads them: ${kept.join('; ')}`;
  return { map: { ...map, layers }, notices: [{ code: 'class-names', message }] };
}

/** What tells a layer from that of torchvision's class; null where nothing does. */
function difference(own: Layer, other: Layer, padded: ReadonlyMap<string, readonly number[]>): string | null {
  const place = `"${own.name}"`;
  if (own.op !== other.op) return `${place} is a ${own.op}, and a ${other.op} there`;
  const [roles, theirs] = [own, other].map(({ weights }) => Object.keys(weights).sort().join()) as [string, string];
  if (roles !== theirs) return `${place} has ${roles.replaceAll(',', ', ')}, and there ${theirs.replaceAll(',', ', ')}`;
  const [shape, wanted] = [own, other].map(({ weights }) => (weights.kernel?.shape ?? []).slice(2).join(' x ')) as [string, string];
  if (shape !== wanted) return `${place} has a kernel of ${shape}, and there ${wanted}`;
  if (own.op !== 'Conv') return null;
  for (const name of ['strides', 'dilations', 'group']) {
    if (String(own.attributes[name]) !== String(other.attributes[name]))
      return `${place}: ${name} of ${own.attributes[name]}, and there ${other.attributes[name]}`;
  }
  const [pads, usual] = [padsOf(own, padded.get(own.inputs[0]!)), padsOf(other)];
  return pads === usual ? null : `${place} pads with ${pads}, and there with ${usual}`;
}

/** Zeros that a layer of its own puts around a picture, by the value that it makes. */
function paddingBefore(layers: readonly Layer[]): Map<string, readonly number[]> {
  const pads = layers.filter(({ op, attributes }) => op === 'Pad' && (attributes.pads as readonly number[]).length === 8);
  return new Map(pads.map(({ outputs, attributes }) => [outputs[0]!, [2, 3, 6, 7].map((axis) => (attributes.pads as readonly number[])[axis]!)]));
}

function padsOf({ attributes, weights }: Layer, before: readonly number[] = [0, 0, 0, 0]): string {
  const own = attributes.pads as readonly number[];
  if (attributes.auto_pad !== 'SAME_UPPER' && attributes.auto_pad !== 'SAME_LOWER') return own.map((pad, i) => pad + before[i]!).join();
  const sizes = weights.kernel!.shape.slice(2);
  const strides = attributes.strides as readonly number[];
  const dilations = attributes.dilations as readonly number[];
  const amounts = sizes.map((size, axis) => ((size - 1) * dilations[axis]!) / 2);
  if (strides.some((stride, axis) => stride !== 1 && sizes[axis] !== 1) || !amounts.every(Number.isInteger))
    return "TensorFlow's padding, which depends on the size";
  return [...amounts, ...amounts].map((pad, i) => pad + before[i]!).join();
}

/** What moves numbers about, and the end of the net. */
const PLACING: ReadonlySet<string> = new Set(['Identity', 'Flatten', 'Reshape', 'Transpose', 'Pad', 'Softmax', 'Dropout', 'Squeeze']);

/** Other layers than torchvision's net has; null where they are as many of each kind. */
function otherOperators(own: readonly Layer[], theirs: readonly Layer[]): string | null {
  const counts = (layers: readonly Layer[]) => {
    const found = new Map<string, number>();
    for (const layer of layers.filter(({ op }) => !PLACING.has(op))) found.set(kindOf(layer), (found.get(kindOf(layer)) ?? 0) + 1);
    return found;
  };
  const [here, there] = [counts(own), counts(theirs)];
  const kind = [...here.keys(), ...there.keys()].find((one) => here.get(one) !== there.get(one));
  return kind === undefined ? null : `${here.get(kind) ?? 0} of ${kind} here, ${there.get(kind) ?? 0} there`;
}

/** Of a pooling how it pools: zeros at the border of an average count, or they do not. */
function kindOf({ op, attributes }: Layer): string {
  if (op === 'AveragePool')
    return `${op} ${attributes.kernel_shape} at ${attributes.strides}${padsOfPool(attributes) ? ` with pads that ${attributes.count_include_pad ? '' : 'do not '}count` : ''}`;
  return op === 'MaxPool' ? `${op} ${attributes.kernel_shape} at ${attributes.strides}` : op;
}

function padsOfPool({ pads, auto_pad: auto, strides }: Layer['attributes']): boolean {
  return String(auto).startsWith('SAME')
    ? (strides as readonly number[]).every((stride) => stride === 1)
    : (pads as readonly number[]).some((pad) => pad !== 0);
}
