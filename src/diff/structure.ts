/**
 * What two layer maps compute otherwise: layers that only one of them has, attributes of those that were lined up, inputs and outputs.
 * Which layer reads which is not compared.
 */
import type { AttributeValue, Dim, Layer, LayerMap, Port } from '../model/layer-map.js';
import { inferShapes, isNeverNegative, makersOf, valuesRead } from '../model/ops/index.js';
import { portValueShape } from '../model/ports.js';
import type { LayerPlace, StructureDiff } from './document.js';
import { usedLayers } from './parts.js';
import { alignSequences } from './sequence.js';

/** Layers that only arrange: formats spell the same net with more or fewer of them. */
const ARRANGE: ReadonlySet<string> = new Set(
  'Constant Identity Transpose Reshape Flatten Squeeze Unsqueeze Cast Dropout DequantizeLinear Shape Size Expand ConstantOfShape'.split(' '),
);

/**
 * @param partners layers that were lined up by their weights, from a's name to b's
 * @param isSameFormat whether layers that only one has count
 */
export function diffStructure(a: LayerMap, b: LayerMap, partners: ReadonlyMap<string, string>, isSameFormat: boolean): StructureDiff {
  const [padsA, padsB] = [padsBefore(a), padsBefore(b)];
  const [layersA, layersB] = [countedLayers(a, padsA), countedLayers(b, padsB)];
  const numbers = new Map([...partners].map(([own, other], i) => [own, { other, key: `#${i}` }]));
  const keysB = new Map([...partners.values()].map((other, i) => [other, `#${i}`]));
  const keyA = (layer: Layer) => numbers.get(layer.name)?.key ?? layer.op;
  const keyB = (layer: Layer) => keysB.get(layer.name) ?? layer.op;
  const pairs = alignSequences(layersA.map(keyA), layersB.map(keyB)).map(([i, j]) => [layersA[i]!, layersB[j]!] as const);
  const [usedA, usedB] = [new Set(pairs.map(([layer]) => layer)), new Set(pairs.map(([, layer]) => layer))];
  // Branches may run in another order: what is on both sides is no difference.
  const restB = new Map<string, Layer[]>();
  for (const layer of layersB.toReversed()) {
    if (usedB.has(layer)) continue;
    const same = restB.get(keyB(layer));
    if (same) same.push(layer);
    else restB.set(keyB(layer), [layer]);
  }
  const onlyInA: LayerPlace[] = [];
  let moved = 0;
  for (const layer of layersA) {
    if (usedA.has(layer)) continue;
    const other = restB.get(keyA(layer))?.pop();
    if (!other) onlyInA.push(placeOf(layer));
    else {
      moved++;
      usedB.add(other);
      if (numbers.has(layer.name)) pairs.push([layer, other]);
    }
  }
  const [readA, readB] = [readingOf(a, padsA), readingOf(b, padsB)];
  const changed = pairs.flatMap(([own, other]) => {
    const what = differences(own, other, readA, readB);
    return what.length > 0 ? [{ a: placeOf(own), b: placeOf(other), what }] : [];
  });
  const aligned = usedA.size + moved;
  return {
    aligned,
    onlyInA,
    onlyInB: layersB.filter((layer) => !usedB.has(layer)).map(placeOf),
    changed,
    ports: [...portDifferences('input', a.inputs, b.inputs), ...portDifferences('output', a.outputs, b.outputs)],
    judged: isSameFormat,
  };
}

/** Whether it says that the two compute something else. */
export function isOtherwiseWired({ onlyInA, onlyInB, changed, judged }: StructureDiff): boolean {
  return changed.length > 0 || (judged && onlyInA.length + onlyInB.length > 0);
}

function countedLayers(map: LayerMap, pads: ReadonlyMap<string, Layer>): Layer[] {
  const taken = new Set(pads.values());
  return usedLayers(map).filter((layer) => !ARRANGE.has(layer.op) && !taken.has(layer));
}

/**
 * Padding in a layer of its own before a convolution or pooling that might as well pad by itself, by that layer's name: Keras and TensorFlow
 * have it so where padding is not theirs. A pooling of maxima pads with what is smaller than all, so zeros are the same where nothing is below.
 */
