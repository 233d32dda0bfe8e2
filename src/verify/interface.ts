/**
 * What two models promise to whoever uses them: how many inputs and outputs, in which order, of which dtype and rank, and which sizes are
 * free. Values alone do not show it: an output [n, 8, 1, 1] has those of [n, 8].
 */
import { type DType, isFloatDType } from '../model/dtype.js';
import type { Dim, LayerMap, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import type { Session, SessionPort } from './engine.js';
import type { InterfaceDifference } from './report.js';
import type { Arrays, LayoutOf, PortAdapter } from './side.js';

export interface InterfaceSides {
  readonly map: Pick<LayerMap, 'inputs' | 'outputs'>;
  readonly session: Pick<Session, 'inputs' | 'outputs'>;
  readonly aligned: PortAdapter['aligned'];
  readonly layoutOf: LayoutOf;
  /** Whether the file was written from this map, so that the order of its ports is the map's. */
  readonly isOurs: boolean;
  /** Whether what runs the file has every dtype that the map can have; where some are missing others stand in. */
  readonly hasSameDTypes: boolean;
}

/** What a file declares of its ports beside what the map has. A batch that the file leaves free and the source does not is no difference. */
export function compareInterface(sides: InterfaceSides): InterfaceDifference[] {
  return (['inputs', 'outputs'] as const).flatMap((what) => comparePorts(sides, what));
}

function comparePorts({ map, session, aligned, layoutOf, isOurs, hasSameDTypes }: InterfaceSides, what: 'inputs' | 'outputs'): InterfaceDifference[] {
  const word = what === 'inputs' ? 'input' : 'output';
  const { places, by } = aligned[what];
  const shown = session[what];
  const anyFree = map.inputs.some(isFree);
  const found: InterfaceDifference[] = [];
  const tell = (kind: InterfaceDifference['kind'], port: string, message: string, judged = true) => found.push({ kind, port, message, judged });
  for (const [i, { name }] of shown.entries()) {
    if (!places.includes(i)) tell('count', name, `the file has an ${word} more than the source: "${name}"`);
  }
  for (const [i, port] of map[what].entries()) {
    const other = shown[places[i] ?? -1];
    if (other) found.push(...comparePort(word, port, other, layoutOf, hasSameDTypes).filter(({ kind }) => kind !== 'fixed' || anyFree));
    // Other formats number and spell names by rules of their own.
    if (other && hasSameDTypes && by !== 'name' && by !== 'convention' && other.name !== port.name)
      tell('name', port.name, `the file calls ${word} "${port.name}" "${other.name}", under which whoever feeds or reads it by name must ask for it`, false);
    if (!other) tell('count', port.name, `the file has no ${word} for "${port.name}"`);
  }
  const inOrder = places.every((place, i) => i === 0 || place === null || places[i - 1] === null || place > places[i - 1]!);
  if (!inOrder && (by !== 'shape' || isOurs))
    tell('order', shown[0]?.name ?? '', `the ${what} are in another order: ${shown.map(({ name }) => name).join(', ')}`, isOurs);
  return found;
}

/** Where no input has a free axis, no output has one that depends on it: its size was not known to the exporter, and a runtime may know it. */
const isFree = ({ shape }: Port) => shape.some((size) => typeof size === 'string');

function comparePort(word: string, port: Port, other: SessionPort, layoutOf: LayoutOf, hasSameDTypes: boolean): InterfaceDifference[] {
  const found: InterfaceDifference[] = [];
  const tell = (kind: InterfaceDifference['kind'], message: string, judged = true) =>
    found.push({ kind, port: port.name, message: `${word} "${port.name}" ${message}`, judged });
  if (other.dtype !== undefined && !isSameDType(port.dtype, other.dtype, hasSameDTypes))
    tell('dtype', `is ${other.dtype} in the file, ${port.dtype} in the source`);
  // Who does not know a rank states no axes; a scalar has none either.
  if (other.shape.length === 0 || port.shape.length === 0) return found;
  const shape = inFile(port, other, layoutOf);
  if (other.shape.length !== shape.length) {
    tell('rank', `has ${other.shape.length} axes [${other.shape.map((size) => size ?? 'free')}] in the file, ${shape.length} [${shape}] in the source`);
    return found;
  }
  // A runtime that knows no sizes states none; one that states some leaves the others free.
  const statesSizes = other.shape.some((size) => typeof size === 'number');
  for (const [axis, size] of shape.entries()) {
    const own = other.shape[axis];
    if (typeof own !== 'number' && typeof size === 'number' && axis > 0 && statesSizes)
      tell('free', `leaves its axis ${axis} free in the file, which is ${size} in the source: on other sizes the two were not compared`, false);
    if (typeof own !== 'number' || own === size) continue;
    const place = axis === 0 ? 'batch' : `axis ${axis}`;
    if (typeof size === 'string') tell('fixed', `has its ${place} fixed to ${own}, which the source leaves free`);
    else tell('size', `has ${own} on ${place === 'batch' ? 'its batch' : place} in the file, ${size} in the source`);
  }
  return found;
}

/** Ranks of what both sides made: a file need not declare them. */
export function compareRanks(map: Pick<LayerMap, 'outputs'>, wanted: Arrays, found: Arrays): InterfaceDifference[] {
  return map.outputs.flatMap(({ name, shape }, i): InterfaceDifference[] => {
    const [a, b] = [wanted[i]?.shape, found[i]?.shape];
    if (!a || !b || b.length === (shape.length || a.length) || a.length === b.length) return [];
    // A number without axes is often recorded as a list of one.
    if (shape.length === 0 && b.length === 0 && a.length === 1)
      return [{ kind: 'rank', port: name, message: `output "${name}" is a number without axes, and was recorded as [${a}]`, judged: false }];
    return [{ kind: 'rank', port: name, message: `output "${name}" has the shape [${b}], expected [${a}]`, judged: true }];
  });
}

function inFile(port: Port, shown: SessionPort, layoutOf: LayoutOf): readonly Dim[] {
  const layout = layoutOf(port, shown);
  const rank = port.shape.length;
  // A file that says no order may have the port's own, whatever convolutions behind it make of it.
  const isSame = shown.shape.length === rank && shown.shape.every((size, axis) => typeof size !== 'number' || size === port.shape[axis]);
  if (layout === 'other' && isSame) return port.shape;
  if (isChannelsLast(layout) === isChannelsLast(port.layout) || rank < 3) return port.shape;
  return (isChannelsLast(port.layout) ? toChannelsFirst(rank) : toChannelsLast(rank)).map((axis) => port.shape[axis]!);
}

/** Formats that have few dtypes have a number's kind at least: TensorFlow.js has int32 and float32, and turns the one into the other. */
function isSameDType(wanted: DType, found: DType, hasSameDTypes: boolean): boolean {
  if (hasSameDTypes || wanted === found) return wanted === found;
  return isFloatDType(found) || (!isFloatDType(wanted) && !isFloatDType(found));
}
