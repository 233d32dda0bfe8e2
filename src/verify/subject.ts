/** What is compared with what: whether the expected side is the source of a conversion or another file, and who says what its ports and layers are. */
import type { EditedMap } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Effort } from './effort.js';
import type { HeldLayers } from './held-layers.js';
import type { LayerSides } from './layer-witness.js';
import type { ComparedLayers } from './layers.js';
import type { WrittenTarget } from './options.js';
import type { RunSample } from './samples.js';
import type { Actual, Feeds, LayoutOf, PortNames } from './side.js';
import type { Tolerances } from './tolerance.js';
import type { Expected } from './witness.js';
import type { WrittenModel } from './written/written.js';

export interface Subject {
  /** Ports and layers of the expected side. */
  readonly map: LayerMap;
  /** Set where the map is not the expected side's own any more. */
  readonly edited?: EditedMap;
  readonly target: WrittenTarget;
  /** The target as it is read back; null where files of its format are only run. */
  readonly written: WrittenModel | null;
  readonly layoutOf: LayoutOf;
  /** Whether the map has all weights of the source, so that the file can be compared with its own. */
  readonly isRead: boolean;
  readonly effort: Effort;
  /** What was assumed while the expected side was read. */
  readonly assumed: readonly string[];
  /** Layers of the expected side that act as in training. */
  readonly training: readonly string[];
  /** Weights of the expected side that are inputs too. */
  readonly overridable: readonly string[];
  /** The same with the file's layers paired anew, where they were by the wiring, once it is known which of its ports is which. */
  withPorts?(ports: PortNames): Promise<Subject>;
  /** Says before anything is run that the ports of the two cannot be the same. */
  checkInputs?(actual: Actual): void;
  /** @param first the first input; its answer is kept where it is needed anyway */
  openExpected(first: Feeds, notes: string[]): Promise<Expected>;
  /** Says whether what a sample differs by is what the source's own runtime does with its optimisations; left out where it has none. */
  blameRecording?(sample: RunSample): Promise<string | null>;
  /** Null, and a note, where the layers of the two cannot be lined up. */
  compareLayers(run: LayersRun, notes: string[]): Promise<ComparedLayers | null>;
  /** Shows both sides' layers to whoever looks at some of them; left out where the layers of the expected side are not read. */
  withLayers?<T>(run: Omit<LayersRun, 'feeds'>, notes: string[], work: (sides: LayerSides) => Promise<T>): Promise<T>;
}

export interface LayersRun {
  readonly feeds: readonly Feeds[];
  /** The map with the file's own weights, where they are narrower: the original's layers would differ by the loss. */
  readonly widened: LayerMap | null;
  readonly tolerances: Tolerances;
  /** What the witness has shown of its layers already, where it was run before the file was opened. */
  readonly held?: HeldLayers | null;
}
