/**
 * How a layer is spelt as an ONNX node of a given opset, from what its operator's definition says of it.
 *
 * Nearly all attributes and inputs carry over as they are. What differs: attributes that an opset takes as inputs (Reshape's
 * shape, Clip's bounds), attributes that ONNX has and the map has not (Gemm's alpha), and padding words that are turned into numbers.
 * Every attribute is written out, because some runtimes (onnxruntime-web on WebGPU) do not fill in defaults.
 *
 * @see https://onnx.ai/onnx/operators/ for the opset in which each form begins
 */
import { DATA_TYPE } from '../../containers/onnx-schema.js';
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';
import type { AttributeValue, Dim, Layer } from '../../model/layer-map.js';
import { numbersTensor } from '../../model/numbers.js';
import { type Operator, operatorOf, padsInNumbers } from '../../model/ops/index.js';
import type { Tensor } from '../../model/tensor.js';
import { intAttribute, intsAttribute, type OnnxAttribute } from './graph.js';
import { changedBetween } from './opset-changes.js';

/** Of the opsets in which files are written anew. */
const OLDEST_WRITTEN = 13;

/** What a form may ask of the graph around it. */
export interface FormContext {
  readonly opset: number;
  /** Shape of a value, channels-first; undefined where it is not known. */
  shapeOf(value: string): readonly Dim[] | undefined;
  /** Adds a one-dimensional int64 constant of this layer; gives its name. */
  ints(slot: string, values: readonly number[]): string;
  /** Adds a one-dimensional float32 constant. */
  floats(slot: string, values: readonly number[]): string;
  /** Adds a scalar of the dtype of what flows in. */
  scalar(slot: string, value: number): string;
  /** dtype in the file of what the map computes in a dtype. */
  computed(dtype: DType): DType;
  /** Adds an int64 scalar. */
  int(slot: string, value: number): string;
}

