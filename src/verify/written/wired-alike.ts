/**
 * Files that name their layers otherwise than the map, as files of other tools do: layers are paired by where they stand in the wiring, so that
 * weights and values are compared layer by layer all the same.
 *
 * Two layers are one where the same operators, with weights of the same sizes, lead from the inputs to them, or from them to the outputs; where
 * several are alike, where both do; and else in running order. What other operators read in the two nets is not the same: a normalisation that is
 * folded into the weights before it changes what they make. Where exporters spell operators otherwise, kernels and normalisations are lined up in
 * running order, and what is between them by where it stands there.
 */
import type { FileSet } from '../../bytes/file-set.js';
import { alignSequences } from '../../diff/sequence.js';
import { isModelError } from '../../errors.js';
import type { Layer, LayerMap, Port } from '../../model/layer-map.js';
import { alignedPieces, valuesOf } from '../../model/side-by-side.js';
import { openModel } from '../../readers/open.js';
import type { PortNames } from '../side.js';
import type { WrittenFormat, WrittenModel } from './written.js';

/**
 * Opens a written file, and where it does not have the map's names pairs its layers by the wiring.
 *
 * @param wired what is known of the file's wiring, which is read where this is left out
 * @param ports which of the file's ports is which, where it is not their order that says it
 */
export async function openPaired(format: WrittenFormat, files: FileSet, map: LayerMap, wired?: LayerMap, ports?: PortNames): Promise<WrittenModel> {
  const named = await format.open(files, map.layers);
  const holding = map.layers.filter(({ weights }) => Object.keys(weights).length > 0);
  if (!format.runs || map.layers.length === 0 || (named.isOurs && holding.every((layer) => isPaired(named, layer)))) return named;
  const other = wired ?? (await mapOf(files));
  if (!other) return named;
  const ordered = ports ? { ...other, inputs: inOrderOf(other.inputs, ports.inputs), outputs: inOrderOf(other.outputs, ports.outputs) } : other;
  // Names of a file that was written from a map say more than an order.
  const partners = named.isOurs ? pairLayers(map, ordered) : await pairWholly(map, ordered);
  // They are called as in the map, and stand where they stand there.
  if (map.layers.every((layer) => partners.get(layer)?.name === layer.name)) return named;
  const renamed = new Map(map.layers.map((layer) => [layer, { ...layer, name: partners.get(layer)?.name ?? `${layer.name} (not in the file)` }]));
  const paired = await format.open(files, [...renamed.values()]);
  const count = (isFound: typeof isPaired, written: WrittenModel, layerOf: (layer: Layer) => Layer) =>
    map.layers.filter((layer) => isFound(written, layerOf(layer))).length;
  const more = (isFound: typeof isPaired) => count(isFound, paired, (layer) => renamed.get(layer)!) - count(isFound, named, (layer) => layer);
  // Weights tell first: a value is taken to be shown under any name that a file does not speak of.
  const byWiring = more(holdsWeight) || more(isPaired);
  // Names that files of different origin have in common may be a coincidence.
  if (byWiring < 0 || (byWiring === 0 && named.isOurs) || count(isPaired, paired, (layer) => renamed.get(layer)!) === 0) return named;
  return {
    ...paired,
    ...(ports ? { ports } : {}),
    keepsEveryLayer: false,
    partners: new Map([...partners].map(([layer, partner]) => [layer.name, partner.name])),
    weight: (layer, role) => paired.weight(renamed.get(layer) ?? layer, role),
    valueOf: (layer) => paired.valueOf(renamed.get(layer) ?? layer),
    orderOf: (layer) => paired.orderOf?.(renamed.get(layer) ?? layer),
    ownValueOf: (layer) => (paired.ownValueOf ?? paired.valueOf)(renamed.get(layer) ?? layer),
  };
}

/** Whether the file has a weight of the layer, or shows what it makes. */
function isPaired(written: WrittenModel, layer: Layer): boolean {
  return holdsWeight(written, layer) || written.valueOf(layer) !== undefined;
}

function holdsWeight(written: WrittenModel, layer: Layer): boolean {
  return Object.keys(layer.weights).some((role) => written.weight(layer, role));
}

