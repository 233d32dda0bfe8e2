/**
 * From a Keras model and its weights to layers, inputs and outputs of the layer map.
 *
 * Two passes. The first reads every layer's configuration and collects all obstacles; the second makes the layers in running
 * order, once per call, models within models included.
 */
import type { Turns } from '../../bytes/breath.js';
import { ModelError, throwAll } from '../../errors.js';
import { type DType, isDType } from '../../model/dtype.js';
import type { Dim, Layer, Layout, Notice, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { toChannelsFirst } from '../../model/ports.js';
import type { Tensor } from '../../model/tensor.js';
import { type Argument, extraArguments, plainInputs, type TensorRef } from './call.js';
import { inputLayers, type KerasLayer, type KerasModel, type LayerCall, type ModelEnd } from './config.js';
import { ConfigView, type DataFormat, type Dialect, isBefore, isKeras3 } from './config-view.js';
import { plainList } from './json.js';
import { MASK, takesMask } from './masks.js';
import { isOperation, readOperation } from './operations/index.js';
import type { Arithmetic } from './precision.js';
import type { Build, LayerClass } from './rule.js';
import { DEFAULTS_TO_TRAINING, declineClass, LAYER_CLASSES, maskOf, TRAINING_ONLY } from './rules.js';
import { Scope } from './scope.js';
import { eachStep } from './steps.js';
import { GraphBuilder, kerasShape, type Value } from './value.js';

export interface GraphOptions {
  readonly file: string;
  readonly dialect: Dialect;
  /** Overrides the only input's shape, in Keras's order, batch first. */
  readonly inputShape?: readonly Dim[];
  readonly recordedShape?: readonly Dim[];
}

type Weights = ReadonlyMap<KerasLayer, readonly Tensor[]>;

export interface Graph {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly layers: readonly Layer[];
  readonly warnings: readonly Notice[];
  readonly arithmetic?: 'float16' | 'bfloat16';
}

/**
 * Translates a model.
 *
 * @param assign gives the weights of each layer that has any, in Keras's order; asked once all layers are known to be translatable
 * @throws ModelError 'unsupported' listing everything that has no translation; 'malformed' where configuration and weights disagree
 */
export function* buildGraph(model: KerasModel, assign: () => Weights, options: GraphOptions): Turns<Graph> {
  const obstacles: ModelError[] = [];
  const plan: Plan = { builds: new Map(), calls: new Map(), formats: new Map(), arithmetic: new Map(), overruled: new Set() };
  yield* planModel(model, plan, options, obstacles);
  if (obstacles.length > 0) throwAll(obstacles, `${options.file}: this Keras model cannot be translated faithfully:`);
  const builder = new GraphBuilder(options.file);
  const ports: Port[] = [];
  const fed = portNames(model.inputs, 'takes several inputs');
  const values = inputLayers(model).map((layer, i) => {
    const { port, value } = makeInput(layer, plan, builder, options);
    ports.push({ ...port, name: model.inputs[i]!.key === undefined ? port.name : fed.names[i]! });
    return value;
  });
  const made = yield* new ModelBuilder(plan, assign(), builder, options).build(model, values, '');
  const named = portNames(model.outputs, 'makes several outputs');
  const outputs = made.map((value, i) => makeOutput(named.names[i]!, value, ports, plan, builder));
  const warnings = [
    ...ownClasses(model),
    ...removedLayers(model, options.dialect),
    ...named.notices,
    ...precisionNotices(plan),
    ...overruledNotices(plan),
    ...builder.notices,
  ];
  const coarse = (['bfloat16', 'float16'] as const).find((dtype) => plan.arithmetic.has(dtype));
  return { inputs: ports, outputs, layers: builder.layers, warnings, ...(coarse ? { arithmetic: coarse } : {}) };
}

/**
 * Ports bear the keys under which they are fed and given, or else the names of their layers; those of one name are numbered, as in Keras's own
 * `output_names`.
 */
function portNames(ends: readonly ModelEnd[], does: string): { readonly names: readonly string[]; readonly notices: readonly Notice[] } {
  const taken = new Names();
  const notices: Notice[] = [];
  const names = ends.map(({ key, layer }) => {
    const name = taken.take(key ?? layer);
    if (name !== (key ?? layer)) {
      const what = key === undefined ? `the layer ${does} of the model` : `several values have the key "${key}"`;
      notices.push({ code: 'renamed', message: `${what}; one of them is called "${name}", as Keras does`, layer });
    }
    return name;
  });
  return { names, notices };
}

interface Plan {
  readonly builds: Map<KerasLayer, Build>;
  /** Of operations, whose calls differ. */
  readonly calls: Map<LayerCall, Build>;
  /** Data format of the first layer over each number of axes, batch and channels included. */
  readonly formats: Map<number, DataFormat>;
  /** Layers that Keras does not compute in float32, by the arithmetic that it uses. */
  readonly arithmetic: Map<Arithmetic, string[]>;
  /** Layers that are called as in training, which a prediction overrules. */
  readonly overruled: Set<string>;
}

function* planModel(model: KerasModel, plan: Plan, options: GraphOptions, obstacles: ModelError[]): Turns<void> {
  const { file } = options;
  for (const key of model.unknown)
    obstacles.push(new ModelError('unsupported', `the configuration of the model "${model.name}" has "${key}", which is not known`, { file }));
  for (const layer of model.layers) {
    yield;
    if (layer.model) {
      for (const key of layer.unknown)
        obstacles.push(new ModelError('unsupported', `beside the model stands "${key}", which is not known`, { file, layer: layer.path }));
      yield* planModel(layer.model, plan, options, obstacles);
      continue;
    }
    const view = new ConfigView(layer, options.dialect, file, obstacles);
    if (layer.className === 'InputLayer') {
      view.value(['dtype']);
      view.finish();
      continue;
    }
    if (isOperation(layer.className)) {
      // Each call says for itself what is computed.
      for (const call of model.calls) if (call.layer === layer) plan.calls.set(call, readOperation(view, call));
      view.finish();
      continue;
    }
    const known = LAYER_CLASSES.get(layer.className);
    if (!known) {
      view.decline(declineClass(layer.className));
      continue;
    }
    if (layer.wrapper === 'SpectralNormalization' && isBefore(options.dialect, 2, 13))
      view.decline('a SpectralNormalization around the layer, of which Keras had none then: what that of others does in a prediction is not in the file');
    plan.builds.set(layer, known.rule(view));
    view.finish();
    if (view.arithmetic !== 'float32') {
      const paths = plan.arithmetic.get(view.arithmetic);
      if (paths) paths.push(layer.path);
      else plan.arithmetic.set(view.arithmetic, [layer.path]);
    }
    if (known.spatial !== undefined && !plan.formats.has(known.spatial + 2)) {
      const silent = new ConfigView(layer, options.dialect, options.file, []);
      plan.formats.set(known.spatial + 2, silent.dataFormat());
    }
  }
  // Its `predict` says that it is no training, over what a call was made with (`operation_fn` of keras/src/models/functional.py).
  const isOverruled = isKeras3(options.dialect);
  for (const call of model.calls) {
    const { layer } = call;
    const place = { file, layer: layer.path };
    const known = layer.model ? undefined : LAYER_CLASSES.get(layer.className);
    if (!layer.model && !known) continue;
    for (const extra of extraArguments(call, known?.also, isOverruled ? ['training', ...(takesMask(layer) ? [MASK] : [])] : []))
      obstacles.push(new ModelError('unsupported', `the layer is called with ${extra.slice(0, 80)}, which is not translated`, place));
    const { training } = call.named;
    if (isOverruled && training && 'constant' in training && training.constant === true && !DEFAULTS_TO_TRAINING.has(layer.className))
      plan.overruled.add(layer.path);
    const count = plainInputs(call, known?.also).length;
    const wanted = layer.model ? layer.model.inputs.length : known!.inputs;
    if (!fits(count, wanted)) obstacles.push(new ModelError('unsupported', `the ${layer.className} is called with ${count} inputs`, place));
  }
}

function fits(count: number, wanted: LayerClass['inputs'] | number): boolean {
  // A list of one value is joined to itself.
  if (wanted === 'several' || wanted === 'sequence') return count > 0;
  return count === (wanted === 'one' ? 1 : wanted === 'two' ? 2 : wanted);
}

/** Layouts of values with their channels last and first, by their number of axes. */
const LAYOUTS: Readonly<Record<number, Readonly<Record<DataFormat, Layout>>>> = {
  3: { channels_last: 'nwc', channels_first: 'ncw' },
  4: { channels_last: 'nhwc', channels_first: 'nchw' },
  5: { channels_last: 'ndhwc', channels_first: 'ncdhw' },
};

function makeInput(layer: KerasLayer, plan: Plan, builder: GraphBuilder, options: GraphOptions): { port: Port; value: Value } {
  const shape = inputShape(layer, options);
  const format = plan.formats.get(shape.length);
  const layout = format ? LAYOUTS[shape.length]![format] : 'other';
  const name = builder.unique(layer.name);
  const port: Port = { name, value: name, dtype: inputDType(layer, options.file), shape, layout };
  const integer = !port.dtype.startsWith('float');
  if (format !== 'channels_last') return { port, value: { name, shape, order: 'keras', integer } };
  return { port, value: { name, shape: toChannelsFirst(shape.length).map((axis) => shape[axis]!), order: 'moved', integer } };
}

function inputShape(layer: KerasLayer, { file, inputShape: given, recordedShape }: GraphOptions): readonly Dim[] {
  const stored = plainList(layer.config.batch_input_shape ?? layer.config.batch_shape);
  if (stored === undefined || stored === null) {
    const known = given ?? recordedShape;
    if (known) return known;
    throw new ModelError('unsupported', 'the model does not say what shape its input has. Give it with --input-shape, batch first.', {
      file,
      layer: layer.path,
    });
  }
  const sizes = Array.isArray(stored) ? (stored as unknown[]) : [];
  const valid = sizes.length > 0 && sizes.every((size) => size === null || (Number.isSafeInteger(size) && (size as number) > 0));
  if (!valid) throw new ModelError('malformed', `the input shape is ${JSON.stringify(stored)?.slice(0, 80)}`, { file, layer: layer.path });
  const shape = sizes.map((size, axis): Dim => (size as number | null) ?? (axis === 0 ? 'N' : `${layer.name}_${axis}`));
  if (!given) return shape;
  if (given.length !== shape.length || shape.some((size, axis) => typeof size === 'number' && axis > 0 && size !== given[axis])) {
    throw new ModelError('usage', `the input shape [${given}] does not fit the model's own, [${shape}]`, { file, layer: layer.path });
  }
  return given;
}

function inputDType(layer: KerasLayer, file: string): DType {
  const dtype = layer.config.input_dtype ?? layer.config.dtype ?? 'float32';
  if (typeof dtype === 'string' && isDType(dtype) && (dtype === 'float32' || dtype === 'float16' || /^u?int\d+$/.test(dtype))) return dtype;
  throw new ModelError('unsupported', `an input of dtype ${JSON.stringify(dtype)?.slice(0, 80)} is not translated`, { file, layer: layer.path });
}

/** Far more calls than any real net makes; models within models can multiply without end. */
const MAX_CALLS = 20_000;

/** Makes the layers of a model and of the models inside it. */
class ModelBuilder {
  #calls = 0;

  constructor(
    readonly plan: Plan,
    readonly weights: Weights,
    readonly builder: GraphBuilder,
    readonly options: GraphOptions,
  ) {}

  /** Makes the layers of one use of a model and gives the values of its outputs. */
  *build(model: KerasModel, inputs: readonly Value[], prefix: string): Turns<readonly Value[]> {
    const { file } = this.options;
    const key = (layer: string, call: number) => `${call} ${layer}`;
    const made = new Map(model.inputs.map((ref, i) => [key(ref.layer, ref.call), [inputs[i]!] as readonly Value[]]));
    const read = (ref: TensorRef) => {
      const found = made.get(key(ref.layer, ref.call))![ref.tensor];
      if (found) return found;
      throw new ModelError('malformed', `output ${ref.tensor} of the layer is read, but it does not make so many`, { file, layer: prefix + ref.layer });
    };
    for (const call of model.calls) {
      yield;
      const { layer } = call;
      this.#calls += Math.max(1, call.inputs.length);
      if (this.#calls > MAX_CALLS) throw new ModelError('unsafe', `the model calls layers more than ${MAX_CALLS} times`, { file });
      if (layer.className === 'InputLayer') {
        if (made.has(key(layer.name, call.index))) continue;
        throw new ModelError('malformed', "an InputLayer is none of the model's inputs", { file, layer: layer.path });
      }
      const name = prefix + layer.name + (call.index === 0 ? '' : `/call_${call.index + 1}`);
      const operation = this.plan.calls.get(call);
      const inputs = call.inputs.map(read);
      const plain = plainInputs(call, LAYER_CLASSES.get(layer.className)?.also).map((input) => inputs[input]!);
      // Layers and models take what they are given to their own dtype.
      const values = operation ? inputs : masked(plain, call.named[MASK], inputs).map((value) => (value.half ? { ...value, half: undefined } : value));
      const outputs = layer.model
        ? yield* this.#inner(layer, layer.model, values, name)
        : this.#call(layer, operation ?? this.plan.builds.get(layer)!, values, name);
      made.set(key(layer.name, call.index), outputs);
    }
    return model.outputs.map(read);
  }

  *#inner(layer: KerasLayer, model: KerasModel, values: readonly Value[], name: string): Turns<readonly Value[]> {
    if (!layer.perStep) return yield* this.build(model, values, `${name}/`);
    const scope = new Scope(this.builder, layer, name, this.options.dialect, []);
    try {
      return [yield* eachStep(values[0]!, scope, (step) => this.build(model, [step], `${name}/`))];
    } catch (error) {
      throw error instanceof ModelError ? error.at({ file: this.options.file, layer: layer.path }) : error;
    }
  }

  #call(layer: KerasLayer, build: Build, inputs: readonly Value[], name: string): readonly Value[] {
    const { file, dialect } = this.options;
    const stored = this.weights.get(layer) ?? [];
    const scope = new Scope(this.builder, layer, name, dialect, layer.wrapper ? stored.slice(0, -1) : stored);
    // States to begin with have none.
    const mask = joinMasks(LAYER_CLASSES.get(layer.className)?.inputs === 'sequence' ? inputs.slice(0, 1) : inputs, layer.className, isKeras3(dialect));
    const fate = mask ? maskOf(layer.className) : undefined;
    try {
      if (fate === 'declined' || (fate === 'read' && mask === 'unknown')) throw scope.unsupported(`a ${layer.className} that follows a mask`);
      if (mask && isKeras3(dialect) && /^(Maximum|Minimum)$/.test(layer.className))
        throw scope.unsupported(`a ${layer.className} of values with masks, of which Keras 3 takes those that count,`);
      if (layer.wrapper && inputs[0]?.integer && !isBefore(dialect, 3, 0))
        throw scope.unsupported(`a ${layer.wrapper} of whole numbers, to which Keras 3 cuts its results off,`);
      if (inputs.length > 0 && inputs.every(({ integer }) => integer)) refuseWhole(layer, scope);
      const made = build(inputs, scope);
      scope.finish();
      const outputs: readonly Value[] = Array.isArray(made) ? made : [made as Value];
      if (fate === 'passes') return outputs.map((output) => ({ ...output, mask }));
      return outputs.map((output) => (inputs.includes(output) ? { ...output, mask: undefined } : output));
    } catch (error) {
      throw error instanceof ModelError ? error.at({ file, layer: layer.path }) : error;
    }
  }
}

