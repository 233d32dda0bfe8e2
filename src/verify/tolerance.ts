/**
 * How far apart two right answers may be. Measured for each net (`band.ts`), or where that cannot be, from a table of errors on VGG16.
 *
 * A value passes when |expected - actual| <= atol + rtol * max|expected|.
 */
import type { Layer, LayerMap, Port } from '../model/layer-map.js';
import { type Band, measureBand, type Net, nudgedOutputs, TOO_SENSITIVE } from './band.js';
import type { Tolerance } from './compare.js';
import { HALF_UNIT, type Moved } from './rounding.js';
import type { Feeds, Side } from './side.js';

/**
 * How many times what a rounding does is let pass. On 90 published nets ONNX Runtime, TensorFlow.js and the recordings of six frameworks
 * needed at most 3.1; the smallest fault that was met, a kernel wrong in one of its windows, 30,000.
 */
export const MARGIN = 20;
/** Where a runtime is nudged instead of every value of the evaluator, right nets needed up to 6.1, and loss of narrower weights twice. */
const LOSS_MARGIN = 10;

/**
 * Error of each engine in float32, of a layer's scale: max|a - b| / max|b| against float64 on full VGG16, in its worst layer. That is the
 * softmax, which amplifies an error of the logits: before it ONNX Runtime has 8e-7, OpenCV 2.8e-6, TensorFlow.js 5e-6 and the GPU engines
 * 4.5e-6. OpenCV's softmax was seen 1.29e-5 from ONNX Runtime's.
 */
const FLOAT32_ERRORS: Readonly<Record<string, number>> = {
  'ort-cpu': 4.6e-6,
  'ort-wasm': 4.6e-6,
  'ort-webgpu': 1.2e-5,
  'tfjs-cpu': 2.2e-5,
  'tfjs-wasm': 2.2e-5,
  'tfjs-webgpu': 1.4e-5,
  'tfjs-node': 3.8e-6,
  opencv: 1.3e-5,
  /** float64 itself. */
  reference: 0,
};
/** Engines without a measurement, and frameworks whose outputs were recorded, count as the worst of those measured. */
const UNMEASURED = 2.2e-5;
const TABLE_MARGIN = 3;
/** Other nets add in other orders than VGG16; real faults are hundreds of times larger than this. */
const FLOOR = 2e-5;
/** However little a rounding does: frameworks that recorded may have multiplied by way of Winograd or approximated an exponential on a GPU. */
const LEAST = 1e-5;

/**
 * Layers that are computed in float16. On VGG16's worst layer ONNX Runtime is off by 4.3e-4 on the CPU, where it rounds what a layer
 * makes and adds in float32, and by 3.3e-2 on a GPU, where it adds in float16 as well; by 8.2e-2 in the softmax, which the margin covers.
 */
const HALF_ERRORS: Readonly<Record<string, number>> = { 'ort-cpu': 4.3e-4, 'ort-wasm': 4.3e-4 };
const HALF_UNMEASURED = 3.3e-2;
const HALF_MARGIN = 3;

/** What narrower weights alone do to outputs, and how much is let pass before it counts as a mismatch. */
const LOSSES: Readonly<Record<string, { readonly rtol: number; readonly measured: string }>> = {
  float16: { rtol: 5e-3, measured: 'about 6e-4' },
  bfloat16: { rtol: 3e-2, measured: 'about 5e-3' },
  uint16: { rtol: 5e-3, measured: 'about 6.4e-5' },
  int8: { rtol: 0.15, measured: 'about 2.3e-2' },
  uint8: { rtol: 0.3, measured: 'about 1.8e-2' },
  int4: { rtol: 0.9, measured: 'about 0.5' },
  uint4: { rtol: 0.9, measured: 'about 0.5' },
};
/** However much narrower weights do to a net: beyond this part of its scale an output is another one. */
const MOST_LOSS = 0.15;

/** How far apart the two sides of one verification may be. */
export interface Tolerances {
  /** Between the witness and the written file's runtime. */
  readonly outputs: Tolerance;
  /** Where both sides compute with the same weights: narrower files against their own weights. */
  correctness(witness: string): Tolerance;
  /** What one layer makes, where both sides compute with the same weights. */
  layer(witness: string, layer: Layer): Tolerance;
}

export interface TolerancesAsked {
  readonly expected: string;
  readonly actual: string;
  /** The stored dtype that loses most; undefined where weights are the source's. */
  readonly narrowest?: string;
  /** dtype in which the file has its layers computed. */
  readonly computeDType?: string;
  /** What the framework computed in that recorded the outputs, where it is coarser than float32. */
  readonly recordedIn?: 'float16' | 'bfloat16';
  readonly atol?: number;
  readonly rtol?: number;
  /** What rounding does to this net in float32; null where it was not measured. */
  readonly band?: Band | null;
  /** The same in the narrower of what the file stores and computes in. */
  readonly narrowBand?: Band | null;
}

