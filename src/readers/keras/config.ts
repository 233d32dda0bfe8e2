/**
 * Keras model configurations: the JSON under the `model_config` attribute, or beside a weights file, made one shape.
 *
 * Sequential and functional models of Keras 1 to 3 become a `KerasModel`: layers, and calls of them in running order. The
 * spellings differ between versions: a Sequential is a bare list before 2.2.3; a call's inputs are nested lists before Keras 3
 * and `keras_history` entries since; a single output may lack its outer list.
 */
import { ModelError } from '../../errors.js';
import { type CallArguments, inputsInOrder, NO_ARGUMENTS, parseCall, parseRef, type TensorRef } from './call.js';
import { isObject, type Json, list, object, parseJson, text } from './json.js';

export interface KerasLayer {
  /** Unique within its model. */
  readonly name: string;
  /** With the names of the enclosing models, '/' between them. */
  readonly path: string;
  /** An operation of Keras 3 called as a function has 'ops.' before its name: its `Add` is not the layer `Add`. */
  readonly className: string;
  readonly config: Json;
  /** Of a model used as a layer, or of one layer that works on each step of a sequence by itself. */
  readonly model: KerasModel | null;
  /** Set for a TimeDistributed: its model takes the steps of a sequence one by one. */
  readonly perStep?: true;
  /** The class around it, which keeps a weight of its own that only training reads, behind those of the layer. */
  readonly wrapper?: string;
  /** Facts beside the configuration that no version of Keras is known to write. */
  readonly unknown: readonly string[];
}

/** One use of a layer; a shared layer has several. */
export interface LayerCall extends CallArguments {
  readonly layer: KerasLayer;
  readonly index: number;
}

export interface KerasModel {
  readonly name: string;
  readonly layers: readonly KerasLayer[];
  /** In running order; input layers are called once, without inputs. */
  readonly calls: readonly LayerCall[];
  readonly inputs: readonly ModelEnd[];
  readonly outputs: readonly ModelEnd[];
  /** Facts of the model's configuration that no version of Keras is known to write. */
  readonly unknown: readonly string[];
  /** The class, where it is someone's own that is made as a functional model. */
  readonly ownClass?: string;
}

/** Where a value flows into a model, or out of it. */
export interface ModelEnd extends TensorRef {
  /** The key of the dictionary that it is fed or given in. */
  readonly key?: string;
}

/** Models within models, deeper than any that people build; recursion stops here. */
const MAX_NESTING = 32;

/** Classes that hold layers of their own, by every name that Keras has given them. */
const MODEL_CLASSES: ReadonlySet<string> = new Set(['Sequential', 'Model', 'Functional', 'Graph']);

/** What Keras writes beside a layer's class and configuration; the rest says how it was made and trained. */
const ENTRY_KEYS: ReadonlySet<string> = new Set([
  ...['class_name', 'config', 'name', 'inbound_nodes'],
  ...['module', 'registered_name', 'build_config', 'compile_config', 'shared_object_id', 'keras_version', 'backend'],
]);

/** What Keras writes about a model as a whole. */
const MODEL_KEYS: ReadonlySet<string> = new Set([
  ...['name', 'layers', 'input_layers', 'output_layers', 'trainable', 'dtype', 'build_input_shape', 'batch_input_shape'],
  ...['registered_name', 'module', 'build_config', 'is_graph_network', 'dynamic'],
]);

/**
 * Parses a model configuration.
 *
 * @param text JSON of `model_config`, or what `model.to_json()` gave
 * @param file for messages
 * @throws ModelError 'malformed' where the JSON is broken or contradicts itself; 'unsupported' for a subclassed model
 */
export function parseModelConfig(text: string, file: string): KerasModel {
  const json = parseJson(text, 'the model configuration', file);
  return parseModel(object(json, 'model configuration', file), '', 0, file);
}

