/** How a layer fills the slots of its operator, and how a layer is made. */
import { ModelError } from '../../errors.js';
import type { AttributeValue, Dim, Foreign, Layer } from '../layer-map.js';
import type { Tensor } from '../tensor.js';
import { isListSlot, isOptionalSlot, type Operator, slotName } from './operator.js';
import { operatorOf } from './table.js';

/** What stands in each slot; undefined where an optional one is left out. */
export type Bound<T> = Readonly<Record<string, T | readonly T[] | undefined>>;

/**
 * Fills the slots: those that have a weight with it, the others with the inputs in order ('' leaves an optional one out).
 *
 * @param inputs one for each of the layer's input names
 * @throws ModelError 'malformed' where a slot that must be filled is not; Error where inputs are left over, a bug of whoever made the layer
 */
export function bindSlots<T>(
  operator: Operator,
  layer: Pick<Layer, 'op' | 'name' | 'inputs' | 'weights'>,
  inputs: readonly T[],
  weight: (tensor: Tensor, slot: string) => T,
): Bound<T> {
  const bound: Record<string, T | readonly T[] | undefined> = {};
  let next = 0;
  for (const slot of operator.slots) {
    const name = slotName(slot);
    if (isListSlot(slot)) {
      bound[name] = inputs.slice(next).filter((_, i) => layer.inputs[next + i] !== '');
      next = inputs.length;
      continue;
    }
    const tensor = layer.weights[name];
    if (tensor) bound[name] = weight(tensor, name);
    else if (next < inputs.length) {
      bound[name] = layer.inputs[next] === '' ? undefined : inputs[next];
      next++;
    }
    if (bound[name] === undefined && !isOptionalSlot(slot)) throw new ModelError('malformed', `${layer.op} lacks its ${name}`, { layer: layer.name });
  }
  if (next < inputs.length) throw new Error(`${layer.op} "${layer.name}" has ${inputs.length} inputs, of which ${inputs.length - next} fill no slot`);
  return bound;
}

/** Whether what a layer makes is never below zero, given whether each value that it reads is; of weights nothing is known. */
export function isNeverNegative(layer: Layer, isInput: (value: string) => boolean): boolean {
  const operator = layer.foreign ? undefined : operatorOf(layer.op);
  if (!operator?.sign) return false;
  const signs = bindSlots(operator, layer, layer.inputs.map(isInput), () => false);
  return operator.sign(signs as never, layer.attributes as never);
}

/** All values that a layer reads: its inputs, and what the graphs inside of it read from outside. */
export function valuesRead(layer: Pick<Layer, 'inputs' | 'foreign'>): readonly string[] {
  const inputs = layer.inputs.filter((name) => name !== '');
  return layer.foreign ? [...inputs, ...layer.foreign.captures] : inputs;
}

/** The layer that makes each value. */
export function makersOf(layers: readonly Layer[]): ReadonlyMap<string, Layer> {
  return new Map(layers.flatMap((layer) => layer.outputs.map((value) => [value, layer] as const)));
}

/** The layers that read each value, one as often as it reads it. */
export function readersOf(layers: readonly Layer[]): ReadonlyMap<string, readonly Layer[]> {
  const readers = new Map<string, Layer[]>();
  for (const layer of layers) {
    for (const value of valuesRead(layer)) {
      const known = readers.get(value);
      if (known) known.push(layer);
      else readers.set(value, [layer]);
    }
  }
  return readers;
}

export interface LayerDraft {
  readonly name: string;
  readonly canonicalName?: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
  readonly foreign?: Foreign;
}

/**
 * A layer with every attribute of its operator, but for those that are optional and left out.
 *
 * @param shapes of the inputs, where they are known: neutral strides follow them
 * @throws ModelError 'malformed' for an attribute that must be said and is not, Error for an operator, attribute or slot that the table does
 *   not have: a reader's bug, never a file's fault
 */
export function makeLayer(draft: LayerDraft, shapes?: readonly (readonly Dim[] | null)[]): Layer {
  const operator = operatorOf(draft.op);
  if (!operator) throw new Error(`makeLayer: no operator ${draft.op}`);
  const weights = draft.weights ?? {};
  for (const slot of Object.keys(weights)) if (!operator.weights?.includes(slot)) throw new Error(`makeLayer: ${draft.op} has no weight ${slot}`);
  const bound = bindSlots(
    operator,
    { ...draft, weights },
    draft.inputs.map((_, i) => ({ shape: shapes?.[i] ?? undefined })),
    ({ shape }) => ({ shape }),
  );
  return { ...draft, attributes: completeAttributes(operator, draft, bound), weights };
}

/** What a layer has beyond its operator's plain form, in words; null where it has nothing. */
export function beyondPlain(layer: Layer): string | null {
  const operator = layer.foreign ? undefined : operatorOf(layer.op);
  if (!operator) return 'is not in the vocabulary';
  if (layer.outputs.length !== 1) return `has ${layer.outputs.length} outputs`;
  const flowing = bindSlots<boolean>(
    operator,
    layer,
    layer.inputs.map(() => true),
    () => false,
  );
  const held = new Set<string>([...(operator.plain?.weights ?? operator.weights ?? []), ...Object.keys(operator.attributes)]);
  const flows = Object.keys(flowing).find((slot) => flowing[slot] === true && held.has(slot));
  if (flows !== undefined) return `takes its ${flows} from another layer`;
  const plain: Readonly<Record<string, AttributeValue | undefined>> = operator.plain?.attributes ?? {};
  const stretched = operator.plain?.ones?.find((name) => (layer.attributes[name] as readonly number[] | undefined)?.some((size) => size !== 1));
  if (stretched !== undefined) return `has ${stretched} ${layer.attributes[stretched]}`;
  const other = Object.keys(plain).find((name) => `${layer.attributes[name]}` !== `${plain[name]}`);
  return other === undefined ? null : `has ${other} ${layer.attributes[other]}`;
}

function completeAttributes(operator: Operator, draft: LayerDraft, bound: Bound<{ shape?: readonly Dim[] }>): Record<string, AttributeValue> {
  const attributes: Record<string, AttributeValue> = {};
  const given = draft.attributes ?? {};
  const sized =
    operator.complete && Object.fromEntries(Object.entries(bound).filter(([, filled]) => filled && 'shape' in filled && filled.shape !== undefined));
  const completed: Readonly<Record<string, AttributeValue | undefined>> = operator.complete?.(sized as never, given as never) ?? {};
  for (const [name, spec] of Object.entries(operator.attributes)) {
    const value = given[name] ?? spec.default ?? completed[name];
    const flows = bound[name] !== undefined;
    if (value === undefined && !spec.optional && !flows) throw new ModelError('malformed', `${draft.op} lacks its ${name}`, { layer: draft.name });
    if (value === undefined) continue;
    if (spec.words && !spec.words.includes(value as string)) throw new Error(`makeLayer: ${draft.op} has no ${name} ${JSON.stringify(value)}`);
    attributes[name] = value;
  }
  for (const name of Object.keys(given)) {
    if (!operator.attributes[name]) throw new Error(`makeLayer: ${draft.op} has no attribute ${name}`);
  }
  return attributes;
}