/** Layers that work out real numbers and cut them off to whole ones, where such flow in (`original_dtype` in keras/src/ops/nn.py). */
const CUT_OFF = /^(Layer|Group|RMS)Normalization$/;
/** Layers that compute in the dtype of what flows in, where a byte wraps around. */
const WRAP_AROUND = /^(Add|Subtract|Multiply|Average|Dot)$/;

/** @throws ModelError where Keras computes in whole numbers what the map would in real ones */
function refuseWhole({ className, config }: KerasLayer, scope: Scope): void {
  const how = 'cast what flows in to float32 in the model first. As it stands this';
  if (CUT_OFF.test(className)) throw scope.unsupported(`a ${className} of whole numbers, to which Keras cuts its results off; ${how}`);
  if (WRAP_AROUND.test(className)) throw scope.unsupported(`a ${className} of whole numbers, which may wrap around; ${how}`);
  if (className === 'UpSampling2D' && (config.interpolation ?? 'nearest') !== 'nearest')
    throw scope.unsupported(`an UpSampling2D by ${String(config.interpolation)} of whole numbers, to which Keras rounds its results; ${how}`);
  const bounds = className === 'ReLU' ? [config.max_value, config.threshold] : [];
  if (bounds.some((bound) => typeof bound === 'number' && !Number.isInteger(bound)))
    throw scope.unsupported(`a ReLU of whole numbers with the bounds ${bounds.join(' and ')}, which Keras cuts off to whole ones; ${how}`);
}

