/** What a reader is: it recognises one model format and translates it into the layer map. */

import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import type { DType } from '../model/dtype.js';
import type { Dim, ModelFile } from '../model/layer-map.js';

/** The first look at a model's main file, shared by all readers. */
export interface Probe {
  readonly files: FileSet;
  /** Main file's name; null where the model is a folder. */
  readonly name: string | null;
  /** The main file, or null for a folder. */
  readonly source: ByteSource | null;
  /** Its first bytes, at most `PROBE_BYTES`. */
  readonly head: Uint8Array;
  /** Its last bytes, at most `PROBE_BYTES`. */
  readonly tail: Uint8Array;
}

/** A Keras user block of 512 or 1024 bytes and a zip's end record fit. */
export const PROBE_BYTES = 4096;

/** What the caller knows and the file may not say. */
export interface ReadOptions {
  /** Companion prototxt, a name in the file set. */
  readonly prototxt?: string;
  /** Keras config JSON or the like, a name in the file set. */
  readonly config?: string;
  /** Architecture name that settles what weights leave open ('vgg16'). */
  readonly arch?: string;
  /** A net of the user's own: name and text of a description (docs/architectures.md). */
  readonly described?: { readonly name: string; readonly text: string };
  /** What weights leave open, by the name of the assumption ('epsilon'), instead of what is usual. */
  readonly assume?: Readonly<Record<string, string>>;
  /** Path of the dictionary in a checkpoint whose weights are meant, its keys joined by dots: 'params_ema', 'model.state_dict'. */
  readonly weightsKey?: string;
  /** Input shape in the source's layout, batch first. */
  readonly inputShape?: readonly Dim[];
  /** Where the caller will end the net, as layers or values are called: what none of them depends on need not be understood. */
  readonly ends?: readonly string[];
  /** Has what acts as in training act as in inference. */
  readonly inference?: boolean;
  /** Shape of recorded inputs; taken where neither the file nor `inputShape` says how large the input is. */
  readonly recordedShape?: readonly Dim[];
  /** All recorded inputs; taken where the file says neither shape nor dtype of what flows in, by name, or else in their order. */
  readonly recordedInputs?: readonly RecordedInput[];
}

/** What is known of an input from a recording, or from a file that the model is compared with. */
export interface RecordedInput {
  /** Null where a recording has it without a name: the only one, or one of several in their order. */
  readonly name: string | null;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

/** Formats that are read. */
export type SourceName = 'keras-h5' | 'keras-v3' | 'caffe' | 'onnx' | 'tfjs' | 'tfjs-graph' | 'tensorflow' | 'tflite' | 'pytorch' | 'safetensors' | 'npz';

/** Options that a format may have use for; `arch` is `described`, too. */
export type SourceOption = 'prototxt' | 'config' | 'arch' | 'assume' | 'inference' | 'inputShape' | 'weightsKey';

export interface Reader {
  /** Short name for `--from` and reports. */
  readonly name: SourceName;
  /** One line for `formats`. */
  readonly title: string;
  /** Usual extensions, with the dot, for help texts; recognition is by content. */
  readonly extensions: readonly string[];
  /** What a caller may say that files of the format leave open; anything else is refused. */
  readonly options: readonly SourceOption[];
  /** Whether the content is of this format; the most specific sign first, no weight is read. */
  match(probe: Probe): Promise<boolean>;
  /**
   * Reads headers and wiring; no weight.
   *
   * @throws ModelError
   */
  read(files: FileSet, options: ReadOptions): Promise<ModelFile>;
}
