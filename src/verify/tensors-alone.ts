/**
 * Two files of which one at least is no net that can be run: weights of no known net, or of one that another program wires. Their tensors are
 * laid beside each other as `weighbridge diff` does it, by names, shapes and content, in whatever layout each file stores them.
 */
import { diffModels, type NamedModel } from '../diff/diff.js';
import type { TensorDiff } from '../diff/document.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import type { ModelFile } from '../model/layer-map.js';
import { explainTensor, type TensorPair } from './causes/tensors.js';
import type { VerifyOptions } from './options.js';
import type { Report, WeightMismatch, WeightReport } from './report.js';
import { hasFullPrecision } from './rounded-alone.js';
import { refuseRuntime, weightsReport } from './weights-alone.js';

const WHY = 'tensors are compared bit for bit, in whatever layout they are stored, or with what rounding to the stored dtype gives';

/** @param reason why nothing is run, a sentence */
export async function verifyTensors(expected: NamedModel, actual: NamedModel, reason: string, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  refuseRuntime(options, reason);
  const onProgress = (done: number, total: number) => options.onProgress?.('comparing weights', done, total);
  const { tensors, structure, notes } = await diffModels(expected, actual, { onProgress });
  const paired = tensors.filter(({ a, b }) => a && b);
  const judged = tensors.filter((tensor) => !isWiring(tensor));
  const stored = storedOf(expected.model, actual.model);
  const isRoundedAlone = await oddRounding(judged, stored);
  const isTurnedAlone = oddOrder(judged);
  const wrong = judged.flatMap((tensor) => {
    const problem = problemOf(tensor) ?? (isTurnedAlone(tensor) ? TURNED_ALONE : isRoundedAlone(tensor) ? ROUNDED_ALONE : null);
    return problem === null ? [] : [{ tensor, problem }];
  });
  const mismatches = wrong.map(({ tensor: { layer, role }, problem }): WeightMismatch => ({ layer, role, message: `layer "${layer}", ${role}: ${problem}` }));
  const cause = wrong[0]?.tensor.a
    ? await explainTensor(
        tensors.flatMap((tensor) => stored(tensor) ?? []),
        wrong[0].tensor.a.name,
      )
    : null;
  const report: Report = {
    ...weightsReport({
      formats: [expected.model.format, actual.model.format],
      weights:
        paired.length === 0
          ? null
          : { compared: judged.length, equal: judged.length - mismatches.length, judged: true, unpaired: [], mismatches, tensors: paired.map(describe) },
      notes: [
        `weights were compared and predictions were not: ${reason}`,
        ...(structure ? structure.changed.map(({ a, what }) => `layer "${a.name}": ${what.join(', ')}`) : []),
        ...notes,
      ],
      why: WHY,
      options,
      startedAt,
    }),
    cause,
  };
  // Layers that compute something else with the same weights are another net.
  const [other] = structure?.changed ?? [];
  if (!other || report.verdict !== 'match') return report;
  const message = `layer "${other.a.name}" computes something else with the same weights: ${other.what.join(', ')}`;
  return { ...report, verdict: 'mismatch', firstDifference: { layer: other.a.name, message } };
}

/** The tensors of a pair, as they are stored. */
type StoredOf = (pair: TensorDiff) => TensorPair | null;

function storedOf(source: ModelFile, file: ModelFile): StoredOf {
  const byName = ({ tensors }: ModelFile) => new Map(tensors.map(({ tensor }) => [tensor.name, tensor]));
  const [own, others] = [byName(source), byName(file)];
  return ({ a, b }) => {
    const [found, other] = [own.get(a?.name ?? ''), others.get(b?.name ?? '')];
    return found && other ? { source: found, stored: other } : null;
  };
}

const TURNED_ALONE = "holds the source's values with its axes in another order, though others of as many axes lie as in the source";
const ROUNDED_ALONE = "holds the source's values rounded to a narrower dtype, though it is stored as wide as it was and others are the source's in every bit";

/**
 * Frameworks have axes in orders of their own, so that all tensors of as many axes may lie otherwise. One that does so under the same name and in the same
 * shape, where another lies as it did, and none has a shape that says that axes were turned, is wrong.
 */