function parseModel(entry: Json, prefix: string, depth: number, file: string): KerasModel {
  if (depth > MAX_NESTING) throw new ModelError('unsupported', `models are nested more than ${MAX_NESTING} deep`, { file });
  const className = text(entry.class_name, 'class_name of the model', file);
  const { config } = entry;
  const own = isSomeonesOwn(entry) || !MODEL_CLASSES.has(className) ? { ownClass: className } : {};
  if (className === 'Sequential') {
    const layers = Array.isArray(config) ? config : list(object(config, 'config of a Sequential', file).layers, 'layers of a Sequential', file);
    const given = Array.isArray(config) ? {} : (config as Json);
    const name = typeof given.name === 'string' ? given.name : 'sequential';
    const [first, ...rest] = layers.map((layer) => parseLayer(layer, prefix, depth, file));
    if (!first) throw new ModelError('malformed', `the Sequential model "${name}" has no layers`, { file });
    const begun = Array.isArray(first.config.layers) ? merged(first, first.config.layers, prefix, depth, file) : beginning(first, given, prefix);
    return { ...sequential(name, begun, rest, given, file), ...own };
  }
  const layers = (config as Json | undefined)?.layers;
  if (!Array.isArray(layers) || !(MODEL_CLASSES.has(className) || isFunctional(config as Json))) {
    if (className === 'Graph')
      throw new ModelError(
        'unsupported',
        'the model is a Graph, which Keras had up to 1.0: load it with Keras 1.0 to 1.2 and make it anew as a functional Model.',
        {
          file,
        },
      );
    throw new ModelError(
      'unsupported',
      `the model is of class "${className}", whose wiring is Python code. Only Sequential and functional models say how their layers are wired.`,
      { file },
    );
  }
  return { ...functional(config as Json, layers, prefix, depth, file), ...own };
}

/** Keras 3 tells the module of each class of its own, and none of someone else's, which may bear the same name. */
function isSomeonesOwn({ module, registered_name }: Json): boolean {
  return module === null && typeof registered_name === 'string';
}

/** Classes that are known here and never were Keras's, or were those of a net of keras.applications; not all who wrote them registered them. */
const FOREIGN_CLASSES: ReadonlySet<string> = new Set(['InstanceNormalization', 'SubPixelUpscaling', 'FixedDropout', 'SReLU', 'LayerScale', 'CustomScaleLayer']);

/** Whether a configuration says how layers are wired: classes of someone's own may be made as functional models are. */
function isFunctional(config: Json): boolean {
  return Array.isArray(config.layers) && config.input_layers !== undefined && config.output_layers !== undefined;
}

/** @param prefix names of the enclosing models, each with a '/' behind it */
export function parseLayer(value: unknown, prefix: string, depth: number, file: string): KerasLayer {
  const entry = object(value, 'layer', file);
  const className = layerClass(entry, file);
  // A Sequential of Keras 1 used as a layer has a bare list for its config.
  const config = Array.isArray(entry.config) ? {} : object(entry.config, `config of a ${className}`, file);
  const name = text(layerName(entry) ?? className.toLowerCase(), `name of a ${className}`, file);
  const path = prefix + name;
  if (depth > MAX_NESTING) throw new ModelError('unsupported', `layers are nested more than ${MAX_NESTING} deep`, { file });
  if (className === 'TimeDistributed')
    return { name, path, className, config, model: oneStep(entry, `${path}/`, depth + 1, file), perStep: true, unknown: unknownOfWrapper(entry, config) };
  if (/^(Addons>)?SpectralNormalization$/.test(className)) {
    const unknown = [...unknownKeys(entry, ENTRY_KEYS), ...unknownKeys(config, new Set([...WRAPPER_KEYS, 'power_iterations']))];
    // A prediction takes the kernel as training left it, divided by its norm.
    const inner = parseLayer(config.layer, `${path}/`, depth + 1, file);
    return { ...inner, name, path, wrapper: className, unknown: [...inner.unknown, ...unknown] };
  }
  // Keras 3: layers one behind the other that are no model.
  if (className === 'Pipeline' && Array.isArray(config.layers)) {
    const model = parseModel({ class_name: 'Sequential', config: { name, layers: config.layers } }, `${path}/`, depth + 1, file);
    return {
      name,
      path,
      className,
      config,
      model,
      unknown: [...unknownKeys(entry, ENTRY_KEYS), ...unknownKeys(config, new Set(['layers', 'name', 'trainable', 'dtype']))],
    };
  }
  const isModel = MODEL_CLASSES.has(className) || isFunctional(config);
  const model = isModel ? parseModel(entry, `${path}/`, depth + 1, file) : null;
  return { name, path, className, config, model, unknown: unknownKeys(entry, ENTRY_KEYS) };
}

