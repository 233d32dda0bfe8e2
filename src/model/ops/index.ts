/**
 * The operator table: what each operator of the layer map means, in ONNX terms.
 *
 * One entry per operator: the roles of its weights in the order of ONNX's inputs, its attributes with their defaults, and
 * its shape rule. Readers make layers through `makeLayer`, so every attribute is present and none is unknown; writers and
 * the reference evaluator read the same table. Attributes follow the newest opset's meaning; where newer opsets turned an
 * attribute into an input (Reshape's shape, Clip's bounds, Pad's pads), the map keeps the attribute.
 *
 * @see https://onnx.ai/onnx/operators/
 */
import { ModelError } from '../../errors.js';
import type { AttributeValue, Dim, Layer } from '../layer-map.js';
import type { Tensor } from '../tensor.js';

export type AttributeType = 'int' | 'float' | 'string' | 'ints' | 'floats';

export interface AttributeSpec {
  readonly type: AttributeType;
  /** Left out: the attribute must be given. */
  readonly default?: AttributeValue;
}

export interface OpSpec {
  /** Roles of weights, in the order of the ONNX inputs that follow the activations. A '?' marks an optional one. */
  readonly roles: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeSpec>>;
  /** How many activations it takes; Infinity where any number. */
  readonly inputs: readonly [min: number, max: number];
  /** Shapes of the outputs from those of the inputs, channels-first. */
  shape(inputs: readonly (readonly Dim[])[], layer: Layer): readonly (readonly Dim[])[];
}

const int = (value?: number): AttributeSpec => ({ type: 'int', ...(value === undefined ? {} : { default: value }) });
const float = (value?: number): AttributeSpec => ({ type: 'float', ...(value === undefined ? {} : { default: value }) });
const string = (value?: string): AttributeSpec => ({ type: 'string', ...(value === undefined ? {} : { default: value }) });
const ints = (value?: readonly number[]): AttributeSpec => ({ type: 'ints', ...(value === undefined ? {} : { default: value }) });

type ShapeRule = OpSpec['shape'];
const same: ShapeRule = ([x]) => [x!];

function unary(attributes: OpSpec['attributes'] = {}, roles: readonly string[] = []): OpSpec {
  return { roles, attributes, inputs: [1, 1], shape: same };
}

/** Two operands, of which one may be a weight (role 'operand', second place). */
const binary: OpSpec = {
  roles: ['operand?'],
  attributes: {},
  inputs: [1, 2],
  shape: ([a, b], layer) => [broadcast(a!, b ?? layer.weights.operand?.shape ?? [])],
};

const variadic: OpSpec = {
  roles: [],
  attributes: {},
  inputs: [1, Number.POSITIVE_INFINITY],
  shape: (inputs) => [inputs.reduce((a, b) => broadcast(a, b))],
};

const WINDOW = {
  strides: ints(),
  /** [begin of each spatial axis ..., end of each]; all zero when auto_pad says otherwise. */
  pads: ints(),
  auto_pad: string('NOTSET'),
};

const windowed: ShapeRule = ([x], layer) => {
  const [n, , ...spatial] = x!;
  const channels = layer.op === 'Conv' ? layer.weights.kernel!.shape[0]! : x![1]!;
  return [[n!, channels, ...spatial.map((size, axis) => windowedSize(size, axis, layer))]];
};

const globalPool: ShapeRule = ([x]) => [[x![0]!, x![1]!, ...x!.slice(2).map(() => 1)]];

const reduce: OpSpec = {
  roles: [],
  attributes: { axes: ints(), keepdims: int(1) },
  inputs: [1, 1],
  shape: ([x], layer) => {
    const axes = (layer.attributes.axes as readonly number[]).map((axis) => (axis < 0 ? axis + x!.length : axis));
    if (layer.attributes.keepdims) return [x!.map((size, axis) => (axes.includes(axis) ? 1 : size))];
    return [x!.filter((_, axis) => !axes.includes(axis))];
  },
};