/** Values with the masks that a call names for them. */
function masked(values: readonly Value[], argument: Argument | undefined, inputs: readonly Value[]): readonly Value[] {
  const masks = argument === undefined ? [] : 'list' in argument ? argument.list : [argument];
  return values.map((value, i) => {
    const given = masks[i];
    return given && 'input' in given ? { ...value, mask: inputs[given.input]! } : value;
  });
}

/**
 * The mask of a layer's inputs. Keras combines several, and joins those of a Concatenate; a Merge may be one.
 *
 * @param needsAll whether values without a mask take it away from others, as Keras 3 has it
 */
function joinMasks(inputs: readonly Value[], className: string, needsAll: boolean): Value['mask'] {
  const [mask, ...further] = new Set(inputs.flatMap((input) => (input.mask ? [input.mask] : [])));
  const isJoined = further.length > 0 || className === 'Concatenate' || className === 'Merge' || (needsAll && inputs.some((input) => !input.mask));
  return mask && isJoined ? 'unknown' : mask;
}

function makeOutput(wanted: string, made: Value, ports: readonly Port[], plan: Plan, builder: GraphBuilder): Port {
  const plain = builder.unflattened(made);
  const isInput = ports.some((port) => port.value === plain.name);
  const value = isInput ? builder.add(`${wanted}/Identity`, { op: 'Identity', inputs: [plain] }) : plain;
  // Free sizes behind layers are not those that they were, so only the batch keeps its name.
  const shape = kerasShape(value).map((size, axis) => (typeof size === 'number' || axis === 0 ? size : `${wanted}_${axis}`));
  const layouts = LAYOUTS[shape.length];
  const format = value.order === 'moved' ? 'channels_last' : plan.formats.get(shape.length) === 'channels_first' ? 'channels_first' : undefined;
  return { name: wanted, value: value.name, dtype: 'float32', shape, layout: layouts && format ? layouts[format] : 'other' };
}

