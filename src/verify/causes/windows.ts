/** Windows that slide: strides, dilations, paddings and their sides, groups, one pooling for another. */
import type { Layer } from '../../model/layer-map.js';
import { pickElements, type Value } from '../../model/ops/array.js';
import { makeLayer } from '../../model/ops/index.js';
import { computedTensor, elementCount, sliceAxis, type Tensor, tensorBytes } from '../../model/tensor.js';
import { type Cause, type Family, type Suspect, withAttributes, withWeights } from './cause.js';
import { MOST_HELD } from './edit.js';

export const windows: Family = function* (suspect) {
  const { layer } = suspect;
  if (layer.op === 'Pad') yield* ofPad(layer);
  const { strides, dilations, kernel_shape: kernel } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  const pads = padsOf(suspect);
  if (!pads || !kernel) return;
  const axes = pads.length / 2;
  const other = (kind: string, name: string, value: readonly number[], more: Layer['attributes'] = {}): Cause => ({
    kind,
    what: `${name} [${value}] for [${name === 'pads' ? pads : layer.attributes[name]}]`,
    layer: withAttributes(layer, { auto_pad: 'NOTSET', pads, ...more, [name]: value }),
  });
  for (const changed of otherPads(pads)) yield other('padding', 'pads', changed);
  const every = (size: number) => kernel.map(() => size);
  if (strides) {
    for (const changed of [every(1), every(2), strides.toReversed(), every(3), [...kernel], every(4)].filter((value) => `${value}` !== `${strides}`)) {
      yield other('stride', 'strides', changed);
      // A framework that pads by itself pads otherwise then.
      yield other('stride', 'strides', changed, { pads: samePads(suspect, changed, kernel) });
    }
  }
  if (dilations) {
    for (const changed of [every(1), every(2), dilations.toReversed(), every(3), every(4)].filter((value) => `${value}` !== `${dilations}`)) {
      yield other('dilation', 'dilations', changed);
      const grown = pads.map((pad, i) => pad + Math.floor(((changed[i % axes]! - dilations[i % axes]!) * (kernel[i % axes]! - 1)) / 2));
      if (grown.every((pad) => pad >= 0)) yield other('dilation', 'dilations', changed, { pads: grown });
    }
  }
  if (!layer.weights.kernel)
    for (const changed of [every(1), every(2), every(3), kernel.toReversed()]) if (`${changed}` !== `${kernel}`) yield other('window', 'kernel_shape', changed);
  if (layer.attributes.output_padding) for (const size of [0, 1]) yield other('output-padding', 'output_padding', every(size));
};

function* ofPad(layer: Layer): Iterable<Cause> {
  const { pads } = layer.attributes;
  if (!Array.isArray(pads)) return;
  for (const changed of otherPads(pads as readonly number[]))
    yield { kind: 'padding', what: `pads [${changed}] for [${pads}]`, layer: withAttributes(layer, { pads: changed }) };
}

/** Other amounts and sides. */
function otherPads(pads: readonly number[]): number[][] {
  const axes = pads.length / 2;
  const [begin, end] = [pads.slice(0, axes), pads.slice(axes)];
  const sums = begin.map((size, axis) => size + end[axis]!);
  const found = [
    pads.map(() => 0),
    [...end, ...begin],
    [...sums, ...sums.map(() => 0)],
    [...sums.map(() => 0), ...sums],
    [...sums.map((sum) => Math.floor(sum / 2)), ...sums.map((sum) => Math.ceil(sum / 2))],
    [...sums.map((sum) => Math.ceil(sum / 2)), ...sums.map((sum) => Math.floor(sum / 2))],
    pads.map((size) => size + 1),
    pads.map((size) => Math.max(0, size - 1)),
    pads.map(() => 1),
    pads.map((size, i) => (i < axes ? size : size + 1)),
    pads.map((size, i) => (i < axes ? size + 1 : size)),
    pads.map((size, i) => (i < axes ? size : Math.max(0, size - 1))),
    pads.map((size, i) => (i < axes ? Math.max(0, size - 1) : size)),
    pads.map((size, i) => (i < axes ? Math.max(0, size - 1) : size + 1)),
    pads.map((size, i) => (i < axes ? size + 1 : Math.max(0, size - 1))),
    // [begin, end] of each axis, as some formats have it, and axes in another order.
    begin.flatMap((size, axis) => [size, end[axis]!]),
    [...begin.toReversed(), ...end.toReversed()],
    // One axis or side alone.
    ...pads.flatMap((size, i) => (size > 0 ? [pads.with(i, 0)] : [])),
    ...begin.map((_, axis) => pads.map((size, i) => (i % axes === axis ? 0 : size))),
    // Dealt out anew: one axis' end swapped with another's beginning.
    ...pads.flatMap((_, i) => (i + 1 < pads.length ? [pads.with(i, pads[i + 1]!).with(i + 1, pads[i]!)] : [])),
  ];
  const seen = new Set([`${pads}`]);
  return found.filter((changed) => !seen.has(`${changed}`) && seen.add(`${changed}`));
}

/** Padding as numbers, whatever way it is said in. */
function padsOf({ layer, inputs }: Suspect): readonly number[] | null {
  const { pads, auto_pad: auto, strides, kernel_shape: kernel } = layer.attributes;
  if (!Array.isArray(pads) || !Array.isArray(kernel) || layer.op === 'Pad') return null;
  if (auto === 'NOTSET' || auto === undefined) return pads as readonly number[];
  if (auto === 'VALID') return pads.map(() => 0);
  const upper = samePads({ layer, inputs }, strides as readonly number[], kernel as readonly number[]);
  return auto === 'SAME_LOWER' ? [...upper.slice(upper.length / 2), ...upper.slice(0, upper.length / 2)] : upper;
}

