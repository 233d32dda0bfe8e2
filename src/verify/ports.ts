/**
 * Lines the ports of one model up with those of another description of it: a runtime's session, or another file.
 *
 * A port is known by its place in the list. Names are the first hint of which place is which, TensorFlow's habits the second, order
 * and shape the third; where a port may be several of those shown, the caller may try which of them agrees.
 */
import { ModelError } from '../errors.js';
import type { Dim } from '../model/layer-map.js';
import { uniqueNames } from '../model/ports.js';

/** A port as far as it is looked at here. */
export interface NamedPort {
  readonly name: string;
  /** In whatever layout; null or a name where a size is free. Undefined where the shape is not known. */
  readonly shape?: readonly (Dim | null)[];
}

export interface Alignment {
  /** For each of the ports the place of the one shown that it is, or null where none is left for it. */
  readonly places: readonly (number | null)[];
  /** What the assignment rests on. */
  readonly by: 'name' | 'convention' | 'order' | 'shape';
  /** For each of the ports the places that names and shapes allow it, where that leaves a choice; empty where it does not. */
  readonly candidates: readonly (readonly number[])[];
}

/**
 * @param keepsOrder whether the ports shown are known to come in the order of the own ones, whatever they are called
 * @returns an assignment in which no two ports have the same place
 */
export function alignPorts(ownPorts: readonly NamedPort[], shownPorts: readonly NamedPort[], keepsOrder = false): Alignment {
  const inOrderOf = keepsOrder ? (places: readonly number[]) => places : inOrderOfIndex;
  const [ports, shown] = [distinct(ownPorts), distinct(shownPorts)];
  const exact = byName(ports, shown, (name) => name);
  if (exact) return { places: exact, by: 'name', candidates: [] };
  const conventional = byName(ports, shown, bareName);
  if (conventional) return { places: conventional, by: 'convention', candidates: [] };
  const places: (number | null)[] = [];
  for (const { name } of ports) {
    const place = uniquePlace(shown, name);
    places.push(place === null || places.includes(place) ? null : place);
  }
  const left = shown.map((_, i) => i).filter((i) => !places.includes(i));
  const open = ports.map((_, i) => i).filter((i) => places[i] === null);
  const ordered = inOrderOf(left, shown);
  const wanted = inOrderOf(open, ports);
  const fitting = new Map(wanted.map((port) => [port, ordered.filter((place) => canBe(ports[port]!, shown[place]!))]));
  const inOrder = wanted.every((port, i) => i >= ordered.length || fitting.get(port)!.includes(ordered[i]!));
  const chosen = (inOrder ? null : matched(wanted, (port) => fitting.get(port)!)) ?? ordered;
  for (const [i, port] of wanted.entries()) places[port] = chosen[i] ?? null;
  const isOpen = ports.length === shown.length && wanted.some((port) => fitting.get(port)!.length > 1);
  const candidates = isOpen ? places.map((place, port) => fitting.get(port) ?? [place!]) : [];
  return { places, by: inOrder ? 'order' : 'shape', candidates };
}

/** @throws ModelError 'engine' where no port has a counterpart */
export function requirePlaces({ places }: Alignment, ports: readonly NamedPort[], shown: readonly NamedPort[], what: string): readonly (number | null)[] {
  if (ports.length === 0 || places.some((place) => place !== null)) return places;
  const names = (list: readonly NamedPort[]) => `${list.length} (${list.map(({ name }) => name).join(', ')})`;
  throw new ModelError('engine', `the runtime sees ${names(shown)} ${what}, the model has ${names(ports)}`);
}

/** Null unless every port finds exactly one of its name. */
function byName(ports: readonly NamedPort[], shown: readonly NamedPort[], form: (name: string) => string): number[] | null {
  const places = new Map<string, number>();
  for (const [i, { name }] of shown.entries()) {
    if (places.has(form(name))) return null;
    places.set(form(name), i);
  }
  const found = ports.map(({ name }) => places.get(form(name)));
  return found.every((place) => place !== undefined) && new Set(found).size === ports.length ? (found as number[]) : null;
}