/** The layer inside a TimeDistributed as a model of its own, of which each step is an input. */
function oneStep(entry: Json, prefix: string, depth: number, file: string): KerasModel {
  const layer = parseLayer((entry.config as Json).layer, prefix, depth, file);
  const input: KerasLayer = { name: '', path: `${prefix}step`, className: 'InputLayer', config: { dtype: 'float32' }, model: null, unknown: [] };
  const ref = (name: string) => ({ layer: name, call: 0, tensor: 0 });
  const call = { layer, index: 0, inputs: [ref(input.name)], positional: [{ input: 0 }], named: {} };
  return {
    name: layer.name,
    layers: [input, layer],
    calls: [{ ...NO_ARGUMENTS, layer: input, index: 0 }, call],
    inputs: [ref(input.name)],
    outputs: [ref(layer.name)],
    unknown: [],
  };
}

/** Settings of a wrapper that nobody reads, beside those that any layer may have. */
const WRAPPER_KEYS: ReadonlySet<string> = new Set([
  'name',
  'trainable',
  'dtype',
  'layer',
  'batch_input_shape',
  'input_dtype',
  'build_config',
  'registered_name',
  'module',
]);

function unknownOfWrapper(entry: Json, config: Json): string[] {
  return [...unknownKeys(entry, ENTRY_KEYS), ...unknownKeys(config, WRAPPER_KEYS)];
}

function layerName(entry: unknown): unknown {
  if (!isObject(entry)) return undefined;
  return entry.name ?? (isObject(entry.config) ? entry.config.name : undefined);
}

function unknownKeys(entry: Json, known: ReadonlySet<string>): string[] {
  return Object.keys(entry).filter((key) => !known.has(key));
}

/** Classes that Keras exports under another name than their own, which its weights are filed under. */
const EXPORTED_AS: Readonly<Record<string, string>> = { GroupQueryAttention: 'GroupedQueryAttention' };

/** The class's name; a class of someone else's that bears a name of Keras's keeps its package before it. */
function layerClass({ class_name, module, registered_name }: Json, file: string): string {
  const given = text(class_name, 'class_name of a layer', file);
  const name = Object.hasOwn(EXPORTED_AS, given) ? EXPORTED_AS[given]! : given;
  if (typeof registered_name === 'string' && registered_name !== given && registered_name !== name) return registered_name;
  if (isSomeonesOwn({ module, registered_name }) && !FOREIGN_CLASSES.has(name)) return `${name} (of someone's own)`;
  if (typeof module !== 'string') return name;
  if (/^(tf_)?keras\.(src\.)?(ops|activations)(\.|$)/.test(module)) return `ops.${name}`;
  return /^(tf_keras|keras|tensorflow\.(python\.)?keras)(\.|$)/.test(module) ? name : `${module}.${name}`;
}

/** Layers of Keras 3 that do not say whether they are trainable. */
const SAY_NOTHING_OF_TRAINING: ReadonlySet<unknown> = new Set(['Discretization', 'HashedCrossing', 'SpatialDropout1D', 'SpatialDropout2D', 'SpatialDropout3D']);

/**
 * The layers of a model, with the module of those that are operations. HDF5 files of Keras 3 tell no modules; nearly every layer says there
 * whether it is trainable, and an operation that is called does not.
 */
function withModules(entries: readonly unknown[]): readonly unknown[] {
  const saysTrainable = (entry: unknown) => isObject(entry) && isObject(entry.config) && 'trainable' in entry.config;
  return entries.some(saysTrainable) ? entries.map((entry) => (isBareOperation(entry) ? { ...entry, module: 'keras.ops' } : entry)) : entries;
}

function isBareOperation(entry: unknown): entry is Json {
  if (!isObject(entry) || entry.module !== undefined || SAY_NOTHING_OF_TRAINING.has(entry.class_name)) return false;
  const { config, inbound_nodes: nodes } = entry;
  const isCalled = Array.isArray(nodes) && nodes.length > 0 && nodes.every((node) => isObject(node) && Array.isArray(node.args));
  return isCalled && isObject(config) && !('trainable' in config) && !('layers' in config);
}

