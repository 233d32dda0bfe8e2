/**
 * What the written file itself says of a layer: our reader reads it back, and settings, operators and wiring that it states otherwise than the
 * source does are tried like every other mistake. Numbers that no list of mistakes has are found so, such as a stride of one axis alone.
 */
import { isModelError } from '../../errors.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { makersOf, readersOf } from '../../model/ops/index.js';
import { openModel } from '../../readers/open.js';
import { listed } from '../../words.js';
import type { WrittenTarget } from '../options.js';
import { nameIn, ownerOf } from '../written/reread.js';
import type { WrittenWeight } from '../written/written.js';
import { type Cause, type Suspect, withAttributes } from './cause.js';
import { allValues } from './segment.js';
import { shown } from './settings.js';

/** Nodes that may stand in the place of one layer: a GELU in parts is five, a normalisation nine. */
const MOST_NODES = 12;

export interface Stated {
  /** Settings that the file states otherwise. */
  settings(suspect: Suspect): Cause[];
  /** All that the file computes in the layer's place, where that is something else or reads something else. */
  whole(suspect: Suspect): Cause[];
  /** The file's layer of the very name, where it stands alone in the place of the source's. */
  alone(layer: Layer): Layer | undefined;
  /**
   * The file's layers in the place of one of the source, each of which reads what the one before it makes and nothing else does; with those behind
   * them that stand in the place of none. Empty where they lie otherwise.
   */
  chain(layer: Layer): readonly Layer[];
  /** All of the file's layers in the place of one of the source. */
  group(layer: Layer): readonly Layer[];
  /** A weight of the file's layer of the very name and operator: several of ours may stand for one node of the file, as those of a recurrent layer do. */
  weight(layer: Layer, role: string): WrittenWeight | undefined;
  /** Layers of the source that the file's layer reads, at once or through what the source has not. */
  readBy(layer: Layer): readonly Layer[];
}

