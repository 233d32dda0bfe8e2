/**
 * Turns the configuration that a Keras file carries into the Keras 2 form that TensorFlow.js loads, and declines what TensorFlow.js
 * would compute differently: it passes over settings that it does not know without a word, so each class has a list of those that it
 * heeds (version 4.22, read in its layers), and any other setting must be known to say nothing about a prediction.
 */
import { ModelError } from '../../errors.js';
import { type Fusing, fusedEpsilon, fusingOf } from '../../readers/keras/fused.js';

type Json = { [key: string]: unknown };

const WINDOW = ['kernel_size', 'strides', 'padding', 'data_format', 'dilation_rate', 'activation', 'use_bias'];
const SEQUENCE = ['return_sequences', 'go_backwards'];
const POOL = ['pool_size', 'strides', 'padding', 'data_format'];

/** Classes that TensorFlow.js computes as Keras does, and the settings that it heeds. */
export const HEEDED: Readonly<Record<string, readonly string[]>> = {
  InputLayer: ['batch_input_shape', 'dtype', 'sparse'],
  Conv1D: ['filters', ...WINDOW],
  Conv2D: ['filters', ...WINDOW],
  Conv3D: ['filters', ...WINDOW],
  Conv2DTranspose: ['filters', ...WINDOW],
  SeparableConv2D: ['filters', 'depth_multiplier', ...WINDOW],
  DepthwiseConv2D: ['depth_multiplier', ...WINDOW],
  Dense: ['units', 'activation', 'use_bias'],
  Embedding: ['input_dim', 'output_dim', 'input_length'],
  Flatten: ['data_format'],
  Reshape: ['target_shape'],
  Permute: ['dims'],
  RepeatVector: ['n'],
  Activation: ['activation'],
  ReLU: ['max_value'],
  LeakyReLU: ['alpha'],
  PReLU: ['shared_axes'],
  ELU: ['alpha'],
  ThresholdedReLU: ['theta'],
  Softmax: ['axis'],
  BatchNormalization: ['axis', 'epsilon', 'center', 'scale', 'momentum'],
  LayerNormalization: ['axis', 'epsilon', 'center', 'scale'],
  MaxPooling1D: POOL,
  MaxPooling2D: POOL,
  MaxPooling3D: POOL,
  AveragePooling1D: POOL,
  AveragePooling2D: POOL,
  AveragePooling3D: POOL,
  GlobalAveragePooling1D: ['data_format'],
  GlobalAveragePooling2D: ['data_format'],
  GlobalMaxPooling1D: ['data_format'],
  GlobalMaxPooling2D: ['data_format'],
  ZeroPadding2D: ['padding', 'data_format'],
  Cropping2D: ['cropping', 'data_format'],
  UpSampling2D: ['size', 'data_format', 'interpolation'],
  Add: [],
  Multiply: [],
  Average: [],
  Maximum: [],
  Minimum: [],
  Concatenate: ['axis'],
  Dot: ['axes', 'normalize'],
  Rescaling: ['scale', 'offset'],
  SimpleRNN: ['units', 'activation', 'use_bias', ...SEQUENCE],
  LSTM: ['units', 'activation', 'recurrent_activation', 'use_bias', ...SEQUENCE],
  // Without `reset_after`, which TensorFlow.js refuses.
  GRU: ['units', 'activation', 'recurrent_activation', 'use_bias', ...SEQUENCE],
};

/** Layers that pass their input on in a prediction, by whatever name: TensorFlow.js has few of them, and needs none. */
const PASS_ON =
  /^(Identity|(Spatial|Alpha|Gaussian)?Dropout(1D|2D|3D)?|GaussianNoise|ActivityRegularization|Random(?!Crop)\w+|AugMix|CutMix|MixUp|RandAugment)$/;

