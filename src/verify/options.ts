/** What is verified, and how. */
import type { EditedMap } from '../model/edited.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import type { Tensor } from '../model/tensor.js';
import type { EngineChoice, EngineModel } from './engine.js';
import type { Arrays, Feeds } from './side.js';

export interface VerifyOptions extends EngineChoice {
  /** Recorded arrays by name: input or input:<name>, output or output:<name>, layer:<name>, in the source's layout. */
  readonly golden?: ReadonlyMap<string, Tensor>;
  /** Inputs to use instead of generated ones, by port name. */
  readonly inputs?: ReadonlyMap<string, Tensor>;
  /** What was done to make them, for the report. */
  readonly inputNotes?: readonly string[];
  /** A match on our own word alone is a failure. */
  readonly requireWitness?: boolean;
  readonly samples?: number;
  readonly seed?: number;
  /** Also compare what each layer makes. */
  readonly layers?: boolean;
  /** With `layers`: stop at the first one that differs. */
  readonly first?: boolean;
  readonly atol?: number;
  readonly rtol?: number;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
  /** Told once, before anything runs, which ports and layers are compared. */
  readonly onMap?: (map: LayerMap) => void;
  /** Told where a fault begins, where there is one and it could be placed. */
  readonly onPlaced?: (fault: PlacedFault) => void;
  /** Sees every sample as it was compared, an array for each port in the source's layouts: for pictures and top-5 lists in reports. */
  readonly onSample?: (feeds: Feeds, expected: Arrays, actual: Arrays, sample: number) => void;
}

/** Where a fault begins, with what flows in there and what comes of it. */
export interface PlacedFault {
  /** What flows into the first layer that differs: the source's name of the value and the file's, undefined for an input of the net. */
  readonly inputs: readonly FlowingValue[];
  /** The net's own inputs. */
  readonly fed: readonly FlowingValue[];
  /** What the layer makes; where the file does more to an output, that output's place. */
  readonly output: { readonly value: string; readonly written: string | undefined; readonly place: number | null };
  /** What the layers behind it make in the file, and which of their inputs it is. */
  readonly readers: readonly { readonly written: string | undefined; readonly at: number }[];
  /** What it should be, channels-first, and how far off it may be of its scale. */
  readonly wanted: Value;
  readonly allowed: number;
}

export interface FlowingValue {
  readonly value: string;
  readonly written: string | undefined;
  /** Channels-first. */
  readonly array: Value;
}

export interface WrittenTarget extends EngineModel {
  /** Name of the writer or reader whose format it is. */
  readonly format: string;
}

export interface ConversionToVerify {
  readonly source: EngineModel;
  readonly model: ModelFile;
  /** Null where weights were moved without looking at their wiring. */
  readonly map: LayerMap | null;
  /** Set where the map is not the source's own any more. */
  readonly edited?: EditedMap;
  readonly target: WrittenTarget;
}