function oddOrder(tensors: readonly TensorDiff[]): (tensor: TensorDiff) => boolean {
  const rank = ({ a }: TensorDiff) => a!.shape.length;
  const paired = tensors.filter(({ a, b }) => a && b);
  const isAsItWas = ({ a, b, status }: TensorDiff) => status === 'equal' && `${a!.shape}` === `${b!.shape}`;
  const asTheyWere = new Set(paired.filter(isAsItWas).map(rank));
  const turned = new Set(paired.filter(({ a, b }) => `${a!.shape}` !== `${b!.shape}`).map(rank));
  return (tensor) =>
    tensor.status === 'changed' &&
    tensor.a!.name === tensor.b!.name &&
    `${tensor.a!.shape}` === `${tensor.b!.shape}` &&
    tensor.changes.some(({ kind }) => kind === 'axes-permuted') &&
    asTheyWere.has(rank(tensor)) &&
    !turned.has(rank(tensor));
}

/** Weights that were rounded and are stored in float32 all the same, beside others that are the source's in every bit and would be others if rounded. */
async function oddRounding(tensors: readonly TensorDiff[], stored: StoredOf): Promise<(tensor: TensorDiff) => boolean> {
  const isWide = ({ a, b }: TensorDiff) => a?.dtype === 'float32' && b?.dtype === 'float32';
  const isOdd = (tensor: TensorDiff) => isWide(tensor) && tensor.changes.some(({ kind }) => kind === 'rounded');
  if (!tensors.some(isOdd)) return () => false;
  for (const tensor of tensors) {
    const pair = isWide(tensor) && tensor.status === 'equal' ? stored(tensor) : null;
    if (pair && (await hasFullPrecision(pair.source))) return isOdd;
  }
  return () => false;
}

/** More elements than this are no shape and no order of axes. */
const MOST_AXES = 16;

/**
 * Whether a tensor that only one file has is a constant of its graph: the shape that a layer reshapes to (weights are no whole numbers), or a number
 * that the file has where the source has a setting, such as the bound of a clip.
 */
function isWiring({ a, b, count }: TensorDiff): boolean {
  const only = a && b ? null : (a ?? b);
  return only !== null && count <= MOST_AXES && (/^(u?int|bool)/.test(only.dtype) || (a === null && count === 1));
}

/** What a pair of tensors has that storing alone does not explain. */
function problemOf({ status, a, b, changes, statistics, elsewhere }: TensorDiff): string | null {
  if (!b) return `the file has no tensor for it${elsewhere === null ? '' : `; its values stand in "${elsewhere}"`}`;
  if (!a) return `the file has "${b.name}", and the source has no such tensor`;
  if (status === 'equal') return null;
  if (status === 'changed') {
    const other = changes.filter(({ kind, keepsValues }) => !keepsValues && kind !== 'rounded' && kind !== 'stored-as');
    return other.length === 0 ? null : `"${b.name}" holds the source's values ${other.map(({ text }) => text).join(', ')}`;
  }
  if (!statistics) return `"${b.name}" has the shape [${b.shape}], expected [${a.shape}]`;
  const apart = statistics.maxAbsolute === null ? '' : `, by at most ${statistics.maxAbsolute}`;
  return `${statistics.differing} values of "${b.name}" differ${apart}`;
}

function describe({ layer, role, a, b, count, status, changes, statistics }: TensorDiff): WeightReport {
  const rounded = changes.find(({ kind }) => kind === 'rounded');
  return {
    layer,
    role,
    name: b!.name,
    dtype: b!.dtype,
    method: rounded ? 'rounded' : 'as is',
    count,
    byteLengthBefore: count * DTYPE_BYTES[a!.dtype as DType],
    byteLengthAfter: count * DTYPE_BYTES[b!.dtype as DType],
    nonFinite: statistics?.nonFinite.b ?? 0,
    maxAbsolute: statistics ? statistics.maxAbsolute : status === 'equal' ? 0 : null,
    relativeError: statistics ? statistics.relativeL2 : null,
    equal: status === 'equal' || status === 'changed',
  };
}