function distinct(ports: readonly NamedPort[]): NamedPort[] {
  const names = uniqueNames(ports.map(({ name }) => name));
  return ports.map(({ shape }, i) => ({ name: names[i]!, shape }));
}

function uniquePlace(shown: readonly NamedPort[], name: string): number | null {
  const found = shown.flatMap((port, i) => (bareName(port.name) === bareName(name) ? [i] : []));
  return found.length === 1 ? found[0]! : null;
}

/** TensorFlow's tensor 0 of a node is the node, and a serving signature puts its own name before an input's. */
function bareName(name: string): string {
  return name.replace(/:0$/, '').replace(/^serving_default_/, '');
}

/**
 * The places in the order that TensorFlow numbers them in: `Identity`, `Identity_1`; `StatefulPartitionedCall:0`, `:1`; `output_0`.
 * As they come where not all of them are of one such family.
 */
function inOrderOfIndex(places: readonly number[], ports: readonly NamedPort[]): readonly number[] {
  const numbered = places.map((place) => {
    const [, family, index] = /^(.*?)(?:[_:](\d+))?$/.exec(ports[place]!.name.replace(/^((?:Identity|output|input)(?:_\d+)?):0$/, '$1')) ?? [];
    return { place, family, index: index === undefined ? 0 : Number(index) };
  });
  const isFamily =
    new Set(numbered.map(({ family }) => family)).size === 1 && /^(Identity|(Stateful)?PartitionedCall|output|input)$/.test(numbered[0]?.family ?? '');
  const isNumbered = new Set(numbered.map(({ index }) => index)).size === numbered.length;
  return isFamily && isNumbered ? numbered.sort((a, b) => a.index - b.index).map(({ place }) => place) : places;
}

/** Whether two ports can be one: axes of the same sizes, in whatever order and with free ones anywhere, axes of one size aside. */
function canBe(port: NamedPort, other: NamedPort): boolean {
  if (!port.shape || !other.shape || other.shape.length === 0 || port.shape.length === 0) return true;
  const sizes = (shape: readonly (Dim | null)[]) => shape.filter((size): size is number => typeof size === 'number' && size !== 1).sort((a, b) => a - b);
  const [a, b] = [sizes(port.shape), sizes(other.shape)];
  const [fewer, more] = a.length < b.length ? [a, [...b]] : [b, [...a]];
  for (const size of fewer) {
    const at = more.indexOf(size);
    if (at < 0) return false;
    more.splice(at, 1);
  }
  const isFree = (shape: readonly (Dim | null)[]) => shape.filter((size) => typeof size !== 'number').length;
  return more.length <= isFree(a.length < b.length ? port.shape : other.shape);
}

/**
 * Gives each port one of its places, the first that is free where it can: others make way only where none is (Kuhn's augmenting paths, so that
 * a list of ports costs its square at most and not its factorial).
 *
 * @returns null where they cannot all have one
 */
export function matched(ports: readonly number[], placesOf: (port: number) => readonly number[]): number[] | null {
  const holder = new Map<number, number>();
  for (const port of ports) if (!settle(port, placesOf, holder)) return null;
  const placeOf = new Map([...holder].map(([place, port]) => [port, place]));
  return ports.map((port) => placeOf.get(port)!);
}

function settle(port: number, placesOf: (port: number) => readonly number[], holder: Map<number, number>): boolean {
  // From each place that was reached: which port wants it, so that those on the way can be moved on.
  const wantedBy = new Map<number, number>();
  const heldBy = new Map([...holder].map(([place, other]) => [other, place]));
  const open = [port];
  for (const next of open) {
    const reached = placesOf(next).filter((place) => !wantedBy.has(place));
    for (const place of reached) wantedBy.set(place, next);
    const free = reached.find((place) => !holder.has(place));
    if (free === undefined) {
      for (const place of reached) open.push(holder.get(place)!);
      continue;
    }
    for (let place: number | undefined = free; place !== undefined; ) {
      const mover: number = wantedBy.get(place)!;
      const left = heldBy.get(mover);
      holder.set(place, mover);
      place = mover === port ? undefined : left;
    }
    return true;
  }
  return false;
}