/** What a class of someone's own does in Python is not in the file. */
function ownClasses(model: KerasModel, layer?: string): Notice[] {
  const inner = model.layers.flatMap((one) => (one.model ? ownClasses(one.model, one.path) : []));
  if (model.ownClass === undefined) return inner;
  const message = `the model is of a class of its own ("${model.ownClass}"); it is taken to predict as its layers are wired, as one does that changes training alone`;
  return [{ code: 'assumed', message, ...(layer === undefined ? {} : { layer }) }, ...inner];
}

/** Layers that the first versions of Keras 3 that have them applied in predictions too, by mistake and at random. */
const ONCE_APPLIED = /^(RandomGrayscale|RandomHue|RandomSaturation|RandomColorJitter|RandomPosterization|RandomErasing|MixUp|CutMix)$/;

function removedLayers(model: KerasModel, dialect: Dialect): Notice[] {
  return model.layers.flatMap((layer): Notice[] => {
    if (layer.model) return removedLayers(layer.model, dialect);
    if (!TRAINING_ONLY.has(layer.className)) return [];
    const mistaken = ONCE_APPLIED.test(layer.className) && dialect.version?.[0] === 3 && isBefore(dialect, 3, 10);
    const once = mistaken ? '; some versions of Keras 3 before 3.10 applied it in predictions too, by mistake and at random' : '';
    return [{ code: 'training-layer-removed', message: `${layer.className} acts in training only and was left out${once}`, layer: layer.path }];
  });
}

function overruledNotices({ overruled }: Plan): Notice[] {
  const message = 'the layer is called with training=true, which model.predict of Keras 3 overrules: it is what it is in a prediction';
  return [...overruled].map((layer) => ({ code: 'assumed', message, layer }));
}

function precisionNotices({ arithmetic }: Plan): Notice[] {
  return [...arithmetic].map(([dtype, layers]): Notice => {
    const those = `${layers.length} ${layers.length === 1 ? 'layer has' : 'layers have'} a policy by which Keras computes in ${dtype}`;
    const then =
      dtype === 'float64' ? 'they are computed in float32, which is less exact' : "their weights are kept, and results are more exact than Keras's own";
    return { code: 'assumed', message: `${those}; ${then}`, layer: layers[0]! };
  });
}