/** What a Sequential begins with: layers and their calls, up to the one that the others follow. */
type Beginning = Pick<KerasModel, 'layers' | 'calls' | 'inputs' | 'unknown'> & { readonly last: TensorRef };

const outputOf = ({ name }: KerasLayer): TensorRef => ({ layer: name, call: 0, tensor: 0 });

function callOn(layer: KerasLayer, inputs: readonly TensorRef[]): LayerCall {
  const positional = inputs.length > 1 ? [{ list: inputs.map((_, input) => ({ input })) }] : inputs.map((_, input) => ({ input }));
  return { layer, index: 0, inputs, positional, named: {} };
}

function beginning(first: KerasLayer, config: Json, prefix: string): Beginning {
  const isInput = first.className === 'InputLayer';
  const input = isInput ? first : impliedInput(first, config, prefix);
  const calls = [callOn(input, []), ...(isInput ? [] : [callOn(first, [outputOf(input)])])];
  return { layers: calls.map(({ layer }) => layer), calls, inputs: [outputOf(input)], unknown: [], last: outputOf(first) };
}

/** Keras 1: a Sequential that begins where several models end, whose layers count as its own. */
function merged(merge: KerasLayer, entries: readonly unknown[], prefix: string, depth: number, file: string): Beginning {
  const branches = entries.map((entry): Beginning => {
    if (!MODEL_CLASSES.has(String((entry as Json | null)?.class_name))) return beginning(parseLayer(entry, prefix, depth + 1, file), {}, prefix);
    const { layers, calls, inputs, unknown, outputs } = parseModel(object(entry, 'a branch of a Merge', file), prefix, depth + 1, file);
    if (outputs.length !== 1)
      throw new ModelError('unsupported', `a Merge of a model with ${outputs.length} outputs is not translated`, { file, layer: merge.path });
    return { layers, calls, inputs, unknown, last: outputs[0]! };
  });
  const { layers: _, ...config } = merge.config;
  const own = { ...merge, config };
  return {
    layers: [...branches.flatMap(({ layers }) => layers), own],
    calls: [
      ...branches.flatMap(({ calls }) => calls),
      callOn(
        own,
        branches.map(({ last }) => last),
      ),
    ],
    inputs: branches.flatMap(({ inputs }) => inputs),
    unknown: branches.flatMap(({ unknown }) => unknown),
    last: outputOf(own),
  };
}

function sequential(name: string, begun: Beginning, rest: readonly KerasLayer[], config: Json, file: string): KerasModel {
  const layers = [...begun.layers, ...rest];
  const names = new Set<string>();
  for (const layer of layers) {
    if (names.has(layer.name)) throw new ModelError('malformed', 'two layers have this name', { file, layer: layer.path });
    names.add(layer.name);
  }
  const before = [begun.last, ...rest.map(outputOf)];
  return {
    name,
    layers,
    calls: [...begun.calls, ...rest.map((layer, i) => callOn(layer, [before[i]!]))],
    inputs: begun.inputs,
    outputs: [before.at(-1)!],
    unknown: [...begun.unknown, ...unknownKeys(config, MODEL_KEYS)],
  };
}

/** The input layer that Keras makes for a Sequential without one. */
function impliedInput(first: KerasLayer, sequentialConfig: Json, prefix: string): KerasLayer {
  const name = `${first.name}_input`;
  const source = first.model ? inputLayers(first.model)[0]!.config : first.config;
  const shape = source.batch_input_shape ?? source.batch_shape ?? sequentialConfig.build_input_shape;
  const dtype = source.input_dtype ?? (first.model || typeof source.dtype === 'string' ? source.dtype : undefined);
  return {
    name,
    path: prefix + name,
    className: 'InputLayer',
    config: { name, batch_input_shape: shape, dtype: dtype ?? 'float32' },
    model: null,
    unknown: [],
  };
}

/** The input layers of a model, in the order of its inputs. */
export function inputLayers(model: KerasModel): readonly KerasLayer[] {
  return model.inputs.map((ref) => model.layers.find((layer) => layer.name === ref.layer)!);
}