function padsBefore(map: LayerMap): Map<string, Layer> {
  const makers = makersOf(map.layers);
  const counts = new Map<string, number>();
  for (const value of [...map.layers.flatMap(valuesRead), ...map.outputs.map(({ value }) => value)]) counts.set(value, (counts.get(value) ?? 0) + 1);
  const positive = new Set<string>();
  const found = new Map<string, Layer>();
  for (const layer of map.layers) {
    if (isNeverNegative(layer, (value) => positive.has(value))) for (const value of layer.outputs) positive.add(value);
    const pad = makers.get(layer.inputs[0] ?? '');
    if (pad?.op !== 'Pad' || pad.inputs.length !== 1 || pad.attributes.mode !== 'constant' || counts.get(layer.inputs[0]!) !== 1) continue;
    if (layer.attributes.auto_pad !== 'NOTSET' && layer.attributes.auto_pad !== 'VALID') continue;
    const value = pad.attributes.value;
    const isTaken = layer.op === 'Conv' ? value === 0 : layer.op === 'MaxPool' && (value === -Infinity || (value === 0 && positive.has(pad.inputs[0]!)));
    if (isTaken && spatialPads(pad)) found.set(layer.name, pad);
  }
  return found;
}

/** [before..., after...] of the spatial axes; null where other axes are padded, or something is cut off. */
function spatialPads({ attributes: { pads } }: Layer): readonly number[] | null {
  if (!isNumbers(pads)) return null;
  const rank = pads.length / 2;
  const isSpatial = pads.every((amount, i) => (i % rank < 2 ? amount === 0 : amount >= 0));
  return isSpatial ? [...pads.slice(2, rank), ...pads.slice(rank + 2)] : null;
}

function placeOf({ name, canonicalName, op }: Layer): LayerPlace {
  return { name: canonicalName ?? name, op };
}

/** What a layer's attributes come to with what flows in. */
interface Reading {
  /** Null where the layer has no padding; what of it is `read`, where strides pass over the rest. */
  padding(layer: Layer): { readonly told: string; readonly read: string } | null;
  /** Counted from the front. */
  attribute(layer: Layer, name: string): AttributeValue | undefined;
}

function readingOf(map: LayerMap, pads: ReadonlyMap<string, Layer>): Reading {
  const shapes = inferShapes(map.layers, new Map(map.inputs.map((port) => [port.value, portValueShape(port)])));
  const shapeOf = ({ inputs }: Layer): readonly Dim[] | null | undefined => shapes.get(inputs[0] ?? '');
  return {
    padding(layer) {
      const sizes = shapeOf(layer)?.slice(2) ?? [];
      const own = paddingOf(layer, sizes);
      const before = pads.get(layer.name);
      const more = (before && spatialPads(before)) ?? [];
      if (own === null || typeof own === 'string') return own === null ? null : { told: own, read: own };
      const all = own.map((amount, i) => amount + (more[i] ?? 0));
      const bare = sizes.map((size, axis) => (typeof size === 'number' ? size - (more[axis] ?? 0) - (more[axis + sizes.length] ?? 0) : size));
      return { told: all.join(), read: readPadding(layer, all, bare).join() };
    },
    attribute(layer, name) {
      const value = layer.attributes[name];
      const rank = shapeOf(layer)?.length;
      if (rank === undefined || !/^ax[ei]s$/.test(name)) return value;
      const fromFront = (axis: number) => (axis < 0 ? axis + rank : axis);
      if (typeof value === 'number') return fromFront(value);
      return isNumbers(value) ? value.map(fromFront) : value;
    },
  };
}

/** Paddings in numbers, where a layer says them in words: 'SAME_UPPER' depends on the size of what flows in. */
function paddingOf({ attributes }: Layer, sizes: readonly Dim[]): readonly number[] | string | null {
  const { auto_pad, pads, kernel_shape, strides, dilations } = attributes as Readonly<Record<string, AttributeValue | undefined>>;
  if (auto_pad === undefined || !isNumbers(pads) || !isNumbers(kernel_shape) || !isNumbers(strides)) return null;
  if (auto_pad === 'NOTSET') return pads;
  if (auto_pad === 'VALID') return pads.map(() => 0);
  const ends = kernel_shape.map((kernel, axis) => {
    const extent = (kernel - 1) * (isNumbers(dilations) ? dilations[axis]! : 1) + 1;
    const [size, stride] = [sizes[axis], strides[axis]!];
    if (typeof size !== 'number' && stride !== 1) return null;
    const total = typeof size === 'number' ? Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size) : extent - 1;
    const less = Math.floor(total / 2);
    return auto_pad === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
  });
  if (ends.includes(null)) return String(auto_pad);
  return [...ends.map((end) => end![0]!), ...ends.map((end) => end![1]!)];
}

