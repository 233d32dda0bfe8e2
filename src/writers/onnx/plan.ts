/** Lays a layer map out as an ONNX graph: names, ports, nodes, weights and the casts between dtypes. */
import type { Turns } from '../../bytes/breath.js';
import { DATA_TYPE } from '../../containers/onnx-schema.js';
import { ModelError } from '../../errors.js';
import { type CastTally, castTensor, newCastTally } from '../../model/cast.js';
import { type DType, isFloatDType } from '../../model/dtype.js';
import { guardsOf, type HeldTally, heldWeight } from '../../model/half-range.js';
import type { Dim, Foreign, Layer, LayerMap, Layout, Notice, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { narrowForm, unwidened } from '../../model/narrow-form.js';
import { listedTensor, numbersTensor } from '../../model/numbers.js';
import { inferMap, makersOf, operatorOf, slotName, type ValueType } from '../../model/ops/index.js';
import { elementBits, withBits } from '../../model/packing.js';
import { isChannelsLast, portValueShape, toChannelsFirst, toChannelsLast } from '../../model/ports.js';
import { quantiseChannels, wholeSteps } from '../../model/quantise.js';
import { float32Tensor, type Origin, permute, type Tensor } from '../../model/tensor.js';
import { keptCodesNotice } from '../cast-weights.js';
import type { WriteOptions } from '../writer.js';
import { intAttribute, intsAttribute, type OnnxGraph, type OnnxInitializer, type OnnxNode, type OnnxPort } from './graph.js';
import { isStoredTransposed, nodeForm } from './node-forms.js';
import type { ChannelScales, MeasuredScales } from './scales.js';
import { sourceModel } from './source.js';
import { BLOCKS_SINCE, type Coded, computeDType, hasDequantize, keptCodes, storageDType, weightDType } from './storage.js';

/** A weight that changes its dtype on the way, and what that did to its values; filled in while the weight is written. */
export interface NarrowedWeight {
  readonly layer: string;
  readonly tensor: Tensor;
  readonly dtype: DType;
  readonly tally: CastTally;
  /** Numbers that stand within float16's range in place of their own. */
  readonly held?: HeldTally | undefined;
}

export interface Plan {
  readonly graph: OnnxGraph;
  readonly narrowed: readonly NarrowedWeight[];
  readonly warnings: readonly Notice[];
}

const ORIGIN: Origin = { file: 'weighbridge' };

/**
 * @param map one without obstacles
 * @param measured scales of all weights that are to be int8
 * @throws ModelError 'malformed' where a layer's weights do not fit what flows into it
 */
export function* planGraph(map: LayerMap, options: WriteOptions, opset: number, measured: MeasuredScales): Turns<Plan> {
  const decoded = new Set(map.layers.flatMap(({ op, outputs }) => (op === 'DequantizeLinear' ? outputs : [])));
  const builder = new GraphBuilder(options, opset, inferMap(map), measured, keptApart(map), decoded, guardsOf(map.layers));
  builder.namePorts(map);
  for (const port of map.inputs) builder.addInput(port);
  for (const layer of map.layers) {
    yield;
    builder.addLayer(layer);
  }
  for (const port of map.outputs) builder.addOutput(port);
  return builder.finish(map.name || 'model', sourceModel(map)?.opsets ?? new Map());
}

/** Operators that optimisers look through, because they are none themselves or cancel each other. */
const TRANSPARENT: ReadonlySet<string> = new Set(['Identity', 'Transpose']);

/** What makes a value, as optimisers see it: the first maker that is sought, or that they do not look through. */
export function madeBy<Maker extends Pick<Layer, 'op' | 'inputs'>>(
  value: string,
  makers: ReadonlyMap<string, Maker>,
  isSought: (maker: Maker) => boolean,
): boolean {
  let maker = makers.get(value);
  while (maker && !isSought(maker) && TRANSPARENT.has(maker.op)) maker = makers.get(maker.inputs[0]!);
  return maker !== undefined && isSought(maker);
}

/**
 * What ONNX Runtime (1.30) takes together wrongly, by the later operator: a Pad and the pooling behind it for one pooling with more
 * padding. Maxima and some means come out wrong, and padding as wide as the window is refused.
 */
export const KEPT_APART: Readonly<Record<string, string>> = { MaxPool: 'Pad', AveragePool: 'Pad' };

/** Whether a layer turns its first axis, which ONNX Runtime takes together with a product of matrices behind it. */
const turnsRows = ({ op, attributes }: Layer) => op === 'Transpose' && (attributes.perm as readonly number[])[0] !== 0;

/** Operators of one input of float that ONNX has for float32 alone, and the first opset in which it has them for float16 too. */
const FLOAT16_SINCE: Readonly<Record<string, number>> = { Celu: Number.POSITIVE_INFINITY, CumSum: 14, MeanVarianceNormalization: 17 };

/** Which values a layer must not be taken together with the maker of, by the dtype that it computes in. */
function keptApart({ layers }: LayerMap): (layer: Layer, value: string, dtype: DType) => boolean {
  const makers = makersOf(layers);
  return ({ op, weights }, value, dtype) => {
    // One of float16 with a stored matrix ends the process that loads it (1.30, at its default optimisations).
    const isProduct = op === 'MatMul' && dtype === 'float16' && Object.keys(weights).length > 0;
    return madeBy(value, makers, (maker) => maker.op === KEPT_APART[op] || (isProduct && turnsRows(maker)));
  };
}

const LAYOUT_RANK: Readonly<Record<Layout, number | null>> = { nchw: 4, nhwc: 4, ncw: 3, nwc: 3, ncdhw: 5, ndhwc: 5, other: null };

/** Why a port cannot be written, or null. */
export function portObstacle({ name, dtype, shape, layout }: Port): ModelError | null {
  const rank = LAYOUT_RANK[layout];
  if (rank !== null && shape.length !== rank) {
    return new ModelError('unsupported', `the port "${name}" is said to be ${layout}, which has ${rank} axes, but its shape is [${shape}]`);
  }
  if (dtype.startsWith('complex')) return new ModelError('unsupported', `the port "${name}" is ${dtype}, which ONNX operators do not take`);
  return null;
}

/** The layout that a port is to have in the file. */
export function portLayout(port: Port, options: WriteOptions): Layout {
  const pairs: readonly (readonly [Layout, Layout])[] = [
    ['nchw', 'nhwc'],
    ['ncw', 'nwc'],
    ['ncdhw', 'ndhwc'],
  ];
  const pair = pairs.find((both) => both.includes(port.layout));
  if (!pair || options.layout === 'source') return port.layout;
  return options.layout === 'nchw' ? pair[0] : pair[1];
}

class GraphBuilder {
  readonly #nodes: OnnxNode[] = [];
  readonly #initializers: OnnxInitializer[] = [];
  readonly #inputs: OnnxPort[] = [];
  readonly #outputs: OnnxPort[] = [];
  readonly #narrowed: NarrowedWeight[] = [];
  /** Values, ports and initializers share one space of names. */
  readonly #names = new Names();
  readonly #nodeNames = new Names();
  /** Names that layers have before anything that stands beside them is given one: by those they are found again. */
  readonly #ownNames = new Map<Layer, string>();
  /** Names in the file of the map's values. */
  readonly #values = new Map<string, string>();
  readonly #portNames = new Map<Port, string>();
  readonly #inputPorts: Port[] = [];
  readonly #outputPorts = new Set<string>();
  /** What nodes that are kept as they came read: they have integers of 4 bits as such, ours have them as bytes. */
  readonly #readForeign = new Set<string>();
  /** Names of the weights that are already there, by the form they are in; shared layers share them. */
  readonly #weights = new Map<Tensor, Map<string, string>>();
  readonly #renamed: Notice[] = [];
  /** Weights that stay the integers that they are in the source. */
  readonly #kept: Tensor[] = [];
  readonly #compute: DType;

  constructor(
    readonly options: WriteOptions,
    readonly opset: number,
    readonly types: ReadonlyMap<string, ValueType>,
    readonly measured: MeasuredScales,
    readonly keptApart: (layer: Layer, value: string, dtype: DType) => boolean,
    readonly decoded: ReadonlySet<string>,
    readonly guards: ReadonlySet<Layer>,
  ) {
    this.#compute = computeDType(options);
  }

  /**
   * Ports keep their names, so they choose first. Where nothing stands between a port and its value, the value has the port's name.
   */
  namePorts({ inputs, outputs, layers }: LayerMap): void {
    for (const layer of layers) this.#ownNames.set(layer, this.#nodeNames.take(layer.name));
    // Graphs inside of nodes that are kept as they came read these by their names. A port that is one of them has that name anyway.
    const direct = new Set([...inputs, ...outputs].filter((port) => port.name === port.value && this.#isDirect(port)).map(({ value }) => value));
    const captured = new Set(layers.flatMap(({ foreign }) => foreign?.captures ?? []));
    for (const value of captured) if (!direct.has(value)) this.#values.set(value, this.#names.take(value));
    for (const port of inputs) this.#inputPorts.push(port);
    for (const { value } of outputs) this.#outputPorts.add(value);
    for (const { foreign, inputs: read } of layers) if (foreign) for (const value of read) this.#readForeign.add(value);
    for (const port of [...inputs, ...outputs]) {
      const name = this.#names.take(port.name);
      if (name !== port.name) this.#renamed.push({ code: 'renamed', message: `two ports are called "${port.name}"; in the ONNX file one is "${name}"` });
      this.#portNames.set(port, name);
      if (this.#isDirect(port) && !this.#values.has(port.value)) this.#values.set(port.value, name);
    }
    // A constant is found in the file by the name of its value, which some weight may have as well.
    for (const { op, outputs } of layers) if (op === 'Constant') this.#value(outputs[0]!);
  }

  addInput(port: Port): void {
    const layout = portLayout(port, this.options);
    const shape = portValueShape(port);
    const name = this.#portNames.get(port)!;
    this.#inputs.push({ name, dtype: port.dtype, shape: inLayout(shape, layout) });
    const steps: Step[] = [];
    const dtype = this.#dtypeOf(port.value);
    if (port.dtype !== dtype) steps.push(castStep(dtype));
    if (isChannelsLast(layout)) steps.push({ op: 'Transpose', attributes: { perm: intsAttribute(toChannelsFirst(shape.length)) } });
    this.#addSteps(name, steps, () => this.#value(port.value));
  }

  addLayer(layer: Layer): void {
    if (layer.foreign) return this.#addForeign(layer, layer.foreign);
    if (layer.op === 'Constant') return this.#addConstant(layer);
    const constant = (slot: string, tensor: Tensor) => this.#addInitializer(`${layer.name}/${slot}`, tensor);
    const form = nodeForm(layer, {
      opset: this.opset,
      shapeOf: (value) => this.types.get(value)?.shape ?? undefined,
      ints: (slot, values) => constant(slot, numbersTensor(slot, 'int64', [values.length], values, ORIGIN)),
      int: (slot, value) => constant(slot, numbersTensor(slot, 'int64', [], [value], ORIGIN)),
      floats: (slot, values) => constant(slot, float32Tensor(slot, [values.length], values, ORIGIN)),
      scalar: (slot, value) => constant(slot, this.#scalar(layer, slot, value)),
      computed: (dtype) => this.#computed(dtype),
    });
    const given = [...layer.inputs];
    const flowing = (value: string) => (this.keptApart(layer, value, this.#dtypeOf(value)) ? this.#apart(layer, value) : this.#value(value));
    const inputs = operatorOf(layer.op)!.slots.flatMap((slot) => {
      const name = slotName(slot);
      const weight = layer.weights[name];
      if (slot.endsWith('...')) return given.splice(0).map(flowing);
      if (weight) return this.#addWeight(layer, name, weight);
      const value = given.shift() ?? '';
      if (value === '') return form.constants[name] ?? '';
      return layer.op === 'Gather' && name === 'indices' ? this.#indices(layer, value) : flowing(value);
    });
    while (inputs.at(-1) === '') inputs.pop();
    const outputs = layer.outputs.map((value) => (value === '' ? '' : this.#value(value)));
    const least = operatorOf(layer.op)!.onnx?.outputs ?? 1;
    for (let i = 0; i < least; i++) outputs[i] ||= this.#names.take(`${layer.name}/output ${i}`);
    const node = { name: this.#nodeName(layer), op: layer.op, attributes: form.attributes };
    if (this.opset >= (FLOAT16_SINCE[layer.op] ?? 0) || this.#dtypeOf(layer.inputs[0]!) !== 'float16') {
      this.#nodes.push({ ...node, inputs, outputs });
      return;
    }
    const made = this.#names.take(`${layer.name}/float32`);
    this.#nodes.push({
      ...node,
      inputs: [this.#derived(inputs[0]!, 'Cast', [], castStep('float32').attributes, 'float32'), ...inputs.slice(1)],
      outputs: [made],
    });
    this.#addSteps(made, [castStep('float16')], () => outputs[0]!);
  }

  #addForeign(layer: Layer, { domain, op, attributes }: Foreign): void {
    this.#nodes.push({
      name: this.#nodeName(layer),
      op,
      ...(domain === 'ai.onnx' ? {} : { domain }),
      inputs: layer.inputs.map((value) => (value === '' ? '' : this.#value(value))),
      outputs: layer.outputs.map((value) => (value === '' ? '' : this.#value(value))),
      attributes: {},
      encoded: attributes,
    });
  }

  #addConstant(layer: Layer): void {
    const [output] = layer.outputs as [string];
    const value = layer.weights.value!;
    const coded = keptCodes(value, this.options, this.opset);
    const name = this.#value(output);
    if (coded) {
      const made = this.#addCodes(`${layer.name}/codes`, coded);
      this.#nodes.push({ name: this.#nodeName(layer), op: 'Identity', inputs: [made], outputs: [name], attributes: {} });
      return;
    }
    const tensor = this.#narrow(layer, value, this.#computed(value.dtype), 'value');
    // An initializer is no output of a graph.
    if (!this.#outputPorts.has(output))
      this.#initializers.push({ name, tensor, ...(elementBits(tensor) === 4 && this.#readForeign.has(output) ? { isPacked: true } : {}) });
    else {
      const stored = this.#addInitializer(`${layer.name}/value`, tensor);
      this.#nodes.push({ name: this.#nodeName(layer), op: 'Identity', inputs: [stored], outputs: [name], attributes: {} });
    }
  }

  #scalar(layer: Layer, slot: string, value: number): Tensor {
    const dtype = this.types.get(layer.inputs[0] ?? '')?.dtype ?? 'float32';
    if (isFloatDType(dtype)) return this.#narrow(layer, float32Tensor(slot, [], [value], ORIGIN), this.#computed(dtype), 'value');
    return numbersTensor(slot, dtype, [], [value], ORIGIN);
  }

  /** ONNX picks rows by integers. They come straight from the port where it has them: float16 counts exactly only to 2048. */
  #indices(layer: Layer, value: string): string {
    const dtype = this.types.get(value)?.dtype;
    if (dtype === 'int64' || dtype === 'int32') return this.#value(value);
    const port = this.#inputPorts.find((input) => input.value === value && !isChannelsLast(portLayout(input, this.options)));
    const indices = this.#names.take(`${layer.name}/indices`);
    this.#nodes.push({
      name: this.#nodeNames.take(`${layer.name}/cast`),
      op: 'Cast',
      inputs: [port ? this.#portNames.get(port)! : this.#value(value)],
      outputs: [indices],
      attributes: castStep('int64').attributes,
    });
    return indices;
  }

  /** The same value behind a Concat of one, which no optimiser removes. */
  #apart(layer: Layer, value: string): string {
    const output = this.#names.take(`${layer.name}/input`);
    const node = this.#nodeNames.take(`${layer.name}/apart`);
    this.#nodes.push({ name: node, op: 'Concat', inputs: [this.#value(value)], outputs: [output], attributes: { axis: intAttribute(1) } });
    return output;
  }

  addOutput(port: Port): void {
    const layout = portLayout(port, this.options);
    const shape = portValueShape(port);
    const name = this.#portNames.get(port)!;
    this.#outputs.push({ name, dtype: port.dtype, shape: port.isUnshaped ? null : inLayout(shape, layout) });
    const steps: Step[] = [];
    if (isChannelsLast(layout)) steps.push({ op: 'Transpose', attributes: { perm: intsAttribute(toChannelsLast(shape.length)) } });
    if (port.dtype !== this.#dtypeOf(port.value)) steps.push(castStep(port.dtype));
    const value = this.#value(port.value);
    if (value === name) return;
    this.#addSteps(value, steps.length > 0 ? steps : [{ op: 'Identity', attributes: {} }], () => name);
  }

  /** The graph, once everything was added. */
  finish(name: string, versions: ReadonlyMap<string, number>): Plan {
    const used = new Set(this.#nodes.flatMap(({ domain }) => (domain ? [domain] : [])));
    const domains = new Map([...used].map((domain) => [domain, versions.get(domain) ?? 1]));
    const graph = { name, opset: this.opset, domains, nodes: this.#nodes, initializers: this.#initializers, inputs: this.#inputs, outputs: this.#outputs };
    return { graph, narrowed: this.#narrowed, warnings: [...this.#renamed, ...keptCodesNotice(this.#kept)] };
  }

  /** The layer's own name for the first node that is made of it. */
  #nodeName(layer: Layer): string {
    const own = this.#ownNames.get(layer) ?? this.#nodeNames.take(layer.name);
    this.#ownNames.delete(layer);
    return own;
  }

  /** A chain of one-input nodes from a value to another. */
  #addSteps(from: string, steps: readonly Step[], to: () => string): void {
    let current = from;
    steps.forEach(({ op, attributes }, i) => {
      const next = i === steps.length - 1 ? to() : this.#names.take(`${from}/${op.toLowerCase()}`);
      this.#nodes.push({ name: this.#nodeNames.take(`${from}/${op.toLowerCase()}`), op, inputs: [current], outputs: [next], attributes });
      current = next;
    });
  }

  /** @returns the name of the weight as it is computed with */
  #addWeight(layer: Layer, role: string, weight: Tensor): string {
    const compute = weightDType(layer, role, this.#computeOf(layer), this.opset);
    const dtype = storageDType(layer, role, this.options, compute);
    const quantised = dtype === 'int8' ? this.measured.of(layer, role) : undefined;
    const transposed = layer.op === 'Gemm' && role === 'kernel' && isStoredTransposed(layer);
    const form = `${dtype} ${transposed} ${quantised?.axis} ${compute}`;
    const forms = this.#weights.get(weight) ?? new Map<string, string>();
    const known = forms.get(form);
    if (known !== undefined) return known;
    const coded = keptCodes(transposed ? permute(weight, [1, 0]) : weight, this.options, this.opset);
    if (coded) {
      let made = this.#addCodes(weight.name || `${layer.name}/${role}`, coded);
      if (compute !== 'float32') made = this.#derived(made, 'Cast', [], castStep(compute).attributes, compute);
      // What reads codes as well is to be taken together with them.
      const isFloat = !layer.inputs.some((value) => this.decoded.has(value));
      if (isFloat && weight.shape.length === 2 && (layer.op === 'MatMul' || transposed)) made = this.#derived(made, 'Flatten', [], { axis: intAttribute(1) });
      this.#weights.set(weight, forms.set(form, made));
      return made;
    }
    const stored = quantised ? quantiseChannels(weight, quantised.axis, quantised.scales) : this.#narrow(layer, weight, dtype, role);
    const tensor = transposed ? permute(stored, [1, 0]) : stored;
    let name = this.#addInitializer(weight.name || `${layer.name}/${role}`, tensor);
    if (quantised) {
      name = this.#dequantised(name, transposed ? { ...quantised, axis: 1 - quantised.axis } : quantised);
      if (compute !== 'float32') name = this.#derived(name, 'Cast', [], castStep(compute).attributes, compute);
      if (weight.shape.length === 2 && (layer.op === 'MatMul' || transposed)) name = this.#derived(name, 'Flatten', [], { axis: intAttribute(1) });
    } else if (dtype !== compute) name = this.#derived(name, 'Cast', [], castStep(compute).attributes, compute);
    this.#weights.set(weight, forms.set(form, name));
    return name;
  }

  #narrow(layer: Layer, weight: Tensor, dtype: DType, role: string): Tensor {
    const own = unwidened(weight);
    if (dtype === own.dtype) return own;
    if (dtype === weight.dtype && !narrowForm(weight)) return weight;
    const tally = newCastTally();
    const held: HeldTally = { large: 0, small: 0 };
    this.#narrowed.push({ layer: layer.name, tensor: weight, dtype, tally, held });
    return castTensor(dtype === 'float16' && this.guards.has(layer) ? heldWeight(role, own, held) : own, dtype, tally);
  }

  /**
   * Integers as the source has them, and the nodes that turn them into what they stand for. A minimum that is no whole number of steps
   * is added behind them.
   */
  #addCodes(wanted: string, { stored, codes }: Coded): string {
    const isPacked = elementBits(stored) === 4 && codes.kind !== 'affine' && this.opset >= BLOCKS_SINCE;
    const name = this.#addInitializer(wanted, stored, isPacked);
    const constant = (suffix: string, tensor: Tensor, isAlsoPacked = false) => this.#addInitializer(`${name}/${suffix}`, tensor, isAlsoPacked);
    this.#kept.push(stored);
    if (codes.kind === 'palette') {
      const table = constant('palette', float32Tensor('palette', [codes.table.length], codes.table, ORIGIN));
      const places = this.#derived(name, 'Cast', [], castStep('int32').attributes, 'int32');
      const value = this.#names.take(`${name}/float32`);
      const node = this.#nodeNames.take(`${name}/gather`);
      this.#nodes.push({ name: node, op: 'Gather', inputs: [table, places], outputs: [value], attributes: { axis: intAttribute(0) } });
      return value;
    }
    const numbers = (dtype: DType, values: ArrayLike<number>, shape: readonly number[]) => listedTensor('codes', dtype, shape, values, ORIGIN);
    const shape = codes.kind === 'blocks' ? codes.shape : codes.kind === 'channels' && codes.axis !== null ? [codes.scales.length] : [];
    const scales = codes.kind === 'affine' ? [codes.scale] : codes.scales;
    const step = codes.kind === 'affine' ? wholeSteps(codes, stored.dtype) : null;
    const zeros = codes.kind !== 'affine' ? codes.zeroPoints : step === null ? undefined : [step];
    const scale = constant('scale', float32Tensor('scale', shape, scales, ORIGIN));
    let value: string;
    if (hasDequantize(stored.dtype, this.opset)) {
      const inputs = zeros ? [scale, constant('zero', withBits(numbers(stored.dtype, zeros, shape), isPacked ? 4 : undefined), isPacked)] : [scale];
      const axis = { axis: intAttribute(codes.kind === 'affine' ? 0 : (codes.axis ?? 0)) };
      const block = { block_size: intAttribute(codes.kind === 'blocks' ? codes.size : 0) };
      value = this.#derived(name, 'DequantizeLinear', inputs, this.opset < BLOCKS_SINCE ? axis : { ...axis, ...block }, 'float32');
    } else {
      value = this.#derived(name, 'Cast', [], castStep('float32').attributes, 'float32');
      if (zeros) value = this.#derived(value, 'Sub', [constant('zero', numbers('float32', zeros, shape))], {}, 'float32');
      value = this.#derived(value, 'Mul', [scale], {}, 'float32');
    }
    if (codes.kind !== 'affine' || step !== null || codes.min === 0) return value;
    return this.#derived(value, 'Add', [constant('minimum', numbers('float32', [codes.min], shape))], {}, 'float32');
  }

  /**
   * The zero points are left out: they are zero. A Flatten that leaves the kernel as it is keeps it apart from a MatMul, and from a
   * Gemm without transB, which is one to ONNX Runtime: it (1.30) takes a DequantizeLinear and a MatMul together for a MatMulNBits,
   * which rounds the activations to 8 bits too.
   */
  #dequantised(name: string, { axis, scales }: ChannelScales): string {
    const scale = this.#addInitializer(`${name}/scale`, float32Tensor('scale', [scales.length], scales, ORIGIN));
    const attributes = { axis: intAttribute(axis) };
    return this.#derived(name, 'DequantizeLinear', [scale], this.opset < 21 ? attributes : { ...attributes, block_size: intAttribute(0) });
  }

  /** A node that turns a stored weight into the one computed with; gives that one's name. */
  #derived(name: string, op: keyof typeof DERIVED, others: readonly string[], attributes: OnnxNode['attributes'], compute = this.#compute): string {
    const output = this.#names.take(op === 'Flatten' ? `${name}/apart` : `${name}/${compute}`);
    const node = this.#nodeNames.take(`${name}/${DERIVED[op]}`);
    this.#nodes.push({ name: node, op, inputs: [name, ...others], outputs: [output], attributes });
    return output;
  }

  #addInitializer(wanted: string, tensor: Tensor, isPacked = false): string {
    const name = this.#names.take(wanted);
    this.#initializers.push({ name, tensor, ...(isPacked ? { isPacked } : {}) });
    return name;
  }

  #value(value: string): string {
    const known = this.#values.get(value);
    if (known !== undefined) return known;
    const name = this.#names.take(value);
    this.#values.set(value, name);
    return name;
  }

  /** dtype in the file of a value: float32 becomes what the file is to compute in. */
  #dtypeOf(value: string): DType {
    return this.#computed(this.types.get(value)?.dtype ?? 'float32');
  }

  #computed(dtype: DType): DType {
    return dtype === 'float32' ? this.#compute : dtype;
  }

  /** What a layer's weights are computed with in: the float dtype that flows in. */
  #computeOf(layer: Layer): DType {
    return layer.inputs.map((value) => this.#dtypeOf(value)).find(isFloatDType) ?? this.#compute;
  }

  #isDirect(port: Port): boolean {
    return port.dtype === this.#dtypeOf(port.value) && !isChannelsLast(portLayout(port, this.options));
  }
}

/** What the nodes between a stored weight and its layer are called after. */
const DERIVED = { Cast: 'cast', DequantizeLinear: 'dequantize', Flatten: 'flatten', Sub: 'sub', Mul: 'mul', Add: 'add' } as const;

interface Step {
  readonly op: string;
  readonly attributes: OnnxNode['attributes'];
}

function castStep(dtype: DType): Step {
  return { op: 'Cast', attributes: { to: intAttribute(DATA_TYPE[dtype]) } };
}

function inLayout(shape: readonly Dim[], layout: Layout): readonly Dim[] {
  return isChannelsLast(layout) ? toChannelsLast(shape.length).map((axis) => shape[axis]!) : shape;
}