function functional(config: Json, entries: readonly unknown[], prefix: string, depth: number, file: string): KerasModel {
  const name = typeof config.name === 'string' ? config.name : 'model';
  const layers: KerasLayer[] = [];
  const byName = new Map<string, { layer: KerasLayer; calls: CallArguments[]; isKeras3: boolean }>();
  const names = new Set(entries.map(layerName));
  for (const entry of withModules(entries)) {
    const layer = parseLayer(entry, prefix, depth, file);
    if (byName.has(layer.name)) throw new ModelError('malformed', 'two layers have this name', { file, layer: layer.path });
    const nodes = list((entry as Json).inbound_nodes ?? [], `inbound_nodes of "${layer.path}"`, file);
    const parsed = nodes.map((node) => parseCall(node, layer.path, (other) => names.has(other), file));
    const calls = layer.model ? parsed.map((call) => inputsInOrder(call, layer.model!.inputs, layer.path, file)) : parsed;
    // An input layer is in no call's outputs unless it counts as called once.
    byName.set(layer.name, { layer, calls: calls.length === 0 ? [NO_ARGUMENTS] : calls, isKeras3: nodes.some((node) => !Array.isArray(node)) });
    layers.push(layer);
  }
  const inputs = parseRefs(config.input_layers, `input_layers of "${name}"`, file);
  const outputs = parseRefs(config.output_layers, `output_layers of "${name}"`, file);
  const read = [...byName.values()].flatMap(({ calls }) => calls.flatMap((call) => call.inputs));
  const resolver = callResolver(byName, read, outputs, file);
  const [resolve, resolveEnd] = [resolver('read'), resolver('output')];
  const calls = [...byName.values()].flatMap(({ layer, calls: made }) =>
    made.map((call, index): LayerCall => ({ ...call, layer, index, inputs: call.inputs.map(resolve) })),
  );
  for (const { layer, inputs: read } of calls) {
    const isInput = layer.className === 'InputLayer';
    if (isInput !== (read.length === 0)) {
      throw new ModelError('malformed', isInput ? 'an InputLayer reads other layers' : 'the layer reads no other layer, and is no InputLayer', {
        file,
        layer: layer.path,
      });
    }
  }
  for (const { layer } of inputs) {
    if (byName.get(layer)?.layer.className !== 'InputLayer') throw new ModelError('malformed', `the input "${layer}" is no InputLayer`, { file });
  }
  return {
    name,
    layers,
    calls: runningOrder(calls, file),
    inputs: inputs.map((end) => ({ ...end, ...resolveEnd(end) })),
    outputs: outputs.map((end) => ({ ...end, ...resolveEnd(end) })),
    unknown: unknownKeys(config, MODEL_KEYS),
  };
}

interface Called {
  readonly layer: KerasLayer;
  readonly calls: readonly unknown[];
  /** Whether its calls are written as Keras 3 does. */
  readonly isKeras3: boolean;
}

/** Where the count of a layer's calls begins, in what other layers read and in the outputs of the model. */
interface Beginnings {
  readonly read: 0 | 1;
  readonly output: 0 | 1;
}

const FROM_0: Beginnings = { read: 0, output: 0 };
const FROM_1: Beginnings = { read: 1, output: 1 };
/** Of a functional model in Keras 3. */
const OUTPUTS_FROM_1: Beginnings = { read: 0, output: 1 };

/**
 * Turns node indices of the file into call indices, and checks that each refers to a call.
 *
 * A model used as a layer counts its own making as node 0 in Keras 1 and 2 (and tf.keras), so that its calls begin at 1; in
 * Keras 3 they do so among the outputs of the model alone (`get_config` and `serialize_node` of keras/src/models/functional.py). Every saved
 * call is referred to, which shows where the count began.
 */
