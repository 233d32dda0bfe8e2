/** An ONNX graph before it is encoded: names are final, weights are lazy. */
import type { DType } from '../../model/dtype.js';
import type { AttributeValue, Dim } from '../../model/layer-map.js';
import type { AttributeType } from '../../model/ops/index.js';
import type { Tensor } from '../../model/tensor.js';

export interface OnnxAttribute {
  readonly type: AttributeType | 'tensor';
  readonly value: AttributeValue | Tensor;
}

export interface OnnxNode {
  readonly name: string;
  readonly op: string;
  /** Of its operator set; ai.onnx where left out. */
  readonly domain?: string;
  /** AttributeProto messages of a node that is written as it came, instead of `attributes`. */
  readonly encoded?: readonly Uint8Array[];
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxInitializer {
  readonly name: string;
  /** As it is to be stored. */
  readonly tensor: Tensor;
  /** Two of its elements to a byte: int4 for int8, uint4 for uint8. */
  readonly isPacked?: boolean;
}

export interface OnnxPort {
  readonly name: string;
  readonly dtype: DType;
  /** Null where nothing tells it. */
  readonly shape: readonly Dim[] | null;
}

export interface OnnxGraph {
  readonly name: string;
  readonly opset: number;
  /** Versions of other operator sets that nodes belong to. */
  readonly domains?: ReadonlyMap<string, number>;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

export const intAttribute = (value: number): OnnxAttribute => ({ type: 'int', value });
export const intsAttribute = (value: readonly number[]): OnnxAttribute => ({ type: 'ints', value });