function samePads({ layer, inputs }: Pick<Suspect, 'layer' | 'inputs'>, strides: readonly number[], kernel: readonly number[]): number[] {
  const sizes = inputs[0]?.shape.slice(2) ?? [];
  const dilations = (layer.attributes.dilations as readonly number[] | undefined) ?? kernel.map(() => 1);
  const sums = kernel.map((size, axis) => {
    const [inSize, stride, extent] = [sizes[axis] ?? 0, strides[axis]!, (size - 1) * dilations[axis]! + 1];
    return Math.max(0, (Math.ceil(inSize / stride) - 1) * stride + extent - inSize);
  });
  return [...sums.map((sum) => Math.floor(sum / 2)), ...sums.map((sum) => Math.ceil(sum / 2))];
}

/** Another pooling; a sum for a mean. */
export const poolings: Family = function* ({ layer }) {
  const { name, inputs, outputs, attributes } = layer;
  const { kernel_shape, strides, pads, dilations, auto_pad, ceil_mode } = attributes;
  const window = Object.fromEntries(
    Object.entries({ kernel_shape, strides, pads, dilations, auto_pad, ceil_mode }).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    ),
  );
  const becomes = (op: string, given: Layer['attributes'] = {}): Cause => ({
    kind: 'pooling',
    what: `${op} for ${layer.op}`,
    layer: makeLayer({ name, op, inputs: inputs.slice(0, 1), outputs, attributes: given }),
  });
  if (layer.op === 'MaxPool') {
    yield becomes('AveragePool', window);
    yield { ...becomes('AveragePool', { ...window, count_include_pad: 1 }), what: 'AveragePool for MaxPool, padding counted' };
    yield becomes('LpPool', window);
  }
  if (layer.op === 'AveragePool') {
    yield becomes('MaxPool', window);
    const count = (kernel_shape as readonly number[]).reduce((a, b) => a * b, 1);
    const summed = makeLayer({ name, op: 'AveragePool', inputs, outputs, attributes: { ...window, count_include_pad: 1 } });
    yield { kind: 'pooling', what: 'sum for AveragePool', layer: summed, made: (value) => ({ ...value, data: value.data.map((x) => x * count) }) };
  }
  if (layer.op === 'GlobalAveragePool') yield becomes('GlobalMaxPool');
  if (layer.op === 'GlobalMaxPool') yield becomes('GlobalAveragePool');
};

/** Groups of a convolution counted wrongly: all in one, with a kernel that is repeated or thinned out. */
export const groups: Family = function* ({ layer, inputs }) {
  const { kernel } = layer.weights;
  const group = Number(layer.attributes.group ?? 1);
  const channels = inputs[0]?.shape[1];
  if (layer.op !== 'Conv' || !kernel || !channels || elementCount(kernel.shape) > MOST_HELD) return;
  const out = kernel.shape[0]!;
  for (const count of new Set([1, 2, 4, group * 2, group / 2, channels])) {
    if (!Number.isInteger(count) || count < 1 || count === group || channels % count !== 0 || out % count !== 0) continue;
    const inner = channels / count;
    const own = kernel.shape[1]!;
    const what = `${count} groups for ${group}`;
    const said = withAttributes(layer, { group: count });
    if (inner < own)
      yield { kind: 'groups', what: `${what}, the first part of the kernel`, layer: withWeights(said, { kernel: sliceAxis(kernel, 1, 0, inner) }) };
    else yield { kind: 'groups', what: `${what}, the kernel repeated`, layer: withWeights(said, { kernel: repeated(kernel, inner / own) }) };
  }
};

/** What stands at the border where a padding is. */
export const borders: Family = function* (suspect) {
  const { layer } = suspect;
  const pads = padsOf(suspect);
  if (!pads || pads.every((size) => size === 0) || layer.op === 'ConvTranspose') return;
  for (const mode of ['reflect', 'edge', 'wrap'] as const) {
    const plain = withAttributes(layer, { auto_pad: 'NOTSET', pads: pads.map(() => 0) });
    yield { kind: 'padding-mode', what: `${mode} padding for zeros`, layer: plain, read: ([x, ...rest]) => (x ? [padded(x, pads, mode), ...rest] : null) };
  }
};

function padded(x: Value, pads: readonly number[], mode: 'reflect' | 'edge' | 'wrap'): Value {
  const axes = pads.length / 2;
  const lead = x.shape.length - axes;
  const places = x.shape.map((size, axis) => {
    const [begin, end] = axis < lead ? [0, 0] : [pads[axis - lead]!, pads[axis - lead + axes]!];
    return Array.from({ length: begin + size + end }, (_, i) => {
      const at = i - begin;
      if (mode === 'edge') return Math.max(0, Math.min(size - 1, at));
      if (mode === 'wrap') return (at + size) % size;
      const turned = Math.abs(at);
      return size === 1 ? 0 : Math.min(turned, 2 * (size - 1) - turned);
    });
  });
  return pickElements(x, places);
}

/** A kernel with each of its rows repeated along the input channels. */
function repeated(kernel: Tensor, times: number): Tensor {
  const shape = kernel.shape.with(1, kernel.shape[1]! * times);
  return computedTensor(kernel.name, kernel.dtype, shape, kernel.origin, async () => {
    const bytes = await tensorBytes(kernel);
    const row = bytes.byteLength / kernel.shape[0]!;
    const all = new Uint8Array(bytes.byteLength * times);
    for (let at = 0; at < all.byteLength; at += row) all.set(bytes.subarray(Math.floor(at / (row * times)) * row).subarray(0, row), at);
    return all;
  });
}
