/** What rounding does to the net at hand: with our evaluator where that is quick, else by nudging the inputs of a runtime. */
import { isModelError } from '../errors.js';
import { isFloatDType } from '../model/dtype.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { isHuge, multiplications, valuesMade } from './effort.js';
import type { NdArray } from './engine.js';
import { coins, compareMoved, type Moved, measureRounding } from './rounding.js';
import type { Arrays, Feeds, Side } from './side.js';

export interface Band {
  readonly how: 'evaluator' | 'runtime';
  readonly outputs: readonly Moved[];
  /** Null where only outputs were seen. */
  readonly layers: ReadonlyMap<Layer, Moved> | null;
  /** rtol that the table has for the two runtimes, where the net is too large for the evaluator. */
  readonly table?: number;
}

/** Where rounding alone may move an output by this part of its scale, comparing it proves nothing. */
export const TOO_SENSITIVE = 0.02;

/** Multiplications of one sample up to which the evaluator is run three times for it: a tenth of a second each. */
const QUICK_NET = 5e7;
/** The same where layers are compared one by one, which takes the evaluator anyway. */
const PATIENT_NET = 1e9;
/**
 * What all runs together may take for an input on which the two sides are apart, which is a fault unless rounding explains it: fifteen
 * seconds, in multiplications. To make a value and to move it takes as long as two hundred: a transformer has few of these for its values.
 */
const DOUBTED_WORK = 3e10;
const OF_A_VALUE = 200;
/** A gate that jumps does so in one run of three: torchvision's MobileNet v3 moved by 1.4e-4, 4.5e-5 and 0.34 on one input of thousands. */
const DOUBTED_SEEDS = [1, 2, 3, 4, 5, 6] as const;
/** Of fewer runs than these, nudged inputs tell as much. */
const FEWEST_SEEDS = 2;

/** A net that is measured. */
export interface Net {
  readonly map: LayerMap;
  /** Whether the map has all weights, so that the evaluator can run it. */
  readonly isRead: boolean;
  /** Whether layers are compared one by one. */
  readonly layers: boolean;
  /** Whether the two sides are apart on the input: what rounding does inside the net is worth seconds then. */
  readonly isDoubted?: true;
  /** Whether the net draws random numbers: it gives something else in every run, nudged or not, so that nothing can be measured. */
  readonly isDrawn?: boolean;
  /** Who is nudged where the evaluator would take too long. */
  readonly side: Pick<Side, 'run'>;
}

export interface BandAsked extends Net {
  /** Half a unit in the last place of what is computed in. */
  readonly size: number;
  /** rtol of the table for the two runtimes. */
  readonly table: number;
}

/** @returns null where neither shows anything: no weights at hand, and inputs of whole numbers */
export async function measureBand({ map, isRead, layers, isDoubted, size, side, table }: BandAsked, feeds: Feeds): Promise<Band | null> {
  // A map without weights has no sizes to count with.
  const seeds = isRead && isDoubted ? doubtedSeeds(map) : undefined;
  if (isRead && (seeds ? seeds.length >= FEWEST_SEEDS : multiplications(map) <= (layers ? PATIENT_NET : QUICK_NET))) {
    try {
      return { how: 'evaluator', ...(await measureRounding(map, feeds, { size, ...(seeds && { seeds }) })) };
    } catch (error) {
      // An operator that the evaluator lacks: a runtime has it.
      if (!isModelError(error)) throw error;
    }
  }
  const outputs = await nudgedOutputs(map, side, feeds, size, isRead && isHuge(map) ? NUDGES.huge : NUDGES.usual);
  return outputs && { how: 'runtime', outputs, layers: null, table };
}

/** As many runs beside the exact one as there is time for. */
function doubtedSeeds(map: LayerMap): readonly number[] {
  const runs = Math.floor(DOUBTED_WORK / Math.max(1, multiplications(map) + OF_A_VALUE * valuesMade(map)));
  return DOUBTED_SEEDS.slice(0, Math.max(0, runs - 1));
}

/** Runs of a net so large that one takes the better part of a second are dear. */
const NUDGES = { usual: [1, 2], huge: [1] } as const;

/** What nudged inputs do to the outputs of a side; null where no input may be nudged. */
export async function nudgedOutputs(
  map: Pick<LayerMap, 'inputs'>,
  side: Pick<Side, 'run'>,
  feeds: Feeds,
  size: number,
  seeds: readonly number[] = NUDGES.usual,
): Promise<Moved[] | null> {
  const mayNudge = map.inputs.map(({ dtype }) => isFloatDType(dtype));
  if (!mayNudge.some(Boolean)) return null;
  const nudged: Arrays[] = [];
  for (const seed of seeds) nudged.push(await side.run(feeds.map((feed, i) => (mayNudge[i] ? nudge(feed, seed, size) : feed))));
  // Last, for whoever compares them next: a side keeps its last answer.
  const plain = await side.run(feeds);
  return plain.map((array, i) => {
    const others = nudged.map((arrays) => arrays[i]).filter((other) => other !== undefined);
    return array ? compareMoved(array, others, size) : { axis: null, groupOf: [], ofScale: [size] };
  });
}

/** Every number a unit in the last place up or down; whole numbers upwards, for a net may take them for indices. */
function nudge({ shape, data }: NdArray, seed: number, size: number): NdArray {
  const coin = coins(seed);
  const nudged = Float32Array.from(data as ArrayLike<number>, (value) => {
    const isUp = coin() || Number.isInteger(Number(value));
    return Number(value) * (1 + (isUp ? 2 : -2) * size);
  });
  return { shape, data: nudged };
}
