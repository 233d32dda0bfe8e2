/** An operator's own settings, driven by what its definition says of them: other words, switches, axes, and the numbers that frameworks have as defaults. */
import { slotName } from '../../model/ops/operator.js';
import { type Cause, type Family, type Suspect, withAttributes } from './cause.js';

/** Numbers that frameworks have as defaults, or that were seen in their files. */
const DEFAULTS: Readonly<Record<string, readonly number[]>> = {
  epsilon: [1e-5, 1e-3, 1e-6, 1e-4, 1e-7, 1e-12, 1e-8, 2e-5, 1e-9, 1.001e-5, 1e-2, 0],
  alpha: [0.01, 0.1, 0.2, 0.3, 0.25, 0.5, 1, 1 / 6, 1.6732632423543772, 1.0507009873554805, 1e-4, 5e-5, 2e-5, 0],
  beta: [0.5, 0.75, 0.2, 1],
  bias: [0, 1, 2],
  gamma: [1, 1.0507009873554805],
  cubic_coeff_a: [-0.75, -0.5],
  lambd: [0, 0.5],
  size: [3, 5, 7, 2, 4],
  p: [1, 2, 3],
};

/** Attributes whose numbers are places of axes. */
const AXES: ReadonlySet<string> = new Set(['axis', 'axes', 'batch_axis', 'time_axis']);

export const settings: Family = function* (suspect) {
  const { layer, operator } = suspect;
  const { attributes } = layer;
  for (const [name, { type, words }] of Object.entries(operator.attributes)) {
    const value = attributes[name];
    const other = (changed: number | string | readonly number[]): Cause => ({
      kind: name.replaceAll('_', '-'),
      what: `${name} ${shown(changed)} for ${shown(value)}`,
      layer: withAttributes(layer, { [name]: changed }),
    });
    if (words) for (const word of words) if (word !== value) yield other(word);
    if (AXES.has(name)) yield* axes(suspect, name, other);
    else if ((type === 'float' || type === 'int') && DEFAULTS[name]) for (const number of DEFAULTS[name]) if (number !== value) yield other(number);
    if (type === 'int' && (value === 0 || value === 1) && !AXES.has(name) && !DEFAULTS[name]) yield other(1 - value);
    if (type === 'int' && typeof value === 'number' && value > 2) for (const near of [value - 1, value + 1]) yield other(near);
  }
  yield* pairs(suspect);
};

/** Two settings that go together: how a Resize samples and rounds, both slopes of a hard sigmoid. */
const TOGETHER: readonly (readonly [string, string])[] = [
  ['coordinate_transformation_mode', 'nearest_mode'],
  ['coordinate_transformation_mode', 'mode'],
  ['alpha', 'beta'],
  ['alpha', 'gamma'],
];

function* pairs({ layer, operator }: Suspect): Iterable<Cause> {
  for (const [a, b] of TOGETHER) {
    const [first, second] = [operator.attributes[a], operator.attributes[b]];
    if (!first || !second || layer.attributes[a] === undefined || layer.attributes[b] === undefined) continue;
    for (const x of first.words ?? DEFAULTS[a] ?? []) {
      for (const y of second.words ?? DEFAULTS[b] ?? []) {
        if (x === layer.attributes[a] || y === layer.attributes[b]) continue;
        yield { kind: a.replaceAll('_', '-'), what: `${a} ${shown(x)} and ${b} ${shown(y)}`, layer: withAttributes(layer, { [a]: x, [b]: y }) };
      }
    }
  }
}

function* axes({ layer, inputs }: Suspect, name: string, other: (value: number | readonly number[]) => Cause): Iterable<Cause> {
  const rank = inputs[0]?.shape.length ?? 0;
  const value = layer.attributes[name];
  const front = (axis: number) => (axis < 0 ? axis + rank : axis);
  if (typeof value === 'number') for (let axis = 0; axis < rank; axis++) if (axis !== front(value)) yield other(axis);
  if (!Array.isArray(value)) return;
  const own = (value as readonly number[]).map(front);
  const rest = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !own.includes(axis));
  for (const axis of rest) yield other([...own, axis].sort());
  if (own.length > 1) for (const axis of own) yield other(own.filter((each) => each !== axis));
  else for (const axis of rest) yield other([axis]);
}

/** Lists of numbers, such as a Transpose's order: turned round, and its inverse. */
export const lists: Family = function* ({ layer, operator }) {
  for (const [name, { type }] of Object.entries(operator.attributes)) {
    const value = layer.attributes[name];
    if (type !== 'ints' || !Array.isArray(value) || value.length < 2 || WINDOWS.has(name)) continue;
    const list = value as readonly number[];
    const other = (changed: readonly number[]): Cause => ({
      kind: name,
      what: `${name} [${changed}] for [${list}]`,
      layer: withAttributes(layer, { [name]: changed }),
    });
    yield other(list.toReversed());
    for (let i = 0; i + 1 < list.length; i++) yield other(list.with(i, list[i + 1]!).with(i + 1, list[i]!));
    if (name === 'perm') yield other(list.map((_, axis) => list.indexOf(axis)));
    if (name === 'starts' || name === 'ends') for (const by of [1, -1]) yield other(list.map((place) => place + by));
  }
};

/** What `windows.ts` sees to. */
const WINDOWS: ReadonlySet<string> = new Set(['strides', 'dilations', 'pads', 'kernel_shape', 'output_padding']);

/** A setting, for messages. */
export function shown(value: unknown): string {
  return Array.isArray(value) ? `[${value}]` : typeof value === 'number' ? `${Number(value.toPrecision(6))}` : `${value}`;
}

/** Whether an operator has a slot of that name. */
export function hasSlot({ operator }: Pick<Suspect, 'operator'>, name: string): boolean {
  return operator.slots.map(slotName).includes(name);
}
