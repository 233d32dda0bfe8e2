/**
 * What TensorFlow Lite's kernels do with integer codes. Most know the scales of what they read and make, and so compute what numbers
 * would; some move codes from place to place and others take them as plain integers, whatever they stand for.
 *
 * @see https://github.com/tensorflow/tensorflow/tree/master/tensorflow/lite/kernels
 */
import type { LiteTensor } from '../../containers/tflite.js';
import { ModelError } from '../../errors.js';
import { CODES, type LiteNode } from './lite-node.js';

/** Kernels that move, compare or average codes, which is meant where all of them stand for the same numbers. */
export const MOVING: ReadonlySet<string> = new Set(
  (
    'RESHAPE SQUEEZE EXPAND_DIMS TRANSPOSE SLICE STRIDED_SLICE SPLIT SPLIT_V PACK UNPACK GATHER GATHER_ND TILE BROADCAST_TO REVERSE_V2 REVERSE_SEQUENCE ' +
    'PAD PADV2 MIRROR_PAD DEPTH_TO_SPACE SPACE_TO_DEPTH SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND SELECT SELECT_V2 FILL ONE_HOT TOPK_V2 DYNAMIC_UPDATE_SLICE ' +
    'MAX_POOL_2D AVERAGE_POOL_2D MAXIMUM MINIMUM REDUCE_MAX REDUCE_MIN RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR'
  ).split(' '),
);
/** Kernels that take codes as the integers that they are, and those that know no codes. */
export const PLAIN: ReadonlySet<string> = new Set(
  'FLOOR_DIV FLOOR_MOD POW CUMSUM ADD_N SCATTER_ND SPARSE_TO_DENSE ZEROS_LIKE WHERE BITWISE_XOR L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION CONV_3D CONV_3D_TRANSPOSE'.split(
    ' ',
  ),
);
/** Scales of tensors that belong together were worked out one by one. */
const SAME_SCALE = 1e-5;

/** @throws ModelError 'unsupported' where a kernel makes other numbers of codes than those that they stand for */
export function checkCodes(node: LiteNode): void {
  const { op } = node.operator;
  const coded = node.tensors.filter(({ dtype, quantisation }) => quantisation !== null && Object.hasOwn(CODES, dtype));
  const [first] = coded;
  if (!first) return;
  if (PLAIN.has(op)) throw node.decline(`it takes the codes of "${first.name}" as integers, whatever numbers they stand for`);
  const other = MOVING.has(op) ? coded.find((tensor) => !isAlike(first, tensor)) : undefined;
  if (other) throw node.decline(`it moves codes between "${first.name}" and "${other.name}", where they stand for other numbers`);
}

function isAlike({ quantisation: a }: LiteTensor, { quantisation: b }: LiteTensor): boolean {
  return (
    a!.scales.length === b!.scales.length &&
    a!.scales.every((scale, i) => Math.abs(scale - b!.scales[i]!) <= SAME_SCALE * scale && a!.zeroPoints[i] === b!.zeroPoints[i])
  );
}

/** @throws ModelError 'unsupported' for a kernel whose zero point the runtime passes over */
export function checkZeroPoint({ dtype, name, quantisation }: LiteTensor, file: string): void {
  const zero = dtype === 'int8' ? quantisation?.zeroPoints.find((point) => point !== 0) : undefined;
  if (zero !== undefined)
    throw new ModelError('unsupported', `it is a kernel in int8 with the zero point ${zero}, which the runtime passes over`, { file, tensor: name });
}
