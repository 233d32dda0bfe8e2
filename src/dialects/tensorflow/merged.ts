/** Nodes into which TensorFlow's optimisers and tools for small devices have merged others: what they are made of, one after the other. */
import type { Value } from '../../model/builder.js';
import { arrangement } from './arrangement.js';
import type { TfOperation } from './node.js';
import { resized } from './pictures.js';
import type { TfRule } from './rule.js';
import { windows } from './windows.js';

const made = (rule: TfRule | undefined, operation: TfOperation): Value => rule!(operation) as Value;

/** A normalisation, a sum with what flows beside it, an activation. */
const normalization: TfRule = (operation) => {
  const sides = operation.number('num_side_inputs', 0);
  const activation = operation.text('activation_mode', 'Identity');
  if (sides < 0 || sides > 1 || (activation !== 'Identity' && activation !== 'Relu'))
    throw operation.decline(`${sides} sums and ${activation} are merged into it`);
  const steps = [...(sides === 1 ? ['Add'] : []), ...(activation === 'Relu' ? ['Relu'] : [])];
  const normalised = made(windows.FusedBatchNormV3, steps.length > 0 ? operation.named(`${operation.name}/FusedBatchNorm`) : operation);
  return steps.reduce((value, op, i) => {
    const name = i === steps.length - 1 ? operation.name : `${operation.name}/${op}`;
    return operation.add(op, op === 'Add' ? [value, operation.input(5)] : [value], {}, name);
  }, normalised);
};

/** A picture is mirrored at its borders, and then what a window sees of it. inputs: picture, paddings, kernel. */
function mirroredConv(operation: TfOperation, x: Value, at: number): Value {
  const padded = made(arrangement.MirrorPad, operation.reading([x, operation.input(at)]).named(`${operation.name}/MirrorPad`));
  return made(windows.Conv2D, operation.reading([padded, operation.input(at + 1)]));
}

export const merged: Readonly<Record<string, TfRule>> = {
  _FusedBatchNormEx: normalization,
  FusedPadConv2D: (operation) => mirroredConv(operation, operation.input(0), 1),
  FusedResizeAndPadConv2D: (operation) => {
    const resize = operation.named(`${operation.name}/Resize`);
    return mirroredConv(operation, resized(resize, 'linear', operation.flag('resize_align_corners'), false), 2);
  },
};
