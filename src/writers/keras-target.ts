/**
 * A layers model for Keras itself, which has what TensorFlow.js lacks, and calls one thing by another name.
 *
 * What no layer does is an operation: Keras 3 has `keras.ops.matmul` and the like among a model's layers, under the module that
 * has the operation's class.
 *
 * @see https://github.com/keras-team/keras/blob/master/keras/src/models/functional.py, serialize_node, and src/ops/numpy.py
 */
import { addDims, productOf } from '../model/dims.js';
import type { Dim } from '../model/layer-map.js';
import { kerasOrder } from './keras-order.js';
import { LAYERS_OPS } from './tfjs/layers-rules.js';
import { type Json, type KerasLayer, type KerasNode, LayersTarget, referenceOf } from './tfjs/layers-target.js';
import { type ConvolutionForm, type FileValue, type FileWeight, inexpressible, knownSize, type Margins } from './tfjs/target.js';

/** Operators of Keras that stand for several simpler ones. */
export const KERAS_OPS: ReadonlySet<string> = new Set([...LAYERS_OPS, 'GroupNormalization']);

/** Operations by operator: their class, and the module that has it. */
const UNARY: Readonly<Record<string, readonly [className: string, module: string]>> = {
  Erf: ['Erf', 'math'],
  Log: ['Log', 'numpy'],
  Sqrt: ['Sqrt', 'numpy'],
};

const BINARY: Readonly<Record<string, string>> = { Div: 'TrueDivide', Pow: 'Power' };

const JOINING: Readonly<Record<string, string>> = { Add: 'Add', Sub: 'Subtract', Mul: 'Multiply', Max: 'Maximum', Min: 'Minimum' };

/** What an operation takes: values and numbers. */
interface Operation {
  readonly module: string;
  readonly operands: readonly (FileValue | number)[];
}

export class KerasTarget extends LayersTarget {
  override readonly runtime = 'Keras';
  protected override readonly instead = '';
  protected override readonly mayReadTwice = true;

  /** Keras 3 takes no slash in the name of a layer. */
  protected override readonly separator = '_';

  readonly hasGroups = true;

  protected override order(_nodes: readonly KerasNode[], inputs: readonly FileValue[], outputs: readonly FileValue[]): readonly KerasNode[] {
    return kerasOrder(inputs, outputs);
  }

  override hasDepthwise({ strides, dilations }: Pick<ConvolutionForm, 'strides' | 'dilations'>): boolean {
    // TensorFlow's depthwise convolution takes one stride for both axes, and none beside a dilation.
    const isDilated = dilations.some((dilation) => dilation !== 1);
    return strides.every((stride) => stride === strides[0]) && !(isDilated && strides[0] !== 1);
  }

  readonly #operations = new Map<object, Operation>();

  /** Whether Keras 2 has no words for some of it. */
  get hasOperations(): boolean {
    return this.#operations.size > 0;
  }

  /** Operations are no layers to Keras. */
  override layers(): readonly KerasLayer[] {
    return super.layers().filter((layer) => !this.#operations.has(layer));
  }

  #operation(className: string, module: string, operands: Operation['operands'], shape: readonly Dim[], config: Json = {}): FileValue {
    const inputs = operands.filter((operand) => typeof operand === 'object');
    const made = this.add(className, className.toLowerCase(), config, inputs, shape);
    this.#operations.set(made.node, { module, operands });
    return made;
  }

  protected override layerConfig(node: KerasNode): Json {
    const operation = this.#operations.get(node);
    if (!operation) return super.layerConfig(node);
    const { name, className, config } = node;
    const args = operation.operands.map((operand) => (typeof operand === 'number' ? operand : kerasTensor(operand)));
    return {
      module: `keras.src.ops.${operation.module}`,
      class_name: className,
      config: { name, ...config },
      registered_name: className,
      name,
      inbound_nodes: [{ args, kwargs: {} }],
    };
  }

