/** What `shrink` makes of a net, and what it may be helped with. */
import type { Claim } from '../model/claims.js';
import type { Change } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { GivenInputs } from '../verify/feeds.js';
import type { OnProgress } from './rounded.js';

export interface Shrunk {
  readonly map: LayerMap;
  readonly change: Change;
  /** What is to be said of the weights in the file; nothing where they are the net's own, each rounded. */
  readonly claims?: readonly Claim[];
}

/** Inputs to work better codes out with; null: each value is rounded. */
export interface Better {
  readonly inputs: GivenInputs | null;
  readonly onProgress?: OnProgress;
}
