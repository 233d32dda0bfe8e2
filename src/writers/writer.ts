/** What a writer is: it expresses the layer map in one target format. */
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ModelError } from '../errors.js';
import type { CodeRange } from '../model/block-codes.js';
import type { DType } from '../model/dtype.js';
import type { Layer, LayerMap, Notice } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';

export interface WriteOptions {
  /** dtype of stored weights; 'source' keeps each tensor's own. */
  readonly dtype: DType | 'source';
  /** 'source' keeps the ports' layouts. */
  readonly layout: 'source' | 'nchw' | 'nhwc';
  readonly opset?: number;
  readonly externalData?: boolean;
  /** float16: compute in float16 too, instead of only storing weights so. */
  readonly float16Compute?: boolean;
  /** Largest file of a format that can be split. */
  readonly shardBytes?: number;
  /**
   * Provenance, recorded in the file where the format has a place for it; the same input gives the same bytes. Asked for as
   * late as the format allows, because a source's hash is known only when all of it has been read.
   */
  readonly metadata: () => Promise<Readonly<Record<string, string>>>;
  /** Called as bytes are written, for a progress line. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

export interface WriteResult {
  /** Counts of overflow, underflow and the like. */
  readonly warnings: readonly Notice[];
}

/** Options that only some targets have. */
export type TargetOption = 'layout' | 'opset' | 'externalData' | 'float16Compute' | 'names' | 'shardBytes';

/** Formats that are written. */
export type TargetName = 'onnx' | 'tfjs' | 'tfjs-graph' | 'keras-h5' | 'keras-v3' | 'pytorch' | 'caffe' | 'safetensors' | 'npz';

export interface Target {
  /** Short name for `--to`. */
  readonly name: TargetName;
  readonly title: string;
  /** Extensions of `-o` that choose it. */
  readonly extensions: readonly string[];
  /** Extension of the file that is written beside, and called the same. */
  readonly beside?: string;
  readonly dtypes: readonly DType[];
  /** Codes of fewer bits that `shrink` writes beside those. */
  readonly packed?: readonly CodeRange[];
  /** Options that mean something for it; any other that is given is refused. */
  readonly options: readonly TargetOption[];
  /** Another form of the format, which has more operators. */
  readonly wider?: TargetName;
  /** Whether the format has a place for the metadata of any source. */
  readonly keepsMetadata?: true;
  /** Whether the format has no place for anything beside the net, not even where it came from. */
  readonly hasNoFacts?: true;
}

/** Writes whole models: wiring and weights. */
export interface Writer extends Target {
  readonly carries: 'model';
  /** Writes the same format from a source that has weights and no wiring, where that makes sense. */
  readonly weightsOnly?: WeightsWriter;
  /** Whether the format has an operator of its own for a layer that could stand for several simpler ones (`transforms/recognise.ts`). */
  hasOperator(layer: Layer, map: LayerMap, options: Pick<WriteOptions, 'opset'>): Promise<boolean>;
  /** Every obstacle at once; empty when `write` can express the map. */
  check(map: LayerMap, options: WriteOptions): Promise<readonly ModelError[]>;
  /** Streams the model as `name` into the sink; neither commits nor aborts. */
  write(map: LayerMap, sink: ByteSink, name: string, options: WriteOptions): Promise<WriteResult>;
}

/** Writes named tensors only, for formats that have no wiring. */
export interface WeightsWriter extends Target {
  readonly carries: 'weights';
  /** Every obstacle at once; empty when `write` can express the tensors. */
  check(weights: readonly Tensor[], options: WriteOptions): Promise<readonly ModelError[]>;
  /** Streams the tensors, under their names, as `name` into the sink; neither commits nor aborts. */
  write(weights: readonly Tensor[], sink: ByteSink, name: string, options: WriteOptions): Promise<WriteResult>;
}
