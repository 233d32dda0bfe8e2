/**
 * What a TensorFlow file is made of: a GraphDef with its constants, and in a SavedModel signatures and a bundle of variables.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto, meta_graph.proto and
 *   trackable_object_graph.proto
 */
import { type ByteSource, memorySource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { type Field, WireReader } from '../containers/protobuf.js';
import { readSingleString, readTensorBundle, type TensorBundle } from '../containers/tf-bundle.js';
import { parseInput, readGraphDef, type TfGraph, type TfNode } from '../containers/tf-graph.js';
import { encodeGraphText } from '../containers/tf-graph-text.js';
import { type CheckpointObject, parseCheckpointObjects, readSavedObjects } from '../containers/tf-objects.js';
import { parseSliceSpec, sliceOf } from '../containers/tf-slices.js';
import { buildTensorflowMap, type TfPort } from '../dialects/tensorflow/graph.js';
import { ModelError } from '../errors.js';
import { isFloatDType } from '../model/dtype.js';
import type { ModelFile, Notice } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { PROBE_BYTES, type ReadOptions } from './reader.js';
import { GRAPH_TEXT, OLD_GRAPH } from './tensorflow.js';
import { checkpointValues } from './tensorflow-checkpoint.js';
import { type CallableFunction, callableFunctions } from './tensorflow-functions.js';
import { restoredKeys } from './tensorflow-restored.js';
import { OLD_MANIFEST, readModelJson } from './tfjs/model-json.js';
import { type ManifestWeights, readManifest } from './tfjs/weights.js';

const SAVED_MODEL = { schemaVersion: 1, metaGraph: 2 } as const;
const META_GRAPH = { info: 1, graph: 2, signature: 5, objects: 7 } as const;
const META_INFO = { tag: 4, version: 5 } as const;
const SIGNATURE = { inputs: 1, outputs: 2 } as const;
const TENSOR_INFO = { name: 1 } as const;
const OBJECT_GRAPH_KEY = '_CHECKPOINTABLE_OBJECT_GRAPH';
const BUNDLE = 'variables/variables';
/** The signature that serves predictions, and the one that initialises. */
const SERVING = 'serving_default';
const INITIALISER = '__saved_model_init_op';

interface Signature {
  readonly name: string;
  readonly inputs: readonly TfPort[];
  readonly outputs: readonly TfPort[];
}

export interface Content {
  readonly graph: TfGraph;
  readonly signatures: readonly Signature[];
  readonly version: string | null;
  readonly isSavedModel: boolean;
  /** Where a SavedModel of TensorFlow 2 says what was saved. */
  readonly objects: Field | null;
}

/**
 * @param name of the file within the model's folder
 * @param checkpoint prefix of the files with its values, where the file is the graph beside them
 */
export async function readTensorflow(files: FileSet, name: string, options: ReadOptions, checkpoint?: string): Promise<ModelFile> {
  const source = await files.open(name);
  const content =
    checkpoint === undefined ? await readContent(source) : await readMetaGraph(new WireReader(source), source, { start: 0, end: source.byteLength });
  const isBundled = content.isSavedModel && (await files.has(`${BUNDLE}.index`));
  const bundle = checkpoint !== undefined ? await checkpointValues(files, checkpoint) : isBundled ? await readTensorBundle(files, BUNDLE) : null;
  const objects = bundle ? await checkpointObjects(bundle) : [];
  const functions = await functionsOf(content, source, objects, options);
  const called = functions.length > 0 ? chosen(functions, options, source.name) : undefined;
  const graph = called ? { ...content.graph, nodes: [...content.graph.nodes, ...called.nodes] } : content.graph;
  const constants = constantsOf([...graph.nodes, ...[...graph.functions.values()].flatMap(({ nodes }) => nodes)]);
  const manifest = content.isSavedModel || !(await isHollow(graph.nodes, constants)) ? null : await readOldManifest(files, source.name);
  const variables = bundle ? namedVariables(bundle, objects) : new Map((manifest?.weights ?? []).map(({ tensor }) => [tensor.name, tensor]));
  const signature = called ?? chosen(content.signatures, options, source.name);
  const restored = bundle ? restoredVariables(graph, bundle, source.name) : new Map<string, Tensor>();
  for (const [node, key] of called?.variables ?? []) {
    const tensor = bundle?.tensors.get(key);
    if (tensor) restored.set(node, tensor);
  }
  const weights = bundle || manifest ? [...new Set(variables.values())] : constants;
  return {
    format: 'tensorflow',
    producer: content.version === null ? null : `tensorflow ${content.version}`,
    tensors: weights.map((tensor) => ({ tensor, layer: null })),
    details: {
      content: checkpoint !== undefined ? 'checkpoint with its graph' : content.isSavedModel ? 'SavedModel' : 'frozen graph',
      nodes: String(graph.nodes.length),
      ...(graph.functions.size > 0 ? { functions: String(graph.functions.size) } : {}),
      ...(signature
        ? {
            signature: signature.name,
            inputs: signature.inputs.map((port) => port.name).join(', '),
            outputs: signature.outputs.map((port) => port.name).join(', '),
          }
        : {}),
    },
    warnings: called ? [functionNotice(functions, called)] : content.signatures.length > 1 ? [signatureNotice(content.signatures, signature!.name)] : [],
    files: [name, ...(bundle?.files ?? []), ...(manifest ? [OLD_MANIFEST, ...manifest.files] : [])],
    map: async () => {
      if (content.objects && !signature) throw uncallable(source.name);
      return buildTensorflowMap({
        graph,
        inputs: signature?.inputs ?? null,
        outputs: signature?.outputs ?? null,
        weight: (wanted) => {
          const code = bundle?.others.get(wanted);
          if (code !== undefined) throw new ModelError('unsupported', `the variable "${wanted}" has the dtype ${code}, which holds no numbers`);
          return variables.get(wanted);
        },
        variable: (node) => restored.get(node),
        file: source.name,
        format: 'tensorflow',
        producer: content.version,
        inputShape: options.inputShape,
        recordedShape: options.recordedShape,
        ...(options.ends ? { ends: options.ends } : {}),
      });
    },
  };
}

/** The one that is asked for, the serving one, or the first. */
function chosen<T extends { readonly name: string }>(signatures: readonly T[], { assume }: ReadOptions, file: string): T | undefined {
  const wanted = assume?.signature;
  if (wanted === undefined) return signatures.find((one) => one.name === SERVING) ?? signatures[0];
  const found = signatures.find((one) => one.name === wanted);
  if (found) return found;
  const names = signatures.map((one) => one.name).join(', ') || 'none';
  throw new ModelError('usage', `there is no signature ${JSON.stringify(wanted)}; the file has ${names}`, { file });
}

/** Functions that can be called instead, where there is no signature, or none of the name that is asked for. */
async function functionsOf(
  { graph, signatures, objects }: Content,
  source: ByteSource,
  checkpoint: readonly CheckpointObject[],
  { assume }: ReadOptions,
): Promise<readonly CallableFunction[]> {
  const wanted = assume?.signature;
  if (!objects || (wanted === undefined ? signatures.length > 0 : signatures.some(({ name }) => name === wanted))) return [];
  const functions = callableFunctions(await readSavedObjects(source, objects), graph, checkpoint, source.name);
  return wanted === undefined || functions.some(({ name }) => name === wanted) ? functions : [];
}

function signatureNotice(signatures: readonly Signature[], taken: string): Notice {
  const names = signatures.map(({ name }) => name).join(', ');
  return { code: 'assumed', message: `of the signatures ${names}, "${taken}" is taken; --assume signature=NAME takes another` };
}

function functionNotice(functions: readonly CallableFunction[], { name, inputs, traces }: CallableFunction): Notice {
  const others = functions.length > 1 ? `of the functions ${functions.map((one) => one.name).join(', ')}, "${name}"` : `its function "${name}"`;
  const trace = traces > 1 ? `, of whose ${traces} traces the one that is not told to train` : '';
  const given = inputs.map((port) => port.name).join(', ');
  const more = functions.length > 1 ? '; --assume signature=NAME takes another' : '';
  return { code: 'assumed', message: `no signature says what the model is called by: ${others} is taken${trace}, called with ${given}${more}` };
}

function uncallable(file: string): ModelError {
  const what = 'the SavedModel has no signature, and no function of its own that was ever called with tensors, so that nothing says what it computes';
  const how = 'save it with signatures= (tf.saved_model.save) or model.export (Keras); its weights alone go to npz or safetensors';
  return new ModelError('unsupported', `${what}: ${how}`, { file });
}

async function readContent(source: ByteSource): Promise<Content> {
  const graphs = await readContents(source);
  // One for a CPU before one for an accelerator; modules of TensorFlow Hub have one without tags, and one for training.
  const serving =
    graphs.find(({ tags }) => tags.join() === 'serve') ??
    graphs.find(({ tags }) => tags.includes('serve')) ??
    graphs.find(({ tags }) => tags.length === 0) ??
    graphs[0];
  if (!serving) throw new ModelError('malformed', 'the SavedModel has no graph', { file: source.name });
  return serving;
}

/** All graphs of a file: one of a frozen graph, one for each set of tags of a SavedModel. */
export async function readContents(source: ByteSource): Promise<(Content & { readonly tags: readonly string[] })[]> {
  const wire = new WireReader(source);
  const head = await source.read(0, Math.min(source.byteLength, PROBE_BYTES));
  const [first] = head;
  if (GRAPH_TEXT.test(decodeLatin1(head))) return [{ ...FROZEN, graph: await readGraphText(source) }];
  if (first !== SAVED_MODEL.schemaVersion << 3) return [{ ...FROZEN, graph: await readGraphDef(source) }];
  const graphs: (Content & { readonly tags: readonly string[] })[] = [];
  for await (const field of wire.fields(0, source.byteLength))
    if (field.number === SAVED_MODEL.metaGraph) graphs.push(await readMetaGraph(wire, source, field));
  return graphs;
}

const FROZEN = { signatures: [], version: null, isSavedModel: false, objects: null, tags: [] } as const;

/** All of it is held, its weights as well: they take up to four times their bytes as text. */
const MAX_TEXT_BYTES = 2 ** 28;

async function readGraphText(source: ByteSource): Promise<TfGraph> {
  if (source.byteLength > MAX_TEXT_BYTES) {
    const how = 'tf.io.write_graph(graph, folder, name, as_text=False) makes a file of bytes';
    throw new ModelError('unsafe', `the graph is ${source.byteLength} bytes of text, and would be held in memory as a whole: ${how}`, { file: source.name });
  }
  const text = new TextDecoder().decode(await source.read(0, source.byteLength));
  const graph = await readGraphDef(memorySource(encodeGraphText(text, source.name), source.name));
  const names = new Set(graph.nodes.map(({ name }) => name));
  const isHalf = !graph.nodes.some(({ op }) => op === 'Const') && graph.nodes.some(({ inputs }) => inputs.some(({ node }) => !names.has(node)));
  if (isHalf)
    throw new ModelError('unsupported', 'the graph has no weights, as those that OpenCV reads beside a frozen one: name the .pb', { file: source.name });
  return graph;
}

async function readMetaGraph(
  wire: WireReader,
  source: ByteSource,
  field: Pick<Field, 'start' | 'end'>,
): Promise<Content & { readonly tags: readonly string[] }> {
  let graph: TfGraph | null = null;
  let version: string | null = null;
  let objects: Field | null = null;
  const tags: string[] = [];
  const signatures: Signature[] = [];
  for await (const part of wire.fields(field.start, field.end)) {
    if (part.number === META_GRAPH.graph) graph = await readGraphDef(source, part.start, part.end);
    else if (part.number === META_GRAPH.info) {
      for await (const info of wire.fields(part.start, part.end)) {
        if (info.number === META_INFO.tag) tags.push(await wire.text(info));
        else if (info.number === META_INFO.version) version = await wire.text(info);
      }
    } else if (part.number === META_GRAPH.objects) objects = part;
    else if (part.number === META_GRAPH.signature) {
      const [name, value] = await readEntry(wire, part);
      if (name !== INITIALISER && value) signatures.push(await readSignature(wire, name, value));
    }
  }
  if (!graph) throw new ModelError('malformed', 'a graph of the SavedModel is empty', { file: source.name });
  return { graph, signatures, version, tags, objects, isSavedModel: true };
}

async function readSignature(wire: WireReader, name: string, field: Field): Promise<Signature> {
  const ports: Record<'inputs' | 'outputs', TfPort[]> = { inputs: [], outputs: [] };
  for await (const part of wire.fields(field.start, field.end)) {
    const side = part.number === SIGNATURE.inputs ? 'inputs' : part.number === SIGNATURE.outputs ? 'outputs' : null;
    if (side === null) continue;
    const [port, info] = await readEntry(wire, part);
    if (!info) continue;
    for await (const one of wire.fields(info.start, info.end))
      if (one.number === TENSOR_INFO.name) ports[side].push({ name: port, from: parseInput(await wire.text(one)) });
  }
  // A map's entries have no order of their own.
  const sorted = (list: readonly TfPort[]) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { name, inputs: sorted(ports.inputs), outputs: sorted(ports.outputs) };
}

/** Key and value of a map's entry. */
async function readEntry(wire: WireReader, field: Field): Promise<[string, Field | null]> {
  let key = '';
  let value: Field | null = null;
  for await (const part of wire.fields(field.start, field.end)) {
    if (part.number === 1) key = await wire.text(part);
    else if (part.number === 2) value = part;
  }
  return [key, value];
}

async function checkpointObjects({ strings }: TensorBundle): Promise<readonly CheckpointObject[]> {
  const graph = strings.get(OBJECT_GRAPH_KEY);
  return graph ? parseCheckpointObjects(await readSingleString(graph), graph.name) : [];
}

/**
 * Variables by the names that graphs call them by: in TensorFlow 1 the keys of the bundle, in TensorFlow 2 the full names that the object
 * graph gives to those keys.
 */
function namedVariables({ tensors }: TensorBundle, checkpoint: readonly CheckpointObject[]): Map<string, Tensor> {
  // Null for a name that several variables have: they are told apart by what restores them alone.
  const named = new Map<string, Tensor | null>();
  for (const { name, key } of checkpoint.flatMap(({ values }) => values)) {
    const tensor = tensors.get(key);
    if (tensor && name !== '') named.set(name, named.has(name) && named.get(name) !== tensor ? null : tensor);
  }
  return new Map([...[...named].filter((entry): entry is [string, Tensor] => entry[1] !== null), ...tensors]);
}

/** Nodes that multiply what flows in by weights, which are zeros in no net. */
const WEIGHING = /Conv2D|Conv2d|MatMul|^Mul$/;

/** Whether no constant of floats holds a number but zero, weights among them: whoever wrote the graph keeps the numbers elsewhere. */
async function isHollow(nodes: readonly TfNode[], constants: readonly Tensor[]): Promise<boolean> {
  const floats = constants.filter((tensor) => isFloatDType(tensor.dtype) && elementCount(tensor.shape) > 1);
  for (const { walk } of floats) {
    // One value stands for all of them, or none for zeros.
    if (walk.axes.some((axis) => axis.some(({ size, stride }) => size > 1 && stride !== 0))) return false;
    if ((await walk.source.read(0, walk.source.byteLength)).some((byte) => byte !== 0)) return false;
  }
  const hollow = new Set(floats.map(({ name }) => name));
  const reads = ({ inputs }: TfNode) => inputs.some(({ node }) => hollow.has(node));
  for (const node of nodes) if (node.op === 'Identity' && reads(node)) hollow.add(node.name);
  return nodes.some((node) => WEIGHING.test(node.op) && reads(node));
}

/** The weights of a TensorFlow.js model of 2018, which lie beside its graph. */
async function readOldManifest(files: FileSet, file: string): Promise<ManifestWeights> {
  if (await files.has(OLD_MANIFEST)) return readManifest(files, await readModelJson(files, OLD_MANIFEST));
  throw new ModelError(
    'unsupported',
    `all its weights are zeros, as in the graph of an old TensorFlow.js model (${OLD_GRAPH}), whose weights lie beside it: ${OLD_MANIFEST} is missing`,
    { file },
  );
}

/** Variables by the nodes that hold them, as the graph itself restores them. */
function restoredVariables(graph: TfGraph, bundle: TensorBundle, file: string): Map<string, Tensor> {
  const variables = new Map<string, Tensor>();
  for (const [node, { key, slice }] of restoredKeys(graph)) {
    const whole = bundle.tensors.get(key);
    if (!whole) continue;
    const wanted = slice === '' ? null : parseSliceSpec(slice);
    const part = slice === '' ? whole : wanted && sliceOf(whole, wanted);
    if (!part) throw new ModelError('malformed', `the slice ${JSON.stringify(slice)} is none of [${whole.shape}]`, { file, layer: node, tensor: key });
    variables.set(node, part);
  }
  return variables;
}

/** Constants that hold numbers, by the names of their nodes; scalars and small lists of integers are settings. */
function constantsOf(nodes: readonly TfNode[]): Tensor[] {
  return nodes.flatMap(({ name, op, attributes }) => {
    const value = attributes.get('value');
    return op === 'Const' && value?.kind === 'tensor' && value.value && value.value.shape.length > 0 ? [{ ...value.value, name }] : [];
  });
}