/** Settings that say nothing about a prediction. */
const AT_REST = new RegExp(
  `^(name|trainable|dtype|dynamic|batch_input_shape|input_dtype|input_dim|input_length|activity_regularizer|momentum|fused|synchronized|ragged|optional|weights|seed|implementation|unroll|(recurrent_)?dropout|unit_forget_bias|use_cudnn|${[
    'renorm_clipping|renorm_momentum|module|registered_name|build_config|autocast|lora_alpha|input_shape',
    '\\w+_(initializer|regularizer|constraint)',
  ].join('|')})$`,
);

/** Settings that say nothing about it at these values. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  groups: [1, null],
  keepdims: [false, null],
  mask_zero: [false, null],
  sparse: [false, null],
  output_padding: [null],
  lora_rank: [null],
  quantization_config: [null],
  renorm: [false, null],
  virtual_batch_size: [null],
  adjustment: [null],
  rms_scaling: [false],
  negative_slope: [0, null],
  return_state: [false, null],
  stateful: [false, null],
  time_major: [false, null],
  reset_after: [false, null],
  zero_output_for_mask: [false, null],
  threshold: [0, null],
};

/** Activations that TensorFlow.js has under the same name, or another one. */
export const ACTIVATIONS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['linear', 'relu', 'relu6', 'elu', 'selu', 'sigmoid', 'tanh', 'softmax', 'softplus', 'softsign', 'gelu', 'mish', 'swish'].map((name) => [name, name]),
  ),
  silu: 'swish',
  log_softmax: 'log_softmax',
  hard_sigmoid: 'hard_sigmoid',
};

/** Settings of what a class has at random where nothing is said. */
const GUESSED: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(['Conv1D', 'Conv2D', 'Conv3D', 'Conv2DTranspose', 'Dense'].map((name) => [name, ['kernel_initializer']])),
  DepthwiseConv2D: ['depthwise_initializer'],
  SeparableConv2D: ['depthwise_initializer', 'pointwise_initializer'],
  Embedding: ['embeddings_initializer'],
  ...Object.fromEntries(['SimpleRNN', 'LSTM', 'GRU'].map((name) => [name, ['kernel_initializer', 'recurrent_initializer']])),
};

/** What a layer is computed with. */
interface Setting {
  /** Of the Keras that wrote the file. */
  readonly major: number;
  /** TensorFlow.js's backend. */
  readonly backend: string;
  readonly fusing: Fusing | null;
}

/**
 * @param version of the Keras that wrote the file
 * @throws ModelError 'engine' naming the layer that TensorFlow.js would not compute as Keras does
 */
export function toTfjsConfig(text: string, version: string | null = null, backend = 'cpu'): Json {
  return toTfjsModel(JSON.parse(text) as Json, 'model', { major: Number(version?.split('.')[0] ?? 2), backend, fusing: fusingOf(version, null) });
}

const MODELS = /^(Sequential|Model|Functional)$/;

function toTfjsModel(model: Json, fallback: string, setting: Setting): Json {
  if (!MODELS.test(String(model.class_name))) throw declined(String(model.class_name), 'is no Sequential or functional model');
  if (model.module === null && typeof model.registered_name === 'string') throw declined(model.registered_name, 'is a class of its own');
  const className = model.class_name === 'Sequential' ? 'Sequential' : 'Model';
  const config = (Array.isArray(model.config) ? { layers: model.config } : model.config) as Json;
  const given = config.layers as Json[];
  const counts = className === 'Model' ? countsOfCalls(given, config) : new Map<string, number>();
  const layers = given.map((layer, i) => toTfjsLayer(i === 0 && className === 'Sequential' ? withInputShape(layer, config) : layer, counts, setting));
  const name = String(config.name ?? model.name ?? fallback);
  if (className === 'Sequential') return { class_name: className, config: { name, layers } };
  const ends = { input_layers: refsOf(config.input_layers, counts), output_layers: refsOf(config.output_layers, counts) };
  return { class_name: className, config: { name, layers, ...ends } };
}

