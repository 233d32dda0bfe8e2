/** A layer map that was changed on the way, beside the one that the source has: what is compared with the source must be compared in its terms. */
import type { LayerMap } from './layer-map.js';

/** One thing that was done to a net between reading and writing it. */
export interface Change {
  /** The transform's file: 'cut', 'dead-ends', 'fold-batchnorm', ... */
  readonly transform: string;
  /** A sentence for people. */
  readonly message: string;
  /** Layers of the source that it touched, in running order. */
  readonly layers: readonly string[];
  /** Where something was searched for: what was looked at. */
  readonly search?: SearchRecord;
}

/** Ways to spend bytes on a net's weights, from the most bytes to the fewest: how far each is thought to move the output. */
export interface SearchRecord {
  /** Which bytes. */
  readonly count: 'disk' | 'wire' | 'memory';
  readonly ways: readonly SearchedWay[];
}

export interface SearchedWay {
  /** Of the whole net, estimated. */
  readonly bytes: number;
  /** Of the output, relative to it, estimated from what each weight alone does; of weights themselves where nothing was run. */
  readonly error: number;
  /** Share of the given inputs with the same top class; null where it was not run. */
  readonly agreement: number | null;
  /** What weights become, such as "3 in all codes of 8 bits". */
  readonly levels: string;
  readonly isChosen: boolean;
}

/** What the changed net does to pictures before the source's own layers see them, as nets that are run on their own. */
export interface Prelude {
  /** From the changed net's inputs to the source's. */
  readonly forward: LayerMap;
  /** Back again: for inputs that were recorded of the source. */
  readonly back: LayerMap;
}

export interface EditedMap {
  readonly map: LayerMap;
  /** As the source has it. */
  readonly original: LayerMap;
  /** The source's own layers as far as the changed net's outputs depend on them, with those outputs: what the changed net is to predict. */
  readonly comparable: LayerMap;
  /** The source's values by those of the changed net that show them in another order of axes. */
  readonly shown: ReadonlyMap<string, string>;
  readonly changes: readonly Change[];
  /** Null where inputs are the source's own. */
  readonly prelude: Prelude | null;
}

/** Whether the changed net's inputs or outputs are not those of the source, so that the source runs behind or in front of something. */
export function hasOtherPorts({ map, original, prelude }: EditedMap): boolean {
  const ports = ({ inputs, outputs }: LayerMap) => [...inputs, ...outputs].map(({ name, value }) => `${name} ${value}`).join('\n');
  return prelude !== null || ports(map) !== ports(original) || rowsOfSource(original, map) !== null;
}

/** How many rows the source takes at a time, where the changed net takes another number of them; null where both take the same. */
export function rowsOfSource(source: Pick<LayerMap, 'inputs'>, changed: Pick<LayerMap, 'inputs'>): number | null {
  const own = source.inputs[0]?.shape[0];
  return typeof own === 'number' && own > 0 && changed.inputs[0]?.shape[0] !== own ? own : null;
}
