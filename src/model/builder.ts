/**
 * Where layer maps are made: values in, values out, and every layer's types worked out as it is added.
 *
 * A constant is a value like any other. The builder knows where each belongs: in its layer's weights, in an attribute (a Reshape's
 * shape), or in a Constant layer of its own. What a graph works out from the shapes of its values is worked out here, as far as it does
 * not depend on data, so that exporters' ways of saying "flatten all but the batch" all become one Reshape.
 */
import { breathe } from '../bytes/breath.js';
import { ModelError } from '../errors.js';
import { castTensor, newCastTally } from './cast.js';
import type { DType } from './dtype.js';
import { isFloatDType } from './dtype.js';
import { Folding } from './fold.js';
import type { AttributeValue, Dim, Foreign, Layer } from './layer-map.js';
import { Names } from './names.js';
import { NetSize } from './net-size.js';
import { numbersTensor } from './numbers.js';
import { inferLayer, type LayerDraft, makeLayer, type Operator, operatorOf, slotName, type ValueType, valuesRead } from './ops/index.js';
import { isListSlot } from './ops/operator.js';
import type { Origin, Tensor } from './tensor.js';

/** Dialects know no bytes, and take it from here. */
export type { Turns } from '../bytes/breath.js';

export interface Value extends ValueType {
  /** In the layer map. */
  readonly name: string;
  /** A stored tensor that this is; it may be stored in a narrower dtype than it is computed with. */
  readonly constant?: Tensor;
}

/** In the order of the operator's slots; null leaves an optional one out. */
export type Inputs = readonly (Value | null)[];
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

export interface NodeNames {
  /** Of the layer; made unique. */
  readonly name: string;
  /** Of what it makes; '' for what nothing reads. The layer's name where left out, for its only output. */
  readonly outputs?: readonly string[];
  readonly canonicalName?: string;
}

export class GraphBuilder {
  readonly layers: Layer[] = [];
  readonly #names = new Names(2);
  readonly #values = new Names(2);
  readonly #reserved = new Set<string>();
  /** Constant layers by what they hold, so that a constant that several layers read is there once. */
  readonly #constants = new Map<Tensor, string>();
  /** Tensors that are stored narrower than they are computed with, as they are computed with. */
  readonly #wide = new Map<Tensor, Tensor>();
  /** The same for values that were worked out. */
  readonly #known = new Map<string, string>();
  /** Layers that work on shapes: left out at the end where nothing reads them any more. */
  readonly #shapeMath = new Set<Layer>();

  readonly #folding: Folding;
  readonly #size: NetSize;
  /** Operators that depend on nothing that flows in, and became no layer. */
  folded = 0;

  /** @param origin where constants that are worked out are said to come from */
  constructor(readonly origin: Origin) {
    this.#folding = new Folding(origin);
    this.#size = new NetSize(origin.file);
  }

  /** Lets interruptions in, between the nodes of a large graph. */
  breathe(): Promise<void> {
    return breathe();
  }

  /** The name, or the name with a number where a layer has it already; from now on it is taken. */
  unique(name: string): string {
    return this.#names.take(name);
  }

  /** Names of values that are given to the builder later: no other value gets one of them. */
  reserve(names: Iterable<string>): void {
    for (const name of names) {
      this.#values.add(name);
      this.#reserved.add(name);
    }
  }

  /** A name that no value has. */
  freeValue(wanted: string): string {
    return this.#values.take(wanted);
  }

  /** A value that flows in from outside. Sizes without a name ('?') get one, because two of them are two sizes. */
  input(name: string, dtype: DType | null, shape: readonly Dim[] | null): Value {
    this.reserve([name]);
    return { name, dtype, shape: shape?.map((size, axis) => (size === '?' ? `?${name}.${axis}` : size)) ?? null };
  }

  /** A stored tensor as a value. Nothing is added until a layer reads it, and it is never read for it; see `withKnown` for small ones. */
  constant(tensor: Tensor, name = tensor.name): Value {
    return { name, dtype: tensor.dtype, shape: tensor.shape, constant: tensor, ...(tensor.known ? { elements: tensor.known } : {}) };
  }

  /** A small constant of given elements; a scalar where no shape is given for one number. */
  numbers(dtype: DType, values: number | readonly number[], shape?: readonly number[]): Value {
    const list = typeof values === 'number' ? [values] : values;
    return this.constant(numbersTensor('constant', dtype, shape ?? (typeof values === 'number' ? [] : [list.length]), list, this.origin));
  }

