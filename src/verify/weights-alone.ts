/** Verification of formats that hold weights and no wiring: there is nothing to run. */
import type { Report } from './report.js';
import type { ConversionToVerify, VerifyOptions } from './verify.js';
import { compareStored, compareWeights } from './weights.js';
import type { WrittenModel } from './written/written.js';

/** @returns a report that says that predictions were not compared */
export async function verifyWeights({ model, map, target }: ConversionToVerify, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const onProgress = (done: number, total: number) => options.onProgress?.('comparing weights', done, total);
  const stored = await compareStored(model, written, onProgress);
  const weights = stored ?? (map && (await compareWeights(map, written, onProgress)));
  const notes = [`${target.format} files hold weights without wiring, so weights were compared and predictions were not`];
  if (!weights) notes.push('no tensor of the file has the name of one of the source');
  const why = stored ? 'tensors that were moved are compared bit for bit' : 'weights are compared bit for bit with what rounding to the stored dtype gives';
  return {
    schema: 'weighbridge/report@1',
    verdict: !weights || weights.compared === 0 ? 'nothing-compared' : weights.mismatches.length > 0 ? 'mismatch' : 'match',
    witness: {
      kind: 'weights',
      independent: false,
      detail: 'the weights of the source, as our own reader gives them; a mistake of that reader would not show',
    },
    engines: { expected: `${model.format} reader`, actual: `${target.format} reader` },
    device: 'cpu',
    tolerance: { atol: 0, rtol: 0, why, smallestPassing: null },
    inputs: { samples: 0, seed: null, kind: 'none' },
    outputs: [],
    layers: null,
    weights,
    quantisation: null,
    firstDifference: weights?.mismatches[0] ? { layer: weights.mismatches[0].layer, message: weights.mismatches[0].message } : null,
    notes,
    elapsedMs: performance.now() - startedAt,
  };
}
