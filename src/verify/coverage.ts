/**
 * What of a net the inputs have reached: which units fired and which rested, which bounds of a clip were met, at which borders there was
 * something that a padding could be taken for. What no input reaches may be wrong unseen.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makersOf } from '../model/ops/index.js';
import type { NdArray } from './engine.js';
import type { CoverageReport } from './report.js';

export interface Coverage {
  /** Layers whose values are looked at, in running order. */
  readonly layers: readonly Layer[];
  /** @returns how many of the net's parts this value of a layer, channels-first, is the first to reach */
  see(layer: Layer, value: NdArray): number;
  readonly isComplete: boolean;
  report(added: number): CoverageReport;
}

/** Something that a value may show of its layer, apart for each channel or once for the whole. */
interface State {
  /** What is said where it was never seen. */
  readonly unseen: string;
  readonly each: 'channel' | 'layer';
  readonly isShown: (value: number) => boolean;
}

const AT_REST: State = { unseen: 'were never at rest', each: 'channel', isShown: (v) => v <= 0 };
const FIRED: State = { unseen: 'never fired', each: 'channel', isShown: (v) => v > 0 };
/** What can be told of an activation by what it makes: a runtime that fuses it shows nothing else. */
const ACTIVATIONS: Readonly<Record<string, readonly State[]>> = Object.fromEntries(
  ['Relu', 'LeakyRelu', 'PRelu', 'Elu', 'Selu', 'Celu', 'ThresholdedRelu'].map((op) => [op, [AT_REST, FIRED]]),
);

function statesOf({ op, attributes }: Layer): readonly State[] {
  const [low, high] = op === 'HardSigmoid' ? [0, 1] : op === 'Clip' ? [attributes.min, attributes.max] : [];
  const bounds: (State | false)[] = [
    typeof low === 'number' && { unseen: `its lower bound ${low} was never met`, each: 'layer', isShown: (v) => v <= low },
    typeof high === 'number' && { unseen: `its upper bound ${high} was never met`, each: 'layer', isShown: (v) => v >= high },
  ];
  return ACTIVATIONS[op] ?? bounds.filter((bound) => bound !== false);
}

interface Watch {
  readonly states: readonly State[];
  /** Sides of its value that a layer which reads it pads: [spatial axis, whether the end]. */
  readonly borders: readonly (readonly [axis: number, isEnd: boolean])[];
  /** For each state the channels, or the whole, that have shown it; null until a value tells how many there are. */
  seen: Uint8Array[] | null;
  readonly seenBorders: Uint8Array;
}

/** @param shown whether a layer's value can be looked at */
export function coverageOf({ layers }: Pick<LayerMap, 'layers'>, shown: (layer: Layer) => boolean): Coverage {
  const makers = makersOf(layers);
  const borders = new Map<Layer, Map<string, readonly [number, boolean]>>();
  for (const layer of layers) {
    const maker = makers.get(layer.inputs[0] ?? '');
    if (!maker) continue;
    const sides = borders.get(maker) ?? new Map();
    for (const side of paddedSides(layer)) sides.set(side.join(), side);
    borders.set(maker, sides);
  }
  const watches = new Map<Layer, Watch>();
  for (const layer of layers) {
    const [states, sides] = [statesOf(layer), [...(borders.get(layer)?.values() ?? [])]];
    if (states.length + sides.length > 0 && shown(layer)) watches.set(layer, { states, borders: sides, seen: null, seenBorders: new Uint8Array(sides.length) });
  }
  const count = (want: (flag: number) => boolean) => {
    let sum = 0;
    for (const { seen, seenBorders } of watches.values()) for (const flags of [...(seen ?? []), seenBorders]) for (const flag of flags) if (want(flag)) sum++;
    return sum;
  };
  return {
    layers: [...watches.keys()],
    see: (layer, value) => look(watches.get(layer)!, value),
    get isComplete() {
      return count((flag) => flag === 0) === 0;
    },
    report: (added) => ({
      reached: count((flag) => flag === 1),
      of: count(() => true),
      added,
      unseen: [...watches].flatMap(([{ name }, watch]) => unseenOf(watch).map((what) => `${name}: ${what}`)),
    }),
  };
}

/** Axes whose start or end a layer pads with something else than what stands there. */
function paddedSides({ op, attributes }: Layer): (readonly [axis: number, isEnd: boolean])[] {
  const { pads } = attributes;
  if (!PADS.has(op) || !Array.isArray(pads)) return [];
  const axes = pads.length / 2;
  const before = op === 'Pad' ? 0 : 2;
  return (pads as readonly number[]).flatMap((pad, i) => (pad > 0 ? [[(i % axes) + before, i >= axes] as const] : []));
}

const PADS: ReadonlySet<string> = new Set(['Conv', 'AveragePool', 'Pad', 'LpPool']);

function look(watch: Watch, { shape, data }: NdArray): number {
  const channels = shape.length > 1 ? shape[1]! : 1;
  const inner = shape.slice(2).reduce((a, b) => a * b, 1);
  watch.seen ??= watch.states.map(({ each }) => new Uint8Array(each === 'channel' ? channels : 1));
  let found = 0;
  const mark = (flags: Uint8Array, place: number) => {
    if (flags[place] !== 0) return;
    flags[place] = 1;
    found++;
  };
  for (const [i, { each, isShown }] of watch.states.entries()) {
    const flags: Uint8Array = watch.seen[i]!;
    if (each === 'channel' && flags.length !== channels) continue;
    for (let at = 0; at < data.length; at += inner) {
      const place = each === 'channel' ? (at / inner) % channels : 0;
      if (flags[place] === 1) continue;
      for (let j = at; j < at + inner; j++) {
        if (!isShown(Number(data[j]))) continue;
        mark(flags, place);
        break;
      }
    }
  }
  for (const [i, [axis, isEnd]] of watch.borders.entries()) {
    if (watch.seenBorders[i] === 0 && hasAtBorder({ shape, data }, axis, isEnd)) mark(watch.seenBorders, i);
  }
  return found;
}

function hasAtBorder({ shape, data }: NdArray, axis: number, isEnd: boolean): boolean {
  const size = shape[axis] ?? 0;
  const step = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  for (let start = (isEnd ? size - 1 : 0) * step; start < data.length; start += size * step) {
    for (let i = start; i < start + step; i++) if (Number(data[i]) !== 0) return true;
  }
  return false;
}

function unseenOf({ states, borders, seen, seenBorders }: Watch): string[] {
  const lacking = states.flatMap(({ unseen, each }, i) => {
    const flags = seen?.[i] ?? new Uint8Array(0);
    const missing = flags.filter((flag) => flag === 0).length;
    return missing === 0 ? [] : [each === 'layer' ? unseen : `${missing} of ${flags.length} units ${unseen}`];
  });
  const sides = borders.flatMap(([axis, isEnd], i) =>
    seenBorders[i] === 0 ? [`the values beside the padding at the ${isEnd ? 'end' : 'start'} of axis ${axis} were always zero`] : [],
  );
  return [...lacking, ...sides];
}
