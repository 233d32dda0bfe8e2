/**
 * Files whose weights are not their source's one by one, as they say themselves: folded, of low rank, worked out on inputs, computing in codes. Whether
 * such a file is right is asked of itself: it is read back as a net of its own, and our evaluator runs that.
 */
import { isModelError } from '../errors.js';
import { CLAIMS_KEY, type Claim, describeClaims } from '../model/claims.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import { openModel } from '../readers/open.js';
import { toLayout } from './array.js';
import { beyondClaims } from './claim-bounds.js';
import { checkCodes, hasCodes } from './codes.js';
import type { Tolerance } from './compare.js';
import { checkCorrectness } from './narrowing.js';
import type { VerifyOptions } from './options.js';
import type { WeightsReport } from './report.js';
import type { AllowedFor, RunSample } from './samples.js';
import type { Arrays, Side } from './side.js';
import type { Subject } from './subject.js';

/** What the file says of its weights, where they are to be compared with those of a source that was read anew. */
export function claimsOf({ edited, written }: Subject): readonly Claim[] {
  return edited ? [] : (written?.claims ?? []);
}

export function claimNote(claims: readonly Claim[]): string {
  return `the file says of itself (${CLAIMS_KEY}) that ${describeClaims(claims)}: so its weights are not the source's one by one, and what it predicts is compared with the source, what it computes with its own weights; that it was made of this source is its own word`;
}

/** What is claimed is told, and not judged; what it does not explain is judged alone. */
export async function withClaims(weights: WeightsReport | null, claims: readonly Claim[], { map, written }: Subject): Promise<WeightsReport | null> {
  if (!weights || !written || claims.length === 0) return weights;
  const beyond = await beyondClaims(weights, claims, { map, written });
  return beyond.length > 0 ? { ...weights, judged: true, claims, mismatches: beyond } : { ...weights, judged: false, claims };
}

/** @returns null, and a note, where the file is not read back as a net, or our evaluator lacks an operator */
export async function checkClaimed(
  subject: Subject,
  samples: readonly Pick<RunSample, 'feeds' | 'found' | 'range'>[],
  limits: (own: LayerMap) => { readonly tolerance: Tolerance; readonly allowedFor: (side: Pick<Side, 'run'>) => AllowedFor },
  options: VerifyOptions,
  notes: string[],
) {
  const { map, target } = subject;
  const own = await ownMap(subject, notes);
  if (!own) return null;
  const turned = (arrays: Arrays, from: readonly Port[], to: readonly Port[]) =>
    arrays.map((array, i) => array && toLayout(array, from[i]!.layout, to[i]!.layout));
  const shown = samples.map(({ feeds, found, range }) => ({
    feeds: turned(feeds, map.inputs, own.inputs).map((array) => array!),
    found: turned(found, map.outputs, own.outputs),
    range,
  }));
  if (!hasCodes(own)) return checkCorrectness(own, shown, limits(own), notes, (done, total) => options.onProgress?.('reference', done, total));
  const { findWrittenFormat } = await import('./written/index.js');
  const written = await findWrittenFormat(target.format)!.open(target.files, own.layers);
  return checkCodes({ ...subject, written }, own, shown, options, notes);
}

/** Ports of a file that we wrote are in the source's order. */
async function ownMap({ map, target }: Subject, notes: string[]): Promise<LayerMap | null> {
  try {
    const own = await (await openModel(target.files)).map();
    if (own.inputs.length === map.inputs.length && own.outputs.length === map.outputs.length) return own;
    notes.push('that the file computes what its own weights say was not checked: it has other ports than the source');
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`that the file computes what its own weights say was not checked: ${error.message}`);
  }
  return null;
}