export function tolerances(asked: TolerancesAsked): Tolerances {
  const { expected, actual, narrowest, computeDType = 'float32', recordedIn, atol, rtol, band = null } = asked;
  const given = atol === undefined && rtol === undefined ? null : { atol: atol ?? 0, rtol: rtol ?? 0, why: 'as given' };
  const isHalf = computeDType === 'float16';
  const correctness = (witness: string) => (isHalf ? halfTolerance(asked) : band ? bandTolerance(band, actual) : tableTolerance(witness, actual));
  const layer = (witness: string, of: Layer): Tolerance => layerTolerance(correctness(witness), isHalf ? undefined : band?.layers?.get(of));
  const coarser = [...(isHalf ? [halfTolerance(asked)] : []), ...(recordedIn ? [recordedTolerance(recordedIn)] : [])];
  // What a user bounds of a narrower file is its loss; whether it computes what its weights say is no matter of taste.
  if (narrowest !== undefined) {
    const loss = lossTolerance(narrowest, asked.narrowBand ?? null);
    return { outputs: given ?? coarser.reduce((a, b) => (b.rtol > a.rtol ? b : a), loss), correctness, layer };
  }
  const outputs = given ?? (recordedIn ? recordedTolerance(recordedIn) : correctness(expected));
  return given ? { outputs, correctness: () => given, layer: () => given } : { outputs, correctness, layer };
}

/** Whether anything is to be measured: a file of the source's weights is held to what the user gave, if anything. */
function isGiven({ atol, rtol, narrowest }: TolerancesAsked): boolean {
  return narrowest === undefined && (atol !== undefined || rtol !== undefined);
}

/** Tolerances from what rounding does to a net on one input. */
export async function measuredTolerances(asked: Omit<TolerancesAsked, 'band' | 'narrowBand'>, net: Net, feeds: Feeds): Promise<Tolerances> {
  if (isGiven(asked) || net.isDrawn) return tolerances(asked);
  const { expected, actual, narrowest = 'float32', computeDType } = asked;
  const table = tableTolerance(expected, actual).rtol;
  const band = await measureBand({ ...net, size: HALF_UNIT.float32, table }, feeds);
  const narrow = computeDType === 'float16' ? computeDType : narrowest;
  const narrowBand = narrow === 'float16' || narrow === 'bfloat16' ? await measureBand({ ...net, size: HALF_UNIT[narrow], table }, feeds) : null;
  return tolerances({ ...asked, band, narrowBand });
}

/** rtol that rounding asks for of each output, however much that is. */
export function rtolsOf({ rtol, each }: Tolerance, count: number): readonly number[] {
  return Array.from({ length: count }, (_, place) => each?.[place]?.uncapped ?? each?.[place]?.rtol ?? rtol);
}

/** The same from nudged inputs alone; null where none may be nudged. */
export async function rtolsByNudging(map: Pick<LayerMap, 'inputs'>, side: Pick<Side, 'run'>, feeds: Feeds): Promise<readonly number[] | null> {
  const outputs = await nudgedOutputs(map, side, feeds, HALF_UNIT.float32);
  return outputs?.map(({ ofScale }) => MARGIN * ofScale[0]!) ?? null;
}

/** A layer is looked at on other inputs than the one that was measured, so it is held to no less than the table's least. */
function layerTolerance(tolerance: Tolerance, moved: Moved | undefined): Tolerance {
  const rtol = moved ? rtolFor(moved, FLOOR).rtol : Math.max(tolerance.rtol, FLOOR);
  return { ...tolerance, each: undefined, groups: undefined, rtol };
}

/** For two runtimes that compute the same weights, from what rounding does to the net. */
function bandTolerance({ outputs, how, table = LEAST }: Band, actual: string): Tolerance {
  const least = how === 'runtime' ? table : LEAST;
  const each = outputs.map((moved) => ({ atol: 0, why: '', ...rtolFor(moved, least) }));
  const rtol = Math.max(least, ...each.map((tolerance) => tolerance.rtol));
  const rounding = Math.max(0, ...outputs.map(({ ofScale }) => ofScale[0]!).filter(Number.isFinite));
  const times = rtol > least ? `${MARGIN} times what rounding does to this net` : 'the least that is allowed; rounding does less to this net';
  const shown = how === 'runtime' ? `, as nudged inputs of ${actual} show` : '';
  return { atol: 0, rtol, why: `${times}: it moves outputs by ${rounding.toExponential(1)} of their scale${shown}`, rounding, each };
}