/** A Sequential whose first layer does not say what flows in may say so itself. */
function withInputShape(layer: Json, { build_input_shape }: Json): Json {
  const config = (Array.isArray(layer.config) ? {} : layer.config) as Json;
  if (build_input_shape === undefined || MODELS.test(String(layer.class_name)) || config.batch_input_shape !== undefined || config.batch_shape !== undefined)
    return layer;
  return { ...layer, config: { ...config, batch_input_shape: build_input_shape } };
}

/**
 * By how much the calls of a model used as a layer are counted on: TensorFlow.js counts the model's own making as its first, as Keras 2
 * did; Keras 3 does not. Every saved call is referred to, which shows how the file counts.
 */
function countsOfCalls(layers: readonly Json[], config: Json): Map<string, number> {
  const highest = new Map<string, number>();
  const refs = [
    ...layers.flatMap(({ inbound_nodes: nodes }) => (Array.isArray(nodes) ? nodes.flatMap((node) => tensorsOf(node)) : [])),
    ...flatRefs(config.output_layers),
  ];
  for (const [name, call] of refs) highest.set(String(name), Math.max(Number(call), highest.get(String(name)) ?? 0));
  const models = layers.filter(({ class_name }) => MODELS.test(String(class_name)));
  return new Map(
    models.map((layer) => {
      const name = nameOf(layer);
      const calls = Array.isArray(layer.inbound_nodes) ? layer.inbound_nodes.length : 0;
      return [name, (highest.get(name) ?? 0) >= calls ? 0 : 1];
    }),
  );
}

function nameOf(layer: Json): string {
  return String(layer.name ?? (layer.config as Json | undefined)?.name);
}

type Ref = readonly [layer: unknown, call: unknown, tensor: unknown];

function refsOf(value: unknown, counts: ReadonlyMap<string, number>): unknown[] {
  return flatRefs(value).map(([layer, call, tensor]) => [layer, Number(call) + (counts.get(String(layer)) ?? 0), tensor]);
}

function flatRefs(value: unknown): Ref[] {
  return keyedRefs(value).map(({ ref }) => ref);
}

/** Triples, however deep in lists and dictionaries, which Keras goes through by their keys; with each the key that it has. */
function keyedRefs(value: unknown, key?: string): { readonly ref: Ref; readonly key: string | undefined }[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return typeof value[0] === 'string' ? [{ ref: value as unknown as Ref, key }] : value.flatMap((one) => keyedRefs(one, key));
  if (typeof value !== 'object') return [];
  const entries = value as Json;
  return Object.keys(entries)
    .toSorted()
    .flatMap((name) => keyedRefs(entries[name], name));
}

/** What the ends of a model are called: by their keys, where they have some, else after their layers. */
export interface EndNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** @throws ModelError 'engine' where a key is the name of another layer, whose own value could not be asked for then */
export function endNamesOf(text: string): EndNames {
  const { config } = JSON.parse(text) as { readonly config: Json };
  const layers = new Set(Array.isArray(config?.layers) ? (config.layers as Json[]).map(nameOf) : []);
  const names = (value: unknown) =>
    keyedRefs(value).map(({ ref, key }) => {
      const name = String(ref[0]);
      if (key !== undefined && key !== name && layers.has(key)) throw declined(name, `has the key "${key}", which is the name of another layer`);
      return key ?? name;
    });
  return { inputs: names(config?.input_layers), outputs: names(config?.output_layers) };
}

function toTfjsLayer(layer: Json, counts: ReadonlyMap<string, number>, setting: Setting): Json {
  const given = String(layer.class_name);
  const name = nameOf(layer);
  const nodes = Array.isArray(layer.inbound_nodes) ? { inbound_nodes: layer.inbound_nodes.map((node) => toTfjsNode(name, node, counts, setting)) } : {};
  if (MODELS.test(given)) return { ...toTfjsModel(layer, name, setting), name, ...nodes };
  if (given === 'Bidirectional') return { class_name: given, name, config: bothWays(name, layer, setting), ...nodes };
  const className = PASS_ON.test(given) ? 'Activation' : given;
  const own = PASS_ON.test(given) ? { name, activation: 'linear' } : { ...(layer.config as Json), name };
  return { class_name: className, name, config: configOf(name, className, layer, own, setting), ...nodes };
}

