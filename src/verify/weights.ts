/**
 * Compares the weights of a written file with those that it was made from, tensor by tensor.
 *
 * A net whose biases are all zero would hide a dropped bias from any comparison of outputs, and one value of a hundred million that
 * is off hides among the rest.
 */
import { guardsOf, heldWeight } from '../model/half-range.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { stateDict } from '../model/state-dict.js';
import type { Tensor } from '../model/tensor.js';
import type { WeightMismatch, WeightReport, WeightsReport } from './report.js';
import { hasFullPrecision, roundedTo } from './rounded-alone.js';
import { lookedUp, rowsApart } from './rows-apart.js';
import { compareWeight } from './weight-pair.js';
import type { WrittenModel, WrittenWeight } from './written/written.js';

export type OnProgress = (done: number, total: number) => void;

/** A weight of the source, and what the file has in its place. */
interface Pair {
  /** Whether the file has a layer of that identity, and so should have the weight. */
  readonly isPaired: boolean;
  /** Whether the file works it out from others. */
  readonly isWorkedOut?: boolean;
  readonly layer: string;
  readonly role: string;
  readonly source: Tensor;
  readonly written: WrittenWeight | undefined;
  /** Along which its rows are looked up; undefined where it is computed with as a whole. */
  readonly rows?: number | undefined;
}

/**
 * Every weight of every layer must be in the file, with the values that rounding to the stored dtype gives, or within half a step
 * where it is quantised: in a file that was written from the layer map and has all of its layers. In others equal names are a
 * coincidence, or a normalisation was folded into the weights before it, and what differs is told and not judged, but for single rows of
 * tables (`rowsApart`) and single weights that were rounded (`roundedTo`).
 *
 * @returns null where none of the map's layers is found in the file, as in files of other tools, which name them otherwise
 */
export async function compareWeights(map: LayerMap, written: WrittenModel, onProgress?: OnProgress): Promise<WeightsReport | null> {
  const guards = written.computeDType === 'float16' ? guardsOf(map.layers) : null;
  const tables = lookedUp(map.layers);
  const pairs = map.layers.flatMap((layer): Pair[] => {
    const found = Object.entries(layer.weights).map(([role, own]) => {
      const source = guards?.has(layer) ? heldWeight(role, own) : own;
      return { layer: layer.name, role, source, written: written.weight(layer, role), rows: tables.get(layer) };
    });
    const isPaired = found.some((pair) => pair.written !== undefined);
    return found.map((pair) => {
      const isWorkedOut = pair.written === undefined && written.worksOut?.(layer, pair.role) === true;
      return { ...pair, isPaired: isPaired && !isWorkedOut, isWorkedOut };
    });
  });
  const hasAll = pairs.every(({ isPaired, isWorkedOut }) => isPaired || isWorkedOut);
  return comparePairs(pairs, written.isOurs && !written.partners && hasAll, onProgress);
}

/** Tensors of two files by their names. */
export interface NamePairs {
  readonly pairs: readonly { readonly source: Tensor; readonly stored: Tensor | undefined }[];
  /** Tensors of the file whose names the source has not. */
  readonly more: readonly Tensor[];
  readonly found: number;
}

/** Pairs tensors by name; where that pairs few of them, by what is left of the names without the modules that training code put around all. */
export function pairByName({ tensors }: ModelFile, stored: readonly Tensor[]): NamePairs {
  const own = tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  const asTheyAre = pairBy(new Map(own.map((tensor) => [tensor.name, tensor])), new Map(stored.map((tensor) => [tensor.name, tensor])));
  const unwrapped = pairBy(stateDict(own).tensors, stateDict(stored).tensors);
  return unwrapped.found > asTheyAre.found ? unwrapped : asTheyAre;
}

function pairBy(own: ReadonlyMap<string, Tensor>, stored: ReadonlyMap<string, Tensor>): NamePairs {
  const pairs = [...own].map(([name, source]) => ({ source, stored: stored.get(name) }));
  const more = [...stored].filter(([name]) => !own.has(name)).map(([, tensor]) => tensor);
  return { pairs, more, found: pairs.filter((pair) => pair.stored).length };
}

