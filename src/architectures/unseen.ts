/** What weights leave no trace of: what a finished net has of it, as a sentence, and what the user says of single layers instead. */
import { ModelError } from '../errors.js';
import type { AttributeValue, Layer } from '../model/layer-map.js';
import { numbersTensor } from '../model/numbers.js';
import { makeLayer, operatorOf, slotName } from '../model/ops/index.js';

interface Override {
  readonly key: string;
  /** Of layers' names. */
  readonly pattern: RegExp;
  readonly attribute: string;
  readonly value: string;
}

/** What `LAYER.op=none` leaves out. */
const NOTHING = 'none';

/**
 * What the user says of single layers: `conv1.strides=1`, `*.downsample.0.pads=0`, `bn1.maxpool.op=AveragePool`. A star stands for any part
 * of a name.
 */
export class Overrides {
  readonly #list: readonly Override[];

  /** @param used where the keys go that a layer was found for */
  constructor(
    assume: Readonly<Record<string, string>>,
    private readonly used: Set<string>,
  ) {
    this.#list = Object.entries(assume).flatMap(([key, value]) => {
      const at = key.lastIndexOf('.');
      if (at < 1) return [];
      const source = key
        .slice(0, at)
        .split('*')
        .map((part) => part.replace(/[.*+?^$()|[\]\\{}/]/g, '\\$&'))
        .join('.*');
      return [{ key, pattern: new RegExp(`^${source}$`), attribute: key.slice(at + 1), value }];
    });
  }

  /** What is said of a layer's attribute. */
  find(layer: string, attribute: string): string | undefined {
    const found = this.#list.find((one) => one.attribute === attribute && one.pattern.test(layer));
    if (found) this.used.add(found.key);
    return found?.value;
  }

  /**
   * @returns the layer as the user has it; null where it is left out
   * @throws ModelError 'usage' for an operator, or a value of an attribute, that is none
   */
  apply(layer: Layer): Layer | null {
    if (this.#list.length === 0) return layer;
    const op = this.find(layer.name, 'op');
    if (op === NOTHING && layer.inputs.length === 1) return null;
    const base = op === undefined ? layer : withOperator(layer, op);
    const changed: Record<string, AttributeValue> = {};
    for (const [name, { type, words }] of Object.entries(operatorOf(base.op)!.attributes)) {
      const value = this.find(base.name, name);
      if (value !== undefined) changed[name] = parsed(base, name, value, type, words);
    }
    const operand = base.weights.operand?.known ? this.find(base.name, 'operand') : undefined;
    const weights =
      operand === undefined
        ? base.weights
        : { ...base.weights, operand: numbersTensor('operand', 'float32', [], [numberOf(base, 'operand', operand)], { file: '' }) };
    // Either says how zeros are put around.
    const { auto_pad, pads, ...rest } = base.attributes;
    const padding = 'pads' in changed ? {} : 'auto_pad' in changed ? {} : { ...(auto_pad === undefined ? {} : { auto_pad }), ...(pads ? { pads } : {}) };
    const { name, canonicalName, inputs, outputs } = base;
    const attributes = { ...rest, ...padding, ...changed };
    return makeLayer({ name, ...(canonicalName ? { canonicalName } : {}), op: base.op, inputs, outputs, attributes, weights });
  }
}

/** Another operator in a layer's place, with those of its attributes that it knows. */
function withOperator(layer: Layer, op: string): Layer {
  const operator = operatorOf(op);
  const slots = operator?.slots.map(slotName) ?? [];
  if (!operator || Object.keys(layer.weights).some((slot) => !slots.includes(slot)))
    throw new ModelError('usage', `--assume ${layer.name}.op=${op}: ${operator ? `it has no place for the weights of a ${layer.op}` : 'no such operator'}`);
  const attributes = Object.fromEntries(Object.entries(layer.attributes).filter(([name]) => Object.hasOwn(operator.attributes, name)));
  return { ...layer, op, attributes };
}

function parsed(layer: Layer, name: string, text: string, type: string, words: readonly string[] | undefined): AttributeValue {
  if (type === 'string') {
    if (words && !words.includes(text)) throw unusable(layer, name, text, `one of ${words.join(', ')} is expected`);
    return text;
  }
  if (type === 'int' || type === 'float') return numberOf(layer, name, text);
  if (type === 'strings') return text.split(',');
  const numbers = text.split(',').map((part) => numberOf(layer, name, part));
  const before = layer.attributes[name];
  const count = Array.isArray(before) ? before.length : name === 'pads' ? 4 : 2;
  return numbers.length === 1 ? new Array<number>(count).fill(numbers[0]!) : numbers;
}