/** A layer over a sequence, and the same backwards; TensorFlow.js makes the second from the first. */
function bothWays(name: string, layer: Json, setting: Setting): Json {
  const { layer: forward, backward_layer: backward, merge_mode, ...rest } = layer.config as Json;
  const inner = (one: unknown, suffix: string): Json => {
    const entry = one as Json;
    const className = String(entry?.class_name);
    if (!/^(SimpleRNN|LSTM|GRU)$/.test(className) || !isKerasOwn(layer))
      throw declined(name, `holds a ${className}, which is not asked of TensorFlow.js there`);
    const config = configOf(name, className, entry, { ...(entry.config as Json), name: `${name}_${suffix}` }, setting);
    return { class_name: className, config };
  };
  const first = inner(forward, 'forward');
  const means = ({ class_name, config }: Json) => {
    const { name: _, go_backwards: __, trainable: ___, ...own } = config as Json;
    return JSON.stringify([class_name, Object.entries(own).sort()]);
  };
  const wentBack = (one: Json) => (one.config as Json).go_backwards === true;
  if (backward !== undefined && backward !== null) {
    const second = inner(backward, 'backward');
    if (means(first) !== means(second) || wentBack(first) === wentBack(second)) throw declined(name, 'has two layers that are not each other backwards');
  }
  if (typeof merge_mode !== 'string') throw declined(name, 'gives two outputs');
  const unknown = Object.keys(rest).find((key) => !AT_REST.test(key));
  if (unknown !== undefined) throw declined(name, `has the setting ${unknown}, which TensorFlow.js passes over`);
  const shape = rest.batch_input_shape === undefined ? {} : { batch_input_shape: rest.batch_input_shape };
  return { name, trainable: rest.trainable ?? true, layer: first, merge_mode, ...shape };
}

function configOf(name: string, className: string, layer: Json, own: Json, setting: Setting): Json {
  const heeded = Object.hasOwn(HEEDED, className) && isKerasOwn(layer) ? HEEDED[className]! : undefined;
  if (!heeded) throw declined(name, `is a ${className}, which is not known to mean the same in TensorFlow.js`);
  const settings = translated(name, className, own, setting);
  const config: Json = { name, trainable: settings.trainable ?? true };
  for (const [key, value] of Object.entries(settings)) {
    if (heeded.includes(key)) config[key] = value;
    else if (key === 'batch_input_shape') config[key] = value;
    else if (!AT_REST.test(key) && !(Object.hasOwn(NEUTRAL, key) && NEUTRAL[key]!.some((neutral) => neutral === value)))
      throw declined(name, `has the setting ${key} ${JSON.stringify(value)?.slice(0, 60)}, which TensorFlow.js passes over`);
  }
  // Its own guesses would be made, which takes seconds, and thrown away when the weights come. A file need not say which it had.
  const initialised = Object.keys(settings).filter((key) => key.endsWith('_initializer'));
  for (const key of [...initialised, ...(GUESSED[className] ?? [])]) config[key] = { class_name: 'Zeros', config: {} };
  check(name, className, config, setting);
  if (setting.backend === 'wasm') checkWasm(name, className, config);
  return config;
}

/** A class of someone else's may bear a name of Keras's. */
function isKerasOwn({ module, registered_name, class_name }: Json): boolean {
  return (
    (typeof registered_name !== 'string' || (registered_name === class_name && module !== null)) &&
    (typeof module !== 'string' || /^(tf_)?keras\.(src\.)?(layers|engine)(\.|$)|^keras\.layers$/.test(module))
  );
}

