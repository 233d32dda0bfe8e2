/**
 * In which opsets the same words began to mean something else: an attribute that became an input, another default, another way to broadcast. Opsets that
 * only added dtypes, or attributes and inputs that may be left out, are not among them.
 *
 * @see https://github.com/onnx/onnx/blob/main/docs/Changelog.md
 */
const CHANGES: Readonly<Record<string, readonly number[]>> = {
  ...all([7], 'Add Sub Mul Div Pow And Or Xor Equal Greater Less PRelu Gemm RNN GRU LSTM'),
  ...all([8], 'Max Min Sum Mean'),
  ...all([13], 'Softmax LogSoftmax Hardmax Squeeze Unsqueeze ReduceSum'),
  ...all([18], 'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare'),
  ...all([10], 'Slice TopK'),
  ...all([11], 'Clip Pad Resize Scatter'),
  BatchNormalization: [7, 9, 14],
  Cast: [6],
  Concat: [4],
  DFT: [20],
  Dropout: [7, 10, 12],
  GridSample: [20],
  GroupNormalization: [21],
  MeanVarianceNormalization: [9],
  Pad: [2, 11],
  Reshape: [5],
  RoiAlign: [16],
  Scan: [9],
  Selu: [6],
  Split: [2, 13, 18],
  Tile: [6],
  Upsample: [7, 9, 10],
};

function all(opsets: readonly number[], operators: string): Record<string, readonly number[]> {
  return Object.fromEntries(operators.split(' ').map((operator) => [operator, opsets]));
}

/** An operator whose words do not mean the same in both opsets. An older opset may lack any operator that there is in a newer one. */
export function changedBetween(operators: readonly string[], from: number, to: number): string | undefined {
  if (to < from) return operators[0];
  return operators.find((operator) => (Object.hasOwn(CHANGES, operator) ? CHANGES[operator]! : []).some((opset) => from < opset && opset <= to));
}