function numberOf(layer: Layer, name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw unusable(layer, name, text, 'a number is expected');
}

function unusable({ name }: Layer, attribute: string, text: string, problem: string): ModelError {
  return new ModelError('usage', `--assume ${name}.${attribute}=${text}: ${problem}`);
}

/** Names that are told of each kind; the map has them all. */
const SHOWN = 3;

/**
 * All that a net has of what leaves no trace in weights, but for activations, and what settings tell of themselves.
 *
 * @param numbers what values are multiplied by or added to, and where
 * @returns a sentence; null for a net that has nothing of it
 */
export function traceless(layers: readonly Layer[], numbers: ReadonlyMap<string, readonly string[]>): string | null {
  const found = new Map<string, string[]>();
  for (const layer of layers) for (const what of tracelessOf(layer)) found.set(what, [...(found.get(what) ?? []), layer.name]);
  const listed = [...found, ...numbers].map(([what, names]) => {
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
    return `${what} (${names.slice(0, SHOWN).join(', ')}${more})`;
  });
  if (listed.length === 0) return null;
  return `of these there are ${listed.join('; ')}; --assume LAYER.ATTRIBUTE=... says otherwise of any layer, as in conv1.strides=1, and LAYER.op=none leaves it out`;
}

const sides = (sizes: readonly number[]) => (new Set(sizes).size === 1 ? String(sizes[0]) : sizes.join(' x '));

/** What in a layer no weight shows: words as they are told. */
function tracelessOf({ op, attributes, weights }: Layer): string[] {
  const list = (name: string) => (attributes[name] ?? []) as readonly number[];
  const other = (name: string, usual: number) => list(name).some((value) => value !== usual);
  const padding = attributes.auto_pad === 'SAME_UPPER' ? "as TensorFlow's same" : `by ${sides(list('pads'))}`;
  switch (op) {
    case 'Conv':
    case 'ConvTranspose': {
      const kernel = weights.kernel?.shape.slice(2) ?? [];
      const keeps = kernel.map((size, i) => ((size - 1) * (list('dilations')[i] ?? 1)) / 2);
      const isKept = op === 'Conv' && (attributes.auto_pad === 'SAME_UPPER' ? !other('strides', 1) : [...keeps, ...keeps].join() === list('pads').join());
      const kind = op === 'Conv' ? '' : 'transposed ';
      return [
        ...(other('strides', 1) ? [`${kind}strides of ${sides(list('strides'))}`] : []),
        ...(other('dilations', 1) ? [`${kind}dilations of ${sides(list('dilations'))}`] : []),
        ...(isKept ? [] : [`${kind}padding ${padding}${other('output_padding', 0) ? ` and ${sides(list('output_padding'))} more at the end` : ''}`]),
      ];
    }
    case 'MaxPool':
    case 'AveragePool': {
      const by = `of ${list('kernel_shape').join(' x ')} by ${sides(list('strides'))}`;
      const padded = attributes.auto_pad === 'SAME_UPPER' || other('pads', 0) ? `, padded ${padding}` : '';
      const counted = op === 'AveragePool' && padded !== '' ? (attributes.count_include_pad ? ' which counts' : ' which does not count') : '';
      return [`${op === 'MaxPool' ? 'max' : 'average'} pooling ${by}${padded}${counted}${attributes.ceil_mode ? ', rounding up' : ''}`];
    }
    case 'GlobalAveragePool':
      return ['global average pooling'];
    case 'GlobalMaxPool':
      return ['global max pooling'];
    case 'Resize':
      return [`enlarging by ${sides(list('scales').slice(2))} (${attributes.mode}, ${attributes.coordinate_transformation_mode})`];
    case 'Pad':
      return [`padding with ${attributes.mode === 'constant' ? 'zeros' : `mode ${attributes.mode}`} by ${list('pads').join(' ')}`];
    case 'DepthToSpace':
    case 'SpaceToDepth':
      return [`${op === 'DepthToSpace' ? 'pixels out of channels' : 'channels out of pixels'} by ${attributes.blocksize}, mode ${attributes.mode}`];
    case 'LRN':
      return [`local response normalisation over ${attributes.size} with alpha ${attributes.alpha}, beta ${attributes.beta}, bias ${attributes.bias}`];
    case 'InstanceNormalization':
      return [`instance normalisation with an epsilon of ${attributes.epsilon}`];
    default:
      return [];
  }
}
