/**
 * Written ONNX files: nodes carry the names of the map's layers, weights are their inputs, perhaps behind a Cast or a
 * DequantizeLinear.
 */
import type { FileSet } from '../../bytes/file-set.js';
import { ModelError } from '../../errors.js';
import { toFloat32Array, toFloat64Array } from '../../model/cast.js';
import type { Dim, Layout, Port } from '../../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../../model/ports.js';
import { permute, type Tensor, tensorBytes } from '../../model/tensor.js';
import { type ReadModel, type ReadNode, readOnnxModel } from '../../readers/onnx/graph.js';
import type { WeightQuantisation, WrittenModel, WrittenWeight } from './written.js';

/** Operators whose kernel decides what the file computes in. */
const KERNEL_OPS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'Gemm']);

export async function openWrittenOnnx(files: FileSet): Promise<WrittenModel> {
  if (files.main === null) throw new ModelError('usage', 'an ONNX model is one file; a folder was given', { file: files.label });
  const model = await readOnnxModel(files, files.main);
  const nodes = new Map(model.nodes.map((node) => [node.name, node]));
  const weights = await shownWeights(model);
  return {
    format: 'onnx',
    keepsEveryLayer: true,
    computeDType: model.nodes.some(({ op, inputs }) => KERNEL_OPS.has(op) && model.initializers.get(inputs[1] ?? '')?.dtype === 'float16')
      ? 'float16'
      : 'float32',
    layoutOf: (port) => (model.metadata.get(`weighbridge.layout.${port.name}`) as Layout | undefined) ?? layoutByShape(port, shapeOfPort(model, port)),
    weight(layer, role) {
      const node = nodes.get(layer.name);
      if (!node || node.op !== layer.op) return undefined;
      const name = node.inputs[node.op === 'Gather' ? 0 : layer.inputs.length + Object.keys(layer.weights).indexOf(role)];
      const stored = weights.get(name ?? '');
      return stored && orient(stored, node, role);
    },
    valueOf: (layer) => nodes.get(layer.name)?.outputs[0],
  };
}

/** Weights by the name of the value that a layer reads: initializers, and what turns a stored dtype into the one computed with. */
async function shownWeights({ nodes, initializers }: ReadModel): Promise<Map<string, WrittenWeight>> {
  const shown = new Map<string, WrittenWeight>([...initializers].map(([name, tensor]) => [name, { tensor }]));
  for (const node of nodes) {
    const [first = ''] = node.inputs;
    const tensor = initializers.get(first);
    // One of two axes stays as it is: our own writer keeps kernels apart from a MatMul with it.
    const known = shown.get(first);
    if (node.op === 'Flatten' && known?.tensor.shape.length === 2) shown.set(node.outputs[0]!, known);
    if (!tensor) continue;
    if (node.op === 'Cast') shown.set(node.outputs[0]!, { tensor });
    if (node.op === 'DequantizeLinear') shown.set(node.outputs[0]!, { tensor, quantisation: await channelsOf(node, tensor, initializers) });
  }
  return shown;
}

/** @throws ModelError 'malformed' where scales do not fit the tensor */
async function channelsOf(node: ReadNode, tensor: Tensor, initializers: ReadonlyMap<string, Tensor>): Promise<WeightQuantisation> {
  const [, scaleName = '', zeroName = ''] = node.inputs;
  const [scale, zeroPoint] = [initializers.get(scaleName), initializers.get(zeroName)];
  const axis = Number(node.attributes.get('axis') ?? 1);
  const place = { layer: node.name, tensor: tensor.name, file: tensor.origin.file };
  if (!scale) throw new ModelError('unsupported', 'the scale of a DequantizeLinear is worked out in the graph', place);
  const front = axis < 0 ? axis + tensor.shape.length : axis;
  const count = tensor.shape[scale.shape.length === 0 ? 0 : front] ?? 1;
  const values = toFloat32Array(await tensorBytes(scale), scale.dtype);
  const zeroPoints = zeroPoint && toFloat64Array(await tensorBytes(zeroPoint), zeroPoint.dtype);
  const fits = (length: number) => length === (scale.shape.length === 0 ? 1 : count);
  if (!fits(values.length) || (zeroPoints && !fits(zeroPoints.length))) {
    throw new ModelError('malformed', `${values.length} scales along axis ${axis} do not fit the shape [${tensor.shape}]`, place);
  }
  const perTensor = scale.shape.length === 0;
  return {
    kind: 'channels',
    axis: perTensor ? 0 : front,
    scales: perTensor ? new Float32Array(count).fill(values[0]!) : values,
    ...(zeroPoints ? { zeroPoints: perTensor ? new Float64Array(count).fill(zeroPoints[0]!) : zeroPoints } : {}),
  };
}

/** A Gemm without transB holds its kernel as [in, out]. */
function orient({ tensor, quantisation }: WrittenWeight, node: ReadNode, role: string): WrittenWeight {
  if (node.op !== 'Gemm' || role !== 'kernel' || node.attributes.get('transB') === 1) return { tensor, ...(quantisation ? { quantisation } : {}) };
  const turned = quantisation?.kind === 'channels' ? { ...quantisation, axis: 1 - quantisation.axis } : quantisation;
  return { tensor: permute(tensor, [1, 0]), ...(turned ? { quantisation: turned } : {}) };
}

function shapeOfPort({ inputs, outputs }: ReadModel, port: Port): readonly Dim[] | null {
  return [...inputs, ...outputs].find(({ name }) => name === port.name)?.shape ?? null;
}

/** A file of another tool does not say which layout its ports have; its shape often does. */
function layoutByShape(port: Port, shape: readonly Dim[] | null): Layout {
  const turned: Partial<Record<Layout, Layout>> = { nchw: 'nhwc', nhwc: 'nchw', ncw: 'nwc', nwc: 'ncw', ncdhw: 'ndhwc', ndhwc: 'ncdhw' };
  const other = turned[port.layout];
  if (other === undefined || shape === null || shape.length !== port.shape.length) return port.layout;
  const fits = (sizes: readonly Dim[]) => sizes.every((size, axis) => typeof size === 'string' || typeof shape[axis] === 'string' || size === shape[axis]);
  const order = isChannelsLast(port.layout) ? toChannelsFirst(shape.length) : toChannelsLast(shape.length);
  return !fits(port.shape) && fits(order.map((axis) => port.shape[axis]!)) ? other : port.layout;
}
