/**
 * What the layers model and the graph model have in common: values with their axes in some order, and the operations on them
 * from which both are made. The lowering (`lowering.ts`, `rules.ts`) decides on orders; a target says how an operation is spelt,
 * or that it has no exact form there.
 */
import { ModelError } from '../../errors.js';
import type { Dim, Port } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';

/** A layer or node of the written file. It is named when the layer of the map that it belongs to is complete. */
export interface FileNode {
  name: string;
  /** What it is called beside its layer's name where the layer needs several. */
  readonly suffix: string;
}

/** What a node makes. */
export interface FileValue {
  readonly node: FileNode;
  /** Which use of the node, where several layers of the map share one. */
  readonly call: number;
  /** Which output of the node, where it has several; the first where left out. */
  readonly output?: number;
  /** Sizes in the order in which the file has the axes; the batch comes first. */
  readonly shape: readonly Dim[];
}

/**
 * `kernel`: what narrow dtypes are for (kernels of convolutions and dense layers, tables of embeddings); `bias`: their biases, which
 * 16-bit floats hold too; `other`: statistics, slopes and constants, which stay float32.
 */
export type WeightKind = 'kernel' | 'bias' | 'other';

/** A weight laid out as the target wants it, not yet in the dtype that is stored. */
export interface FileWeight {
  readonly tensor: Tensor;
  /** The weight of the map, of which `tensor` may be a part; null for what the map does not have. */
  readonly source: Tensor | null;
  readonly kind: WeightKind;
  /** Layer of the map, for messages. */
  readonly layer: string;
}

/** Padding of a window that moves over the spatial axes, in TensorFlow's words. */
export type WindowPadding = 'same' | 'valid';

export interface ConvolutionForm {
  /** [...window, in, out]; of a depthwise convolution [...window, in, multiplier]; of a transposed one [...window, out, in]. */
  readonly kernel: FileWeight;
  readonly bias: FileWeight | null;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: WindowPadding;
  /** Where the target has groups: how many, of which each sees its own part of the channels. */
  readonly groups?: number;
}

export interface PoolForm {
  readonly kind: 'max' | 'average';
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly padding: WindowPadding;
}

/** [before, after] for each axis; negative amounts cut off. */
export type Margins = readonly (readonly [number, number])[];

/** All axes are those of the file; operations keep their order. */
export interface Target {
  /** What runs the file, for messages. */
  readonly runtime: string;
  input(port: Port, shape: readonly Dim[]): FileValue;
  output(port: Port, value: FileValue, ports: readonly Port[]): void;
  /** Names all nodes made since the last call after the layer or port `name`; the one that made `result`, if among them, gets the name itself. */
  nameNodes(name: string, result: FileValue): void;

  transpose(x: FileValue, perm: readonly number[]): FileValue;
  /** What the map knows of a value: its free sizes have names, by which a graph asks for them when it runs. */
  sized?(value: FileValue, shape: readonly Dim[]): void;
  /** @param shape with at most one size that is not known, the batch not counted; a graph works out the others */
  reshape(x: FileValue, shape: readonly Dim[]): FileValue;
  /** Merges all axes but the first. */
  flatten(x: FileValue): FileValue;
  pad(x: FileValue, margins: Margins, mode: string, value: number): FileValue;
  slice(x: FileValue, axis: number, start: number, end: number): FileValue;
  /** Every stride-th element along each spatial axis. */
  subsample(x: FileValue, strides: readonly number[]): FileValue;
  concat(xs: readonly FileValue[], axis: number): FileValue;
  /** Resizes spatial axes by factors, to the sizes where they are known. */
  resize(
    x: FileValue,
    factors: readonly number[],
    mode: 'nearest' | 'bilinear',
    sampling: 'asymmetric' | 'half-pixel' | 'corners',
    sizes?: readonly Dim[],
  ): FileValue;

  convolution(x: FileValue, form: ConvolutionForm): FileValue;
  /** Whether `convolution` does groups; if not, one for each group does. */
  readonly hasGroups?: boolean;
  /** Whether `depthwise` can do it; if not, a convolution for each channel can. */
  hasDepthwise(form: Pick<ConvolutionForm, 'strides' | 'dilations'>): boolean;
  /** Over two spatial axes. */
  depthwise(x: FileValue, form: ConvolutionForm): FileValue;
  /** Over two spatial axes, without padding: each axis grows to (size - 1) · stride + max(window, stride). */
  transposedConvolution(x: FileValue, form: Pick<ConvolutionForm, 'kernel' | 'bias' | 'strides'>): FileValue;
  /** kernel [in, out], on the last axis. */
  dense(x: FileValue, kernel: FileWeight, bias: FileWeight | null): FileValue;
  matMul(a: FileValue, b: FileValue): FileValue;
  /** Rows of a table by number. */
  gather(x: FileValue, table: FileWeight): FileValue;
  /** Of the last axis. */
  normalise(x: FileValue, weights: Readonly<Record<'scale' | 'bias' | 'mean' | 'variance', FileWeight>>, epsilon: number): FileValue;
  /** Across the last axis, which has the channels: x / (bias + alpha · Σx²)^beta over `radius` neighbours on both sides. */
  localResponse(x: FileValue, form: { readonly radius: number; readonly bias: number; readonly alpha: number; readonly beta: number }): FileValue;
  /** Over the spatial axes. */
  pool(x: FileValue, form: PoolForm): FileValue;
  /** The mean of what is not padding, where a window's share of the picture depends on its place. */
  weightedAverage(x: FileValue, margins: Margins, form: PoolForm, factors: Tensor): FileValue;
  /** What fills the margin around a maximum's windows: it must never win. */
  padForMaximum(x: FileValue, margins: Margins, isNonNegative: boolean): FileValue;
  reduce(x: FileValue, kind: 'mean' | 'max' | 'sum', axes: readonly number[], keep: boolean): FileValue;
  /** Whether reductions and constants work along any axis; else reduced axes come behind the batch, and a constant's axis last. */
  readonly anyOrder: boolean;
  softmax(x: FileValue, isLog: boolean): FileValue;
  unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue;
  /** @param slope broadcasts to x without its batch */
  slope(x: FileValue, slope: FileWeight): FileValue;
  /** Of values with the same number of axes in the same order. */
  binary(op: string, a: FileValue, b: FileValue, shape: readonly Dim[]): FileValue;
  /** @param operand has as many axes as the result, the batch included */
  withOperand(op: string, a: FileValue, operand: FileWeight, shape: readonly Dim[]): FileValue;
}

/** An obstacle; the lowering adds the layer. */
export function inexpressible(problem: string): ModelError {
  return new ModelError('unsupported', problem);
}

export function knownSize(size: Dim | undefined): number | null {
  return typeof size === 'number' ? size : null;
}

/** All sizes but the batch. @throws ModelError 'unsupported' where one is free */
export function knownSizes(x: FileValue, what: string): number[] {
  return x.shape.slice(1).map((size) => {
    if (typeof size === 'number') return size;
    throw inexpressible(`${what} needs sizes that are known, but "${size}" is free. Give them with --input-shape.`);
  });
}

export const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
