/** Architectures as documents: a layer map without its weights, written and read. `schemas/architecture.schema.json` describes them. */
import { ModelError } from '../errors.js';
import { derivationNames, derive, isDerivation } from '../model/derivations.js';
import type { AttributeValue, Layer, LayerMap, Port } from '../model/layer-map.js';
import { numbersTensor } from '../model/numbers.js';
import { type LayerDraft, operatorOf } from '../model/ops/index.js';
import { permute, reshape, type Tensor } from '../model/tensor.js';
import { describeWeight, type WeightDocument } from '../model/weight-document.js';
import { type Family, family, type Preprocessing, TORCHVISION } from './family.js';
import { families } from './list.js';
import { Departure, type Net, type Value } from './net.js';
import type { ModuleKind } from './store.js';

/** A layer of the map; attributes that have their usual value are left out, and weights are not there yet. */
export interface ArchitectureLayer extends Omit<LayerDraft, 'weights' | 'foreign'> {
  readonly weights?: Readonly<Record<string, WeightDocument>>;
}

export interface ArchitectureDocument {
  readonly schema: 'weighbridge/architecture@1';
  readonly name: string;
  readonly title: string;
  readonly source: string;
  /** Of the published nets' classes. */
  readonly labels?: string;
  readonly preprocessing: Preprocessing;
  readonly assumed: readonly string[];
  readonly parameterCount: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly layers: readonly ArchitectureLayer[];
  /** Names of tensors that a file may hold and the net does not use: auxiliary heads. */
  readonly beside?: readonly string[];
}

/** What a document that can be read has at least; `inspect --json` has it too. */
type Readable = Pick<ArchitectureDocument, 'inputs' | 'outputs' | 'layers' | 'beside'> & { readonly name?: string };

export function architectureLayers(map: LayerMap): ArchitectureLayer[] {
  return map.layers.map(({ name, canonicalName, op, inputs, outputs, attributes, weights }) => {
    const usual = operatorOf(op)!.attributes;
    const said = Object.entries(attributes).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(usual[key]?.default) && isSayable(value));
    const stored = Object.entries(weights).map(([role, tensor]) => [role, describeWeight(tensor)] as const);
    return {
      name,
      ...(canonicalName === undefined ? {} : { canonicalName }),
      op,
      inputs,
      outputs,
      ...(said.length > 0 ? { attributes: Object.fromEntries(said) } : {}),
      ...(stored.length > 0 ? { weights: Object.fromEntries(stored) } : {}),
    };
  });
}

/** JSON has no infinities; the only attributes that are infinite are so by default. */
function isSayable(value: AttributeValue): boolean {
  return typeof value !== 'number' || Number.isFinite(value);
}

/**
 * A family of one net, from its document.
 *
 * @param under where in the file all of its weights lie; names may begin with it or not
 * @throws ModelError 'malformed' for a document that is none
 */
export function documentArchitecture(document: unknown, file: string, under = ''): Family {
  const { inputs, outputs, layers, name, beside = [] } = checked(document);
  const unused = new Set(beside);
  // What is printed of a published net names no file, and so not what its files hold beside it.
  const origin = families.find(({ sizes }) => name !== undefined && Object.hasOwn(sizes, name));
  const [input] = inputs;
  const order = input!.layout === 'nhwc' ? [3, 1, 2] : [1, 2, 3];
  return family<object>({
    name: name ?? file.replace(/\.\w+$/, ''),
    title: file,
    source: file,
    sizes: {},
    stem: '',
    input: order.map((axis) => input!.shape[axis]) as [number, number, number],
    side: 0,
    preprocessing: () => TORCHVISION,
    spellings: (['torchvision', 'keras'] as const).map((ecosystem) => ({
      ecosystem,
      spell: (path) => (path.startsWith(under) ? path.slice(under.length) : path),
    })),
    measure: () => ({}),
    training: { test: (tensor) => unused.has(tensor) || unused.has(under + tensor) || (origin?.training?.test(tensor) ?? false) },
    ...(origin?.beyond ? { beyond: origin.beyond } : {}),
    build(net, x) {
      const values = new Map([[input!.value, x]]);
      for (const layer of layers) values.set(layer.outputs[0]!, addLayer(net, layer, values));
      const made = outputs.map(({ name, value }) => {
        const found = values.get(value);
        if (!found) throw malformed(`the output "${value}" is made by no layer`);
        return [name, found] as const;
      });
      return made.length === 1 ? made[0]![1] : Object.fromEntries(made);
    },
  });
}

