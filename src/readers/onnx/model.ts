/** An ONNX file as a model: its weights, and its layer map. */

import type { FileSet } from '../../bytes/file-set.js';
import { sha1Of } from '../../bytes/sha1.js';
import { isTensor, type ReadModel, type ReadPort, readOnnxModel } from '../../containers/onnx.js';
import { ModelError } from '../../errors.js';
import type { Value } from '../../model/builder.js';
import type { Dim, LayerMap, Layout, ModelFile, Notice, Port, StoredWeight } from '../../model/layer-map.js';
import { inputLayout } from '../../model/ports.js';
import { listed } from '../../words.js';
import type { ReadOptions } from '../reader.js';
import { RULES } from './rules.js';
import { nodeTitle } from './scope.js';
import { Translator } from './translator.js';

export async function readOnnx(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const name = files.main!;
  const model = await readOnnxModel(files, name);
  const opsets = [...model.opsets].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`).join(', ');
  let map: Promise<LayerMap> | null = null;
  return {
    format: 'onnx',
    producer: model.producer || null,
    tensors: storedWeights(model),
    metadata: Object.fromEntries(model.metadata),
    details: {
      'IR version': String(model.irVersion),
      opset: opsets || 'not said',
      nodes: String(model.nodes.length),
      inputs: model.inputs.map(({ name: input, shape }) => `${input} [${shape ?? '?'}]`).join(', '),
      outputs: model.outputs.map(({ name: output, shape }) => `${output} [${shape ?? '?'}]`).join(', '),
      ...Object.fromEntries(model.metadata),
    },
    warnings: unreadTensors(model),
    files: [name, ...model.externalFiles],
    check: () => checkExternal(model, files),
    map: () => (map ??= translate(model, options)),
  };
}

/** Companions whose SHA-1 the model says, which hardly a writer does, are read once more for it. */
async function checkExternal({ checksums }: ReadModel, files: FileSet): Promise<void> {
  for (const { file, checksum } of checksums) {
    const source = await files.open(file);
    const found = await sha1Of(source);
    await source.close();
    if (found === checksum.toLowerCase()) continue;
    const problem = `its SHA-1 is ${found}, and the model says ${JSON.stringify(checksum)}. Is it of another model, or damaged?`;
    throw new ModelError('malformed', problem, { file: source.name });
  }
}

/** Initializers, and what Constant nodes hold; there int64 numbers are shapes, axes and indices, and booleans are switches: no weights. */
function storedWeights(model: ReadModel): StoredWeight[] {
  const readers = new Map(model.nodes.flatMap((node) => node.inputs.map((input) => [input, nodeTitle(node)] as const)));
  const stored = [...model.initializers.values()];
  for (const { op, domain, outputs, attributes } of model.nodes) {
    const value = attributes.get('value');
    if (op === 'Constant' && domain === '' && isTensor(value) && value.dtype !== 'int64' && value.dtype !== 'bool')
      stored.push({ ...value, name: outputs[0] ?? value.name });
  }
  return stored.map((tensor) => ({ tensor, layer: readers.get(tensor.name) ?? null }));
}

function unreadTensors({ storedTensors }: ReadModel): Notice[] {
  const unread = storedTensors.filter(({ tensor }) => tensor === null);
  if (unread.length === 0) return [];
  const names = unread.map(({ name }) => `"${name}"`);
  return [
    {
      code: 'unread-tensors',
      message: `${unread.length} tensors hold text, or are sparse or of a dtype that is not read: ${listed(names)}`,
    },
  ];
}

async function translate(model: ReadModel, options: ReadOptions): Promise<LayerMap> {
  const translator = new Translator(model, RULES, (field) => model.file.read(field.start, field.end), options.inference === true);
  const { build, scope } = translator;
  for (const stored of model.storedTensors) if (!stored.tensor) await translator.unread(stored);
  const ports = inputPorts(model, options.inputShape);
  const inputs = ports.map((port) => {
    const value = build.input(port.name, port.dtype, port.shape);
    scope.set(port.name, value);
    return value;
  });
  await translator.graph(model);
  if (translator.training.length > 0 && !translator.inference) throw trainingError(model, translator.training);
  const outputs = model.outputs.map(({ name }) => {
    const value = scope.find(name);
    if (!value) throw new ModelError('malformed', `nothing makes the output "${name}"`, { file: model.file.name });
    return value;
  });
  const layers = build.finish(outputs);
  // With inputs of another shape what the file says of its outputs is no longer meant.
  const warnings: Notice[] = [...translator.warnings, ...(ports === model.inputs ? otherShapes(model.outputs, outputs) : [])];
  if (translator.training.length > 0) {
    warnings.push({
      code: 'inference',
      message: `${translator.training.length} layers act as in training in the file, and as in inference here: ${listed(translator.training)}`,
    });
  }
  return {
    name: model.graphName,
    format: 'onnx',
    producer: model.producer || null,
    architecture: null,
    inputs: ports.map((port, i) => portOf(port, inputs[i]!, inputs[i]!.name, inputLayout(inputs[i]!, layers))),
    outputs: model.outputs.map((port, i) => outputOf(port, outputs[i]!, build.flowing(outputs[i]!))),
    layers,
    warnings,
    folded: build.folded,
    // The file itself has other shapes.
    ...(ports === model.inputs ? { source: { format: 'onnx', layers, document: model } } : {}),
  };
}

/**
 * The inputs, the only one with the shape that was asked for. What the nodes make of another size than the file's is worked out anew, and an error
 * where it does not fit.
 *
 * @throws ModelError 'usage' where there are several inputs, or the shape has another number of axes
 */
function inputPorts(model: ReadModel, given: readonly Dim[] | undefined): readonly ReadPort[] {
  const [port] = model.inputs;
  if (given === undefined || !port || `${port.shape}` === `${given}`) return model.inputs;
  const place = { file: model.file.name, tensor: port.name };
  if (model.inputs.length > 1) {
    throw new ModelError('usage', `the model has ${model.inputs.length} inputs, and one shape does not say which of them is to have it`, place);
  }
  if (port.shape && port.shape.length !== given.length) {
    throw new ModelError('usage', `the input has ${port.shape.length} axes, [${port.shape}], and [${given}] has ${given.length}`, place);
  }
  return [{ ...port, shape: given }];
}

function trainingError(model: ReadModel, layers: readonly string[]): ModelError {
  return new ModelError(
    'unsupported',
    `${layers.length} layers act as in training: ${listed(layers)}. Export the model after model.eval(), or convert it with --inference, which has them act as in inference`,
    { file: model.file.name },
  );
}

/** Behind a node that is not understood nothing tells a shape that the file does not. */
function outputOf(port: ReadPort, value: Value, name: string): Port {
  const isUnshaped = port.shape === null && value.shape === null;
  const made = portOf(isUnshaped ? { ...port, shape: [] } : port, value, name, 'other');
  return isUnshaped ? { ...made, isUnshaped } : made;
}

function portOf(port: ReadPort, value: Value, name: string, layout: Layout): Port {
  const dtype = port.dtype ?? value.dtype;
  const shape = agreedShape(port.shape, value.shape);
  if (port.other !== undefined) throw new ModelError('unsupported', `"${port.name}" is ${port.other}; inputs and outputs have to be tensors of numbers`);
  if (dtype === null || shape === null) {
    throw new ModelError('unsupported', `the file does not say which ${dtype === null ? 'dtype' : 'shape'} "${port.name}" has, and it cannot be worked out`, {
      tensor: port.name,
    });
  }
  return { name: port.name, value: name, dtype, valueDType: value.dtype ?? dtype, shape, layout };
}

/** Outputs of which the file says a shape that its nodes do not make. Exporters leave shapes empty that they do not know. */
function otherShapes(said: readonly ReadPort[], made: readonly Value[]): Notice[] {
  return said.flatMap(({ name, shape }, i) => {
    const found = made[i]!.shape;
    const isOther = shape?.length && found && (shape.length !== found.length || found.some((size, axis) => areOther(size, shape[axis]!)));
    if (!isOther) return [];
    return [{ code: 'declared-shape', message: `the file says that the output "${name}" has the shape [${shape}], and its nodes make [${found}]` }];
  });
}

function areOther(found: Dim, said: Dim): boolean {
  return typeof found === 'number' && typeof said === 'number' && found !== said;
}

/** What was worked out, and for sizes that are free there what the file says. */
function agreedShape(said: readonly Dim[] | null, found: readonly Dim[] | null): readonly Dim[] | null {
  if (!said || !found || said.length !== found.length) return found ?? said;
  return found.map((size, axis) => (typeof size === 'string' && said[axis] !== '?' ? said[axis]! : size));
}
