/** The weights of an ONNX graph as its nodes read them, whatever dtype they are stored in. */

import type { ReadModel, ReadNode } from '../../containers/onnx.js';
import { ModelError } from '../../errors.js';
import { toFloat32Array, toFloat64Array } from '../../model/cast.js';
import { DRAWS, drawsNumbers } from '../../model/drawing.js';
import { type DType, isFloatDType } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { OPS, operatorOf, slotName } from '../../model/ops/index.js';
import { elementCount, permute, type Tensor, tensorBytes } from '../../model/tensor.js';
import { turnedQuantisation } from './widen.js';
import type { WeightQuantisation, WrittenWeight } from './written.js';

/**
 * The nodes of a graph as layers, to be lined up by name with those of another file: their weights by role, in the layer map's
 * orientation, and no attributes. Quantised weights are left out.
 */
export async function nodesAsLayers(model: ReadModel): Promise<Layer[]> {
  const shown = await shownWeights(model);
  return reachable(model)
    .filter(({ op }) => Object.hasOwn(OPS, op))
    .map((node) => {
      const { slots, weights: roles } = OPS[node.op]!;
      // A constant operand is no weight that other files have under the layer's name.
      const places = slots
        .map(slotName)
        .map((slot, i) => [slot, node.inputs[i] ?? ''] as const)
        .filter(([slot]) => slot !== 'operand' && roles?.includes(slot));
      const weights = places.flatMap(([role, input]) => {
        const weight = shown.get(input);
        return weight && !weight.quantisation ? [[role, orient(weight, node, role).tensor] as const] : [];
      });
      const held = new Set(places.map(([, input]) => input));
      const inputs = node.inputs.filter((input) => !held.has(input));
      return { name: nodeName(node), op: node.op, inputs, outputs: node.outputs, attributes: {}, weights: Object.fromEntries(weights) };
    });
}

/** A node that has no name is known by the value that it makes. */
export function nodeName({ name, outputs }: ReadNode): string {
  return name || (outputs[0] ?? '');
}

/** Which input of its node holds a weight; -1 where the operator has none of that name. */
export function placeOf(op: string, role: string): number {
  return operatorOf(op)?.slots.findIndex((slot) => slotName(slot) === role) ?? -1;
}

/** The nodes that an output depends on, in the order of the file; what nothing reads may hold anything. */
export function reachable({ nodes, outputs }: Pick<ReadModel, 'nodes' | 'outputs'>): ReadNode[] {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  // What graphs inside of these read from outside is not looked at, so that all may be read.
  if (nodes.some(({ op }) => HOLDS_GRAPHS.has(op))) return [...nodes];
  const used = new Set<ReadNode>();
  const open = outputs.map(({ name }) => makers.get(name));
  while (open.length > 0) {
    const node = open.pop();
    if (!node || used.has(node)) continue;
    used.add(node);
    for (const value of node.inputs) open.push(makers.get(value));
  }
  return nodes.filter((node) => used.has(node));
}

const HOLDS_GRAPHS: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan', 'SequenceMap']);

/** Operators that compute with an integer kernel as it is stored, and which of their inputs are such kernels. */
const INTEGER_KERNELS: Readonly<Record<string, readonly number[]>> = {
  DequantizeLinear: [0],
  QLinearConv: [3],
  QLinearMatMul: [0, 3],
  ConvInteger: [1],
  MatMulInteger: [0, 1],
};

/** How many values of each dtype nodes compute with. An integer is a weight where it is dequantised, and else a shape, an index or a scale's zero. */
export function weightDTypes(model: ReadModel, used: readonly ReadNode[]): ReadonlyMap<DType, number> {
  const initializers = storedTensors(model);
  const weights = new Set<Tensor>();
  for (const { op, inputs } of used) {
    for (const [place, name] of inputs.entries()) {
      const tensor = initializers.get(name);
      if (tensor && (isFloatDType(tensor.dtype) || INTEGER_KERNELS[op]?.includes(place))) weights.add(tensor);
    }
  }
  const counts = new Map<DType, number>();
  for (const { dtype, shape } of weights) counts.set(dtype, (counts.get(dtype) ?? 0) + elementCount(shape));
  return counts;
}

