/** What an engine is: a runtime that loads a model file and runs it. */
import type { FileSet } from '../bytes/file-set.js';
import type { DType } from '../model/dtype.js';
import type { LayerMap, Layout } from '../model/layer-map.js';
import type { NdArray } from '../model/nd-array.js';

export type { NdArray };

export interface SessionPort {
  /** Unlike any other of the session's inputs, or outputs. */
  readonly name: string;
  /** Sizes as the runtime states them; null where free or not stated. */
  readonly shape: readonly (number | null)[];
  /** Layout if the engine's format fixes it. */
  readonly layout?: Layout;
  /** As the runtime states it. */
  readonly dtype?: DType;
}

/** A loaded model. */
export interface Session {
  readonly inputs: readonly SessionPort[];
  readonly outputs: readonly SessionPort[];
  /** Names of values inside the net that `run` can give, where the model was opened with `layers`; the outputs are not among them. */
  readonly intermediates?: readonly string[];
  /** Of how many pieces the model is run, one after the other, where all of it at once would take much memory. */
  readonly pieces?: number;
  /**
   * @param feeds by input name
   * @param wanted names of outputs or intermediates; all outputs where left out. Asking for a part at a time bounds the memory.
   * @throws ModelError 'engine' when the runtime fails or has no value of that name
   */
  run(feeds: ReadonlyMap<string, NdArray>, wanted?: readonly string[]): Promise<Map<string, NdArray>>;
  /** The same with the values left in files of a folder, where the session is another process's: a message is held several times over on its way. */
  runAside?(feeds: ReadonlyMap<string, NdArray>, wanted: readonly string[], folder: string): Promise<Map<string, ShelvedArray>>;
  close(): Promise<void>;
}

/** An array as float32 in a file. */
export interface ShelvedArray {
  readonly shape: readonly number[];
  readonly path: string;
}

/** A GPU as its driver names it. */
export interface Adapter {
  /** Vendor, architecture and description, as far as the driver tells. */
  readonly name: string;
  /** Whether it is no GPU but a program that computes like one (lavapipe, SwiftShader). */
  readonly software: boolean;
}

export interface Availability {
  readonly available: boolean;
  /** Version and device where it is available ('onnxruntime-node 1.30.0, CPU'); else why not and the line that installs it. */
  readonly detail: string;
  /** Where the engine runs on a GPU. */
  readonly adapter?: Adapter;
}

export interface EngineModel {
  readonly files: FileSet;
  /** Absolute path where the model is on disk; runtimes that read files themselves use it. */
  readonly path?: string;
  /** Companion prototxt's name in the file set (Caffe). */
  readonly prototxt?: string;
  /** What the file's weights make, where the file does not say it itself; our evaluator runs it. */
  readonly wired?: LayerMap;
  /** Also show values inside the net (`Session.intermediates`), which costs the runtime some of its fusions. */
  readonly layers?: boolean | readonly string[];
  /** Compute the graph as it is written, where the runtime would rewrite it first: tells a runtime's fault from the file's. */
  readonly asWritten?: boolean;
}

export interface Engine {
  /** 'ort-cpu', 'tfjs-wasm', ... */
  readonly name: string;
  /** Formats (reader and writer names) that it runs. */
  readonly formats: readonly string[];
  /** What it computes on: the whole net, or it fails. Those on a GPU run in a process of their own (`EngineHost`). */
  readonly device: 'cpu' | 'gpu';
  /** Taken only when it is named. */
  readonly onRequest?: boolean;
  /** Whether it is our own reading of a file that it runs, so that it sees no mistake of a reader. */
  readonly isOwn?: boolean;
  /** Whether it rewrites graphs before it runs them, and can be told not to (`EngineModel.asWritten`). */
  readonly optimises?: boolean;
  availability(): Promise<Availability>;
  open(model: EngineModel): Promise<Session>;
}

/**
 * Runs engines where their crash, or their hanging, is an error and not the end. `weighbridge/node` has one, which starts a process
 * for each engine.
 */
export interface EngineHost {
  availability(engine: Engine): Promise<Availability>;
  /** @throws ModelError 'engine' also when the engine's process crashes, hangs or ends, with what it said last */
  open(engine: Engine, model: EngineModel): Promise<Session>;
  /** Ends the process of one engine, and with it the sessions that it has. */
  end(engine: Engine): void;
  /** Ends the processes. */
  close(): Promise<void>;
}

/** What to run a file with; see `selectEngine`. */
export interface EngineChoice {
  /** Name of an engine, to be used or to fail. */
  readonly engine?: string;
  /**
   * `gpu`: on a GPU or not at all; a software adapter will do, and is named as one. `auto`: on a hardware GPU where there is one, else
   * on the CPU. The CPU where left out.
   */
  readonly device?: 'auto' | 'cpu' | 'gpu';
  /** Where engines on a GPU run; without one they are not used, for a driver's crash would take the program along. */
  readonly host?: EngineHost;
}

/** Why an engine cannot run here whose packages did not load: 'not installed; npm install x', or what else it was. */
export function missingPackage(error: unknown, install: string): string {
  const [problem] = String(error instanceof Error ? error.message : error).split('\n');
  const absent = (error as { code?: string } | null)?.code === 'ERR_MODULE_NOT_FOUND';
  return `${absent ? 'not installed' : `does not load (${problem})`}; ${install}`;
}