/** Null where our readers do not read the file's wiring. */
export async function readStated({ files, format }: WrittenTarget, map: LayerMap, partners: ReadonlyMap<string, string> = new Map()): Promise<Stated | null> {
  try {
    return statedBy(await (await openModel(files)).map(), map, ({ name }) => partners.get(name) ?? nameIn(format, name));
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/** What is said of all that the file computes in a layer's place. */
export const STATED_WHOLE: ReadonlySet<string> = new Set(['operator', 'wiring', 'inserted']);

/** By what a mistake in an attribute is called elsewhere. */
const KINDS: Readonly<Record<string, string>> = { strides: 'stride', pads: 'padding', auto_pad: 'padding', dilations: 'dilation', kernel_shape: 'window' };
/** Of a number, what rounding to float32 leaves of it. */
const SAME = 1e-6;

/** @param nameOf the file's name of a layer of the map */
function statedBy(file: LayerMap, map: LayerMap, nameOf: (layer: Layer) => string): Stated {
  const byName = new Map(map.layers.map((layer) => [nameOf(layer), layer]));
  const taken = new Set(byName.keys());
  const groups = new Map<string, Layer[]>();
  const owners = new Map<Layer, Layer>();
  for (const layer of file.layers) {
    const owner = byName.get(ownerOf(layer.name, taken));
    if (!owner) continue;
    owners.set(layer, owner);
    const group = groups.get(owner.name);
    if (group) group.push(layer);
    else groups.set(owner.name, [layer]);
  }
  const makers = makersOf(file.layers);
  const readers = readersOf(file.layers);
  const given = new Set(file.outputs.map(({ value }) => value));
  const ports = new Map(file.inputs.map(({ value }, i) => [value, map.inputs[i]?.value]));

  /** The file's layers in the place of one of the source, what the source has not before them, and what flows into all of these. */
  function placeOf(layer: Layer) {
    const own = groups.get(layer.name) ?? [];
    const inserted = new Set<Layer>();
    const read: string[] = [];
    const open = own.flatMap(({ inputs }) => inputs);
    for (let value = open.shift(); value !== undefined; value = open.shift()) {
      const maker = makers.get(value);
      if (maker && own.includes(maker)) continue;
      if (maker && !owners.has(maker)) {
        if (!inserted.has(maker)) for (const read of maker.inputs) open.push(read);
        inserted.add(maker);
      } else if (value !== '' && !read.includes(value)) read.push(value);
    }
    return { own, inserted: file.layers.filter((each) => inserted.has(each)), read };
  }

  /** The source's name of a value of the file; undefined where it has none. */
  function inSource(value: string): string | undefined {
    const maker = makers.get(value);
    if (!maker) return ports.get(value);
    const owner = owners.get(maker);
    return owner && groups.get(owner.name)!.at(-1) === maker ? owner.outputs[maker.outputs.indexOf(value)] : undefined;
  }

  function alone(layer: Layer): Layer | undefined {
    const [own, ...more] = groups.get(layer.name) ?? [];
    return more.length === 0 && own?.name === nameOf(layer) ? own : undefined;
  }

  return {
    alone,
    group: (layer) => groups.get(layer.name) ?? [],
    weight(layer, role) {
      const own = alone(layer);
      const tensor = own?.op === layer.op ? own.weights[role] : undefined;
      return tensor && { tensor };
    },
    chain(layer) {
      const found = [...(groups.get(layer.name) ?? [])];
      for (let last = found.at(-1); last; last = found.at(-1)) {
        const [next, ...more] = readers.get(last.outputs[0]!) ?? [];
        if (!next || more.length > 0 || owners.has(next) || given.has(last.outputs[0]!)) break;
        found.push(next);
      }
      const isNext = ({ inputs, outputs }: Layer, i: number) =>
        inputs.length === 1 &&
        outputs.length === 1 &&
        (i === 0 || inputs[0] === found[i - 1]!.outputs[0]) &&
        (i === found.length - 1 || readers.get(outputs[0]!)?.length === 1);
      return found.every(isNext) ? found : [];
    },
    readBy(layer) {
      const read = new Set(placeOf(layer).read.map(inSource));
      return map.layers.filter(({ outputs }) => outputs.some((value) => read.has(value)));
    },
    settings({ layer }) {
      const stated = asOne(groups.get(layer.name) ?? []);
      if (stated?.op !== layer.op) return [];
      const changed = Object.keys({ ...layer.attributes, ...stated.attributes }).filter((name) => differs(layer.attributes[name], stated.attributes[name]));
      const causeOf = (names: readonly string[]): Cause => ({
        kind: kindOf(names),
        what: names.map((name) => `${name} ${shown(stated.attributes[name])} for ${shown(layer.attributes[name])}`).join(' and '),
        layer: withAttributes(layer, Object.fromEntries(names.map((name) => [name, stated.attributes[name]!]))),
      });
      return [...changed.map((name) => causeOf([name])), ...(changed.length > 1 ? [causeOf(changed)] : [])];
    },
    whole({ layer, known, others }) {
      const { own, inserted, read } = placeOf(layer);
      const last = own.at(-1);
      // That all of a net before a layer makes what was found explains nothing.
      if (!last || own.length + inserted.length > MOST_NODES) return [];
      const sources = read.map(inSource);
      const ops = own.map(({ op }) => op);
      const isOther = `${ops}` !== layer.op;
      const strays = sources.filter((value) => value !== undefined && !layer.inputs.includes(value));
      if (!isOther && inserted.length === 0 && strays.length === 0) return [];
      const ofOthers = new Map([...others].flatMap(([maker, value]) => (maker.outputs[0] ? [[maker.outputs[0], value] as const] : [])));
      const makerOf = (value: string | undefined) => map.layers.find(({ outputs }) => outputs.includes(value!))?.name ?? value;
      const said = [
        ...(isOther
          ? [
              `${listed(
                own.map((each) => called(each, layer)),
                4,
              )} for ${layer.op}`,
            ]
          : []),
        ...(inserted.length > 0 ? [`${listed(inserted.map(({ name, op }) => `"${name}" (${op})`))} before it, which the source has not`] : []),
        ...(strays.length > 0 ? [`what "${makerOf(strays[0])}" makes among what it reads`] : []),
      ];
      return [
        {
          kind: isOther ? 'operator' : strays.length > 0 ? 'wiring' : 'inserted',
          what: said.join(' and '),
          async compute() {
            const values = new Map(
              read.flatMap((value, i) => {
                const found = known.get(sources[i] ?? '') ?? ofOthers.get(sources[i] ?? '');
                return found ? [[value, found] as const] : [];
              }),
            );
            if (values.size < read.length) return null;
            const made = await allValues([...inserted, ...own], values);
            return last.outputs.map((value) => made.get(value)!);
          },
        },
      ];
    },
  };
}

/** Of several settings the one that another goes with: padding grows with a dilation. */
function kindOf(names: readonly string[]): string {
  const telling = names.find((name) => name !== 'pads') ?? names[0]!;
  return KINDS[telling] ?? telling.replaceAll('_', '-');
}

/** What stands alone; a padding of zeros and the convolution behind it are one that pads itself. */
function asOne([first, second, ...more]: readonly Layer[]): Layer | undefined {
  if (!second) return first;
  const { pads, mode, value = 0 } = first!.attributes;
  const own = second.attributes.pads;
  const isPadded = first!.op === 'Pad' && mode === 'constant' && value === 0 && Object.keys(first!.weights).length === 0;
  if (more.length > 0 || !isPadded || second.op !== 'Conv' || second.inputs[0] !== first!.outputs[0] || !Array.isArray(pads) || !Array.isArray(own)) return;
  const axes = own.length / 2;
  const inner = pads.filter((_, i) => i % (axes + 2) >= 2);
  return inner.length === own.length ? withAttributes(second, { pads: own.map((size, i) => size + inner[i]) }) : undefined;
}

/** A layer of the file by its operator, and by what its name says more than that of the one in whose place it stands. */
function called({ op, name, attributes: { min, max } }: Layer, layer: Layer): string {
  const said = op === 'Clip' ? `${op} (at ${[min, max].filter(Number.isFinite).join(' and ')})` : op;
  return name.startsWith(`${layer.name}/`) ? `${said} ("${name.slice(layer.name.length + 1)}")` : said;
}

/** Whether a setting that the file states is another one. What it leaves out is as it was. */
function differs(own: Layer['attributes'][string] | undefined, stated: Layer['attributes'][string] | undefined): boolean {
  if (stated === undefined || stated === null) return false;
  if (typeof own === 'number' && typeof stated === 'number') return Math.abs(own - stated) > SAME * Math.abs(own);
  return `${own}` !== `${stated}`;
}
