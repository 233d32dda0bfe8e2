/**
 * Takes out layers that undo, repeat or do nothing: Identities, Casts to the dtype that a value has or had before it was made wider,
 * Transposes that follow each other, Reshapes (and Flatten, Squeeze, Unsqueeze) that follow each other or keep the shape.
 *
 * Values that the net shows keep a layer that makes them.
 */
import { identity, sameOrder } from '../model/axis-order.js';
import type { DType } from '../model/dtype.js';
import type { Dim, Layer, LayerMap } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';
import { type Transformed, type Wiring, wiringOf, withoutUnread } from './wiring.js';

/** What each is held by without a loss. */
const WIDER: Readonly<Partial<Record<DType, readonly DType[]>>> = {
  float16: ['float32', 'float64'],
  bfloat16: ['float32', 'float64'],
  float32: ['float64'],
  bool: ['uint8', 'int8', 'int16', 'uint16', 'int32', 'int64', 'float16', 'float32', 'float64'],
  uint8: ['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float16', 'float32', 'float64'],
  int8: ['int16', 'int32', 'int64', 'float16', 'float32', 'float64'],
  int16: ['int32', 'int64', 'float32', 'float64'],
  uint16: ['int32', 'uint32', 'int64', 'uint64', 'float32', 'float64'],
  int32: ['int64', 'float64'],
  uint32: ['int64', 'uint64', 'float64'],
};

const RESHAPES: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

export function removeRedundant(map: LayerMap): Transformed {
  const wiring = wiringOf(map);
  /** What stands for a value now. */
  const same = new Map<string, string>();
  const made = new Map<string, Layer>();
  const touched: string[] = [];
  const layers = map.layers.flatMap((layer) => {
    const read = renamed(layer, same);
    let shorter = layer.foreign || layer.outputs.length !== 1 ? read : shortened(read, wiring, made);
    if (typeof shorter === 'string' && wiring.isNamed(layer.outputs[0]!)) {
      // What the net shows, or a kept node reads by its name, must have it.
      const isNearer = shorter === read.inputs[0];
      shorter = isNearer ? read : makeLayer({ name: layer.name, op: 'Identity', inputs: [shorter], outputs: layer.outputs });
    }
    if (shorter !== read) touched.push(layer.name);
    if (typeof shorter === 'string') {
      same.set(layer.outputs[0]!, shorter);
      return [];
    }
    for (const value of shorter.outputs) made.set(value, shorter);
    return [shorter];
  });
  if (touched.length === 0) return { map, change: null };
  const message = `${touched.length} layers that undo or repeat what is before them were taken out`;
  // What only those read that were taken out goes too; what nothing read before is left to `dead-ends.ts`.
  const before = new Set(map.layers.flatMap(({ inputs }) => inputs));
  const mayGo = ({ op, outputs }: Layer) => RESTING.has(op) && outputs.length === 1 && before.has(outputs[0]!);
  return { map: { ...map, layers: withoutUnread(layers, map, mayGo) }, change: { transform: 'remove-redundant', message, layers: touched } };
}

function renamed(layer: Layer, same: ReadonlyMap<string, string>): Layer {
  return layer.inputs.some((value) => same.has(value)) ? { ...layer, inputs: layer.inputs.map((value) => same.get(value) ?? value) } : layer;
}

/** The same from what lies further back, or the value that it is; the layer itself where it is needed. */
function shortened(layer: Layer, wiring: Wiring, made: ReadonlyMap<string, Layer>): Layer | string {
  const [value = ''] = layer.inputs;
  if (layer.op === 'Identity') return value;
  const before = made.get(value);
  if (layer.op === 'Cast') {
    const to = layer.attributes.to as DType;
    if (wiring.types.get(value)?.dtype === to) return value;
    const source = before?.op === 'Cast' ? before.inputs[0]! : '';
    const from = wiring.types.get(source)?.dtype;
    const isHeld = from && WIDER[from]?.includes(before!.attributes.to as DType);
    return isHeld ? (from === to ? source : { ...layer, inputs: [source] }) : layer;
  }
  if (layer.op === 'Transpose') {
    const perm = layer.attributes.perm as readonly number[];
    if (sameOrder(perm, identity(perm.length))) return value;
    if (before?.op !== 'Transpose') return layer;
    const inner = before.attributes.perm as readonly number[];
    const both = perm.map((axis) => inner[axis]!);
    if (sameOrder(both, identity(both.length))) return before.inputs[0]!;
    return { ...layer, inputs: before.inputs, attributes: { ...layer.attributes, perm: both } };
  }
  if (!RESHAPES.has(layer.op)) return layer;
  const shape = wiring.shape(layer.outputs[0]);
  if (!shape) return layer;
  if (isAlike(shape, wiring.shape(value))) return value;
  if (!before || !RESHAPES.has(before.op)) return layer;
  const source = before.inputs[0]!;
  const from = wiring.shape(source);
  if (isAlike(shape, from)) return source;
  const sizes = from && reshapeSizes(shape, from);
  return sizes ? makeLayer({ name: layer.name, op: 'Reshape', inputs: [source], outputs: layer.outputs, attributes: { shape: sizes } }) : layer;
}

function isAlike(a: readonly Dim[], b: readonly Dim[] | null | undefined): boolean {
  return b?.length === a.length && a.every((size, axis) => size === b[axis]);
}

/** A Reshape's sizes: a free one is copied where it stays in its place, and one may be what is left over. */
function reshapeSizes(shape: readonly Dim[], from: readonly Dim[]): readonly number[] | null {
  const sizes = shape.map((size, axis) => (typeof size === 'number' ? size : from[axis] === size ? 0 : -1));
  return shape.includes(0) || sizes.filter((size) => size === -1).length > 1 ? null : sizes;
}

const RESTING: ReadonlySet<string> = new Set(['Cast', 'Transpose', ...RESHAPES]);
