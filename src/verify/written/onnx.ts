/**
 * Written ONNX files: nodes carry the names of the map's layers, weights are their inputs, perhaps behind a Cast or a
 * DequantizeLinear.
 */
import type { FileSet } from '../../bytes/file-set.js';
import { type ReadModel, type ReadNode, readOnnxModel, withConstants } from '../../containers/onnx.js';
import { DATA_TYPE } from '../../containers/onnx-schema.js';
import { ModelError } from '../../errors.js';
import { CLAIMS_KEY, claimsIn } from '../../model/claims.js';
import type { Layer, Layout } from '../../model/layer-map.js';
import { narrowForm } from '../../model/narrow-form.js';
import { readersOf } from '../../model/ops/index.js';
import { float32Tensor, type Tensor } from '../../model/tensor.js';
import { openModel } from '../../readers/open.js';
import { layoutByShape } from '../layout.js';
import { mapOrNull } from '../own-wiring.js';
import { fixedValues, nodeName, orient, placeOf, reachable, shownWeights, trainingNodes, weightDTypes } from './onnx-weights.js';
import type { WrittenModel, WrittenWeight } from './written.js';

/** Before this IR version every initializer had to be an input too. */
const OVERRIDABLE_BY_RULE = 4;

/** Operators whose kernel decides what the file computes in. */
const KERNEL_OPS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** What only moves values, or turns stored ones into others, computes in nothing. */
const KEEPS_VALUES: ReadonlySet<string> = new Set(['Cast', 'DequantizeLinear', 'Gather', 'Identity', 'Transpose', 'Reshape', 'Flatten', 'Concat']);

/** What is told of an ONNX file, whichever side it is on. */
export async function onnxFacts(files: FileSet): Promise<{ readonly training: readonly string[]; readonly overridable: readonly string[] }> {
  const model = await readOnnxModel(files, files.main!);
  return { training: await trainingNodes(model, reachable(model)), overridable: model.overridable };
}

/** Operators that our reader makes many layers of. */
const RECURRENT: ReadonlySet<string> = new Set(['LSTM', 'GRU', 'RNN']);

export async function openWrittenOnnx(files: FileSet, layers: readonly Layer[] = []): Promise<WrittenModel> {
  if (files.main === null) throw new ModelError('usage', 'an ONNX model is one file; a folder was given', { file: files.label });
  const model = withConstants(await readOnnxModel(files, files.main));
  const used = reachable(model);
  const nodes = new Map(used.map((node) => [nodeName(node), node]));
  const weights = await shownWeights(model);
  const fixed = fixedValues(model);
  /** Read as many layers, NAME/..., whose weights are parts of the node's; a copy keeps the node. What our reader makes of the copy tells which parts. */
  const recurrent = used.filter(({ op }) => RECURRENT.has(op)).map(nodeName);
  const steps = new Map(recurrent.length > 0 && layers.length > 0 ? (await layersOf(files)).map((layer) => [layer.name, layer]) : []);
  const isRecurrent = ({ name }: Layer) => recurrent.some((own) => name.startsWith(`${own}/`));
  const readers = readersOf(recurrent.length > 0 ? layers : []);
  /** The state that such a node begins with, where it has none of its own. */
  const isFirstState = ({ op, outputs: [value = ''] }: Layer) => {
    const own = op === 'Constant' ? (readers.get(value) ?? []) : [];
    return own.length > 0 && own.every(isRecurrent);
  };
  /** A Gemm that scales is several layers as it is read: NAME/product, NAME/alpha where something is added to that, and NAME itself. */
  const ofScaledGemm = ({ name, op }: Layer, role: string): WrittenWeight | undefined => {
    const part = /\/(product|alpha)$/.exec(name)?.[1];
    const node = nodes.get(part === undefined ? name : name.slice(0, -part.length - 1));
    if (node?.op !== 'Gemm') return undefined;
    if (op === 'Mul') {
      const alpha = node.attributes.get('alpha');
      return typeof alpha === 'number' ? { tensor: float32Tensor('alpha', [], [alpha], { file: files.label, name: nodeName(node) }) } : undefined;
    }
    const isIts = part === 'product' ? op === 'Gemm' && role === 'kernel' : part === undefined && op === 'Add';
    const stored = isIts ? weights.get(node.inputs[placeOf('Gemm', op === 'Gemm' ? 'kernel' : 'bias')] ?? '') : undefined;
    return stored && orient(stored, node, role);
  };
  const ofStep = (layer: Layer, role: string): WrittenWeight | undefined => {
    const own = steps.get(layer.name);
    const tensor = own?.op === layer.op && isRecurrent(layer) ? own.weights[role] : undefined;
    // The zeros that a state begins with are no part of the file.
    return tensor && !tensor.known ? storedForm(tensor) : undefined;
  };
  return {
    format: 'onnx',
    keepsEveryLayer: true,
    isOurs: model.metadata.has('weighbridge.version'),
    claims: claimsIn(model.metadata.get(CLAIMS_KEY)),
    training: await trainingNodes(model, used),
    overridable: model.irVersion < OVERRIDABLE_BY_RULE ? [] : model.overridable,
    storedDTypes: weightDTypes(model, used),
    storedAs: (name) => model.initializers.get(name)?.dtype,
    computeDType: computesInHalf(model, used) ? 'float16' : 'float32',
    layoutOf(port, shown) {
      const said = model.metadata.get(`weighbridge.layout.${shown.name}`) ?? model.metadata.get(`weighbridge.layout.${port.name}`);
      return (said as Layout | undefined) ?? layoutByShape(port, shown.shape);
    },
    weight(layer, role) {
      const node = nodes.get(layer.name);
      // A constant is no node of the file, and has the name of the value; where the graph gives it, an Identity does.
      if (layer.op === 'Constant') return weights.get(node?.op === 'Identity' ? (node.inputs[0] ?? '') : layer.outputs[0]!);
      if (node?.op !== layer.op) return ofScaledGemm(layer, role) ?? ofStep(layer, role);
      // PyTorch's exporter adds a bias from the left.
      const left = role === 'operand' && (layer.op === 'Add' || layer.op === 'Mul') ? weights.get(node.inputs[0] ?? '') : undefined;
      const stored = weights.get(node.inputs[placeOf(layer.op, role)] ?? '') ?? left;
      return stored && orient(stored, node, role);
    },
    worksOut(layer, role) {
      if (isRecurrent(layer) || (isFirstState(layer) && !weights.has(layer.outputs[0]!))) return true;
      const node = nodes.get(layer.name);
      const name = node?.op === layer.op ? (node.inputs[placeOf(layer.op, role)] ?? '') : '';
      return name !== '' && fixed.has(name) && !weights.has(name);
    },
    valueOf: (layer) => nodes.get(layer.name)?.outputs[0],
  };
}