function callResolver(layers: ReadonlyMap<string, Called>, read: readonly TensorRef[], outputs: readonly TensorRef[], file: string) {
  const indices = new Map<string, { read: Set<number>; output: Set<number> }>();
  const note = (kind: keyof Beginnings) => (ref: TensorRef) => {
    const known = indices.get(ref.layer) ?? { read: new Set(), output: new Set() };
    known[kind].add(ref.call);
    indices.set(ref.layer, known);
  };
  read.forEach(note('read'));
  outputs.forEach(note('output'));
  const beginnings = new Map([...indices].map(([name, found]) => [name, beginningsOf(layers.get(name), found)]));
  return (kind: keyof Beginnings) =>
    (ref: TensorRef): TensorRef => {
      const target = layers.get(ref.layer);
      if (!target) throw new ModelError('malformed', `a layer reads "${ref.layer}", but there is no such layer`, { file });
      const call = ref.call - (beginnings.get(ref.layer) ?? FROM_0)[kind];
      if (call >= 0 && call < target.calls.length) return { ...ref, call };
      throw new ModelError('malformed', `call ${ref.call} is read, but the layer has ${target.calls.length} calls`, { file, layer: target.layer.path });
    };
}

function beginningsOf(target: Called | undefined, found: Readonly<Record<keyof Beginnings, ReadonlySet<number>>>): Beginnings {
  if (!target?.layer.model) return FROM_0;
  const count = target.calls.length;
  const fits = (from: Beginnings) => {
    const calls = [...[...found.read].map((call) => call - from.read), ...[...found.output].map((call) => call - from.output)];
    return calls.every((call) => call >= 0 && call < count) && new Set(calls).size === count;
  };
  // Sequential models and pipelines are none of Keras 3's functional ones.
  const isFunctional = target.isKeras3 && !/^(Sequential|Pipeline)$/.test(target.layer.className);
  const order = target.isKeras3 ? (isFunctional ? [OUTPUTS_FROM_1, FROM_0] : [FROM_0, OUTPUTS_FROM_1]) : [FROM_0, FROM_1];
  return order.find(fits) ?? ([...found.read, ...found.output].some((call) => call >= count) ? FROM_1 : FROM_0);
}

/** The model with each of its layers replaced, in its calls too. */
export function mapLayers(model: KerasModel, change: (layer: KerasLayer) => KerasLayer): KerasModel {
  const changed = new Map(model.layers.map((layer) => [layer, change(layer)]));
  return { ...model, layers: [...changed.values()], calls: model.calls.map((call) => ({ ...call, layer: changed.get(call.layer)! })) };
}

/** `input_layers` or `output_layers`: [[name, node, tensor], ...], one such triple alone, or any structure of lists and dictionaries of them. */
function parseRefs(value: unknown, what: string, file: string): ModelEnd[] {
  const refs = flattenRefs(value, what, file);
  if (refs.length === 0) throw new ModelError('malformed', `${what} is empty`, { file });
  return refs;
}

/** Keras numbers the values of a nested structure in its order, those of a dictionary in that of its keys; one that is missing (null) has no number. */
function flattenRefs(value: unknown, what: string, file: string, key?: string): ModelEnd[] {
  if (value === null) return [];
  if (Array.isArray(value)) {
    const isOne = typeof value[0] === 'string';
    return isOne ? [{ ...parseRef(value, what, file), ...(key === undefined ? {} : { key }) }] : value.flatMap((entry) => flattenRefs(entry, what, file, key));
  }
  const entries = object(value, what, file);
  return Object.keys(entries)
    .toSorted()
    .flatMap((name) => flattenRefs(entries[name], what, file, name));
}

/**
 * Orders calls so that each comes after those it reads; otherwise the file's order is kept.
 *
 * @throws ModelError 'malformed' for a circle
 */
function runningOrder(calls: readonly LayerCall[], file: string): LayerCall[] {
  const key = (layer: string, index: number) => `${index} ${layer}`;
  const byKey = new Map(calls.map((call) => [key(call.layer.name, call.index), call]));
  const ordered: LayerCall[] = [];
  const done = new Set<LayerCall>();
  const open = new Set<LayerCall>();
  for (const root of calls) {
    const stack = done.has(root) ? [] : [{ call: root, next: 0 }];
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      open.add(top.call);
      const ref = top.call.inputs[top.next++];
      if (!ref) {
        stack.pop();
        open.delete(top.call);
        done.add(top.call);
        ordered.push(top.call);
        continue;
      }
      const source = byKey.get(key(ref.layer, ref.call))!;
      if (open.has(source)) throw new ModelError('malformed', 'the layer reads its own output', { file, layer: source.layer.path });
      if (!done.has(source)) stack.push({ call: source, next: 0 });
    }
  }
  return ordered;
}