function addLayer(net: Net, layer: ArchitectureLayer, values: ReadonlyMap<string, Value>): Value {
  const inputs = layer.inputs.map((name) => {
    const value = values.get(name);
    if (!value) throw malformed(`reads "${name}", which no earlier layer makes`, layer.name);
    return value;
  });
  const weights = bindWeights(net, layer);
  const { canonicalName } = layer;
  return net.op(layer.op, inputs, layer.attributes ?? {}, { name: layer.name, weights, ...(canonicalName === undefined ? {} : { canonicalName }) });
}

const KINDS: Readonly<Record<string, ModuleKind>> = { Conv: 'conv', Gemm: 'dense', MatMul: 'dense', BatchNormalization: 'norm' };

/** The file's tensors by role, in the shapes that the document has. */
function bindWeights(net: Net, { name, op, attributes, weights = {} }: ArchitectureLayer): Layer['weights'] {
  const roles = Object.entries(weights);
  if (roles.length === 0) return {};
  const isDepthwise = Number(attributes?.group ?? 1) > 1 && weights.kernel?.shape[1] === 1;
  const kind = isDepthwise ? 'depthwise' : KINDS[op];
  const expected = Object.fromEntries(roles.map(([role, { shape }]) => [role, shape]));
  // Names of tensors are those of the file, unless it has its weights by layer.
  const byLayer = net.ecosystem === 'keras' && kind ? (separableWeights(net, name) ?? net.weights(name, kind, expected)) : null;
  return Object.fromEntries(
    roles.map(([role, weight]) => {
      const { name: tensorName, shape, values, derived } = weight;
      if (values) return [role, numbersTensor(tensorName, 'float32', shape, values, { file: '' })];
      // Worked out as the file has it: a matrix that a product takes changed its axes' places behind that.
      if (derived) return [role, inShape(asProduct(op, derivedWeight(net, weight), shape), shape, tensorName)];
      const found = byLayer?.[role] ?? net.store.takeParameter(tensorName, shape);
      if (!found) throw new Departure(tensorName, 'is missing');
      // A dense layer's matrix is stored [out, in], also as a convolution of one pixel, and a product takes [in, out]; a square one does not tell by its shape.
      return [role, inShape(byLayer ? found : asProduct(op, found, shape), shape, tensorName)];
    }),
  );
}

function asProduct(op: string, tensor: Tensor, shape: readonly number[]): Tensor {
  const matrix = op === 'MatMul' && shape.length === 2 ? asMatrix(tensor) : null;
  return matrix && matrix.shape[0] === matrix.shape[1] ? permute(matrix, [1, 0]) : (matrix ?? tensor);
}

function derivedWeight(net: Net, { name, derived }: WeightDocument): Tensor {
  const { by, from, settings } = derived!;
  const parts = from.map((part) => {
    if (part.derived) return derivedWeight(net, part);
    const found = net.store.takeParameter(part.name, part.shape);
    if (!found) throw new Departure(part.name, 'is missing');
    return inShape(found, part.shape, part.name);
  });
  return derive(name, by as Parameters<typeof derive>[1], parts, settings);
}

/** Keras has the two convolutions of a separable one in one layer. */
function separableWeights(net: Net, name: string): Layer['weights'] | null {
  const layer = name.replace(/\.depthwise$/, '');
  if (!net.store.shape(layer, 'pointwise')) return null;
  const { depthwise, pointwise, bias } = net.weights(layer, 'separable', {}) as { depthwise: Tensor; pointwise: Tensor; bias?: Tensor };
  return layer === name ? { kernel: pointwise, ...(bias ? { bias } : {}) } : { kernel: depthwise };
}

function asMatrix(tensor: Tensor): Tensor | null {
  const { shape } = tensor;
  if (shape.length < 2 || shape.slice(2).some((size) => size !== 1)) return null;
  return shape.length === 2 ? tensor : reshape(tensor, shape.slice(0, 2));
}