export interface NodeForm {
  /** Names of the constants for slots whose attribute is an input in this opset. */
  readonly constants: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** @param layer one without an obstacle */
export function nodeForm(layer: Layer, context: FormContext): NodeForm {
  const operator = operatorOf(layer.op)!;
  const spelling = operator.onnx!;
  const attributes: Record<string, OnnxAttribute> = {};
  const constants: Record<string, string> = {};
  for (const [name, { type, isDType, default: rest }] of Object.entries(operator.attributes)) {
    const value = layer.attributes[name];
    const input = spelling.inputs?.[name];
    if (value === undefined || (spelling.newer?.[name] ?? 0) > context.opset) continue;
    // At rest they go unsaid: ONNX Runtime (1.30) does not load an AveragePool of codes that has dilations.
    if (operator.plain?.ones?.some((ones) => ones === name) && (value as readonly number[]).every((size) => size === 1)) continue;
    const element = spelling.oneElement?.[name];
    if (element) attributes[name] = { type: 'tensor', value: oneElement(value as number, context.computed(layer.attributes[element] as DType)) };
    else if (Object.values(spelling.oneElement ?? {}).includes(name)) continue;
    else if (isDType) attributes[name] = intAttribute(DATA_TYPE[context.computed(value as DType)]);
    else if (!input || context.opset < input.since) attributes[name] = { type, value: spelt(operator, name, value, context.opset) };
    else if (!fillsSlot(operator, layer, name)) {
      // A bound that is infinite is none, as Clip has it; a border of nothing but infinities is one.
      const isRest = type === 'float' && value === rest && !Number.isFinite(value);
      constants[name] = isRest ? '' : constantOf(name, type, value, input.scalar === true, context);
    }
  }
  for (const [name, { type, value, since = 1, until = Number.POSITIVE_INFINITY }] of Object.entries(spelling.rest ?? {})) {
    if (context.opset >= since && context.opset < until) attributes[name] = { type, value: typeof value === 'function' ? value(layer) : value };
  }
  if (layer.op === 'Gemm') attributes.transB = intAttribute(isStoredTransposed(layer) ? 0 : 1);
  // From opset 18 on parts are counted where their sizes are not given.
  if (layer.op === 'Split' && context.opset >= 18 && layer.attributes.split === undefined && layer.inputs.length < 2)
    attributes.num_outputs = intAttribute(layer.outputs.length);
  if (operator.attributes.auto_pad) settlePads(layer, context, attributes);
  return { constants, attributes };
}

/** A word as the opset spells it. */
function spelt(operator: Operator, name: string, value: AttributeValue, opset: number): AttributeValue {
  const old = operator.onnx?.spellings?.[name]?.find(({ before }) => opset < before);
  return old?.words[value as string] ?? value;
}

function oneElement(value: number, dtype: DType): Tensor {
  return numbersTensor('value', dtype, [1], [value], { file: 'weighbridge' });
}

/** Whether an attribute flows in rather than being fixed. */
function fillsSlot(operator: Operator, layer: Layer, name: string): boolean {
  const free = operator.slots.filter((slot) => !layer.weights[slot.replace('?', '')]);
  const input = layer.inputs[free.indexOf(`${name}?`)];
  return input !== undefined && input !== '';
}

function constantOf(slot: string, type: string, value: AttributeValue, isScalar: boolean, context: FormContext): string {
  if (type === 'ints') return context.ints(slot, value as readonly number[]);
  if (type === 'floats') return context.floats(slot, value as readonly number[]);
  if (type === 'int') return isScalar ? context.int(slot, value as number) : context.ints(slot, [value as number]);
  return context.scalar(slot, value as number);
}

function settlePads(layer: Layer, context: FormContext, attributes: Record<string, OnnxAttribute>): void {
  const pads = padsInNumbers(layer, context.shapeOf(layer.inputs[0]!)?.slice(2) ?? []);
  // Where auto_pad decides, shape inference of the onnx package obeys pads if there are any.
  if (!pads) delete attributes.pads;
  else Object.assign(attributes, { pads: intsAttribute(pads), auto_pad: { type: 'string', value: 'NOTSET' } });
}

/**
 * Why a layer has no ONNX node of the given opset.
 *
 * @returns null where it has one
 */
export function layerObstacle(layer: Layer, opset: number): ModelError | null {
  const unsupported = (problem: string) => new ModelError('unsupported', problem, { layer: layer.name });
  if (layer.foreign) {
    const { format, reason, domain, op, spoken } = layer.foreign;
    const changed = format === 'onnx' && spoken ? changedBetween(spoken.operators, spoken.version, opset) : undefined;
    if (changed !== undefined) {
      const what = changed === op ? `${op} is` : `${op}, which has ${changed} inside of it, is`;
      return unsupported(
        `${what} kept as it came (${reason}), in the words of opset ${spoken!.version}, which mean something else in opset ${opset}; ${
          spoken!.version < OLDEST_WRITTEN ? `files older than ${OLDEST_WRITTEN} are only copied` : `choose --opset ${spoken!.version}`
        }`,
      );
    }
    if (format === 'onnx') return null;
    return unsupported(`${domain}::${op} of ${format} has no translation to ONNX: ${reason}`);
  }
  const operator = operatorOf(layer.op);
  const spelling = operator?.onnx;
  if (!operator || !spelling) return unsupported(`the operator ${layer.op} has no translation to ONNX`);
  const { since = 1, inputs = {}, newer = {}, newerWords = {}, defaults = {} } = spelling;
  const needs = (what: string, version: number) => unsupported(`${what} needs opset ${version}; choose --opset ${version} or newer`);
  if (opset < since) return needs(layer.op, since);
  for (const [name, version] of Object.entries(spelling.newerSlots ?? {})) {
    if (opset < version && fillsSlot(operator, layer, name)) return needs(`${layer.op} whose ${name} flows in`, version);
  }
  for (const [name, spec] of Object.entries(operator.attributes)) {
    const value = layer.attributes[name];
    const version = newerWords[name]?.[value as string] ?? 0;
    if (opset < version) return needs(`${layer.op} with ${name} ${value}`, version);
    const usual = defaults[name] && opset < defaults[name].before ? defaults[name].value : spec.default;
    if (opset < (newer[name] ?? 0) && value !== undefined && `${value}` !== `${usual ?? ''}` && !isNeutral(value))
      return needs(`${layer.op} with ${name}`, newer[name]!);
    const from = inputs[name]?.since ?? 0;
    if (opset < from && fillsSlot(operator, layer, name)) return needs(`${layer.op} whose ${name} flows in`, from);
  }
  if (layer.op === 'ConvTranspose' && String(layer.attributes.auto_pad).startsWith('SAME')) {
    return unsupported(`ConvTranspose with auto_pad ${layer.attributes.auto_pad}: its padding must be given in numbers`);
  }
  return null;
}

/** Dilations of one, which windows without any have. */
function isNeutral(value: AttributeValue): boolean {
  return Array.isArray(value) && value.every((size) => size === 1);
}

/**
 * Whether a Gemm kernel [out, in] lies in the source as [in, out], so that it is cheaper to write it so (transB = 0): VGG's
 * first dense layer is 411 MB. Holds for Keras kernels, also where the rows are reordered after a Flatten.
 */
export function isStoredTransposed(layer: Layer): boolean {
  if (!layer.weights.kernel) return false;
  const [outAxis, inAxis] = layer.weights.kernel.walk.axes;
  const innermost = (axis: typeof outAxis) => axis!.findLast(({ size }) => size > 1)?.stride;
  return innermost(inAxis) !== 1 && innermost(outAxis) === 1;
}
