/** `diff`: two model files of any formats, tensor by tensor. */
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import type { ModelFile } from '../model/layer-map.js';
import { elementCount, tensorByteLength } from '../model/tensor.js';
import { type OpenOptions, openModel } from '../readers/open.js';
import { alignParts, contentKey, isCouple, type PartPair, sizeKey } from './align.js';
import type { DiffDocument, DiffSide, TensorDiff, TensorStatus } from './document.js';
import { foldedParts, hasBatchNormalisation } from './fold.js';
import { alone, diffCouple } from './pair.js';
import { leftOver, mapParts, type Part, readSide, type Side, storedParts } from './parts.js';
import { diffStructure } from './structure.js';
import { layersOf, verdictOf } from './verdict.js';

export interface DiffOptions {
  /** What the first file does not say of itself, and the second. */
  readonly a?: OpenOptions;
  readonly b?: OpenOptions;
  /** Also how the values of tensors that are not equal are distributed, which reads them once more. */
  readonly histograms?: boolean;
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Compares two models: each tensor with the one that stands in its place, and the layers where both files hold wiring.
 *
 * @throws ModelError for a file that cannot be read, or that holds no weights
 */
export async function diffFiles(a: FileSet, b: FileSet, options: DiffOptions = {}): Promise<DiffDocument> {
  const models = [await openModel(a, options.a), await openModel(b, options.b)] as const;
  return diffModels({ path: a.label, model: models[0] }, { path: b.label, model: models[1] }, options);
}

export interface NamedModel {
  readonly path: string;
  readonly model: ModelFile;
}

export async function diffModels(a: NamedModel, b: NamedModel, { histograms = false, onProgress }: DiffOptions = {}): Promise<DiffDocument> {
  const startedAt = performance.now();
  for (const { path, model } of [a, b])
    if (model.tensors.every(({ beside }) => beside)) throw new ModelError('unsupported', 'the file holds no weights to compare', { file: path });
  const sides = [await readSide(a.model), await readSide(b.model)] as const;
  const view = viewOf(...sides);
  const pairs = await alignParts(view.a, view.b);
  const total = pairs.filter(isCouple).reduce((sum, couple) => sum + tensorByteLength(couple.a.tensor), 0);
  const tensors: TensorDiff[] = [];
  let done = 0;
  for (const pair of pairs) {
    tensors.push(await diffPair(pair, { isOriented: view.isOriented, histograms }));
    if (isCouple(pair)) done += tensorByteLength(pair.a.tensor);
    onProgress?.(done, total);
  }
  const found = await findElsewhere(tensors, pairs);
  const structure =
    view.isOriented && sides.every(({ hasWiring }) => hasWiring)
      ? diffStructure(sides[0].map!, sides[1].map!, partnersOf(pairs), a.model.format === b.model.format)
      : null;
  const totals = totalsOf(found);
  const [sideA, sideB] = [describe(a, sides[0]), describe(b, sides[1])];
  return {
    schema: 'weighbridge/diff@1',
    verdict: verdictOf({ a: sideA, b: sideB, tensors: found, structure, totals }),
    a: sideA,
    b: sideB,
    totals,
    layers: layersOf(found),
    tensors: found,
    structure,
    notes: view.notes,
    elapsedMs: performance.now() - startedAt,
  };
}

interface View {
  readonly a: readonly Part[];
  readonly b: readonly Part[];
  /** Whether both are as layer maps have them. */
  readonly isOriented: boolean;
  readonly notes: readonly string[];
}

/** By layer maps where both files have one, with what is stored beside the net where names can tell; else as stored. */
function viewOf(a: Side, b: Side): View {
  if (!a.map || !b.map) return { a: storedParts(a), b: storedParts(b), isOriented: false, notes: [] };
  const folds = hasBatchNormalisation(a.map) !== hasBatchNormalisation(b.map);
  const parts = (side: Side) => (folds && hasBatchNormalisation(side.map!) ? foldedParts(side.map!) : mapParts(side.map!));
  const [restA, restB] = [leftOver(a), leftOver(b)];
  if (a.model.format === b.model.format) return { a: [...parts(a), ...restA], b: [...parts(b), ...restB], isOriented: true, notes: [] };
  const notes = [[restA, 'first'] as const, [restB, 'second'] as const].flatMap(([rest, which]) =>
    rest.length > 0 ? [`${rest.length} tensors of the ${which} file are no part of its net and were not compared, such as "${rest[0]!.storedName}"`] : [],
  );
  return { a: parts(a), b: parts(b), isOriented: true, notes };
}

function diffPair(pair: PartPair, options: { isOriented: boolean; histograms: boolean }): Promise<TensorDiff> {
  if (isCouple(pair)) return diffCouple(pair, options);
  return Promise.resolve(pair.a ? alone(pair.a, 'only-in-a') : alone(pair.b!, 'only-in-b'));
}

/** Where the values of a tensor that differs, or is missing, stand in the other file instead. */
async function findElsewhere(tensors: readonly TensorDiff[], pairs: readonly PartPair[]): Promise<TensorDiff[]> {
  const lost = tensors.flatMap(({ status }, i) => (status === 'different' || status === 'only-in-a' ? [i] : []));
  const sizes = new Set(lost.map((i) => pairs[i]!.a && sizeKey(pairs[i]!.a)));
  const places = new Map<string, string>();
  for (const { b } of pairs) if (b && elementCount(b.tensor.shape) > 1 && sizes.has(sizeKey(b))) places.set(await contentKey(b), b.storedName);
  const found = new Map<number, string>();
  for (const i of lost) {
    const { a } = pairs[i]!;
    const place = a && places.size > 0 && elementCount(a.tensor.shape) > 1 ? places.get(await contentKey(a)) : undefined;
    if (place !== undefined && place !== pairs[i]!.b?.storedName) found.set(i, place);
  }
  return tensors.map((tensor, i) => (found.has(i) ? { ...tensor, elsewhere: found.get(i)! } : tensor));
}

/** Which layer is which, as their weights say. */
function partnersOf(pairs: readonly PartPair[]): Map<string, string> {
  const partners = new Map<string, string>();
  const taken = new Set<string>();
  for (const { a, b } of pairs) {
    if (!a?.layer || !b?.layer || a.op === null || b.op === null || partners.has(a.layer) || taken.has(b.layer)) continue;
    partners.set(a.layer, b.layer);
    taken.add(b.layer);
  }
  return partners;
}

function totalsOf(tensors: readonly TensorDiff[]): Record<TensorStatus, number> {
  const totals: Record<TensorStatus, number> = { equal: 0, changed: 0, close: 0, different: 0, 'only-in-a': 0, 'only-in-b': 0 };
  for (const { status } of tensors) totals[status]++;
  return totals;
}

function describe({ path, model }: NamedModel, { map, withoutMap }: Side): DiffSide {
  const own = model.tensors.filter(({ beside }) => !beside);
  return {
    path,
    format: model.format,
    producer: model.producer,
    architecture: map?.architecture?.name ?? null,
    tensors: own.length,
    parameterCount: own.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0),
    withoutMap,
  };
}