/** Paddings without the rows and columns at the end that no window reaches. */
function readPadding({ attributes }: Layer, pads: readonly number[], sizes: readonly Dim[]): readonly number[] {
  const { kernel_shape, strides, dilations, ceil_mode } = attributes as Readonly<Record<string, AttributeValue | undefined>>;
  if (ceil_mode || !isNumbers(kernel_shape) || !isNumbers(strides)) return pads;
  return pads.map((amount, i) => {
    const axis = i - sizes.length;
    const size = sizes[axis];
    if (axis < 0 || typeof size !== 'number') return amount;
    const extent = (kernel_shape[axis]! - 1) * (isNumbers(dilations) ? dilations[axis]! : 1) + 1;
    const padded = size + pads[axis]! + amount;
    return padded < extent ? amount : amount - ((padded - extent) % strides[axis]!);
  });
}

function isNumbers(value: AttributeValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'number');
}

function differences(a: Layer, b: Layer, readA: Reading, readB: Reading): string[] {
  if (a.op !== b.op) return [`${a.op} and ${b.op}`];
  const [padsA, padsB] = [readA.padding(a), readB.padding(b)];
  const found = padsA !== null && padsB !== null && padsA.read !== padsB.read ? [`pads ${padsA.told} and ${padsB.told}`] : [];
  const hasKernel = Boolean(a.weights.kernel && b.weights.kernel);
  for (const name of new Set([...Object.keys(a.attributes), ...Object.keys(b.attributes)])) {
    const isSaid = name === 'kernel_shape' ? hasKernel : (name === 'pads' || name === 'auto_pad') && padsA !== null && padsB !== null;
    const [own, other] = [readA.attribute(a, name), readB.attribute(b, name)];
    if (!isSaid && !isSameAttribute(own, other) && !(name === 'epsilon' && isFloor(own, other))) found.push(`${name} ${textOf(own)} and ${textOf(other)}`);
  }
  return found;
}

/** Numbers that went through float32 are the same. */
function isSameAttribute(a: AttributeValue | undefined, b: AttributeValue | undefined): boolean {
  if (typeof a === 'number' && typeof b === 'number') return Math.fround(a) === Math.fround(b);
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => isSameAttribute(value, b[i]));
  return a === b;
}

/** PyTorch's epsilon, and the smallest that TensorFlow's normalisation of pictures takes, which puts it in its place. */
const [USUAL_EPSILON, FLOOR] = [1e-5, 1.001e-5].map(Math.fround) as [number, number];

function isFloor(a: AttributeValue | undefined, b: AttributeValue | undefined): boolean {
  return [a, b].every((epsilon) => typeof epsilon === 'number' && [USUAL_EPSILON, FLOOR].includes(Math.fround(epsilon)));
}

const MAX_TEXT = 60;

function textOf(value: AttributeValue | undefined): string {
  const text = value === undefined ? 'left out' : Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text;
}

function portDifferences(what: 'input' | 'output', a: readonly Port[], b: readonly Port[]): string[] {
  if (a.length !== b.length) return [`${a.length} ${what}s and ${b.length}`];
  return a.flatMap((port, i) => {
    const other = b[i]!;
    const found: string[] = [];
    const isTurned = sizesOf(portValueShape(port)) === sizesOf(portValueShape(other));
    if (sizesOf(port.shape) !== sizesOf(other.shape)) {
      const how = (one: Port) => `[${sizesOf(one.shape)}]${one.layout === 'other' ? '' : ` (${one.layout})`}`;
      found.push(`${what} "${port.name}" is ${how(port)}, "${other.name}" is ${how(other)}${isTurned ? ': the same in another layout' : ''}`);
    }
    if (port.dtype !== other.dtype) found.push(`${what} "${port.name}" is ${port.dtype}, "${other.name}" is ${other.dtype}`);
    return found;
  });
}

/** Free sizes whatever they are called. */
function sizesOf(shape: readonly Dim[]): string {
  return shape.map((size) => (typeof size === 'number' ? size : '?')).join(', ');
}
