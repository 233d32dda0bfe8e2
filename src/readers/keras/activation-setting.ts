/** A setting that says which activation follows: a name, a function of Keras's own, or a layer as an object. */
import { elu, leakyRelu, prelu, reluLayer, softmaxLayer, thresholdedRelu } from './activation-layers.js';
import { ACTIVATION_NAMES, type Activation, identity, namedActivation } from './activations.js';
import { brief, type ConfigView } from './config-view.js';
import { isObject } from './json.js';
import type { OneRule } from './rule.js';

/** Layers that are used as activations; the weights of one that has some stand behind the layer's own. */
const LAYERS: Readonly<Record<string, OneRule>> = {
  ReLU: reluLayer,
  LeakyReLU: leakyRelu,
  ELU: elu,
  PReLU: prelu,
  ThresholdedReLU: thresholdedRelu,
  Softmax: softmaxLayer,
  Activation: (config) => activationLayer(config),
};

/** Reads a setting that names an activation; `linear` where it is null, and where it is missing, unless the layer has another one by itself. */
export function activation(config: ConfigView, key = 'activation', missing = 'linear'): Activation {
  const given = config.value([key]);
  const value = given === undefined ? missing : (given ?? 'linear');
  const name = typeof value === 'string' ? value : functionName(value);
  const found = name === null ? layerActivation(config, value) : namedActivation(name);
  if (found) return found;
  config.decline(`the activation ${nameOf(value)} is not known. Known: ${ACTIVATION_NAMES.join(', ')}.`);
  return identity;
}

export const activationLayer: OneRule = (config) => {
  const apply = activation(config);
  return ([input], scope) => apply(input!, scope);
};

/** What to call an activation in a message. */
function nameOf(value: unknown): string {
  if (!isObject(value)) return brief(value);
  const { registered_name: registered } = value;
  // Keras 3 registers functions of one's own as 'function'.
  return brief((registered === 'function' ? undefined : registered) ?? (value.class_name === 'function' ? value.config : value.class_name) ?? value);
}

/** Where Keras's functions, and TensorFlow's of the same names, are from; someone else's may bear one of their names. */
const OWN_MODULE = /^(builtins|(tf_)?keras|tensorflow)(\.|$)/;

/** A serialised function that is Keras's own. */
function functionName(value: unknown): string | null {
  if (!isObject(value) || value.class_name !== 'function' || typeof value.config !== 'string') return null;
  const { module } = value;
  if (module !== undefined && module !== null && !(typeof module === 'string' && OWN_MODULE.test(module))) return null;
  return (value.registered_name ?? value.config) === value.config ? value.config : null;
}

function layerActivation(config: ConfigView, value: unknown): Activation | undefined {
  const inner = config.inner(value);
  const rule = inner && Object.hasOwn(LAYERS, inner.layer.className) ? LAYERS[inner.layer.className] : undefined;
  if (!inner || !rule) return undefined;
  const build = rule(inner);
  inner.finish();
  return (input, scope) => build([input], scope);
}
