/**
 * Convolutions with gaps as TensorFlow 1 has them: SpaceToBatchND puts pixels that lie that far apart beside each other, the convolution has no
 * gaps, BatchToSpaceND puts its results back. They are read as the one convolution that they are.
 */
import type { TfAttribute, TfInput, TfNode } from '../../containers/tf-graph.js';

const CONVOLUTIONS: ReadonlySet<string> = new Set([
  'Conv2D',
  'DepthwiseConv2dNative',
  '_FusedConv2D',
  'FusedConv2D',
  '_FusedDepthwiseConv2dNative',
  'FusedDepthwiseConv2dNative',
]);

export interface Dilated {
  readonly convolution: TfNode;
  /** The picture, block, paddings; block and crops of the other side; what else the convolution reads. */
  readonly reads: readonly TfInput[];
}

/** @returns null where a BatchToSpaceND is none that ends such a convolution, as far as its nodes tell */
export function dilatedAt(nodes: ReadonlyMap<string, TfNode>, node: TfNode): Dilated | null {
  if (node.op !== 'BatchToSpaceND') return null;
  const convolution = nodes.get(node.inputs[0]?.node ?? '');
  const begin = convolution && nodes.get(convolution.inputs[0]?.node ?? '');
  if (!convolution || !CONVOLUTIONS.has(convolution.op) || begin?.op !== 'SpaceToBatchND') return null;
  const { attributes } = convolution;
  const isOnes = (name: string) => {
    const list = attributes.get(name);
    return list === undefined || (list.kind === 'list' && list.value.every((item) => item.kind === 'int' && item.value === 1));
  };
  const padding = attributes.get('padding');
  const format = attributes.get('data_format');
  const isPlain = padding?.kind === 'string' && padding.value === 'VALID' && isOnes('strides') && isOnes('dilations');
  if (!isPlain || (format?.kind === 'string' && format.value !== 'NHWC')) return null;
  return { convolution, reads: [...begin.inputs, ...node.inputs.slice(1), ...convolution.inputs.slice(1)] };
}

type Numbers = readonly number[] | null;

/** The one convolution, under the name of the last node; null where its numbers are no such convolution's. */
export function dilatedNode(name: string, { convolution }: Dilated, [block, paddings, blockBack, crops]: readonly Numbers[]): TfNode | null {
  if (!block || !paddings || !blockBack || !crops || block.length !== 2 || block.join() !== blockBack.join()) return null;
  if (paddings.length !== 4 || crops.length !== 4) return null;
  const pads = paddings.map((amount, i) => amount - crops[i]!);
  // What is cut off beyond the padding would have to be cut off for itself.
  if (pads.some((amount) => amount < 0)) return null;
  const list = (values: readonly number[]): TfAttribute => ({ kind: 'list', value: values.map((value) => ({ kind: 'int', value })) });
  const attributes = new Map(convolution.attributes);
  attributes.set('padding', { kind: 'string', value: 'EXPLICIT' });
  attributes.set('explicit_paddings', list([0, 0, ...pads, 0, 0]));
  attributes.set('dilations', list([1, ...block, 1]));
  return { ...convolution, name, attributes };
}