function inShape(tensor: Tensor, shape: readonly number[], name: string): Tensor {
  const same = (a: readonly number[]) => a.length === shape.length && a.every((size, axis) => size === shape[axis]);
  if (same(tensor.shape)) return tensor;
  if (tensor.shape.length === 2 && same(tensor.shape.toReversed())) return permute(tensor, [1, 0]);
  const count = (sizes: readonly number[]) => sizes.filter((size) => size !== 1).join();
  if (count(tensor.shape) === count(shape)) return reshape(tensor, shape);
  throw new Departure(name, `is of shape [${tensor.shape}], expected [${shape}]`);
}

/** @throws ModelError 'malformed' naming the first thing that is no part of a document */
function checked(document: unknown): Readable {
  const { inputs, outputs, layers, beside } = (typeof document === 'object' && document !== null ? document : {}) as Partial<Readable>;
  const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
  const areNames = (value: unknown) => isList(value) && value.every((name) => typeof name === 'string');
  if (!isList(inputs) || !isList(outputs) || !isList(layers)) {
    throw malformed('an architecture has "inputs", "outputs" and "layers"; weighbridge arch <name> --json prints one');
  }
  if (inputs.length !== 1 || outputs.length === 0)
    throw malformed(`has ${inputs.length} inputs and ${outputs.length} outputs; one input is read, and one output or more`);
  const names = outputs.map((port) => port?.name);
  if (outputs.length > 1 && (names.some((name) => typeof name !== 'string') || new Set(names).size < names.length))
    throw malformed('several outputs have a "name" each');
  for (const port of [inputs[0], ...outputs]) {
    if (typeof port?.value !== 'string' || !isList(port.shape)) throw malformed('a port has a "value" and a "shape"');
  }
  if (inputs[0]!.shape.length !== 4 || inputs[0]!.shape.slice(1).some((size) => !Number.isInteger(size))) {
    throw malformed(`the input [${inputs[0]!.shape}] is no picture of a known size`);
  }
  if (beside !== undefined && !areNames(beside)) throw malformed('"beside" names tensors');
  for (const layer of layers as readonly Partial<ArchitectureLayer>[]) {
    if (typeof layer?.name !== 'string' || typeof layer.op !== 'string' || !areNames(layer.inputs) || !areNames(layer.outputs)) {
      throw malformed('a layer has a "name", an "op", "inputs" and "outputs"');
    }
    const operator = operatorOf(layer.op);
    if (!operator) throw malformed(`"${layer.op}" is no operator of layer maps`, layer.name);
    if (layer.outputs!.length !== 1) throw malformed('makes several values, which architectures do not', layer.name);
    const unknown = Object.keys(layer.attributes ?? {}).find((key) => !Object.hasOwn(operator.attributes, key));
    if (unknown !== undefined) throw malformed(`${layer.op} has no attribute "${unknown}"`, layer.name);
    for (const weight of Object.values(layer.weights ?? {})) checkWeight(weight, layer.name);
  }
  return document as Readable;
}

/** How often what a weight is worked out from may be worked out itself. */
const MAX_DERIVED = 4;

function checkWeight(weight: Partial<WeightDocument> | undefined, layer: string, depth = 0): void {
  const { name, shape, values, derived } = weight ?? {};
  const isShape = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0);
  if (typeof name !== 'string' || !isShape) throw malformed('a weight has a "name" and a "shape"', layer);
  const count = shape.reduce((product, size) => product * size, 1);
  const areValues = values === undefined || (Array.isArray(values) && values.every((value) => typeof value === 'number'));
  if (!areValues || (values && values.length !== count)) throw malformed(`"${name}" has not ${count} numbers`, layer);
  if (derived === undefined) return;
  const { by, from, settings } = (typeof derived === 'object' && derived !== null ? derived : {}) as Partial<NonNullable<WeightDocument['derived']>>;
  if (typeof by !== 'string' || !isDerivation(by)) throw malformed(`"${name}" is worked out in a way that is none of ${derivationNames.join(', ')}`, layer);
  const areNumbers = typeof settings === 'object' && settings !== null && Object.values(settings).every((value) => typeof value === 'number');
  if (!Array.isArray(from) || !areNumbers || depth === MAX_DERIVED)
    throw malformed(`"${name}" is worked out "from" other weights, with "settings" that are numbers`, layer);
  for (const part of from) checkWeight(part, layer, depth + 1);
}

function malformed(problem: string, layer?: string): ModelError {
  return new ModelError('malformed', problem, layer === undefined ? {} : { layer });
}
