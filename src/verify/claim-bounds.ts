/**
 * How far a claim that a file makes of its weights goes: which of them may be others than the source's, and what must be left of them all the same.
 *
 * Whatever a kernel is scaled by along its channels, and however coarse its codes are, its larger values keep their signs, up to one sign for a whole output
 * channel. So a kernel of another layer, one that is turned or shuffled, and a channel that is lost, are none of what is claimed.
 */
import { type Claim, partName } from '../model/claims.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { alignedPieces, valuesOf } from '../model/side-by-side.js';
import { elementCount, sliceAxis, type Tensor } from '../model/tensor.js';
import { channelAxis } from '../writers/large-weights.js';
import type { WeightMismatch, WeightsReport } from './report.js';
import { compareWeight } from './weight-pair.js';
import { widenWeight } from './written/widen.js';
import type { WrittenModel } from './written/written.js';

const NORMALISATION = ['scale', 'bias', 'mean', 'variance'];

/** Roles that are others than the source's by what is claimed; of what is not a layer with a kernel where that is said. */
const TOUCHES: Readonly<Record<Claim, readonly string[]>> = {
  folded: ['kernel', 'bias'],
  'low-rank': [],
  'even-channels': ['kernel', 'slope', 'operand', ...NORMALISATION],
  split: [],
  'worked-out': ['kernel', 'bias', 'mean'],
  'in-codes': ['kernel', 'bias'],
};

/** Share of the larger values of a kernel whose signs may be others: codes that are worked out make up for each other, more so where channels were scaled down. */
const TURNED = { alone: 0.1, scaled: 0.3 } as const;
/** The same of one output channel; half of them are by chance. */
const TURNED_IN_CHANNEL = 0.3;
/** Fewer values than this of a channel say nothing. */
const FEWEST = 16;
/** What steps as wide as are allowed lose of a weight that is not scaled. */
const MOST_ERROR = 0.8;

/**
 * What a file's claims do not explain.
 *
 * @returns of the report's mismatches those that stay, worded anew where a weight that may be another is none that was made of the source's
 */
export async function beyondClaims(
  { mismatches, tensors }: Pick<WeightsReport, 'mismatches' | 'tensors'>,
  claims: readonly Claim[],
  { map, written }: { readonly map: Pick<LayerMap, 'layers'>; readonly written: Pick<WrittenModel, 'weight'> },
): Promise<WeightMismatch[]> {
  const touched = new Set(claims.flatMap((claim) => TOUCHES[claim]));
  const isScaled = claims.some((claim) => claim === 'folded' || claim === 'even-channels' || claim === 'in-codes');
  const beyond: WeightMismatch[] = [];
  for (const mismatch of mismatches) {
    const { layer: name, role } = mismatch;
    const layer = map.layers.find((each) => each.name === name);
    const source = layer?.weights[role];
    const stored = layer && written.weight(layer, role);
    if (!layer || !source || !stored) {
      // What went into a kernel is in the file under no name of the source.
      if (!isScaled || role === 'kernel') beyond.push(mismatch);
      continue;
    }
    // The second of the two that a dense layer became has its name, its outputs, and fewer inputs.
    if (claims.includes('low-rank') && role === 'kernel' && isOfLowRank(layer, source, stored.tensor)) continue;
    if (claims.includes('split') && stored.tensor.shape.join() !== source.shape.join()) {
      const problem = await partsProblem(layer, role, claims, written);
      if (problem) beyond.push({ layer: name, role, message: `layer "${name}", ${role}: ${problem}` });
      continue;
    }
    if (!touched.has(role)) {
      beyond.push(mismatch);
      continue;
    }
    if (role !== 'kernel') continue;
    const values = widenWeight(stored);
    const error = tensors.find((each) => each.layer === name && each.role === role)?.relativeError ?? 0;
    const problem =
      values.shape.join() !== source.shape.join()
        ? `has the shape [${values.shape}], expected [${source.shape}]`
        : !isScaled && error > MOST_ERROR
          ? `is ${Number(error.toPrecision(2))} of its size from the source's`
          : await signsLost(layer, source, values, claims.includes('even-channels') ? TURNED.scaled : TURNED.alone);
    if (problem) beyond.push({ layer: name, role, message: `layer "${name}", ${role}: ${problem}: what the file says of its weights does not explain that` });
  }
  return beyond;
}

