/**
 * Operators on stored tensors: a weight that is transposed, reshaped or cut stays a weight, and is not read for it; small integers and
 * tables that a program makes itself are worked out.
 */
import { ModelError } from '../../errors.js';
import { type Attributes, GraphBuilder, type Inputs, type Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Dim } from '../../model/layer-map.js';
import { numbersTensor } from '../../model/numbers.js';
import { bindSlots, makeLayer, type Operator } from '../../model/ops/index.js';
import { roundTo } from '../../model/ops/rounding.js';
import { computedTensor, elementCount, type Origin, permute, reshape, sliceAxis, type Tensor, tensorBytes } from '../../model/tensor.js';

/** Elements of what is worked out; masks and tables of positions have fewer. */
const MAX_ELEMENTS = 2 ** 20;
/** Of all that is worked out for one program, which may ask for the same again and again. */
const MAX_WORK = 12_000_000;
const NO_CONTEXT = { outputs: 1, fresh: () => '?' };

/** Sizes, axes, indices and masks are looked at while a program is followed; weights are not. */
export function isLookedAt({ name, dtype, shape }: Tensor): boolean {
  return (!isFloatDType(dtype) || elementCount(shape) === 1) && !name.endsWith('num_batches_tracked');
}

/** What was done for a program so far: elements that were worked out, and operators that were added or worked out. */
export interface Work {
  elements: number;
  operators: number;
}

/** A cut into parts and a write into a part of a part take several; the largest scripted nets come to some ten thousand. */
const MAX_OPERATORS = 60_000;

/** @throws ModelError 'unsafe' */
export function countOperator(work: Work): void {
  if (++work.operators > MAX_OPERATORS) throw new ModelError('unsafe', `the program comes to more than ${MAX_OPERATORS} operators, which no net needs`);
}

function countElements(work: Work, count: number): void {
  work.elements += count;
  if (work.elements > MAX_WORK) throw new ModelError('unsafe', 'the program works out more constants than any net needs');
}

/** A builder that counts the numbers that are made up for a program: tables of places, masks, kernels. */
export class CountingBuilder extends GraphBuilder {
  constructor(
    origin: Origin,
    private readonly work: Work,
  ) {
    super(origin);
  }

  override constant(tensor: Tensor, name = tensor.name): Value {
    countElements(this.work, tensor.known?.length ?? 0);
    return super.constant(tensor, name);
  }
}

/** What an operator with one output makes of constants; null where it becomes a layer. */
export function foldConstant(operator: Operator, inputs: Inputs, given: Attributes, origin: Origin, work: Work): Value | null {
  const [x] = inputs;
  if (!x || inputs.some((input) => input && !input.constant && !isKnown(input))) return null;
  const attributes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Record<string, never>;
  const layer = makeLayer(
    { name: 'folded', op: operator.op, inputs: inputs.map((input, i) => (input ? `${i}` : '')), outputs: ['y'], attributes },
    inputs.map((input) => input?.shape ?? null),
  );
  if (inputs.every((input) => !input || isKnown(input))) return evaluated(operator, layer, inputs, origin, work);
  if (!x.constant || inputs.slice(1).some((input) => input !== null)) return null;
  const shapes = () => operator.shape({ x } as never, layer.attributes as never, NO_CONTEXT)[0] as readonly number[];
  switch (operator.op) {
    case 'Transpose':
      return constant(permute(x.constant, layer.attributes.perm as readonly number[]));
    case 'Reshape':
    case 'Flatten':
    case 'Unsqueeze':
    case 'Squeeze':
      return constant(reshape(x.constant, shapes()));
    case 'Slice':
      return sliced(x.constant, layer.attributes as never, shapes());
    default:
      return null;
  }
}

function constant(tensor: Tensor): Value {
  return { name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, constant: tensor };
}

function isKnown({ elements, shape }: Value): boolean {
  return elements?.every((element) => typeof element === 'number') === true && shape?.every((size) => typeof size === 'number') === true;
}

function evaluated(operator: Operator, layer: ReturnType<typeof makeLayer>, inputs: Inputs, origin: Origin, work: Work): Value | null {
  if (!operator.compute || inputs.some((input) => input && elementCount(input.shape as readonly number[]) > MAX_ELEMENTS)) return null;
  const values = inputs.map((input) => ({
    shape: (input?.shape ?? []) as readonly number[],
    data: Float64Array.from((input?.elements ?? []) as readonly number[]),
    ...(input?.dtype ? { dtype: input.dtype } : {}),
  }));
  const bound = bindSlots(operator, { ...layer, weights: {} }, values, () => values[0]!);
  const types = bindSlots(
    operator,
    { ...layer, weights: {} },
    inputs.map((input) => input ?? { name: '', dtype: null, shape: null }),
    () => inputs[0]!,
  );
  const [sizes] = operator.shape(types as never, layer.attributes as never, NO_CONTEXT);
  if (!sizes?.every((size): size is number => typeof size === 'number') || elementCount(sizes) > MAX_ELEMENTS) return null;
  countElements(
    work,
    inputs.reduce((sum, input) => sum + (input?.elements?.length ?? 0), elementCount(sizes)),
  );
  const dtype = (operator.dtype?.(types as never, layer.attributes as never)[0] ?? inputs[0]!.dtype) as NonNullable<Value['dtype']>;
  const [made] = operator.compute(bound as never, layer.attributes as never, { outputs: 1 });
  const known = Array.from(roundTo(made!.data, dtype));
  // Most of these go into the next one: bytes are made of those that stay.
  const bytes = () => tensorBytes(numbersTensor('constant', dtype, made!.shape, known, origin));
  const tensor = { ...computedTensor('constant', dtype, made!.shape, origin, bytes), known };
  return { name: 'constant', dtype, shape: made!.shape as readonly Dim[], elements: known, constant: tensor };
}

interface SliceAttributes {
  readonly starts?: readonly number[];
  readonly axes?: readonly number[];
  readonly steps?: readonly number[];
}

function sliced(tensor: Tensor, { starts, axes, steps }: SliceAttributes, shape: readonly number[]): Value | null {
  if (!starts || !axes || steps?.some((step) => step !== 1)) return null;
  const cut = axes.reduce((part, axis, i) => {
    const at = axis < 0 ? axis + tensor.shape.length : axis;
    const size = tensor.shape[at]!;
    const start = Math.min(size, Math.max(0, starts[i]! < 0 ? starts[i]! + size : starts[i]!));
    return sliceAxis(part, at, start, start + shape[at]!);
  }, tensor);
  return constant(cut);
}
