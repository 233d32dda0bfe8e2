/** Puts every fault that fits into a net's written file, alone, and asks the verifier: seen, placed, and called by its name? */
import { join } from 'node:path';
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { convert } from '../../../src/convert.js';
import { isModelError } from '../../../src/errors.js';
import type { LayerMap, ModelFile } from '../../../src/model/layer-map.js';
import { nodeFileSet } from '../../../src/node/index.js';
import type { EngineModel } from '../../../src/verify/engine.js';
import { ortCpu } from '../../../src/verify/engines/ort-cpu.js';
import { freeSizeFor, generateSample, RANGES } from '../../../src/verify/inputs.js';
import type { Report } from '../../../src/verify/report.js';
import { adaptPorts } from '../../../src/verify/side.js';
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

/** What verifying a file with a fault came to, as it was said. */
export interface Found {
  /** 'refused' where the runtime or the verification ended in an error; 'unchanged' where the fault left the file as it was. */
  readonly verdict: Report['verdict'] | 'refused' | 'unchanged';
  /** The layer that is called the first that differs. */
  readonly first: string | null;
  /** The layer that was looked at. */
  readonly layer: string | null;
  /** What explains it, the first one first. */
  readonly explainedBy: readonly { readonly kind: string; readonly layer: string }[];
  /** Whether a match is one, bit for bit, on inputs of all ranges. */
  readonly isSame: boolean;
  /** What was said of it. */
  readonly said: string;
}

/**
 * How good that was. Strictly: a fault is placed where the first layer that is blamed is the one that it is in, and named where the first explanation is the
 * fault, in that layer. `among`: where one of the explanations that are told as equal is.
 */
export interface Score {
  readonly fault: Pick<AnyFault, 'kind' | 'layer'>;
  readonly found: Found;
  /** 'same': nothing changed, in the file or in what it gives; 'refused': an error, so that nothing is placed. */
  readonly outcome: 'seen' | 'unseen' | 'refused' | 'same';
  readonly placed: boolean;
  readonly named: boolean;
  readonly among: boolean;
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
  return scoreOf(fault, await findFault(subject, fault));
}

export async function findFault(subject: Subject, fault: AnyFault): Promise<Found> {
  const nothing = { first: null, layer: null, explainedBy: [], isSame: false };
  try {
    const [before, after] = [editOnnx(subject.bytes, () => {}), editOnnx(subject.bytes, fault.edit)];
    if (Buffer.compare(before, after) === 0) return { ...nothing, verdict: 'unchanged', said: 'it changes nothing' };
    const report = await verifyEdited(subject, fault.edit);
    const { verdict, cause, firstDifference } = report;
    return {
      verdict,
      first: firstDifference?.layer ?? null,
      layer: cause?.layer ?? null,
      explainedBy: (cause?.explainedBy ?? []).map(({ kind, layer }) => ({ kind, layer })),
      isSame: verdict === 'match' && (await giveTheSame(subject.map, before, after)),
      said: cause?.message ?? report.notes.find((note) => note.includes('kind of mistake')) ?? firstDifference?.message ?? '',
    };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { ...nothing, verdict: 'refused', said: error.message };
  }
}

export function scoreOf({ kind, layer, causes }: Omit<AnyFault, 'edit'>, found: Found): Score {
  const { verdict, explainedBy } = found;
  const outcome = verdict === 'unchanged' || found.isSame ? 'same' : verdict === 'refused' ? 'refused' : verdict === 'match' ? 'unseen' : 'seen';
  const [first] = explainedBy;
  const isIt = (each: (typeof explainedBy)[number]) => each.layer === layer && causes.includes(each.kind);
  const blamed = first?.layer ?? found.layer ?? found.first;
  return {
    fault: { kind, layer },
    found,
    outcome,
    placed: outcome === 'seen' && blamed === layer,
    named: outcome === 'seen' && first !== undefined && isIt(first),
    among: outcome === 'seen' && explainedBy.some(isIt),
  };
}

/** Whether two files give the same bits for inputs of every range. */
async function giveTheSame(map: LayerMap, before: Uint8Array, after: Uint8Array): Promise<boolean> {
  const run = async (bytes: Uint8Array) => {
    const session = await ortCpu.open({ files: memoryFileSet({ 'net.onnx': bytes }, 'net.onnx') });
    try {
      const { feed } = adaptPorts(session, map, (port) => port.layout);
      const given: string[] = [];
      for (const [i, range] of Object.values(RANGES).entries()) {
        const results = await session.run(feed(generateSample(map.inputs, i, 0, { range, layers: map.layers, freeSize: () => freeSizeFor(map) })));
        given.push([...results.values()].map(({ data }) => Array.from(data as ArrayLike<number>).join()).join(';'));
      }
      return given;
    } finally {
      await session.close();
    }
  };
  return `${await run(before)}` === `${await run(after)}`;
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