/** Null where our readers do not read the file's wiring. */
async function mapOf(files: FileSet): Promise<LayerMap | null> {
  try {
    return await (await openModel(files)).map();
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/** As they come where a name is not among them. */
function inOrderOf(ports: readonly Port[], names: readonly string[]): readonly Port[] {
  const byName = new Map(ports.map((port) => [port.name, port]));
  const found = names.flatMap((name) => byName.get(name) ?? []);
  return found.length === ports.length ? found : ports;
}

type Net = Pick<LayerMap, 'inputs' | 'outputs' | 'layers'>;

/** Values by which kernels are known. */
const KNOWN_BY = 2 ** 14;
/** What folding and other roundings leave between two that are the same, of their size. */
const NEAR = 1e-3;
/** Of kernels that are lined up so many have to be the same, or the order means nothing. */
const SAME = 0.5;

/** As `pairLayers`, and where that leaves kernels or normalisations their order tells which is which, if most of them are the same. */
async function pairWholly(net: Net, other: Net): Promise<Map<Layer, Layer>> {
  const pairs = pairLayers(net, other);
  const taken = new Set(pairs.values());
  const own = net.layers.filter((layer) => isTelling(layer) && !pairs.has(layer));
  const theirs = other.layers.filter((layer) => isTelling(layer) && !taken.has(layer));
  const lined = alignSequences(own.map(ownKey), theirs.map(ownKey)).map(([i, j]) => [own[i]!, theirs[j]!] as const);
  const same = new Set<Layer>();
  for (const [mine, yours] of lined) if (await areNear(mine, yours)) same.add(mine);
  return lined.length > 0 && same.size >= SAME * lined.length ? pairLayers(net, other, { pairs: new Map([...pairs, ...lined]), same }) : pairs;
}

/** Whether a layer has weights by which it may be known, and not a constant of how somebody spells it. */
function isTelling({ weights }: Layer): boolean {
  return weights.kernel !== undefined || weights.scale !== undefined;
}

/** Whether two layers have the same weights, but for roundings. */
async function areNear({ weights: own }: Layer, { weights: theirs }: Layer): Promise<boolean> {
  for (const [role, tensor] of Object.entries(own)) {
    let [apart, size, seen] = [0, 0, 0];
    for await (const [a, b] of alignedPieces(tensor, theirs[role]!)) {
      const [x, y] = [valuesOf(a, tensor.dtype), valuesOf(b, theirs[role]!.dtype)];
      for (let i = 0; i < x.length; i++) {
        apart += Math.abs(x[i]! - y[i]!);
        size += Math.abs(x[i]!);
      }
      seen += x.length;
      if (seen >= KNOWN_BY) break;
    }
    if (!(apart <= NEAR * size)) return false;
  }
  return true;
}

/** What could be folded into a layer, of the operators that read what it makes. */
function foldableIn(readers = ''): string {
  return readers
    .split(/[,|]/)
    .filter((reader) => reader.endsWith(WITH_WEIGHTS))
    .join();
}

/** Layers of two nets that are known to be one. */
interface Known {
  readonly pairs: ReadonlyMap<Layer, Layer>;
  /** Those that have the same weights, and so make the same, whatever reads it. */
  readonly same: ReadonlySet<Layer>;
}

const NOTHING_KNOWN: Known = { pairs: new Map(), same: new Set() };

/** The layer of the other net that each layer is; without those that have none, or more than one that they could be. */
export function pairLayers(net: Net, other: Net, known: Known = NOTHING_KNOWN): Map<Layer, Layer> {
  const numbers = new Map<string, number>();
  /** A number for each description, the same in both nets. */
  const numberOf = (description: string) => {
    const known = numbers.get(description) ?? numbers.size;
    numbers.set(description, known);
    return known;
  };
  const keysOf = (layers: Iterable<Layer>) => new Map([...layers].map((layer, i) => [layer, `pair ${i}`]));
  const placesOf = (each: Net, keys: Keys): Places => ({ before: before(each, keys, numberOf), ...behind(each, keys, numberOf) });
  const [own, theirs] = [placesOf(net, keysOf(known.pairs.keys())), placesOf(other, keysOf(known.pairs.values()))];
  const makesTheSame = ([mine, yours]: readonly [Layer, Layer]) =>
    known.same.has(mine) || foldableIn(own.readers.get(mine)) === foldableIn(theirs.readers.get(yours));
  const pairs = new Map([...known.pairs].filter(makesTheSame));
  const taken = new Set(known.pairs.values());
  const pairAlike = (mine: readonly Layer[], yours: readonly Layer[]) => {
    if (mine.length !== yours.length) return;
    for (const [i, layer] of mine.entries()) {
      if (own.readers.get(layer) !== theirs.readers.get(yours[i]!)) continue;
      pairs.set(layer, yours[i]!);
      taken.add(yours[i]!);
    }
  };
  for (const [first, second] of [
    ['before', 'behind'],
    ['behind', 'before'],
  ] as const) {
    const candidates = groupBy(
      other.layers.filter((layer) => !taken.has(layer)),
      theirs[first],
    );
    const open = net.layers.filter((layer) => !pairs.has(layer) && !known.pairs.has(layer));
    for (const [place, mine] of groupBy(open, own[first])) {
      const yours = candidates.get(place) ?? [];
      const among = groupBy(yours, theirs[second]);
      if (mine.length === 1) pairAlike(mine, yours);
      else for (const [end, alike] of groupBy(mine, own[second])) pairAlike(alike, among.get(end) ?? []);
    }
  }
  return pairs;
}

/** What stands for a layer that is known to be one of the other net, wherever it stands. */
type Keys = ReadonlyMap<Layer, string>;

interface Places {
  readonly before: ReadonlyMap<Layer, number>;
  readonly behind: ReadonlyMap<Layer, number>;
  /** Operators that read what each layer makes. */
  readonly readers: ReadonlyMap<Layer, string>;
}

function groupBy(layers: readonly Layer[], places: ReadonlyMap<Layer, number>): Map<number, Layer[]> {
  const groups = new Map<number, Layer[]>();
  for (const layer of layers) {
    const place = places.get(layer);
    if (place === undefined) continue;
    const group = groups.get(place);
    if (group) group.push(layer);
    else groups.set(place, [layer]);
  }
  return groups;
}

/** What leads to each layer. What changes nothing stands for what it reads. */
function before({ inputs, layers }: Net, keys: Keys, numberOf: (description: string) => number): Map<Layer, number> {
  const values = new Map(inputs.map(({ value }, i) => [value, `input ${i}`]));
  const found = new Map<Layer, number>();
  for (const layer of layers) {
    const read = layer.inputs.map((value) => values.get(value) ?? '');
    if (layer.op === 'Identity') {
      values.set(layer.outputs[0]!, read[0]!);
      continue;
    }
    const number = numberOf(keys.get(layer) ?? `${ownKey(layer)} of ${read}`);
    found.set(layer, number);
    for (const [i, value] of layer.outputs.entries()) values.set(value, `${number} ${i}`);
  }
  return found;
}

/** What each layer leads to. */
function behind({ outputs, layers }: Net, keys: Keys, numberOf: (description: string) => number): Pick<Places, 'behind' | 'readers'> {
  const readers = new Map<string, string[]>();
  const ops = new Map<Layer, string>();
  const add = (value: string, reader: string) => {
    const others = readers.get(value);
    if (others) others.push(reader);
    else readers.set(value, [reader]);
  };
  for (const [i, { value }] of outputs.entries()) add(value, `output ${i}`);
  const found = new Map<Layer, number>();
  for (const layer of layers.toReversed()) {
    const leads = layer.outputs.map((value) => (readers.get(value) ?? []).toSorted());
    if (layer.op === 'Identity') {
      for (const reader of leads[0]!) add(layer.inputs[0]!, reader);
      continue;
    }
    const number = numberOf(keys.get(layer) ?? `${ownKey(layer)} to ${leads.map((each) => each.join()).join(' | ')}`);
    found.set(layer, number);
    ops.set(
      layer,
      leads
        .map((each) =>
          each
            .map((reader) => reader.split(' ')[0])
            .sort()
            .join(),
        )
        .join(' | '),
    );
    for (const [i, value] of layer.inputs.entries()) if (value !== '') add(value, `${readerKey(layer)} ${number} ${i}`);
  }
  return { behind: found, readers: ops };
}

/** Behind an operator that has numbers for each channel. */
const WITH_WEIGHTS = '*';

function readerKey({ op, weights }: Layer): string {
  return weights.operand || weights.scale ? `${op}${WITH_WEIGHTS}` : op;
}

function ownKey({ op, weights }: Layer): string {
  const sizes = Object.entries(weights).map(([role, { shape }]) => `${role} ${shape.join('x')}`);
  return `${op} (${sizes.sort().join(', ')})`;
}
