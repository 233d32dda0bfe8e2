/** Layouts of ports: how the axes that a user sees relate to the channels-first values inside the map. */
import type { Dim, Layer, Layout, Port } from './layer-map.js';

const CHANNELS_LAST: ReadonlySet<Layout> = new Set(['nwc', 'nhwc', 'ndhwc']);

export function isChannelsLast(layout: Layout): boolean {
  return CHANNELS_LAST.has(layout);
}

/** The permutation from channels-last to channels-first axes: result axis i is input axis `order[i]`. */
export function toChannelsFirst(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
}

/** The permutation from channels-first to channels-last axes. */
export function toChannelsLast(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
}

/** The names, each made unlike those before it as Keras does: 'encoder', 'encoder_1'. What is unique stays as it is. */
export function uniqueNames(names: readonly string[]): string[] {
  const given = new Set(names);
  const taken = new Set<string>();
  // Where to go on for each name: from the first number on, thousands of one name would take the square of that.
  const next = new Map<string, number>();
  return names.map((name) => {
    let own = name;
    let i = next.get(name) ?? 1;
    for (; taken.has(own) || (own !== name && given.has(own)); i++) own = `${name}_${i}`;
    next.set(name, i);
    taken.add(own);
    return own;
  });
}

/** Shape of the value behind a port, channels-first. */
export function portValueShape(port: Pick<Port, 'shape' | 'layout'>): readonly Dim[] {
  if (!isChannelsLast(port.layout)) return port.shape;
  return toChannelsFirst(port.shape.length).map((axis) => port.shape[axis]!);
}

/** Axes are only named where a graph shows what they are: a convolution takes its channels second. */
export function inputLayout(value: { readonly name: string; readonly shape: readonly Dim[] | null }, layers: readonly Layer[]): Layout {
  const readers = layers.filter(({ inputs }) => inputs.includes(value.name));
  const isPicture = readers.length > 0 && readers.every(({ op, inputs }) => op === 'Conv' && inputs[0] === value.name);
  const layouts: Readonly<Record<number, Layout>> = { 3: 'ncw', 4: 'nchw', 5: 'ncdhw' };
  return (isPicture && layouts[value.shape?.length ?? 0]) || 'other';
}
