/** What `shrink` adds up: bytes on disk and after loading, and how often the top class stayed the same. */
import type { LayerMap } from '../model/layer-map.js';
import { MIN_CLASSES } from './compare.js';
import type { Report, WeightReport } from './report.js';

export interface BeforeAfter {
  readonly before: number;
  readonly after: number;
}

export interface ShrinkTotals {
  /** Bytes of all files. */
  readonly onDisk: BeforeAfter;
  /** The same as they are sent: compressed, where that was asked for. */
  readonly onWire: BeforeAfter;
  /** Bytes of weights as they are computed with; null where no weight was compared. */
  readonly loaded: BeforeAfter | null;
}

/** The output whose top class moved most often. */
export interface Agreement {
  readonly output: string;
  readonly same: number;
  readonly of: number;
  readonly share: number;
}

const KERAS = 'the file is smaller, what runs is not: Keras copies weights into variables of float32';

/** Targets whose runtimes compute in float32 and widen whatever is narrower. */
const WIDENING: Readonly<Record<string, string>> = {
  onnx: 'the file is smaller, what runs is not: behind Cast or DequantizeLinear weights are float32 again when the runtime loads or runs them',
  tfjs: 'the file is smaller, what runs is not: TensorFlow.js widens weights to float32 when it loads them',
  'tfjs-graph': 'the file is smaller, what runs is not: TensorFlow.js widens weights to float32 when it loads them',
  'keras-h5': KERAS,
  'keras-v3': KERAS,
  pytorch: 'the file is smaller, what runs is not: PyTorch copies weights into parameters, which are float32 unless a module says otherwise',
};

/**
 * A sentence on what becomes of narrow weights of a target when it is loaded.
 *
 * @param computesInCodes whether some layers compute in 8 bits
 */
export function loadedForm(format: string, computesInCodes = false): string {
  if (computesInCodes) return 'layers that compute in 8 bits keep their weights so, those of others are float32 again when the runtime loads or runs them';
  return WIDENING[format] ?? 'the format holds weights only, and whoever loads it decides what they become; counted as stored';
}

/**
 * @param weights of the report, as read back from the file
 * @param inCodes names of layers that compute in 8 bits
 */
export function totalsOf(
  {
    source,
    target,
  }: {
    readonly source: { readonly byteLength: number };
    readonly target: { readonly byteLength: number; readonly wireByteLength: number | null; readonly format: string };
  },
  weights: readonly WeightReport[],
  inCodes: ReadonlySet<string> = new Set(),
): ShrinkTotals {
  const onDisk = { before: source.byteLength, after: target.byteLength };
  const onWire = { before: source.byteLength, after: target.wireByteLength ?? target.byteLength };
  if (weights.length === 0) return { onDisk, onWire, loaded: null };
  const before = weights.reduce((sum, { byteLengthBefore }) => sum + byteLengthBefore, 0);
  const isWidened = ({ layer }: WeightReport) => target.format in WIDENING && !inCodes.has(layer);
  const after = weights.reduce((sum, weight) => sum + (isWidened(weight) ? weight.count * 4 : weight.byteLengthAfter), 0);
  return { onDisk, onWire, loaded: { before, after } };
}

/** Whether an output may be a list of classes for each row, as far as its shape is known. */
export function mayListClasses({ outputs }: Pick<LayerMap, 'outputs'>): boolean {
  return outputs.some(({ shape }) => shape.length === 2 && (typeof shape[1] === 'string' || shape[1]! >= MIN_CLASSES));
}

/** Null where no output is a list of classes. */
export function worstAgreement({ outputs }: Report): Agreement | null {
  const found = outputs.flatMap(({ name, top1 }) => (top1 && top1.of > 0 ? [{ output: name, ...top1, share: top1.same / top1.of }] : []));
  return found.sort((a, b) => a.share - b.share)[0] ?? null;
}