export const OPS: Readonly<Record<string, OpSpec>> = {
  Conv: {
    roles: ['kernel', 'bias?'],
    attributes: { ...WINDOW, kernel_shape: ints(), dilations: ints(), group: int(1) },
    inputs: [1, 1],
    shape: windowed,
  },
  ConvTranspose: {
    roles: ['kernel', 'bias?'],
    attributes: { ...WINDOW, kernel_shape: ints(), dilations: ints(), group: int(1), output_padding: ints() },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const { kernel_shape, strides, pads, dilations, output_padding, group } = layer.attributes as Record<string, readonly number[]>;
      const [n, , ...spatial] = x!;
      const rank = spatial.length;
      const sizes = spatial.map((size, i) =>
        typeof size === 'string'
          ? size
          : strides![i]! * (size - 1) + output_padding![i]! + (kernel_shape![i]! - 1) * dilations![i]! + 1 - pads![i]! - pads![i + rank]!,
      );
      return [[n!, layer.weights.kernel!.shape[1]! * (group as unknown as number), ...sizes]];
    },
  },
  /** kernel [out, in], input [batch, in]; alpha and beta are 1. */
  Gemm: {
    roles: ['kernel', 'bias?'],
    attributes: {},
    inputs: [1, 1],
    shape: ([x], layer) => [[x![0]!, layer.weights.kernel!.shape[0]!]],
  },
  /** kernel [in, out], on the last axis of an input of any rank. */
  MatMul: {
    roles: ['kernel?'],
    attributes: {},
    inputs: [1, 2],
    shape: ([a, b], layer) => [[...a!.slice(0, -1), (b ?? layer.weights.kernel!.shape).at(-1)!]],
  },
  BatchNormalization: {
    roles: ['scale', 'bias', 'mean', 'variance'],
    attributes: { epsilon: float(1e-5) },
    inputs: [1, 1],
    shape: same,
  },
  /** Rows of a table [count, width] by number; the input holds whole numbers, of whatever dtype. */
  Gather: {
    roles: ['table'],
    attributes: {},
    inputs: [1, 1],
    shape: ([ids], layer) => [[...ids!, layer.weights.table!.shape[1]!]],
  },
  Relu: unary(),
  LeakyRelu: unary({ alpha: float(0.01) }),
  PRelu: unary({}, ['slope']),
  ThresholdedRelu: unary({ alpha: float(1) }),
  Elu: unary({ alpha: float(1) }),
  Selu: unary({ alpha: float(1.6732632423543772), gamma: float(1.0507009873554805) }),
  Sigmoid: unary(),
  HardSigmoid: unary({ alpha: float(0.2), beta: float(0.5) }),
  Tanh: unary(),
  Softplus: unary(),
  Softsign: unary(),
  Erf: unary(),
  Exp: unary(),
  Log: unary(),
  Abs: unary(),
  Neg: unary(),
  Sqrt: unary(),
  Identity: unary(),
  /** Either bound may be infinite. */
  Clip: unary({ min: float(Number.NEGATIVE_INFINITY), max: float(Number.POSITIVE_INFINITY) }),
  Softmax: unary({ axis: int(-1) }),
  LogSoftmax: unary({ axis: int(-1) }),
  LRN: unary({ alpha: float(1e-4), beta: float(0.75), bias: float(1), size: int() }),
  MaxPool: {
    roles: [],
    attributes: { ...WINDOW, kernel_shape: ints(), dilations: ints(), ceil_mode: int(0) },
    inputs: [1, 1],
    shape: windowed,
  },
  AveragePool: {
    roles: [],
    attributes: { ...WINDOW, kernel_shape: ints(), ceil_mode: int(0), count_include_pad: int(0) },
    inputs: [1, 1],
    shape: windowed,
  },
  GlobalAveragePool: { ...unary(), shape: globalPool },
  GlobalMaxPool: { ...unary(), shape: globalPool },
  Flatten: {
    roles: [],
    attributes: { axis: int(1) },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const axis = layer.attributes.axis as number;
      return [[product(x!.slice(0, axis)), product(x!.slice(axis))]];
    },
  },
  /** shape: 0 copies the input's size, -1 is worked out. */
  Reshape: {
    roles: [],
    attributes: { shape: ints() },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const wanted = (layer.attributes.shape as readonly number[]).map((size, axis) => (size === 0 ? x![axis]! : size));
      const hole = wanted.indexOf(-1);
      if (hole < 0) return [wanted];
      // A free batch dimension that is copied cancels out of the count.
      const kept = new Set<Dim>(wanted.filter((size) => typeof size === 'string'));
      const total = product(x!.filter((size) => !kept.has(size)));
      const known = product(wanted.filter((size, axis) => axis !== hole && !kept.has(size)));
      return [wanted.with(hole, typeof total === 'number' && typeof known === 'number' ? total / known : '?')];
    },
  },
  Transpose: {
    roles: [],
    attributes: { perm: ints() },
    inputs: [1, 1],
    shape: ([x], layer) => [(layer.attributes.perm as readonly number[]).map((axis) => x![axis]!)],
  },
  Concat: {
    roles: [],
    attributes: { axis: int() },
    inputs: [1, Number.POSITIVE_INFINITY],
    shape: (inputs, layer) => {
      const rank = inputs[0]!.length;
      const axis = ((layer.attributes.axis as number) + rank) % rank;
      const sizes = inputs.map((shape) => shape[axis]!);
      const total = sizes.every((size) => typeof size === 'number') ? sizes.reduce((a, b) => a + b, 0) : '?';
      return [inputs[0]!.with(axis, total)];
    },
  },
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: binary,
  Pow: binary,
  Max: variadic,
  Min: variadic,
  Sum: variadic,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ReduceSum: reduce,
  /** pads: [begin of each axis ..., end of each], batch and channels included. */
  Pad: {
    roles: [],
    attributes: { pads: ints(), mode: string('constant'), value: float(0) },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const pads = layer.attributes.pads as readonly number[];
      return [x!.map((size, axis) => (typeof size === 'string' ? size : size + pads[axis]! + pads[axis + x!.length]!))];
    },
  },
  /** starts, ends and axes as ONNX Slice with steps of one. */
  Slice: {
    roles: [],
    attributes: { starts: ints(), ends: ints(), axes: ints() },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const { starts, ends, axes } = layer.attributes as Record<string, readonly number[]>;
      const clamp = (at: number, size: number) => Math.max(0, Math.min(size, at < 0 ? at + size : at));
      return [
        x!.map((size, axis) => {
          const i = axes!.indexOf(axis);
          return i < 0 || typeof size === 'string' ? size : Math.max(0, clamp(ends![i]!, size) - clamp(starts![i]!, size));
        }),
      ];
    },
  },
  /** Enlarges each axis by a whole factor. */
  Resize: {
    roles: [],
    attributes: { scales: { type: 'floats' }, mode: string('nearest'), coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') },
    inputs: [1, 1],
    shape: ([x], layer) => {
      const scales = layer.attributes.scales as readonly number[];
      return [x!.map((size, axis) => (typeof size === 'string' ? size : Math.floor(size * scales[axis]!)))];
    },
  },
};