/** Weights by the name of the value that a layer reads: initializers, and what turns a stored dtype into the one computed with. */
export async function shownWeights(model: ReadModel): Promise<Map<string, WrittenWeight>> {
  const initializers = storedTensors(model);
  const shown = new Map<string, WrittenWeight>([...initializers].map(([name, tensor]) => [name, { tensor }]));
  for (const node of model.nodes) {
    const [first = '', second = ''] = node.inputs;
    const tensor = initializers.get(first);
    const codes = ARITHMETIC.has(node.op) ? await withNumber(node.op, shown.get(first), initializers.get(second)) : null;
    if (codes) shown.set(node.outputs[0]!, codes);
    // One of two axes stays as it is: our own writer keeps kernels apart from a MatMul with it.
    const known = shown.get(first);
    // PyTorch's exporter stores weights that are equal once, and shares them through an Identity.
    if (node.op === 'Identity' && known) shown.set(node.outputs[0]!, known);
    if (node.op === 'Flatten' && known?.tensor.shape.length === 2) shown.set(node.outputs[0]!, known);
    const turned = known && node.op === 'Transpose' ? inOrder(known, node) : null;
    if (turned) shown.set(node.outputs[0]!, turned);
    // Codes of a net in float16 are cast to it once they are numbers.
    if (node.op === 'Cast' && known) shown.set(node.outputs[0]!, known);
    if (!tensor) continue;
    const places = node.op === 'Gather' ? shown.get(second)?.tensor : undefined;
    if (places?.dtype === 'uint8' && tensor.dtype === 'float32' && tensor.shape.length === 1 && tensor.shape[0]! <= 256)
      shown.set(node.outputs[0]!, { tensor: places, quantisation: { kind: 'palette', table: toFloat32Array(await tensorBytes(tensor), 'float32') } });
    const quantisation = node.op === 'DequantizeLinear' ? await channelsOf(node, tensor, initializers) : null;
    if (quantisation) shown.set(node.outputs[0]!, { tensor, quantisation });
  }
  return shown;
}

/** A weight behind a Transpose, such as a table of words that scores them as well; null where its blocks would lie along other axes than two. */
function inOrder({ tensor, quantisation }: WrittenWeight, { attributes }: ReadNode): WrittenWeight | null {
  const rank = tensor.shape.length;
  const said = attributes.get('perm');
  const order = Array.isArray(said) ? said.map(Number) : tensor.shape.map((_, axis) => rank - 1 - axis);
  if (order.length !== rank || tensor.shape.some((_, axis) => !order.includes(axis))) return null;
  const turned = permute(tensor, order);
  if (quantisation?.kind === 'channels') return { tensor: turned, quantisation: { ...quantisation, axis: order.indexOf(quantisation.axis) } };
  if (quantisation?.kind !== 'blocks') return { tensor: turned, ...(quantisation ? { quantisation } : {}) };
  return rank === 2 && order[0] === 1 ? { tensor: turned, quantisation: turnedQuantisation(quantisation) } : null;
}

/** What turns codes into values where DequantizeLinear does not, or not all of it. */
const ARITHMETIC: ReadonlySet<string> = new Set(['Sub', 'Mul', 'Add']);

/** Integer codes with one more number subtracted, multiplied or added; null for anything else. */
async function withNumber(op: string, codes: WrittenWeight | undefined, operand: Tensor | undefined): Promise<WrittenWeight | null> {
  if (!codes || isFloatDType(codes.tensor.dtype) || operand?.dtype !== 'float32' || elementCount(operand.shape) !== 1) return null;
  const { tensor, quantisation } = codes;
  const [number] = toFloat32Array(await tensorBytes(operand), 'float32') as unknown as [number];
  const isOne = quantisation?.kind !== 'channels' || quantisation.scales.every((scale) => scale === quantisation.scales[0]);
  const zeros = quantisation?.kind === 'channels' ? quantisation.zeroPoints : undefined;
  if (quantisation?.kind === 'blocks' || quantisation?.kind === 'palette') return null;
  if (!isOne || (zeros && Array.from(zeros).some((zero) => zero !== zeros[0]))) return null;
  const scale = quantisation?.kind === 'channels' ? quantisation.scales[0]! : (quantisation?.scale ?? 1);
  const min = quantisation?.kind === 'channels' ? -(zeros?.[0] ?? 0) * scale : (quantisation?.min ?? 0);
  if (op === 'Mul') return { tensor, quantisation: { kind: 'affine', scale: scale * number, min: min * number } };
  return { tensor, quantisation: { kind: 'affine', scale, min: op === 'Add' ? min + number : min - number } };
}

/** Initializers, and what Constant nodes hold. */
function storedTensors({ nodes, initializers }: ReadModel): ReadonlyMap<string, Tensor> {
  const stored = new Map(initializers);
  for (const { op, outputs, attributes } of nodes) {
    const value = attributes.get('value');
    if (op === 'Constant' && typeof value === 'object' && 'walk' in value) stored.set(outputs[0] ?? '', value);
  }
  return stored;
}

