/**
 * How each operator of the layer map is spelt as an ONNX node, per opset.
 *
 * Nearly all attributes and inputs carry over as they are. What differs: attributes that an opset takes as inputs (Reshape's
 * shape, Clip's bounds), attributes that ONNX has and the map has not (Gemm's alpha), and padding words that are turned into numbers.
 * Every attribute is written out, because some runtimes (onnxruntime-web on WebGPU) do not fill in defaults.
 *
 * @see https://onnx.ai/onnx/operators/ for the opset in which each form begins
 */
import { ModelError } from '../../errors.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { OPS } from '../../model/ops/index.js';
import { intAttribute, intsAttribute, type OnnxAttribute } from './graph.js';

/** What a form may ask of the graph around it. */
export interface FormContext {
  readonly opset: number;
  /** Shape of a value, channels-first. */
  shapeOf(value: string): readonly Dim[];
  /** Adds a one-dimensional int64 constant of this layer; gives its name. */
  ints(role: string, values: readonly number[]): string;
  /** Adds a one-dimensional float32 constant. */
  floats(role: string, values: readonly number[]): string;
  /** Adds a scalar of the dtype in which the graph computes. */
  scalar(role: string, value: number): string;
}

export interface NodeForm {
  /** Inputs after the activations and weights; '' for one that is left out. */
  readonly inputs?: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

type Form = (layer: Layer, context: FormContext) => NodeForm;

/** The layer's attributes, as they are, without those named. */
function attributesOf(layer: Layer, ...without: readonly string[]): Record<string, OnnxAttribute> {
  const specs = Object.entries(OPS[layer.op]!.attributes).filter(([name]) => !without.includes(name));
  return Object.fromEntries(specs.map(([name, { type }]) => [name, { type, value: layer.attributes[name]! }]));
}

const ints = (layer: Layer, name: string) => layer.attributes[name] as readonly number[];

const plain: Form = (layer) => ({ attributes: attributesOf(layer) });

const windowed: Form = (layer, context) => {
  const attributes = attributesOf(layer);
  const pads = explicitPads(layer, context);
  if (pads) return { attributes: { ...attributes, pads: intsAttribute(pads), auto_pad: { type: 'string', value: 'NOTSET' } } };
  // Where auto_pad decides, shape inference of the onnx package obeys pads if there are any.
  return { attributes: attributesOf(layer, 'pads') };
};

/** Pads in numbers; null where they depend on a size that is free. */
function explicitPads(layer: Layer, context: FormContext): readonly number[] | null {
  const mode = layer.attributes.auto_pad;
  if (mode === 'NOTSET') return ints(layer, 'pads');
  const kernel = ints(layer, 'kernel_shape');
  if (mode === 'VALID') return [...kernel, ...kernel].map(() => 0);
  const spatial = context.shapeOf(layer.inputs[0]!).slice(2);
  const totals: number[] = [];
  for (const [axis, size] of kernel.entries()) {
    const extent = (size - 1) * (ints(layer, 'dilations')?.[axis] ?? 1) + 1;
    const stride = ints(layer, 'strides')[axis]!;
    const length = spatial[axis]!;
    if (typeof length === 'number') totals.push(Math.max((Math.ceil(length / stride) - 1) * stride + extent - length, 0));
    else if (stride === 1) totals.push(extent - 1);
    else return null;
  }
  const smaller = totals.map((total) => Math.floor(total / 2));
  const larger = totals.map((total) => Math.ceil(total / 2));
  return mode === 'SAME_UPPER' ? [...smaller, ...larger] : [...larger, ...smaller];
}

/** ReduceSum takes its axes as an input from opset 13, the others from 18. */
function reduce(inputSince: number): Form {
  return (layer, context) => {
    if (context.opset < inputSince) return plain(layer, context);
    return { inputs: [context.ints('axes', ints(layer, 'axes'))], attributes: { ...attributesOf(layer, 'axes'), noop_with_empty_axes: intAttribute(0) } };
  };
}

const clip: Form = (layer, context) => {
  const { min, max } = layer.attributes as Record<'min' | 'max', number>;
  return {
    inputs: [min === Number.NEGATIVE_INFINITY ? '' : context.scalar('min', min), max === Number.POSITIVE_INFINITY ? '' : context.scalar('max', max)],
    attributes: {},
  };
};

const resize: Form = (layer, context) => ({
  inputs: ['', context.floats('scales', layer.attributes.scales as readonly number[])],
  attributes: {
    ...attributesOf(layer, 'scales'),
    cubic_coeff_a: { type: 'float', value: -0.75 },
    exclude_outside: intAttribute(0),
    extrapolation_value: { type: 'float', value: 0 },
    ...(context.opset < 18 ? {} : { antialias: intAttribute(0), keep_aspect_ratio_policy: { type: 'string', value: 'stretch' } }),
  },
});

const NODE_FORMS: Readonly<Record<string, Form>> = {
  ...Object.fromEntries(
    [
      ...['Relu', 'LeakyRelu', 'PRelu', 'ThresholdedRelu', 'Elu', 'Selu', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Softplus', 'Softsign'],
      ...['Erf', 'Exp', 'Log', 'Abs', 'Neg', 'Sqrt', 'Identity', 'Softmax', 'LogSoftmax', 'LRN', 'GlobalAveragePool', 'GlobalMaxPool'],
      ...['MatMul', 'Flatten', 'Transpose', 'Concat', 'Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min', 'Sum'],
    ].map((op) => [op, plain]),
  ),
  Conv: windowed,
  ConvTranspose: windowed,
  MaxPool: (layer, context) => {
    const form = windowed(layer, context);
    return { attributes: { ...form.attributes, storage_order: intAttribute(0) } };
  },
  AveragePool: (layer, context) => {
    const { attributes } = windowed(layer, context);
    if (context.opset < 19) return { attributes };
    return { attributes: { ...attributes, dilations: intsAttribute(ints(layer, 'kernel_shape').map(() => 1)) } };
  },
  Gemm: (layer) => ({
    attributes: {
      alpha: { type: 'float', value: 1 },
      beta: { type: 'float', value: 1 },
      transA: intAttribute(0),
      transB: intAttribute(isStoredTransposed(layer) ? 0 : 1),
    },
  }),
  BatchNormalization: (layer, { opset }) => ({
    attributes: { ...attributesOf(layer), momentum: { type: 'float', value: 0.9 }, ...(opset < 14 ? {} : { training_mode: intAttribute(0) }) },
  }),
  Clip: clip,
  Gather: () => ({ attributes: { axis: intAttribute(0) } }),
  Reshape: (layer, context) => ({
    inputs: [context.ints('shape', ints(layer, 'shape'))],
    attributes: (context.opset < 14 ? {} : { allowzero: intAttribute(0) }) as Record<string, OnnxAttribute>,
  }),
  ReduceMean: reduce(18),
  ReduceMax: reduce(18),
  ReduceSum: reduce(13),
  Pad: (layer, context) => ({
    inputs: [context.ints('pads', ints(layer, 'pads')), context.scalar('value', layer.attributes.value as number)],
    attributes: attributesOf(layer, 'pads', 'value'),
  }),
  Slice: (layer, context) => ({ inputs: ['starts', 'ends', 'axes'].map((name) => context.ints(name, ints(layer, name))), attributes: {} }),
  Resize: resize,
};

/**
 * Why a layer has no ONNX node of the given opset.
 *
 * @returns null where it has one
 */
export function layerObstacle(layer: Layer, opset: number): ModelError | null {
  const unsupported = (problem: string) => new ModelError('unsupported', problem, { layer: layer.name });
  if (!NODE_FORMS[layer.op]) return unsupported(`the operator ${layer.op} has no translation to ONNX`);
  if (layer.op === 'ConvTranspose' && String(layer.attributes.auto_pad).startsWith('SAME')) {
    return unsupported(`ConvTranspose with auto_pad ${layer.attributes.auto_pad}: its padding must be given in numbers`);
  }
  if (layer.op === 'Pad' && layer.attributes.mode === 'wrap' && opset < 19) return unsupported('Pad with mode wrap needs opset 19; choose --opset 19 or newer');
  return null;
}

/** @param layer one without an obstacle */
export function nodeForm(layer: Layer, context: FormContext): NodeForm {
  return NODE_FORMS[layer.op]!(layer, context);
}

/**
 * Whether a Gemm kernel [out, in] lies in the source as [in, out], so that it is cheaper to write it so (transB = 0): VGG's
 * first dense layer is 411 MB. Holds for Keras kernels, also where the rows are reordered after a Flatten.
 */
export function isStoredTransposed(layer: Layer): boolean {
  const [outAxis, inAxis] = layer.weights.kernel!.walk.axes;
  const innermost = (axis: typeof outAxis) => axis!.findLast(({ size }) => size > 1)?.stride;
  return innermost(inAxis) !== 1 && innermost(outAxis) === 1;
}