  override transpose(x: FileValue, perm: readonly number[]): FileValue {
    if (perm[0] === 0) return super.transpose(x, perm);
    return this.#operation(
      'Transpose',
      'numpy',
      [x],
      perm.map((axis) => x.shape[axis]!),
      { axes: perm },
    );
  }

  override reshape(x: FileValue, shape: readonly Dim[]): FileValue {
    if (shape[0] === x.shape[0]) return super.reshape(x, shape);
    const newshape = shape.map((size) => knownSize(size) ?? -1);
    if (newshape.filter((size) => size === -1).length > 1) throw inexpressible(`a reshape to [${shape}], of which several sizes are free`);
    return this.#operation('Reshape', 'numpy', [x], shape, { newshape });
  }

  override pad(x: FileValue, margins: Margins, mode: string, value: number): FileValue {
    const isNumber = mode === 'constant' && value !== 0 && Number.isFinite(value) && margins.every((amounts) => amounts.every((amount) => amount >= 0));
    if (!isNumber) return super.pad(x, margins, mode, value);
    const shape = x.shape.map((size, axis) => addDims(size, margins[axis]![0] + margins[axis]![1]));
    return this.#operation('Pad', 'numpy', [x, value], shape, { pad_width: margins, mode });
  }

  override matMul(a: FileValue, b: FileValue): FileValue {
    const rank = Math.max(a.shape.length, b.shape.length);
    if (a.shape.length < 2 || b.shape.length < 2) throw inexpressible(`a product of values of the shapes [${a.shape}] and [${b.shape}]`);
    const [left, right] = [a, b].map(({ shape }) => [...new Array<Dim>(rank - shape.length).fill(1), ...shape.slice(0, -2)]) as [Dim[], Dim[]];
    const shape = [...left.map((size, axis) => (size === 1 ? right[axis]! : size)), a.shape.at(-2)!, b.shape.at(-1)!];
    return this.#operation('Matmul', 'numpy', [a, b], shape);
  }

  override groupNormalise(x: FileValue, groups: number, { scale, bias }: Readonly<Record<'scale' | 'bias', FileWeight>>, epsilon: number): FileValue {
    const weights = [['gamma', scale], ['beta', bias]] as const; // biome-ignore format: one line says it
    return this.add('GroupNormalization', 'normalise', { groups, axis: -1, epsilon, center: true, scale: true }, [x], x.shape, weights);
  }

  /** By the mean of squares over neighbouring channels, which lie along a picture's width for it. */
  override localResponse(x: FileValue, { radius, bias, alpha, beta }: Parameters<LayersTarget['localResponse']>[1]): FileValue {
    const [window, channels] = [2 * radius + 1, x.shape.at(-1)!];
    const squares = this.reshape(this.binary('Mul', x, x, x.shape), [x.shape[0]!, productOf(x.shape.slice(1, -1)), channels, 1]);
    const padded = this.pad(squares, [[0, 0], [0, 0], [radius, radius], [0, 0]], 'constant', 0); // biome-ignore format: one line says it
    const means = this.pool(padded, { kind: 'average', size: [1, window], strides: [1, 1], padding: 'valid' });
    const root = this.#operation('Power', 'numpy', [this.rescale(this.reshape(means, x.shape), alpha * window, bias), beta], x.shape);
    return this.binary('Div', x, root, x.shape);
  }

  override gelu(x: FileValue, isByTanh: boolean): FileValue {
    return isByTanh ? this.#operation('Gelu', 'nn', [x], x.shape, { approximate: true }) : super.gelu(x, false);
  }

  override binary(op: string, a: FileValue, b: FileValue, shape: readonly Dim[]): FileValue {
    // Layers that join values want one batch of all.
    const className = BINARY[op] ?? (a.shape[0] === b.shape[0] ? undefined : JOINING[op]);
    return className === undefined ? super.binary(op, a, b, shape) : this.#operation(className, 'numpy', [a, b], shape);
  }

  override withOperand(op: string, a: FileValue, operand: FileWeight, shape: readonly Dim[]): FileValue {
    const className = BINARY[op];
    const known = operand.source?.known ?? operand.tensor.known;
    if (className !== undefined && known?.length === 1) return this.#operation(className, 'numpy', [a, known[0]!], shape);
    return super.withOperand(op, a, operand, shape);
  }

  override unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    // 'hard_sigmoid' is x / 5 + 1/2 in Keras 2 and x / 6 + 1/2 in Keras 3.
    if (op === 'HardSigmoid') return this.hardSigmoid(x, attributes.alpha!, attributes.beta!);
    if (op === 'LeakyRelu' && attributes.alpha! < 0) throw inexpressible(`a slope of ${attributes.alpha}; those of Keras 3 are not negative`);
    if (op === 'ThresholdedRelu') return this.threshold(x, attributes.alpha!);
    if (op === 'Exp') return this.activation(x, 'exponential');
    const own = UNARY[op];
    if (own) return this.#operation(...own, [x], x.shape);
    if (op === 'Clip' && attributes.min !== 0) return this.#clip(x, attributes.min!, attributes.max!);
    return super.unary(x, op, attributes);
  }

  #clip(x: FileValue, min: number, max: number): FileValue {
    const low = Number.isFinite(min) ? this.#operation('Maximum', 'numpy', [x, min], x.shape) : x;
    return Number.isFinite(max) ? this.#operation('Minimum', 'numpy', [low, max], x.shape) : low;
  }

  /** Keras 3 has no ThresholdedReLU; the threshold of a ReLU is the same one, and no negative number. */
  private threshold(x: FileValue, threshold: number): FileValue {
    if (threshold < 0) throw inexpressible(`a threshold of ${threshold}; those of Keras are not negative`);
    return this.add('ReLU', 'thresholded-relu', { max_value: null, negative_slope: 0, threshold }, [x], x.shape);
  }

  override resize(...[x, factors, mode, sampling, wanted]: Parameters<LayersTarget['resize']>): FileValue {
    if (sampling !== 'half-pixel' || factors.length !== 2) return super.resize(x, factors, mode, sampling, wanted);
    const isWhole = factors.every((factor) => Number.isInteger(factor) && factor >= 1);
    if (mode === 'bilinear' && isWhole) return this.enlarge(x, factors, 'bilinear');
    const isExact = factors.every((factor, i) => Number.isNaN(factor) || Math.abs(factor * (x.shape[i + 1] as number) - (wanted[i] as number)) < 1e-6);
    if (!isExact || wanted.some((size) => typeof size !== 'number')) return super.resize(x, factors, mode, sampling, wanted);
    const [height, width] = wanted;
    const config = { height, width, interpolation: mode, crop_to_aspect_ratio: false, data_format: 'channels_last' };
    return this.add('Resizing', 'resize', config, [x], [x.shape[0]!, ...wanted, x.shape[3]!]);
  }
}

function kerasTensor(value: FileValue): Json {
  const config = { shape: value.shape.map(knownSize), dtype: 'float32', keras_history: referenceOf(value) };
  return { class_name: '__keras_tensor__', config };
}