  /** A float value that is known as a stored tensor, as which it can be a weight. */
  stored(value: Value): Value {
    if (value.constant || value.dtype === null || !isFloatDType(value.dtype) || !isKnown(value)) return value;
    return { ...value, constant: this.#tensorOf(value) };
  }

  /** Adds an operator with one output, which bears the layer's name. @throws ModelError 'malformed' when what flows in does not fit */
  add(op: string, inputs: Inputs, attributes: Attributes = {}, name = op.toLowerCase()): Value {
    return this.node(op, inputs, attributes, { name })[0]!;
  }

  /** Adds an operator with any number of outputs, under names of their own. */
  node(op: string, inputs: Inputs, attributes: Attributes, names: NodeNames): readonly Value[] {
    const operator = operatorOf(op);
    if (!operator) throw new Error(`no operator ${op}`);
    this.#size.add(names.name, inputs.length, names.outputs?.length ?? 1);
    const placed = this.#place(operator, inputs, attributes);
    const name = this.unique(names.name);
    const outputs = names.outputs ?? [this.#values.take(name)];
    this.reserve(outputs);
    const draft: LayerDraft = {
      name,
      ...(names.canonicalName === undefined ? {} : { canonicalName: names.canonicalName }),
      op,
      inputs: trimmed(placed.inputs.map((input) => input?.name ?? '')),
      outputs,
      attributes: placed.attributes,
      weights: placed.weights,
    };
    const given = draft.inputs.map((_, i) => placed.inputs[i] ?? NONE);
    const layer = makeLayer(
      draft,
      given.map(({ shape }) => shape),
    );
    const types = inferLayer(layer, given);
    const values = outputs.map((output, i): Value => ({ ...(types[i] ?? NONE), name: output }));
    if (op !== 'Constant' && values.every(isKnown)) {
      this.folded++;
      this.#names.release(names.name, name);
      return values;
    }
    const folded = this.#folded(operator, layer, placed.inputs, values);
    if (folded) {
      this.folded++;
      this.#names.release(names.name, name);
      return [{ ...values[0]!, constant: folded }];
    }
    // Constants that turn out to be read become layers only now, so that they stand before what reads them.
    const read = trimmed(placed.inputs.map((input) => (input ? this.#flowing(input) : '')));
    const made = read.every((value, i) => value === layer.inputs[i]) ? layer : { ...layer, inputs: read };
    this.layers.push(made);
    if (values.every(({ elements, dtype }) => elements && dtype !== null && !isFloatDType(dtype)) || op === 'Shape') this.#shapeMath.add(made);
    return values;
  }

  /** Adds a node that is not understood, as it came. */
  foreign(foreign: Foreign, inputs: Inputs, names: Required<Pick<NodeNames, 'name' | 'outputs'>>): readonly Value[] {
    this.#size.add(names.name, inputs.length, names.outputs.length);
    const name = this.unique(names.name);
    this.reserve(names.outputs);
    const read = trimmed(inputs.map((input) => (input ? this.#flowing(input) : '')));
    this.layers.push({ name, op: `${foreign.domain}::${foreign.op}`, inputs: read, outputs: names.outputs, attributes: {}, weights: {}, foreign });
    return names.outputs.map((output, i) => ({ ...(foreign.types[i] ?? NONE), name: output }));
  }

  /** Leaves out what was added since there were so many layers: a translation that came to nothing. Constants stay, which others may read by now. */
  discard(count: number): void {
    const added = this.layers.splice(count);
    for (const layer of added.filter(({ op }) => op === 'Constant')) this.layers.push(layer);
  }

  /** The name of a value that layers can read: constants get a layer of their own here. */
  flowing(value: Value): string {
    return this.#flowing(value);
  }

  /** The layers, without those that only worked on shapes and that nothing reads now. */
  finish(outputs: readonly Value[]): Layer[] {
    const read = new Set(outputs.map((value) => this.#flowing(value)));
    const kept: Layer[] = [];
    for (const layer of this.layers.toReversed()) {
      const isUnread = !layer.outputs.some((output) => read.has(output));
      if (isUnread && (this.#shapeMath.has(layer) || layer.op === 'Constant')) {
        if (layer.op !== 'Constant') this.folded++;
        continue;
      }
      for (const value of valuesRead(layer)) read.add(value);
      kept.push(layer);
    }
    return kept.toReversed();
  }

  /** Where each input goes: into the weights, into an attribute, or in as it flows. */
  #place(
    operator: Operator,
    given: Inputs,
    attributes: Attributes,
  ): { inputs: (Value | null)[]; attributes: Record<string, AttributeValue>; weights: Record<string, Tensor> } {
    const all = swapped(operator, given);
    const inputs: (Value | null)[] = [];
    const weights: Record<string, Tensor> = {};
    const settled: Attributes =
      operator.settle?.(Object.fromEntries(operator.slots.map((slot, i) => [slotName(slot), all[i] ?? undefined])) as never, attributes as never) ?? {};
    const fixed: Record<string, AttributeValue> = {};
    for (const [i, slot] of operator.slots.entries()) {
      if (isListSlot(slot)) {
        for (const part of all.slice(i)) inputs.push(part);
        break;
      }
      const value = all[i] ?? null;
      const name = slotName(slot);
      const attribute = value && operator.attributes[name] ? (settled[name] ?? attributeOf(operator, name, value)) : undefined;
      if (attribute !== undefined) {
        fixed[name] = attribute;
        inputs.push(null);
      } else if (
        value?.constant &&
        operator.weights?.includes(name as never) &&
        isFloatDType(value.constant.dtype) &&
        isHeld(operator, name, value, all, attributes)
      ) {
        weights[name] = value.constant;
      } else inputs.push(value);
    }
    if (all.length > operator.slots.length && !isListSlot(operator.slots.at(-1) ?? '')) {
      throw new ModelError('malformed', `${operator.op} takes ${operator.slots.length} inputs, but ${all.length} are given`);
    }
    const own = Object.entries({ ...attributes, ...fixed }).filter((entry): entry is [string, AttributeValue] => entry[1] !== undefined);
    return { inputs, weights, attributes: Object.fromEntries(own) };
  }

  /** The only output of a layer into which only stored tensors flow. */
  #folded(operator: Operator, layer: Layer, inputs: Inputs, values: readonly Value[]): Tensor | null {
    const [made] = values;
    if (layer.op === 'Constant' || values.length !== 1 || !made?.shape?.every((size) => typeof size === 'number')) return null;
    const given = inputs.slice(0, layer.inputs.length);
    if (!given.every((value) => value === null || value.constant || isKnown(value))) return null;
    const stored = given.map((value) => (value ? (value.constant ?? this.#tensorOf(value)) : null));
    return this.#folding.fold(operator, layer, stored, made, made.name);
  }

  #tensorOf(value: Value): Tensor {
    return numbersTensor(value.name, value.dtype ?? 'int64', value.shape as readonly number[], value.elements as readonly number[], this.origin);
  }

  #flowing(value: Value): string {
    if (value.constant) return this.#constantLayer(this.#asComputed(value, value.constant), value.name);
    if (!isKnown(value)) return value.name;
    const tensor = this.#tensorOf(value);
    const key = `${tensor.dtype} [${tensor.shape}] ${tensor.known}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const name = this.#constantLayer(tensor, value.name);
    this.#known.set(key, name);
    return name;
  }

  /** The tensor in the dtype that it is computed with. */
  #asComputed({ dtype }: Value, tensor: Tensor): Tensor {
    if (dtype === null || dtype === tensor.dtype) return tensor;
    const there = this.#wide.get(tensor);
    if (there?.dtype === dtype) return there;
    const wide = castTensor(tensor, dtype, newCastTally());
    this.#wide.set(tensor, wide);
    return wide;
  }

  #constantLayer(tensor: Tensor, wanted: string): string {
    const there = this.#constants.get(tensor);
    if (there !== undefined) return there;
    const output = this.#reserved.delete(wanted) ? wanted : this.#values.take(wanted);
    this.#constants.set(tensor, output);
    this.layers.push(makeLayer({ name: this.unique(wanted), op: 'Constant', inputs: [], outputs: [output], weights: { value: tensor } }));
    return output;
  }
}

const NONE: ValueType = { dtype: null, shape: null };

function isKnown({ elements, shape }: ValueType): boolean {
  return elements?.every((element) => typeof element === 'number') === true && shape?.every((size) => typeof size === 'number') === true;
}

/** A constant first and a value second trade places where that changes nothing, so that the constant is the operand. */
function swapped(operator: Operator, inputs: Inputs): Inputs {
  const [first, second] = inputs;
  return operator.commutes && first?.constant && second && !second.constant ? [second, first] : inputs;
}

function isHeld(operator: Operator, slot: string, value: Value, inputs: Inputs, attributes: Attributes): boolean {
  return operator.holds?.(slot, value.shape as readonly number[], inputs[0]?.shape ?? null, attributes as never) ?? true;
}

/** An attribute's value that is known although it comes as an input. */
function attributeOf(operator: Operator, name: string, value: Value): AttributeValue | undefined {
  if (!isKnown(value)) return undefined;
  const elements = value.elements as readonly number[];
  const { type } = operator.attributes[name]!;
  return type === 'int' || type === 'float' ? elements[0] : elements;
}

function trimmed(names: readonly string[]): string[] {
  const list = [...names];
  while (list.at(-1) === '') list.pop();
  return list;
}
