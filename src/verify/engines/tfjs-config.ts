/**
 * Turns the configuration that a Keras file carries into the Keras 2 form that TensorFlow.js loads, and declines what
 * TensorFlow.js would read differently: it passes over keys that it does not know without a word.
 */
import { ModelError } from '../../errors.js';

type Json = { [key: string]: unknown };

/** Classes whose settings TensorFlow.js reads as Keras does, apart from the exceptions below. */
const KNOWN: ReadonlySet<string> = new Set([
  'InputLayer',
  'Conv1D',
  'Conv2D',
  'SeparableConv2D',
  'DepthwiseConv2D',
  'Dense',
  'Flatten',
  'Dropout',
  'SpatialDropout2D',
  'Activation',
  'BatchNormalization',
  'MaxPooling1D',
  'MaxPooling2D',
  'AveragePooling1D',
  'AveragePooling2D',
  'GlobalAveragePooling1D',
  'GlobalAveragePooling2D',
  'GlobalMaxPooling1D',
  'GlobalMaxPooling2D',
  'ZeroPadding2D',
  'Add',
  'Multiply',
  'Average',
  'Maximum',
  'Concatenate',
  'ReLU',
  'LeakyReLU',
  'ELU',
  'Softmax',
  'Reshape',
  'Permute',
  'UpSampling2D',
]);
/** Keys of Keras 3 that say nothing about a prediction. */
const DROPPED = ['build_config', 'module', 'registered_name', 'optional', 'lora_rank', 'quantization_config', 'synchronized', 'sparse', 'ragged'];

/** @throws ModelError 'engine' naming the layer that TensorFlow.js would not compute as Keras does */
export function toTfjsConfig(text: string): Json {
  const model = JSON.parse(text) as Json;
  const className = model.class_name === 'Functional' ? 'Model' : model.class_name;
  if (className !== 'Sequential' && className !== 'Model') throw declined(String(className), 'is no Sequential or functional model');
  const config = (Array.isArray(model.config) ? { layers: model.config } : model.config) as Json;
  const layers = (config.layers as Json[]).map(toTfjsLayer);
  const refs = (value: unknown) => (Array.isArray(value) && typeof value[0] === 'string' ? [value] : value);
  const ends = className === 'Model' ? { input_layers: refs(config.input_layers), output_layers: refs(config.output_layers) } : {};
  return { class_name: className, config: { name: config.name ?? 'model', layers, ...ends } };
}

function toTfjsLayer(layer: Json): Json {
  const className = String(layer.class_name);
  const config = { ...(layer.config as Json) };
  const name = String(config.name ?? layer.name);
  if (!KNOWN.has(className)) throw declined(name, `is a ${className}, which is not known to mean the same in TensorFlow.js`);
  for (const key of DROPPED) delete config[key];
  if (typeof config.dtype === 'object' && config.dtype !== null) config.dtype = ((config.dtype as Json).config as Json | undefined)?.name ?? 'float32';
  if (config.dtype !== undefined && config.dtype !== 'float32') throw declined(name, `computes in ${JSON.stringify(config.dtype)}`);
  if (config.batch_shape !== undefined) {
    config.batch_input_shape = config.batch_shape;
    delete config.batch_shape;
  }
  if (Array.isArray(config.axis) && config.axis.length === 1) config.axis = config.axis[0];
  check(name, className, config);
  const nodes = layer.inbound_nodes;
  return { class_name: className, name, config, ...(Array.isArray(nodes) ? { inbound_nodes: nodes.map((node) => toTfjsNode(name, node)) } : {}) };
}

/** Settings that Keras has and TensorFlow.js passes over. */
function check(name: string, className: string, config: Json): void {
  if (config.data_format === 'channels_first') throw declined(name, 'is channels-first, which the WebAssembly and CPU backends do not compute');
  if (config.border_mode !== undefined || config.dim_ordering !== undefined || config.nb_filter !== undefined)
    throw declined(name, 'is configured as in Keras 1');
  if (config.groups !== undefined && config.groups !== 1) throw declined(name, `has ${String(config.groups)} groups, which TensorFlow.js ignores`);
  if (config.padding === 'causal') throw declined(name, 'has causal padding');
  if (className === 'ReLU' && (Number(config.negative_slope ?? 0) !== 0 || Number(config.threshold ?? 0) !== 0))
    throw declined(name, 'is a ReLU with slope or threshold, which TensorFlow.js ignores');
  if (className === 'UpSampling2D' && config.interpolation !== undefined && config.interpolation !== 'nearest') throw declined(name, 'interpolates');
  const dilation = config.dilation_rate;
  if (className !== 'Conv2D' && className !== 'Conv1D' && Array.isArray(dilation) && dilation.some((rate) => rate !== 1)) throw declined(name, 'is dilated');
}

/** Keras 3 writes a call as args and kwargs; earlier versions as [layer, call, tensor, kwargs]. */
function toTfjsNode(name: string, node: unknown): unknown {
  if (Array.isArray(node)) return node;
  const { args = [], kwargs = {} } = node as { args?: unknown[]; kwargs?: Json };
  if (Object.keys(kwargs).some((key) => key !== 'training' && key !== 'mask')) throw declined(name, 'is called with arguments');
  const tensors = args.flat() as { config?: { keras_history?: unknown[] } }[];
  return tensors.map((tensor) => {
    const history = tensor?.config?.keras_history;
    if (!history) throw declined(name, 'is called with something that is no tensor');
    return [...history, {}];
  });
}

function declined(layer: string, problem: string): ModelError {
  return new ModelError('engine', `layer "${layer}" ${problem}`);
}