/** Values that depend on nothing that flows in: what is stored, and what nodes make of it, such as standardised kernels. */
export function fixedValues(model: ReadModel): ReadonlySet<string> {
  const fixed = new Set([...storedTensors(model).keys(), '']);
  for (const { op, inputs, outputs } of model.nodes) {
    const isFixed = inputs.length > 0 && !HOLDS_GRAPHS.has(op) && !drawsNumbers(op) && inputs.every((name) => fixed.has(name));
    if (isFixed) for (const name of outputs) fixed.add(name);
  }
  return fixed;
}

/** Nodes that act as in training: what they give depends on chance, or on the rest of the batch. */
export async function trainingNodes(model: ReadModel, used: readonly ReadNode[]): Promise<string[]> {
  const stored = storedTensors(model);
  const fixed = fixedValues(model);
  const found: string[] = [];
  for (const node of used) {
    // A weight is standardised by its own statistics whenever the net runs.
    if (node.op === 'BatchNormalization' && fixed.has(node.outputs[0] ?? '')) continue;
    const flag = node.op === 'Dropout' ? stored.get(node.inputs[2] ?? '') : undefined;
    const isDropping = flag?.dtype === 'bool' && (await tensorBytes(flag))[0] === 1;
    if (isDropping || (node.op === 'BatchNormalization' && node.attributes.get('training_mode') === 1)) found.push(`${node.op} "${nodeName(node)}"`);
    if (drawsNumbers(node.op)) found.push(`${node.op} "${nodeName(node)}" ${DRAWS}`);
  }
  return found;
}

/** Null where scales are worked out in the graph: such a weight is not looked at. @throws ModelError 'malformed' where scales do not fit the tensor */
async function channelsOf(node: ReadNode, tensor: Tensor, initializers: ReadonlyMap<string, Tensor>): Promise<WeightQuantisation | null> {
  const [, scaleName = '', zeroName = ''] = node.inputs;
  const [scale, zeroPoint] = [initializers.get(scaleName), initializers.get(zeroName)];
  const axis = Number(node.attributes.get('axis') ?? 1);
  const place = { layer: node.name, tensor: tensor.name, file: tensor.origin.file };
  const block = Number(node.attributes.get('block_size') ?? 0);
  if (block > 0 && scale && (zeroName === '' || zeroPoint))
    return blocksOf(tensor, { axis: axis < 0 ? axis + tensor.shape.length : axis, block, scale, zeroPoint });
  if (!scale || scale.shape.length > 1 || (zeroName !== '' && !zeroPoint)) return null;
  const perTensor = elementCount(scale.shape) === 1;
  const front = axis < 0 ? axis + tensor.shape.length : axis;
  const count = tensor.shape[front] ?? 1;
  const values = toFloat32Array(await tensorBytes(scale), scale.dtype);
  const zeroPoints = zeroPoint && toFloat64Array(await tensorBytes(zeroPoint), zeroPoint.dtype);
  const fits = (length: number) => length === (perTensor ? 1 : count);
  if (!fits(values.length) || (zeroPoints && !fits(zeroPoints.length))) {
    throw new ModelError('malformed', `${values.length} scales along axis ${axis} do not fit the shape [${tensor.shape}]`, place);
  }
  return { kind: 'channels', axis: perTensor ? 0 : front, scales: values, ...(zeroPoints ? { zeroPoints } : {}) };
}

interface Blocks {
  readonly axis: number;
  readonly block: number;
  readonly scale: Tensor;
  readonly zeroPoint: Tensor | undefined;
}

/** Null where the last block is shorter than the others. */
async function blocksOf(tensor: Tensor, { axis, block, scale, zeroPoint }: Blocks): Promise<WeightQuantisation | null> {
  const count = tensor.shape[axis] ?? 0;
  const shape = tensor.shape.with(axis, count / block);
  if (count === 0 || count % block !== 0 || scale.shape.join() !== shape.join() || (zeroPoint && zeroPoint.shape.join() !== shape.join())) return null;
  const zeroPoints = zeroPoint && toFloat64Array(await tensorBytes(zeroPoint), zeroPoint.dtype);
  return { kind: 'blocks', axis, size: block, shape, scales: toFloat32Array(await tensorBytes(scale), scale.dtype), ...(zeroPoints ? { zeroPoints } : {}) };
}

/** A Gemm without transB holds its kernel as [in, out]. */
export function orient({ tensor, quantisation }: WrittenWeight, node: ReadNode, role: string): WrittenWeight {
  if (node.op !== 'Gemm' || role !== 'kernel' || node.attributes.get('transB') === 1) return { tensor, ...(quantisation ? { quantisation } : {}) };
  const turned = quantisation && turnedQuantisation(quantisation);
  return { tensor: permute(tensor, [1, 0]), ...(turned ? { quantisation: turned } : {}) };
}
