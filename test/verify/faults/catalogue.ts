/** Puts every fault that fits into a net's written file, alone, and asks the verifier: seen, placed, and called by its name? */
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { isModelError } from '../../../src/errors.js';
import type { LayerMap } from '../../../src/model/layer-map.js';
import type { Report } from '../../../src/verify/report.js';
import { verifyConversion } from '../../../src/verify/verify.js';
import { onnx as onnxWriter } from '../../../src/writers/onnx/index.js';
import { type AnyFault, faultsFor } from './any-net.js';
import { modelOf } from './nets.js';
import { type Edit, editOnnx } from './onnx-edit.js';

export interface Score {
  readonly net: string;
  readonly fault: AnyFault;
  /** What the verdict was: 'not run' where the runtime or the verification refused the file, which is seen as well. */
  readonly verdict: Report['verdict'] | 'not run';
  readonly seen: boolean;
  readonly placed: boolean;
  readonly named: boolean;
  /** What was said of it. */
  readonly said: string;
}

export async function writtenOnnx(map: LayerMap): Promise<Uint8Array> {
  const sink = memorySink();
  await onnxWriter.write(map, sink, 'net.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  return sink.files.get('net.onnx')!;
}

/** Verifies the written file with one change, in the way of a user who asks for nothing in particular. */
export async function verifyEdited(map: LayerMap, bytes: Uint8Array, edit: Edit): Promise<Report> {
  const files = memoryFileSet({ 'changed.onnx': editOnnx(bytes, edit) }, 'changed.onnx');
  return verifyConversion({ source: { files }, model: modelOf(map), map, target: { files, format: 'onnx' } }, {});
}

export async function scoreFault(map: LayerMap, bytes: Uint8Array, fault: AnyFault): Promise<Score> {
  try {
    const report = await verifyEdited(map, bytes, fault.edit);
    const { verdict, cause, firstDifference } = report;
    const layers = [firstDifference?.layer, cause?.layer, ...(cause?.explainedBy.map(({ layer }) => layer) ?? [])];
    return {
      net: map.name,
      fault,
      verdict,
      seen: verdict !== 'match',
      placed: layers.includes(fault.layer),
      named: cause?.explainedBy.some(({ kind }) => fault.causes.includes(kind)) === true,
      said: cause?.message ?? report.notes.find((note) => note.includes('kind of mistake')) ?? firstDifference?.message ?? '',
    };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { net: map.name, fault, verdict: 'not run', seen: true, placed: false, named: false, said: error.message };
  }
}

/** @param which whether a fault is put into the first or the last layer that it fits */
export async function scoreNet(map: LayerMap, which: 'first' | 'last' = 'last'): Promise<Score[]> {
  const bytes = await writtenOnnx(map);
  const scores: Score[] = [];
  for (const fault of faultsFor(map, which)) scores.push(await scoreFault(map, bytes, fault));
  return scores;
}