/** Null where the parts of a layer that was split are its own, each held to what the whole weight would be held to. */
async function partsProblem(layer: Layer, role: string, claims: readonly Claim[], written: Pick<WrittenModel, 'weight'>): Promise<string | null> {
  const source = layer.weights[role]!;
  const axis = channelAxis(layer, role) ?? 0;
  const isTouched = claims.some((claim) => TOUCHES[claim].includes(role));
  for (let [part, start] = [0, 0]; start < source.shape[axis]!; part++) {
    const name = partName(layer.name, part);
    const stored = written.weight({ ...layer, name }, role);
    if (!stored) return `its outputs from ${start} on are in no part of the layer in the file`;
    const end = start + (stored.tensor.shape[axis] ?? 0);
    if (end <= start || end > source.shape[axis]!) return `"${name}" has the shape [${stored.tensor.shape}], which is no part of [${source.shape}]`;
    const own = sliceAxis(source, axis, start, end);
    const { problem } = await compareWeight(own, stored);
    const lost =
      problem && isTouched && role === 'kernel' ? await signsLost({ ...layer, weights: { kernel: own } }, own, widenWeight(stored), TURNED.alone) : problem;
    if (lost && (role === 'kernel' || !isTouched)) return `"${name}" ${lost}`;
    start = end;
  }
  return null;
}

function isOfLowRank({ op }: Layer, { shape }: Tensor, stored: Tensor): boolean {
  const [outputs, inputs] = op === 'MatMul' ? [1, 0] : [0, 1];
  return shape.length === 2 && stored.shape.length === 2 && stored.shape[outputs] === shape[outputs] && stored.shape[inputs]! < shape[inputs]!;
}

/** Null where the larger values of a kernel have the source's signs, up to one for each output channel. */
async function signsLost(layer: Layer, source: Tensor, stored: Tensor, most: number): Promise<string | null> {
  const axis = channelAxis(layer, 'kernel');
  // Of groups, which a transposed kernel has along its inputs, each would have a sign of its own.
  if (axis === null || Number(layer.attributes.group ?? 1) > 1) return null;
  const channels = source.shape[axis]!;
  const inner = elementCount(source.shape.slice(axis + 1));
  const channelOf = (i: number) => Math.floor(i / inner) % channels;
  const squares = new Float64Array(channels);
  await eachPair(source, stored, (i, a) => {
    squares[channelOf(i)]! += a * a;
  });
  const each = elementCount(source.shape) / channels;
  const [large, same, other] = [new Float64Array(channels), new Float64Array(channels), new Float64Array(channels)];
  await eachPair(source, stored, (i, a, b) => {
    const channel = channelOf(i);
    if (a * a * each <= squares[channel]!) return;
    large[channel]!++;
    if (a * b > 0) same[channel]!++;
    else if (a * b < 0) other[channel]!++;
  });
  let [turned, of] = [0, 0];
  for (let c = 0; c < channels; c++) {
    const away = Math.min(same[c]!, other[c]!);
    turned += away;
    of += large[c]!;
    if (large[c]! < FEWEST) continue;
    if (same[c]! + other[c]! === 0) return `has nothing left of output channel ${c}`;
    if (away > TURNED_IN_CHANNEL * (same[c]! + other[c]!)) return `has other signs than the source's in output channel ${c}`;
  }
  return turned > most * of ? `has other signs than the source's in ${Math.round((100 * turned) / of)} of 100 of its larger values` : null;
}

async function eachPair(source: Tensor, stored: Tensor, see: (i: number, a: number, b: number) => void): Promise<void> {
  let position = 0;
  for await (const [left, right] of alignedPieces(source, stored)) {
    const [a, b] = [valuesOf(left, source.dtype), valuesOf(right, stored.dtype)];
    for (let i = 0; i < a.length; i++) see(position + i, a[i]!, b[i]!);
    position += a.length;
  }
}