/** Spellings of Keras 3, and what is said in another way than TensorFlow.js reads it. */
function translated(name: string, className: string, given: Json, { major, fusing }: Setting): Json {
  const { batch_shape, ...config } = given;
  if (batch_shape !== undefined && batch_shape !== null) config.batch_input_shape = batch_shape;
  // Whatever precision Keras computes in, float32 is what both sides are held to; whole numbers are cast by the layers themselves.
  if (className === 'InputLayer') config.dtype = 'float32';
  else if (!isFloatPolicy(config.dtype)) throw declined(name, `computes in ${JSON.stringify(config.dtype)?.slice(0, 60)}`);
  for (const key of ['center', 'scale', 'use_bias']) if (config[key] === 0 || config[key] === 1) config[key] = config[key] === 1;
  if (className === 'LeakyReLU' && config.negative_slope !== undefined) {
    config.alpha = config.negative_slope;
    delete config.negative_slope;
  }
  if ((className === 'LeakyReLU' || className === 'ELU') && config.alpha !== undefined) config.alpha = plainNumber(config.alpha);
  if (Array.isArray(config.axis) && config.axis.length === 1) config.axis = config.axis[0];
  if (className === 'BatchNormalization' && typeof config.epsilon === 'number') config.epsilon = epsilonOf(name, config, config.epsilon, fusing);
  for (const key of ['activation', 'recurrent_activation']) if (key in config) config[key] = activationOf(name, config[key], major);
  return config;
}

/** TensorFlow raises it for pictures; the axis tells how many axes there are where it is not the first or counted from the end. */
function epsilonOf(name: string, { axis }: Json, given: number, fusing: Fusing | null): number {
  const last = Number(axis ?? -1);
  if (last > 2) return fusedEpsilon(given, last + 1, last, fusing).epsilon;
  const raised = fusedEpsilon(given, 4, 3, fusing).epsilon;
  // Next to a variance, nobody sees the difference between 1e-5 and what it is raised to.
  if (given !== raised && given < 1e-5) throw declined(name, `has an epsilon of ${given}, which TensorFlow raises for pictures`);
  return given;
}

function isFloatPolicy(dtype: unknown): boolean {
  if (dtype === undefined || dtype === null) return true;
  const name = typeof dtype === 'object' ? ((dtype as Json).config as Json | undefined)?.name : dtype;
  return typeof name === 'string' && /^(mixed_)?b?float(16|32|64)$/.test(name);
}

/** Keras 2.1 and 2.2 wrote some numbers as NumPy scalars. */
function plainNumber(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as Json).value : value;
}

function activationOf(name: string, value: unknown, major: number): string {
  const entry = value as Json | null;
  const found =
    typeof entry === 'object' && entry?.class_name === 'function' && (entry.registered_name ?? entry.config) === entry.config
      ? entry.config
      : (value ?? 'linear');
  const known = typeof found === 'string' && Object.hasOwn(ACTIVATIONS, found) ? ACTIVATIONS[found] : undefined;
  if (known === undefined) throw declined(name, `has the activation ${JSON.stringify(found)?.slice(0, 60)}, which TensorFlow.js does not have`);
  if (known === 'hard_sigmoid' && major >= 3) throw declined(name, 'has a hard_sigmoid, whose slope Keras 3 changed');
  return known;
}

/** Settings that TensorFlow.js heeds in part. */
function check(name: string, className: string, config: Json, { fusing }: Setting): void {
  if (config.data_format === 'channels_first') throw declined(name, 'is channels-first, which the WebAssembly and CPU backends do not compute');
  if (config.padding === 'causal') throw declined(name, 'has causal padding');
  // It samples as TensorFlow 1 does, and with it Keras by itself.
  const interpolates = className === 'UpSampling2D' && config.interpolation !== undefined && config.interpolation !== 'nearest';
  if (interpolates && !(config.interpolation === 'bilinear' && fusing?.by === 'keras')) throw declined(name, 'interpolates');
  if (className === 'Rescaling' && ![config.scale, config.offset ?? 0].every((value) => typeof value === 'number'))
    throw declined(name, 'rescales each channel');
  const dilation = config.dilation_rate;
  const isDilated = Array.isArray(dilation) ? dilation.some((rate) => rate !== 1) : dilation !== undefined && dilation !== 1;
  if (isDilated && !/^Conv[123]D$/.test(className)) throw declined(name, 'is dilated');
}