export interface LayerDraft {
  readonly name: string;
  readonly canonicalName?: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
}

/**
 * A layer with every attribute of its operator.
 *
 * @throws Error for an operator, attribute or role that the table does not have: a reader's bug, never a file's fault
 */
export function makeLayer(draft: LayerDraft): Layer {
  const spec = OPS[draft.op];
  if (!spec) throw new Error(`makeLayer: no operator ${draft.op}`);
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, { default: value }] of Object.entries(spec.attributes)) {
    const given = draft.attributes?.[name] ?? value ?? windowDefault(name, draft);
    if (given === undefined) throw new Error(`makeLayer: ${draft.op} "${draft.name}" lacks ${name}`);
    attributes[name] = given;
  }
  for (const name of Object.keys(draft.attributes ?? {})) {
    if (!spec.attributes[name]) throw new Error(`makeLayer: ${draft.op} has no attribute ${name}`);
  }
  const weights = draft.weights ?? {};
  for (const role of spec.roles) {
    if (!role.endsWith('?') && !weights[role]) throw new Error(`makeLayer: ${draft.op} "${draft.name}" lacks ${role}`);
  }
  for (const role of Object.keys(weights)) {
    if (!spec.roles.some((known) => known.replace('?', '') === role)) throw new Error(`makeLayer: ${draft.op} has no weight ${role}`);
  }
  return { ...draft, attributes, weights };
}

