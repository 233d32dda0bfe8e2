/** Faults that converters make, each in one layer of a written ONNX file. */
import {
  all,
  attribute,
  change,
  changeBytes,
  changeOp,
  doubleNode,
  type Edit,
  nodeOf,
  rearrange,
  replaceWeight,
  skipNode,
  stealWeight,
  swapNodes,
} from './onnx-edit.js';

export interface Fault {
  readonly kind: string;
  /** The layer in which it is. */
  readonly layer: string;
  readonly edit: Edit;
}

const fault = (kind: string, layer: string, edit: Edit): Fault => ({ kind, layer, edit });

/** In the digits net. */
export const DIGITS_FAULTS: readonly Fault[] = [
  fault(
    'kernel transposed (height and width)',
    'conv1_2',
    rearrange('conv1_2', 1, ([o, i, h, w]) => [o!, i!, w!, h!]),
  ),
  fault(
    'kernel rotated by 180 degrees',
    'conv2_1',
    rearrange('conv2_1', 1, ([o, i, h, w], [, , H, W]) => [o!, i!, H! - 1 - h!, W! - 1 - w!]),
  ),
  fault(
    'kernel mirrored',
    'conv3_1',
    rearrange('conv3_1', 1, ([o, i, h, w], [, , , W]) => [o!, i!, h!, W! - 1 - w!]),
  ),
  fault(
    'input and output channels exchanged',
    'conv1_2',
    rearrange('conv1_2', 1, ([o, i, h, w]) => [i!, o!, h!, w!]),
  ),
  fault(
    'two channels swapped',
    'conv3_1',
    rearrange('conv3_1', 1, ([o, i, h, w]) => [o === 0 ? 1 : o === 1 ? 0 : o!, i!, h!, w!]),
  ),
  fault(
    'channels reversed',
    'conv2_2',
    rearrange('conv2_2', 1, ([o, i, h, w], [O]) => [O! - 1 - o!, i!, h!, w!]),
  ),
  fault(
    'channel zeroed',
    'conv1_1',
    change('conv1_1', 1, (value, i) => (i < 27 ? 0 : value)),
  ),
  fault(
    'BGR input',
    'conv1_1',
    rearrange('conv1_1', 1, ([o, i, h, w]) => [o!, 2 - i!, h!, w!]),
  ),
  fault(
    'bias dropped',
    'conv2_1',
    change('conv2_1', 2, () => 0),
  ),
  fault(
    'bias of one channel dropped',
    'fc7',
    change('fc7', 2, (value, i) => (i === 3 ? 0 : value)),
  ),
  fault(
    'bias shifted by one channel',
    'conv3_2',
    change('conv3_2', 2, (_, i, data) => data[(i + 1) % data.length]!),
  ),
  fault(
    'flatten order',
    'fc6',
    rearrange('fc6', 1, ([o, i]) => [o!, (i! % 16) * 32 + Math.floor(i! / 16)]),
  ),
  fault(
    'dense matrix transposed',
    'fc7',
    rearrange('fc7', 1, ([o, i]) => [i!, o!]),
  ),
  fault('padding on the other side', 'conv1_1', attribute('conv1_1', 'pads', [2, 2, 0, 0])),
  fault('average for max pooling', 'pool2', changeOp('pool2', 'AveragePool', ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode'])),
  fault('ReLU missing', 'relu2_1', skipNode('relu2_1')),
  fault('ReLU missing before a pooling', 'relu3_2', skipNode('relu3_2')),
  fault('softmax missing', 'prob', changeOp('prob', 'Identity')),
  fault('softmax doubled', 'prob', doubleNode('prob')),
  fault('weights of another layer', 'conv2_2', stealWeight('conv2_2', 2, 'conv2_1')),
  fault(
    'byte order',
    'fc8',
    changeBytes('fc8', 2, (bytes) => {
      for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse();
    }),
  ),
  fault(
    'off-by-one span',
    'conv3_2',
    change('conv3_2', 1, (_, i, data) => data[i + 1] ?? 0),
  ),
  fault(
    'dtype truncated',
    'fc6',
    changeBytes('fc6', 1, (_, words) => {
      words.forEach((word, i) => {
        words[i] = word & 0xffff0000;
      });
    }),
  ),
  fault(
    'one value changed in its last bit',
    'fc8',
    changeBytes('fc8', 1, (_, words) => {
      words[77]! ^= 1;
    }),
  ),
];

/** In the branched net. */
export const BRANCHED_FAULTS: readonly Fault[] = [
  fault('stride', 'conv2', attribute('conv2', 'strides', [2, 2])),
  fault('dilation', 'conv3b', all(attribute('conv3b', 'dilations', [2, 2]), attribute('conv3b', 'pads', [2, 2, 2, 2]))),
  fault('padding dropped', 'conv3b', attribute('conv3b', 'pads', [2, 0, 0, 2])),
  fault('ceil instead of floor pooling', 'pool1', attribute('pool1', 'ceil_mode', 1)),
  fault('max for average pooling', 'pool2', changeOp('pool2', 'MaxPool', ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode'])),
  fault('padding counted by average pooling', 'pool2', attribute('pool2', 'count_include_pad', 1)),
  fault('layer order: ReLU before batch normalisation', 'bn1', swapNodes('bn1', 'relu1')),
  fault('epsilon of batch normalisation', 'bn1', attribute('bn1', 'epsilon', 1e-5)),
  fault('standard deviation for variance', 'bn2', change('bn2', 4, Math.sqrt)),
  fault(
    'inverse of the standard deviation for variance',
    'bn1',
    change('bn1', 4, (value) => 1 / Math.sqrt(value + 1e-3)),
  ),
  fault(
    'mean dropped',
    'bn2',
    change('bn2', 3, () => 0),
  ),
  fault('scale and bias exchanged', 'bn1', (graph) => {
    const node = nodeOf(graph, 'bn1');
    [node.input![1], node.input![2]] = [node.input![2]!, node.input![1]!];
  }),
  fault(
    'groups exchanged',
    'conv2',
    rearrange('conv2', 1, ([o, i, h, w]) => [(o! + 4) % 8, i!, h!, w!]),
  ),
  fault(
    'group miscounted: one group, its kernel repeated',
    'conv2',
    all(
      attribute('conv2', 'group', 1),
      replaceWeight('conv2', 1, (data) => ({
        dims: [8, 8, 3, 3],
        data: Float32Array.from({ length: 576 }, (_, i) => data[Math.floor(i / 72) * 36 + (i % 36)]!),
      })),
    ),
  ),
  fault(
    'group miscounted: four groups, half of the kernel',
    'conv2',
    all(
      attribute('conv2', 'group', 4),
      replaceWeight('conv2', 1, (data) => ({
        dims: [8, 2, 3, 3],
        data: Float32Array.from({ length: 144 }, (_, i) => data[Math.floor(i / 18) * 36 + (i % 18)]!),
      })),
    ),
  ),
  fault('branches joined in the wrong order', 'concat', (graph) => {
    const node = nodeOf(graph, 'concat');
    node.input = [node.input![1]!, node.input![0]!];
  }),
  fault('weights of the parallel branch', 'conv3b', stealWeight('conv3b', 2, 'conv3a')),
];
