/**
 * A written file as verification sees it: read back from disk by a reader, never taken from the writer, and lined up with the
 * layer map that it was made from.
 */
import type { FileSet } from '../../bytes/file-set.js';
import type { BlockCodes } from '../../model/block-form.js';
import type { Claim } from '../../model/claims.js';
import type { DType } from '../../model/dtype.js';
import type { Layer, LayerMap, Layout, Port } from '../../model/layer-map.js';
import type { PaletteCodes } from '../../model/palette.js';
import type { Tensor } from '../../model/tensor.js';
import type { SessionPort } from '../engine.js';
import type { PortNames } from '../side.js';

/** How the values of a stored integer weight are to be read. */
export type WeightQuantisation =
  /** value = min + scale * stored, one pair for the tensor, as TensorFlow.js has it. */
  | { readonly kind: 'affine'; readonly scale: number; readonly min: number }
  /** value = scale * (stored - zero point), one pair for each place along `axis` (of the map's orientation), or one for all, as ONNX has it. */
  | { readonly kind: 'channels'; readonly axis: number; readonly scales: Float32Array; readonly zeroPoints?: ArrayLike<number> }
  /** The same, one pair for each block along `axis`. */
  | BlockCodes
  /** value = table[stored] */
  | PaletteCodes;

export interface WrittenWeight {
  /** In the stored dtype and the layer map's orientation; its name and origin are the file's. */
  readonly tensor: Tensor;
  readonly quantisation?: WeightQuantisation;
}

export interface WrittenModel {
  readonly format: string;
  /** Whether the file says that it was written from a layer map, so that its names are the map's and no coincidence. */
  readonly isOurs: boolean;
  /** Whether the map rather comes from it, or from a copy, so that what is one layer there may be several of the map, and need not be arranged as these are. */
  readonly isOrigin?: boolean;
  /** Names of the file's layers by those of the map, where they were paired by the wiring and not by their names. */
  readonly partners?: ReadonlyMap<string, string>;
  /** Which of its ports is which, where what they do told it. */
  readonly ports?: PortNames;
  /** What the file says of how its weights were made; nothing where it is left out. */
  readonly claims?: readonly Claim[];
  /** Layers of the file that act as in training, for messages. */
  readonly training?: readonly string[];
  /** Weights of the file that are inputs too, so that whoever runs it may put others in their place. */
  readonly overridable?: readonly string[];
  /** dtype in which the file has its layers computed; float32 where left out. */
  readonly computeDType?: DType;
  /** Whether values inside the net have their channels last when a runtime shows them; first where left out. */
  readonly channelsLast?: boolean;
  /** Whether the format keeps what every layer makes, so that a layer without a value is missing; not where it fuses activations. */
  readonly keepsEveryLayer?: boolean;
  /** How many values of each dtype the weights have that the file computes with, for files whose weights cannot be lined up with layers. */
  readonly storedDTypes?: ReadonlyMap<DType, number>;
  /** dtype of the tensor of this name, for files that keep the names of what they were made from. */
  readonly storedAs?: (name: string) => DType | undefined;
  /** The layout that a port of the layer map has in the file, which shows it so. */
  layoutOf(port: Port, shown: SessionPort): Layout;
  /** A layer's weight as stored, as the part of the file that computes the layer reads it, in the layer map's orientation; undefined where it reads none. */
  weight(layer: Layer, role: string): WrittenWeight | undefined;
  /** Whether the file works the weight out from others that it stores: there is none to line up then, and it is told. */
  worksOut?(layer: Layer, role: string): boolean;
  /** Name under which a runtime shows what the layer makes; undefined where the file does not keep that value apart. */
  valueOf(layer: Layer): string | undefined;
  /** The axes of the map's value that a runtime shows, in its order, where that is not the usual one: see `channelsLast`. */
  orderOf?(layer: Layer): readonly number[] | undefined;
  /** The same as our evaluator shows it, which runs what our reader reads of the file; as `valueOf` where left out. */
  ownValueOf?(layer: Layer): string | undefined;
  /** Formats without wiring: all tensors, under the names that they are stored under. */
  readonly tensors?: readonly Tensor[];
}

/** Whether a file was written from this map: it says that it was from one, and has a kernel for each that the map has. The order of its ports is the map's. */
export function isWrittenFrom({ layers }: Pick<LayerMap, 'layers'>, written: WrittenModel): boolean {
  const kernels = layers.filter((layer) => layer.weights.kernel);
  return written.isOurs && kernels.every((layer) => written.weight(layer, 'kernel') ?? written.worksOut?.(layer, 'kernel'));
}

/** How the files of one target format are read back. */
export interface WrittenFormat {
  /** A writer's name. */
  readonly format: string;
  /** False where the format has weights only, so that there is nothing to run. */
  readonly runs: boolean;
  /**
   * @param layers of the map that the file is lined up with; they tell which of the file's names belong to which
   * @throws ModelError when the file cannot be read
   */
  open(files: FileSet, layers: readonly Layer[]): Promise<WrittenModel>;
}