/** What TensorFlow.js's WebAssembly kernels (4.22) compute wrongly and its others do not. */
function checkWasm(name: string, className: string, config: Json): void {
  if (/^(Depthwise|Separable)?Conv2D$/.test(className) && config.padding === 'same' && skips(config.kernel_size, config.strides))
    throw declined(name, SKIPPING);
  if (className === 'MaxPooling3D') throw declined(name, 'looks for maxima in a volume, where the WebAssembly kernel finds none below zero');
  const shared = (config.shared_axes ?? []) as readonly number[];
  // Slopes are repeated from the last axis on, wherever their shape puts them.
  if (className === 'PReLU' && shared.some((axis) => axis > shared.length))
    throw declined(name, 'shares slopes along an inner axis, which the WebAssembly kernel has wrong');
}

/** What a layer does that the WebAssembly kernels for convolutions (4.22) have wrong. */
export const SKIPPING = 'pads a convolution whose window is smaller than its step, which the WebAssembly kernels have wrong';

/**
 * Whether windows of a picture may leave out its end along one axis and have a margin along the other: with SAME padding the WebAssembly
 * kernels take what is none of the picture then.
 */
export function skips(kernel: unknown, strides: unknown): boolean {
  const both = (value: unknown) => (Array.isArray(value) ? value : [value ?? 1, value ?? 1]) as readonly number[];
  const [size, step] = [both(kernel), both(strides)];
  return step.some((one, axis) => one > size[axis]!) && size.some((one) => one > 1);
}

/** Keras 3 writes a call as args and kwargs; earlier versions as [layer, call, tensor, kwargs]. */
function toTfjsNode(name: string, node: unknown, counts: ReadonlyMap<string, number>, { major }: Setting): unknown {
  const kwargs = Array.isArray(node) ? kwargsOf(node) : ((node as { kwargs?: Json }).kwargs ?? {});
  // Keras 3 notes what a call was made with, and heeds what the model is called with.
  const isAtRest = (training: unknown) => training === false || (training === true && major >= 3);
  const extra = Object.entries(kwargs).find(([key, value]) => !(isNothing(value) || (key === 'training' && isAtRest(value))));
  if (extra) throw declined(name, `is called with ${extra[0]}`);
  return tensorsOf(node, name).map(([layer, call, tensor]) => [layer, Number(call) + (counts.get(String(layer)) ?? 0), tensor, {}]);
}

function kwargsOf(node: readonly unknown[]): Json {
  const entries = typeof node[0] === 'string' ? [node] : (node as readonly unknown[][]);
  return Object.fromEntries(entries.flatMap((entry) => Object.entries((entry[3] as Json | undefined) ?? {})));
}

function isNothing(value: unknown): boolean {
  return value === null || (Array.isArray(value) && value.every(isNothing));
}

/** @param name of the layer, where anything but tensors is an obstacle */
function tensorsOf(node: unknown, name?: string): Ref[] {
  if (Array.isArray(node)) {
    const entries = typeof node[0] === 'string' ? [node] : (node as readonly unknown[][]);
    const refs = entries.map(([layer, call, tensor]) => [layer, call, tensor] as const);
    if (name !== undefined && refs.some(([layer]) => layer === '_CONSTANT_VALUE')) throw declined(name, 'is called with something that is no tensor');
    return refs;
  }
  const pending = [...((node as { args?: unknown[] } | null)?.args ?? [])];
  const refs: Ref[] = [];
  while (pending.length > 0) {
    const value = pending.shift() as { config?: { keras_history?: unknown } } | unknown[] | null;
    if (Array.isArray(value)) pending.unshift(...value);
    else if (Array.isArray(value?.config?.keras_history)) refs.push(value.config.keras_history as unknown as Ref);
    else if (value !== null && name !== undefined) throw declined(name, 'is called with something that is no tensor');
  }
  return refs;
}

function declined(layer: string, problem: string): ModelError {
  return new ModelError('engine', `layer "${layer}" ${problem}`);
}