/** Layers that our reader makes of a file; none where it does not understand the net. */
async function layersOf(files: FileSet): Promise<readonly Layer[]> {
  return (await mapOrNull(await openModel(files)))?.layers ?? [];
}

/** What a widened tensor is in the file. */
function storedForm(tensor: Tensor): WrittenWeight {
  const { stored, codes } = narrowForm(tensor) ?? { stored: tensor, codes: null };
  if (codes?.kind !== 'channels') return codes ? { tensor: stored, quantisation: codes } : { tensor: stored };
  return { tensor: stored, quantisation: { ...codes, axis: codes.axis ?? 0 } };
}

/**
 * Whether kernels are of float16 where they are multiplied with: stored so, or cast to it from the codes that they are stored in. In a net that
 * has none, whether what else is computed with is, or what flows.
 */
function computesInHalf({ initializers, nodes, inputs: ports }: ReadModel, used: readonly ReadNode[]): boolean {
  const known = new Set(initializers.keys());
  const weights = new Set([...initializers].flatMap(([name, { dtype }]) => (dtype === 'float16' ? [name] : [])));
  const flowing = new Set(ports.flatMap(({ name, dtype }) => (dtype === 'float16' ? [name] : [])));
  for (const { op, attributes, inputs, outputs } of nodes) {
    const isKnown = inputs.every((name) => known.has(name));
    if (isKnown) for (const name of outputs) known.add(name);
    const becomesHalf = op === 'Cast' ? Number(attributes.get('to')) === DATA_TYPE.float16 : isKnown && inputs.some((name) => weights.has(name));
    if (becomesHalf) for (const name of outputs) (isKnown ? weights : flowing).add(name);
  }
  const kernels = used.filter(({ op, inputs: [, kernel = ''] }) => KERNEL_OPS.has(op) && known.has(kernel));
  if (kernels.length > 0) return kernels.some(({ inputs: [, kernel = ''] }) => weights.has(kernel));
  return used.some(({ op, inputs }) => op !== 'Cast' && inputs.some((name) => flowing.has(name) || (weights.has(name) && !KEEPS_VALUES.has(op))));
}
