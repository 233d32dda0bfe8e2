/** Verification of formats that hold weights and no wiring: there is nothing to run. */
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import type { ConversionToVerify, VerifyOptions } from './options.js';
import type { Report } from './report.js';
import { compareStored, compareWeights } from './weights.js';
import type { WrittenModel } from './written/written.js';

/** @returns a report that says that predictions were not compared */
export async function verifyWeights({ model, map, target }: ConversionToVerify, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const onProgress = (done: number, total: number) => options.onProgress?.('comparing weights', done, total);
  const roles = map === null ? 0 : countRoles(map, written);
  const isCanonical = map !== null && roles > 0 && roles >= countNames(model, written);
  const weights = isCanonical ? await compareWeights(map, written, onProgress) : await compareStored(model, written, onProgress);
  const notes = [`${target.format} files hold weights without wiring, so weights were compared and predictions were not`];
  if (!weights) notes.push('no tensor of the file has the name of one of the source');
  const why = 'tensors are compared bit for bit: with those of the source, or with what rounding to the stored dtype gives';
  return {
    schema: 'weighbridge/report@1',
    verdict: !weights || weights.compared === 0 ? 'nothing-compared' : weights.mismatches.length > 0 ? 'mismatch' : 'match',
    witness: {
      kind: 'weights',
      independent: false,
      detail: 'the weights of the source, as our own reader gives them; a mistake of that reader would not show',
      refused: [],
    },
    engines: { expected: `${model.format} reader`, actual: `${target.format} reader` },
    device: 'cpu',
    tolerance: { atol: 0, rtol: 0, why, smallestPassing: null },
    inputs: { samples: 0, seed: null, kind: 'none', ranges: [] },
    compared: { outputs: 0, of: 0, values: 0 },
    outputs: [],
    interface: [],
    trials: [],
    layers: null,
    weights,
    quantisation: null,
    firstDifference: weights?.mismatches[0] ? { layer: weights.mismatches[0].layer, message: weights.mismatches[0].message } : null,
    notes,
    elapsedMs: performance.now() - startedAt,
  };
}

/** Weights of the layer map that the file has under their canonical names. */
function countRoles(map: LayerMap, written: WrittenModel): number {
  return map.layers.flatMap((layer) => Object.keys(layer.weights).filter((role) => written.weight(layer, role))).length;
}

/** Tensors of the source that the file has under their own names; a few may be called as in the layer map. */
function countNames({ tensors }: ModelFile, written: WrittenModel): number {
  return tensors.filter(({ beside, tensor }) => !beside && written.tensor?.(tensor.name)).length;
}