/** How many batches a normalisation has seen in training; nothing depends on it. */
const COUNTER = /(^|\.)num_batches_tracked$/;

/**
 * The same for a file of named tensors that were moved as they are.
 *
 * @returns null where no tensor of the file has the name of one of the source
 */
export async function compareStored({ pairs }: NamePairs, onProgress?: OnProgress): Promise<WeightsReport | null> {
  return comparePairs(
    pairs
      .filter(({ source, stored }) => stored || !COUNTER.test(source.name))
      .map(({ source, stored }) => ({ layer: layerOf(source), role: source.name, source, written: stored && { tensor: stored }, isPaired: true })),
    true,
    onProgress,
  );
}

/** The same with what the file has more than the source, which is a difference too. */
export function withSurplus(report: WeightsReport | null, more: readonly Tensor[]): WeightsReport | null {
  const surplus = more
    .filter(({ name }) => !COUNTER.test(name))
    .map((tensor) => ({ layer: layerOf(tensor), role: tensor.name, message: `the file has "${tensor.name}", and the source has no such tensor` }));
  return report && { ...report, mismatches: [...report.mismatches, ...surplus] };
}

function layerOf({ name }: Tensor): string {
  return name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : name;
}

/** Layers may share a weight, as the steps of a recurrent one do: all are compared, and what the file stores once is listed once. */
function onceEach(): (source: Tensor, written: WrittenWeight, role: string) => boolean {
  const seen = new Map<Tensor, Set<string>>();
  return (source, { tensor }, role) => {
    const stored = seen.get(source) ?? new Set();
    const key = `${role} ${tensor.name}`;
    const isNew = !stored.has(key);
    seen.set(source, stored.add(key));
    return isNew;
  };
}

/** What folding a normalisation leaves of a weight, in all. */
const NEARLY = 2 ** -20;

async function comparePairs(all: readonly Pair[], judged: boolean, onProgress?: OnProgress): Promise<WeightsReport | null> {
  const pairs = all.filter(({ isPaired }) => isPaired);
  const unpaired = [...new Set(all.filter(({ isPaired }) => !isPaired).map(({ layer }) => layer))];
  if (pairs.every(({ written }) => written === undefined)) return null;
  const mismatches: WeightMismatch[] = [];
  const inRows: WeightMismatch[] = [];
  const tensors: WeightReport[] = [];
  const isNew = onceEach();
  const rounded: WeightMismatch[] = [];
  let isSameElsewhere = false;
  for (const [i, { layer, role, source, written, rows }] of pairs.entries()) {
    const told = (message: string): WeightMismatch => ({ layer, role, message: `layer "${layer}", ${role}: ${message}` });
    const mismatch = (message: string) => mismatches.push(told(message));
    if (written) {
      const { problem, facts } = await compareWeight(source, written);
      if (problem !== null) mismatch(problem);
      const apart = problem !== null && !judged && rows !== undefined ? await rowsApart(source, written, rows) : null;
      if (apart !== null) inRows.push(told(apart));
      const narrowed = !judged && problem !== null ? await roundedTo(source, written) : null;
      // The source's in every bit, or but for what folding leaves.
      const isSame = problem === null || (narrowed === null && (facts.relativeError ?? 1) <= NEARLY);
      if (!judged && isSame) isSameElsewhere ||= facts.dtype === 'float32' && (await hasFullPrecision(written.tensor));
      if (narrowed !== null) rounded.push(told(`is the source's ${narrowed}, though it is stored as float32 and others are not`));
      if (isNew(source, written, role)) tensors.push({ layer, role, ...facts });
    } else mismatch(`the file has no ${role} for it`);
    onProgress?.(i + 1, pairs.length);
  }
  const counts = { compared: pairs.length, equal: pairs.length - mismatches.length };
  const beyondDoubt = [...inRows, ...(isSameElsewhere ? rounded : [])];
  return beyondDoubt.length > 0
    ? { ...counts, judged: true, unpaired, mismatches: beyondDoubt, tensors }
    : { ...counts, judged, unpaired, mismatches, tensors };
}
