/** Puts every fault that fits into a net's written file, alone, and asks the verifier: seen, placed, and called by its name? */
import { join } from 'node:path';
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { convert } from '../../../src/convert.js';
import { isModelError } from '../../../src/errors.js';
import type { LayerMap, ModelFile } from '../../../src/model/layer-map.js';
import { nodeFileSet } from '../../../src/node/index.js';
import type { EngineModel } from '../../../src/verify/engine.js';
import type { Report } from '../../../src/verify/report.js';
import { verifyConversion } from '../../../src/verify/verify.js';
import { onnx as onnxWriter } from '../../../src/writers/onnx/index.js';
import { corpusCases } from '../../corpus.js';
import { type AnyFault, faultsFor } from './any-net.js';
import { modelOf } from './nets.js';
import { type Edit, editOnnx } from './onnx-edit.js';

/** A net, what was written of it, and where it comes from. */
export interface Subject {
  readonly map: LayerMap;
  readonly model: ModelFile;
  readonly source: EngineModel;
  readonly bytes: Uint8Array;
}

export interface Score {
  readonly fault: AnyFault;
  /** What the verdict was: 'not run' where the runtime or the verification refused the file, so that there is nothing to see. */
  readonly verdict: Report['verdict'] | 'not run';
  readonly seen: boolean;
  readonly placed: boolean;
  readonly named: boolean;
  /** What was said of it. */
  readonly said: string;
}

/** Has every operator of the families. */
const OPSET = 20;

export async function writtenOnnx(map: LayerMap, dtype: 'source' | 'int8' = 'source'): Promise<Uint8Array> {
  const sink = memorySink();
  await onnxWriter.write(map, sink, 'net.onnx', { dtype, layout: 'source', opset: OPSET, metadata: async () => ({}) });
  await sink.commit();
  return sink.files.get('net.onnx')!;
}

/** A net that was made here; only our evaluator can be its witness, and the faults are in the written file. */
export async function subjectOf(map: LayerMap): Promise<Subject> {
  const bytes = await writtenOnnx(map);
  return { map, model: modelOf(map), source: { files: memoryFileSet({ 'net.onnx': bytes }, 'net.onnx') }, bytes };
}

/** A model of the corpus, converted as a user would. */
export async function corpusSubject(name: string): Promise<Subject & { close(): Promise<void> }> {
  const [found] = corpusCases((candidate) => candidate.case === name);
  const path = join(found!.folder, found!.model);
  const files = await nodeFileSet(path);
  const sink = memorySink();
  const prototxt = found!.prototxt ?? undefined;
  const { model, map } = await convert(files, sink, 'net.onnx', { prototxt });
  return { map: map!, model, source: { files, path, prototxt }, bytes: sink.files.get('net.onnx')!, close: () => files.close() };
}

/** Verifies the written file with one change, in the way of a user who asks for nothing in particular. */
export async function verifyEdited({ map, model, source, bytes }: Subject, edit: Edit): Promise<Report> {
  const files = memoryFileSet({ 'changed.onnx': editOnnx(bytes, edit) }, 'changed.onnx');
  return verifyConversion({ source, model, map, target: { files, format: 'onnx' } }, {});
}

export async function scoreFault(subject: Subject, fault: AnyFault): Promise<Score> {
  const notRun = (said: string): Score => ({ fault, verdict: 'not run', seen: false, placed: false, named: false, said });
  try {
    const [before, after] = [editOnnx(subject.bytes, () => {}), editOnnx(subject.bytes, fault.edit)];
    if (Buffer.compare(before, after) === 0) return notRun('it changes nothing');
    const report = await verifyEdited(subject, fault.edit);
    const { verdict, cause, firstDifference } = report;
    const layers = [firstDifference?.layer, cause?.layer, ...(cause?.explainedBy.map(({ layer }) => layer) ?? [])];
    return {
      fault,
      verdict,
      seen: verdict !== 'match',
      placed: layers.includes(fault.layer),
      named: cause?.explainedBy.some(({ kind }) => fault.causes.includes(kind)) === true,
      said: cause?.message ?? report.notes.find((note) => note.includes('kind of mistake')) ?? firstDifference?.message ?? '',
    };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return notRun(error.message);
  }
}

/** Those that fit the net, but for what the first file makes of its weights: nodes that are not there under the layer's name. */
export function faultsOf({ map }: Subject): AnyFault[] {
  return faultsFor(map);
}

/** @param every only each so many-th of the faults, where running all takes long */
export async function scoreNet(subject: Subject, every = 1): Promise<Score[]> {
  const scores: Score[] = [];
  for (const [i, fault] of faultsFor(subject.map).entries()) if (i % every === 0) scores.push(await scoreFault(subject, fault));
  return scores;
}
