/**
 * Compares the weights of a written file with those that it was made from, tensor by tensor.
 *
 * A net whose biases are all zero would hide a dropped bias from any comparison of outputs, and one value of a hundred million that
 * is off hides among the rest.
 */
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import type { WeightMismatch, WeightReport, WeightsReport } from './report.js';
import { compareWeight } from './weight-pair.js';
import type { WrittenModel, WrittenWeight } from './written/written.js';

type OnProgress = (done: number, total: number) => void;

/** A weight of the source, and what the file has in its place. */
interface Pair {
  /** Whether the file has a layer of that identity, and so should have the weight. */
  readonly isPaired: boolean;
  readonly layer: string;
  readonly role: string;
  readonly source: Tensor;
  readonly written: WrittenWeight | undefined;
}

/**
 * Every weight of every layer must be in the file, with the values that rounding to the stored dtype gives, or within half a step
 * where it is quantised: in a file that was written from the layer map and has all of its layers. In others equal names are a
 * coincidence, or a normalisation was folded into the weights before it, and what differs is told and not judged.
 *
 * @returns null where none of the map's layers is found in the file, as in files of other tools, which name them otherwise
 */
export async function compareWeights(map: LayerMap, written: WrittenModel, onProgress?: OnProgress): Promise<WeightsReport | null> {
  const pairs = map.layers.flatMap((layer): Pair[] => {
    const found = Object.entries(layer.weights).map(([role, source]) => ({ layer: layer.name, role, source, written: written.weight(layer, role) }));
    const isPaired = found.some((pair) => pair.written !== undefined);
    return found.map((pair) => ({ ...pair, isPaired }));
  });
  return comparePairs(pairs, written.isOurs && pairs.every(({ isPaired }) => isPaired), onProgress);
}

/** The same for a file of named tensors that were moved as they are. */
export async function compareStored(model: ModelFile, written: WrittenModel, onProgress?: OnProgress): Promise<WeightsReport | null> {
  const pairs = model.tensors
    .filter(({ beside }) => !beside)
    .map(({ layer, tensor }) => {
      const found = written.tensor?.(tensor.name);
      return { layer: layer ?? tensor.name, role: tensor.name, source: tensor, written: found && { tensor: found }, isPaired: true };
    });
  return comparePairs(pairs, true, onProgress);
}

async function comparePairs(all: readonly Pair[], judged: boolean, onProgress?: OnProgress): Promise<WeightsReport | null> {
  const pairs = all.filter(({ isPaired }) => isPaired);
  const unpaired = [...new Set(all.filter(({ isPaired }) => !isPaired).map(({ layer }) => layer))];
  if (pairs.every(({ written }) => written === undefined)) return null;
  const mismatches: WeightMismatch[] = [];
  const tensors: WeightReport[] = [];
  for (const [i, { layer, role, source, written }] of pairs.entries()) {
    const mismatch = (message: string) => mismatches.push({ layer, role, message: `layer "${layer}", ${role}: ${message}` });
    if (written) {
      const { problem, facts } = await compareWeight(source, written);
      if (problem !== null) mismatch(problem);
      tensors.push({ layer, role, ...facts });
    } else mismatch(`the file has no ${role} for it`);
    onProgress?.(i + 1, pairs.length);
  }
  return { compared: pairs.length, equal: pairs.length - mismatches.length, judged, unpaired, mismatches, tensors };
}