/** An output that is zero on the input that was measured tells nothing of others. */
function rtolFor({ axis, groupOf, ofScale }: Moved, least: number): Pick<Tolerance, 'rtol' | 'uncapped' | 'groups'> {
  const rtols = ofScale.map((moved) => (Number.isFinite(moved) ? Number(Math.max(least, MARGIN * moved).toPrecision(2)) : least));
  const uncapped = Number.isFinite(ofScale[0]!) ? rtols[0]! : ofScale[0]!;
  return { rtol: Math.min(rtols[0]!, TOO_SENSITIVE), uncapped, groups: axis === null ? undefined : { axis, groupOf, rtol: rtols } };
}

/** For two runtimes that compute the same weights in float32, where nothing is known of the net. */
export function tableTolerance(expected: string, actual: string): Tolerance {
  const [a, b] = [FLOAT32_ERRORS[expected] ?? UNMEASURED, FLOAT32_ERRORS[actual] ?? UNMEASURED];
  const rtol = Math.max(FLOOR, Number((TABLE_MARGIN * (a + b)).toPrecision(2)));
  const errors = [...new Set([expected, actual])]
    .filter((name) => name !== 'reference')
    .map((name) => `${name} ${(FLOAT32_ERRORS[name] ?? UNMEASURED).toExponential()}`);
  return {
    atol: 0,
    rtol,
    why: `runtimes add in different orders; errors on VGG16, of a layer's scale: ${errors.join(', ')}; real faults are hundreds of times larger`,
    rounding: null,
  };
}

/** The same for a net whose layers compute in float32, some of whose outputs are rounded to half precision when they leave it. */
export function withRoundedPorts(tolerance: Tolerance, ports: readonly Pick<Port, 'dtype'>[]): Tolerance {
  const each = ports.map(({ dtype }): Tolerance => {
    const unit = dtype === 'float16' || dtype === 'bfloat16' ? HALF_UNIT[dtype] : 0;
    return unit > tolerance.rtol ? { ...tolerance, rtol: unit + tolerance.rtol, why: `the output is given in ${dtype}`, rounding: unit } : tolerance;
  });
  const [widest] = each.toSorted((a, b) => b.rtol - a.rtol);
  return widest && widest !== tolerance ? { ...widest, each } : tolerance;
}

/** For a file that has its layers computed in float16. */
function halfTolerance({ actual, narrowBand }: TolerancesAsked): Tolerance {
  const error = HALF_ERRORS[actual] ?? HALF_UNMEASURED;
  const table = HALF_MARGIN * error;
  const moved = narrowBand ? Math.max(...narrowBand.outputs.map(({ ofScale }) => ofScale[0]!)) : 0;
  const rtol = Number(Math.min(Math.max(table, HALF_MARGIN * moved), Math.max(table, MOST_LOSS)).toPrecision(2));
  const own = moved > error ? `rounding every value to float16 moves outputs of this net by ${moved.toExponential(1)}` : null;
  const why = `the file has its layers computed in float16; ${own ?? `${error.toExponential()} of a layer's scale was measured on VGG16`}`;
  return { atol: 1e-4, rtol, why, rounding: moved || null };
}

/**
 * For outputs that were recorded in half precision, against a file that computes in float32: every value that flowed was rounded as weights of that
 * dtype are, and weighed as much.
 */
function recordedTolerance(dtype: 'float16' | 'bfloat16'): Tolerance {
  const { rtol, measured } = LOSSES[dtype]!;
  const why = `the outputs were recorded by a model that computes in ${dtype}, which is that coarse; rounding weights to it alone moves outputs by ${measured} of their scale on VGG16`;
  return { atol: 1e-4, rtol, why };
}

/** For a file whose weights are narrower than the source's, against the source. */
function lossTolerance(narrowest: string, band: Band | null): Tolerance {
  const { rtol: table, measured } = LOSSES[narrowest] ?? LOSSES.uint8!;
  const moved = band ? Math.max(...band.outputs.map(({ ofScale }) => ofScale[0]!)) : 0;
  const own = lossAllowed(moved);
  const rest = 'that the values stored are the right ones is another comparison';
  const why =
    own > table
      ? `${LOSS_MARGIN} times what rounding to ${narrowest} does to this net, ${moved.toExponential(1)} of its scale; ${rest}`
      : `${narrowest} weights alone move outputs by ${measured} of their scale on VGG16; ${rest}`;
  return { atol: 0, rtol: Math.max(table, own), why, rounding: moved || null };
}

/** rtol for narrower numbers of which a rounding moves an output by so much of its scale. */
export function lossAllowed(moved: number): number {
  return Math.min(Number((LOSS_MARGIN * moved).toPrecision(2)), MOST_LOSS);
}

/** The one of several stored dtypes that loses most; undefined where none is narrow. */
export function narrowestOf(dtypes: Iterable<string>): string | undefined {
  const present = [...dtypes].filter((dtype) => LOSSES[dtype]);
  return present.sort((a, b) => LOSSES[b]!.rtol - LOSSES[a]!.rtol)[0];
}
