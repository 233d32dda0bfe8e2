/** What an engine is: a runtime that loads a model file and runs it. */
import type { FileSet } from '../bytes/file-set.js';
import type { Layout } from '../model/layer-map.js';

/** A dense array of values; float16 results are widened to float32 by their engine. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
}

export interface SessionPort {
  readonly name: string;
  /** Sizes as the runtime states them; null where free or not stated. */
  readonly shape: readonly (number | null)[];
  /** Layout if the engine's format fixes it. */
  readonly layout?: Layout;
}

/** A loaded model. */
export interface Session {
  readonly inputs: readonly SessionPort[];
  readonly outputs: readonly SessionPort[];
  /** @throws ModelError 'engine' when the runtime fails */
  run(feeds: ReadonlyMap<string, NdArray>): Promise<Map<string, NdArray>>;
  close(): Promise<void>;
}

export interface Availability {
  readonly available: boolean;
  /** Version and device where it is available ('onnxruntime-node 1.30.0, CPU'); else why not and the line that installs it. */
  readonly detail: string;
}

export interface EngineModel {
  readonly files: FileSet;
  /** Absolute path where the model is on disk; runtimes that read files themselves use it. */
  readonly path?: string;
  /** Companion prototxt's name in the file set (Caffe). */
  readonly prototxt?: string;
}

export interface Engine {
  /** 'ort-cpu', 'tfjs-wasm', ... */
  readonly name: string;
  /** Formats (reader and writer names) that it runs. */
  readonly formats: readonly string[];
  availability(): Promise<Availability>;
  open(model: EngineModel): Promise<Session>;
}
