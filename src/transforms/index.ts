/** What `convert` can change on the way, one transform after the other, each told. */

import { ModelError } from '../errors.js';
import type { Change, EditedMap } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Preparation } from '../model/preparation.js';
import type { Tensor } from '../model/tensor.js';
import { type Batch, setBatch } from './batch.js';
import { cut } from './cut.js';
import { removeDeadEnds } from './dead-ends.js';
import { embedPreprocessing } from './embed-preprocessing.js';
import { foldBatchNorm } from './fold-batchnorm.js';
import { computeInFloat32, computesInOtherFloats } from './in-float32.js';
import type { Wanted } from './recognise.js';
import { simplify } from './simplify.js';

export interface Edits {
  /** The net ends behind this layer, whose output becomes the net's. */
  readonly until?: string;
  /** Outputs, instead of the net's own: of layers or ports. */
  readonly outputs?: readonly string[];
  /** 'any': where there is some that can be. */
  readonly foldBatchnorm?: boolean | 'any';
  /** The net takes pictures as they are, and prepares them itself. */
  readonly embedPreprocessing?: boolean;
  /** How, instead of what the source or the architecture says. */
  readonly preprocess?: Preparation;
  /** A picture that is taken off instead of a mean for each channel: [channels, height, width]. */
  readonly mean?: Tensor;
  /** Rows that the net takes at a time: so many, or any number. */
  readonly batch?: Batch;
  /** Patterns of exporters become the operators that they stand for, as far as the target has them; what does nothing is left out. */
  readonly simplify?: boolean;
}

/** What follows from a dtype that is asked for. */
export interface DTypeEdits {
  /** What computes in doubles or in half precision computes in float32. */
  readonly inFloat32?: boolean;
}

/**
 * @param wanted whether the target has the operator of a layer that a pattern can become
 * @throws ModelError 'usage' where the net has not what an edit names
 */
export async function editMap(original: LayerMap, edits: Edits & DTypeEdits, wanted: Wanted = async () => true): Promise<EditedMap> {
  if (edits.until !== undefined && edits.outputs !== undefined) {
    throw new ModelError('usage', '--until and --outputs both say where the net ends: give one of them.');
  }
  const changes: Change[] = [];
  let map = original;
  let shown: EditedMap['shown'] = new Map();
  const ends = edits.until === undefined ? edits.outputs : [edits.until];
  if (ends !== undefined) {
    const ended = cut(map, ends);
    const trimmed = removeDeadEnds(ended.map);
    map = trimmed.map;
    shown = ended.shown;
    changes.push(ended.change, ...(trimmed.change ? [trimmed.change] : []));
  }
  const comparable = map;
  if (edits.batch !== undefined) {
    const batched = setBatch(map, edits.batch);
    map = batched.map;
    changes.push(batched.change);
  }
  if (edits.foldBatchnorm === 'any' ? map.layers.some(({ op }) => op === 'BatchNormalization') : edits.foldBatchnorm) {
    const folded = await foldBatchNorm(map);
    map = folded.map;
    changes.push(folded.change);
  }
  if (edits.simplify) {
    const simplified = await simplify(map, wanted);
    map = simplified.map;
    changes.push(...simplified.changes);
  }
  if (edits.inFloat32 && computesInOtherFloats(map)) {
    const computed = computeInFloat32(map);
    map = computed.map;
    changes.push(computed.change);
  }
  let prelude: EditedMap['prelude'] = null;
  if (edits.embedPreprocessing || edits.preprocess || edits.mean) {
    const embedded = embedPreprocessing(map, edits.preprocess, edits.mean);
    map = embedded.map;
    prelude = embedded.prelude;
    if (embedded.change) changes.push(embedded.change);
  }
  return { map, original, comparable, shown, changes, prelude };
}
