/**
 * Operators that an opset does not have yet, as the steps that their definitions are functions of: a net of today's exporters (opset 20 and newer) for a
 * runtime of yesterday.
 *
 * The last step has the layer's name and makes its value. Operators that are not here are declined, with the opset that has them.
 *
 * @see https://onnx.ai/onnx/operators/ for the functions
 */
import type { DType } from '../../model/dtype.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { numbersTensor } from '../../model/numbers.js';
import { bindSlots, inferMap, makeLayer, operatorOf } from '../../model/ops/index.js';
import type { ValueType } from '../../model/ops/operator.js';
import type { Tensor } from '../../model/tensor.js';

/** A value, or a weight. */
type Operand = string | Tensor;

interface Steps {
  readonly layer: Layer;
  readonly dtype: DType;
  readonly rank: number;
  /** Adds a step, and gives its value; the last one makes the layer's own. */
  add(op: string, x: string, operand: Operand | null, attributes: Layer['attributes'], name: string | null): string;
  number(value: number): Tensor;
  slot(name: string): Operand | undefined;
}

const gelu = ({ layer, add, number }: Steps, x: string): void => {
  const half = add('Mul', x, number(0.5), {}, 'half');
  add('Mul', half, add('Add', layer.attributes.approximate === 'tanh' ? bentByTanh() : bentByErf(), number(1), {}, 'gate'), {}, null);
  function bentByErf(): string {
    return add('Erf', add('Mul', x, number(Math.SQRT1_2), {}, 'scaled'), null, {}, 'erf');
  }
  function bentByTanh(): string {
    const cube = add('Mul', add('Mul', x, x, {}, 'square'), x, {}, 'cube');
    const bent = add('Add', x, add('Mul', cube, number(0.044715), {}, 'small'), {}, 'bent');
    return add('Tanh', add('Mul', bent, number(Math.sqrt(2 / Math.PI)), {}, 'scaled'), null, {}, 'tanh');
  }
};

/** By the root of the mean of squares, and a factor for each place. */
function normalised(steps: Steps, x: string, axes: readonly number[], behind: 'bias' | null): void {
  const { layer, add, number, slot } = steps;
  const mean = (of: string, name: string) => add('ReduceMean', of, null, { axes, keepdims: 1, noop_with_empty_axes: 0 }, name);
  const variance = add('Add', mean(add('Mul', x, x, {}, 'squares'), 'variance'), number(layer.attributes.epsilon as number), {}, 'shifted');
  const normal = add('Div', x, add('Sqrt', variance, null, {}, 'deviation'), {}, 'normal');
  const bias = behind && slot(behind);
  const scaled = add('Mul', normal, slot('scale')!, {}, bias ? 'scaled' : null);
  if (bias) add('Add', scaled, bias, {}, null);
}

function axesOf({ layer, rank }: Steps): readonly number[] {
  const axis = layer.attributes.axis as number;
  const count = axis < 0 ? -axis : rank - axis;
  return Array.from({ length: count }, (_, i) => i - count);
}

const STEPS: Readonly<Record<string, (steps: Steps, x: string) => void>> = {
  Gelu: gelu,
  HardSwish: ({ add }, x) => add('Mul', x, add('HardSigmoid', x, null, { alpha: Math.fround(1 / 6), beta: 0.5 }, 'gate'), {}, null),
  Mish: ({ add }, x) => add('Mul', x, add('Tanh', add('Softplus', x, null, {}, 'softplus'), null, {}, 'tanh'), {}, null),
  LayerNormalization: (steps, x) => {
    const axes = axesOf(steps);
    const mean = steps.add('ReduceMean', x, null, { axes, keepdims: 1, noop_with_empty_axes: 0 }, 'mean');
    normalised(steps, steps.add('Sub', x, mean, {}, 'centred'), axes, 'bias');
  },
  RMSNormalization: (steps, x) => normalised(steps, x, axesOf(steps), null),
  Shape: ({ layer, add }, x) => {
    const { start = 0, end = ALL } = layer.attributes as { readonly start?: number; readonly end?: number };
    add('Slice', add('Shape', x, null, {}, 'whole'), null, { starts: [start], ends: [end], axes: [0], steps: [1] }, null);
  },
};

/** Beyond the end of any shape. */
const ALL = 2 ** 31 - 1;

/** The opset that has what a layer says. */
function sinceOf({ op, attributes }: Layer): number {
  if (op === 'Shape') return attributes.start || attributes.end !== undefined ? 15 : 1;
  return operatorOf(op)?.onnx?.since ?? 1;
}

/** Sums of squares leave the range of float16 and are rounded away in bfloat16, in which these operators do not compute either. */
const WIDE: ReadonlySet<string> = new Set(['LayerNormalization', 'RMSNormalization']);

/**
 * The map with the layers that the opset has no operator for taken apart, where they can be; the map itself where there are none.
 *
 * @param isHalf whether what is float32 in the map is float16 in the file
 */
export function inOlderForms(map: LayerMap, opset: number, isHalf: boolean): LayerMap {
  const mayBe = (layer: Layer) =>
    !layer.foreign && Object.hasOwn(STEPS, layer.op) && opset < sinceOf(layer) && layer.outputs.slice(1).every((output) => output === '');
  if (!map.layers.some(mayBe)) return map;
  const types = inferMap(map);
  const isNarrow = ({ inputs: [x] }: Layer) => isHalf || ['float16', 'bfloat16'].includes(types.get(x!)?.dtype ?? '');
  const isNewer = (layer: Layer) => mayBe(layer) && !(WIDE.has(layer.op) && isNarrow(layer));
  const values = new Names(2);
  for (const name of [...map.inputs.map(({ value }) => value), ...map.layers.flatMap(({ outputs }) => outputs)]) values.add(name);
  const names = new Names(2);
  for (const { name } of map.layers) names.add(name);
  return { ...map, layers: map.layers.flatMap((layer) => (isNewer(layer) ? apart(layer, types, values, names) : [layer])) };
}

function apart(layer: Layer, types: ReadonlyMap<string, ValueType>, values: Names, names: Names): readonly Layer[] {
  const made: Layer[] = [];
  const [x, output] = [layer.inputs[0]!, layer.outputs[0]!];
  const { dtype, shape } = types.get(x) ?? {};
  const bound = bindSlots<Operand>(operatorOf(layer.op)!, layer, layer.inputs, (tensor) => tensor);
  STEPS[layer.op]!(
    {
      layer,
      dtype: dtype ?? 'float32',
      rank: shape?.length ?? 0,
      number: (value) => numbersTensor('constant', dtype ?? 'float32', [], [value], { file: 'weighbridge' }),
      slot: (name) => bound[name] as Operand | undefined,
      add(op, from, operand, attributes, name) {
        const flowing = typeof operand === 'string' ? [from, operand] : [from];
        const weights: Layer['weights'] = operand !== null && typeof operand !== 'string' ? { operand } : {};
        const value = name === null ? output : values.take(`${output}/${name}`);
        const own = name === null ? layer.name : names.take(`${layer.name}/${name}`);
        made.push(
          makeLayer(
            { op, name: own, inputs: flowing, outputs: [value], attributes, weights },
            flowing.map((one) => types.get(one)?.shape ?? null),
          ),
        );
        return value;
      },
    },
    x,
  );
  return made;
}
