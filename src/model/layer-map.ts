/**
 * The canonical layer map: a directed graph of layers in running order, with ONNX operator semantics.
 *
 * Activations are channels-first inside the map. A port whose layout is channels-last says so: readers have permuted the
 * weights, and a writer that keeps the source's layout puts a Transpose beside the port. `docs/layer-map.md` describes it.
 */
import type { DType } from './dtype.js';
import type { Labels } from './labels.js';
import type { Preparation } from './preparation.js';
import type { Tensor } from './tensor.js';

/** A size is a number, or the name of a free dimension ('batch'). */
export type Dim = number | string;

/** Order of a port's axes as its users see them. 'other': no channels to speak of, used as it is. */
export type Layout = 'nchw' | 'nhwc' | 'ncw' | 'nwc' | 'ncdhw' | 'ndhwc' | 'other';

/** An input or output of the whole model. */
export interface Port {
  readonly name: string;
  /** What else the source calls it, by which a recording may know it. */
  readonly alias?: string;
  /** The value inside the graph that it feeds or shows. */
  readonly value: string;
  readonly dtype: DType;
  /** dtype of the value inside the graph, where a cast stands between it and the port; float32 where left out. */
  readonly valueDType?: DType;
  /** In the port's own layout. */
  readonly shape: readonly Dim[];
  /** An output of which nothing tells how many axes it has: its shape is []. */
  readonly isUnshaped?: true;
  readonly layout: Layout;
}

export type AttributeValue = number | string | readonly number[] | readonly string[];

export interface Layer {
  /** The source's name, unique within the map. */
  readonly name: string;
  /** Where the architecture is recognised: the name its paper or first release gives ('conv1_1'). */
  readonly canonicalName?: string;
  /** ONNX operator; see `ops/`. */
  readonly op: string;
  /**
   * Values read, for the operator's slots in order; those that a weight fills are left out of the count, and '' leaves out an optional
   * one.
   */
  readonly inputs: readonly string[];
  /** Values made; '' for one that nothing reads. */
  readonly outputs: readonly string[];
  /** Every attribute of the operator is present, but for optional ones; `makeLayer` fills in the defaults. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /**
   * By slot, laid out as ONNX wants them: Conv kernel [out, in/groups, kH, kW], Gemm kernel [out, in]. Whatever float dtype they are
   * stored in, they are computed with in that of what flows in; a Constant's value is of its own dtype.
   */
  readonly weights: Readonly<Record<string, Tensor>>;
  /** Set where the operator is outside of the vocabulary: kept as it came. */
  readonly foreign?: Foreign;
}

/** A node that is not understood. A writer of the format that it came from can write it back; every other one declines. */
export interface Foreign {
  /** The format that it belongs to. */
  readonly format: string;
  /** 'com.microsoft', 'ai.onnx', ... */
  readonly domain: string;
  readonly op: string;
  /** Why it is kept so. */
  readonly reason: string;
  /** As the file has them, graphs included; only the format's own writer knows what they are. */
  readonly attributes: readonly Uint8Array[];
  /** Values of this graph that graphs inside of the attributes read. */
  readonly captures: readonly string[];
  /** In the words of which version of the format's operators it is: itself, and all that graphs inside of the attributes hold. */
  readonly spoken?: { readonly version: number; readonly operators: readonly string[] };
  /** How often it repeats what is in it, where the file says that: those of loops within loops multiplied. */
  readonly steps?: number;
  /** What the file says of its outputs, in order. */
  readonly types: readonly { readonly dtype: DType | null; readonly shape: readonly Dim[] | null }[];
}

/** Something that a user should know about a file or a conversion; not an error. */
export interface Notice {
  /** A stable word for machines: 'training-layer-removed', 'assumed', 'overflow', ... */
  readonly code: string;
  readonly message: string;
  readonly layer?: string;
}

export interface Architecture {
  /** 'VGG-16', 'VGG-16 with batch normalisation', ... */
  readonly name: string;
  /** What was assumed because the file does not say, each a sentence. */
  readonly assumed: readonly string[];
  /** Where the classes of the published nets come from, of a net with as many. */
  readonly labels?: string;
}

export interface LayerMap {
  /** Name of the network, as the file has it. */
  readonly name: string;
  /** Name of the reader's format. */
  readonly format: string;
  /** What wrote the file, as far as it says: 'keras 2.2.4-tf (tensorflow)'. */
  readonly producer: string | null;
  readonly architecture: Architecture | null;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly layers: readonly Layer[];
  readonly warnings: readonly Notice[];
  /** Names of the classes that it tells apart, where anything says them. */
  readonly classes?: readonly string[];
  /** What its source, or the architecture, says is done to pictures before the net sees them; none of it is part of the net. */
  readonly preparation?: Preparation;
  /** In what the framework of the source computes it, where that is coarser than float32: what it recorded is no more exact. */
  readonly arithmetic?: 'float16' | 'bfloat16';
  /** How many of the source's operators depend on nothing that flows in, and were worked out or left to the weights' readers. */
  readonly folded?: number;
  /** What stands before all names of the net in its file and not in its own class, up to a dot: 'module.'; there may be more within names. */
  readonly wrapper?: string;
  /** Tensors of the source that the net does not use and its own class has: auxiliary heads, tables that are worked out from sizes. */
  readonly beside?: readonly Tensor[];
  /** The file that the map was read from, for a writer of the same format, which need not change what the map leaves as it was. */
  readonly source?: SourceDocument;
}

export interface SourceDocument {
  readonly format: string;
  /** The layers as they were read: the map is unchanged while its layers are these. */
  readonly layers: readonly Layer[];
  /** What the format's reader and writer know it as. */
  readonly document: unknown;
}

/** What a reader gives: the tensors of the file as stored, and the layer map or the reasons why there is none. */
export interface ModelFile {
  readonly format: string;
  readonly producer: string | null;
  /** Every tensor as stored, with the file's own names, shapes and dtypes; what is not the model's is marked. */
  readonly tensors: readonly StoredWeight[];
  /** Facts for `inspect` that belong to the format: container, dialect, opset. */
  readonly details: Readonly<Record<string, string>>;
  /** What the file says about itself in words of its own: author, licence. Carried on where the target has a place for it. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Names of the classes, where anything says them. */
  readonly labels?: Labels;
  readonly warnings: readonly Notice[];
  /** All files that the model is made of, relative to its folder. */
  readonly files: readonly string[];
  /**
   * Checks what is checked of a file as a whole, once its weights were read: checksums over more than them.
   *
   * @throws ModelError 'malformed' where the file is damaged
   */
  check?(): Promise<void>;
  /**
   * Builds the layer map.
   *
   * @throws ModelError 'unsupported' listing every obstacle (unknown layers, weights without wiring), 'malformed' where wiring
   *   and weights disagree
   */
  map(): Promise<LayerMap>;
}

/** A tensor of the file and the layer of the source that it belongs to. */
export interface StoredWeight {
  readonly tensor: Tensor;
  readonly layer: string | null;
  /** Set for what a checkpoint keeps beside the model, such as an optimiser's state: listed, but neither counted nor converted. */
  readonly beside?: true;
}