/** Neutral strides, pads, dilations and the like, whose length follows the window's rank. */
function windowDefault(name: string, draft: LayerDraft): readonly number[] | undefined {
  const kernel = (draft.attributes?.kernel_shape as readonly number[] | undefined) ?? draft.weights?.kernel?.shape.slice(2);
  if (!kernel || draft.op === 'Pad' || draft.op === 'Reshape') return undefined;
  switch (name) {
    case 'kernel_shape':
      return kernel;
    case 'strides':
    case 'dilations':
      return kernel.map(() => 1);
    case 'output_padding':
      return kernel.map(() => 0);
    case 'pads':
      return [...kernel, ...kernel].map(() => 0);
    default:
      return undefined;
  }
}

/**
 * Shapes of all values of a graph, channels-first, by value name.
 *
 * @param inputs shapes of the graph's input values
 * @throws ModelError 'malformed' naming the first layer whose weights do not fit what flows into it
 */
export function inferShapes(layers: readonly Layer[], inputs: ReadonlyMap<string, readonly Dim[]>): Map<string, readonly Dim[]> {
  const shapes = new Map(inputs);
  for (const layer of layers) {
    const given = layer.inputs.map((value) => {
      const shape = shapes.get(value);
      if (!shape) throw new ModelError('malformed', `reads "${value}", which no earlier layer makes`, { layer: layer.name });
      return shape;
    });
    checkFit(layer, given);
    const made = OPS[layer.op]!.shape(given, layer);
    layer.outputs.forEach((value, i) => {
      const shape = made[i]!;
      if (shape.some((size) => typeof size === 'number' && (!Number.isInteger(size) || size < 1))) {
        throw new ModelError('malformed', `${layer.op} makes the shape [${shape}] from [${given.map((s) => `[${s}]`)}]. Is the input too small?`, {
          layer: layer.name,
        });
      }
      shapes.set(value, shape);
    });
  }
  return shapes;
}

/** Weights against what flows in: channels of a Conv, features of a Gemm. */
function checkFit(layer: Layer, [x]: readonly (readonly Dim[])[]): void {
  const kernel = layer.weights.kernel;
  if (!x || !kernel) return;
  const found = layer.op === 'Gemm' || layer.op === 'Conv' ? x[1] : layer.op === 'MatMul' ? x.at(-1) : undefined;
  if (typeof found !== 'number') return;
  const expected = layer.op === 'Conv' ? kernel.shape[1]! * (layer.attributes.group as number) : layer.op === 'Gemm' ? kernel.shape[1]! : kernel.shape[0]!;
  if (found !== expected) {
    throw new ModelError('malformed', `${layer.op} takes ${expected} ${layer.op === 'Conv' ? 'channels' : 'features'}, but ${found} flow in (shape [${x}])`, {
      layer: layer.name,
      file: kernel.origin.file,
      tensor: kernel.name,
    });
  }
}

/** Output size of a convolution or pooling along one spatial axis; see ONNX Conv and MaxPool, auto_pad and ceil_mode. */
export function windowedSize(size: Dim, axis: number, layer: Layer): Dim {
  if (typeof size === 'string') return size;
  const { kernel_shape, strides, pads, dilations } = layer.attributes as Record<string, readonly number[]>;
  const stride = strides![axis]!;
  const extent = (kernel_shape![axis]! - 1) * (dilations?.[axis] ?? 1) + 1;
  const autoPad = layer.attributes.auto_pad;
  if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') return Math.ceil(size / stride);
  const begin = autoPad === 'VALID' ? 0 : pads![axis]!;
  const end = autoPad === 'VALID' ? 0 : pads![axis + pads!.length / 2]!;
  const steps = (size + begin + end - extent) / stride;
  if (!layer.attributes.ceil_mode) return Math.floor(steps) + 1;
  const count = Math.ceil(steps) + 1;
  // A window that would start in the end padding is left out.
  return (count - 1) * stride >= size + begin ? count - 1 : count;
}

function broadcast(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    return left === 1 ? right : left;
  });
}

function product(sizes: readonly Dim[]): Dim {
  const free = sizes.filter((size) => typeof size === 'string');
  if (free.length === 0) return (sizes as readonly number[]).reduce((a, b) => a * b, 1);
  return sizes.length === 1 ? free[0]! : '?';
}
