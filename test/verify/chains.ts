/** Nets of neighbouring operators, made of their settings; and many of them as one net, which is one file for all. */
import type { DType } from '../../src/model/dtype.js';
import type { Layer, LayerMap, Layout, Port } from '../../src/model/layer-map.js';
import { inferValues, makeLayer, type ValueType } from '../../src/model/ops/index.js';
import { toChannelsLast } from '../../src/model/ports.js';
import { numbers } from '../caffe-net.js';
import { emptyMap } from '../writers/onnx-cases.js';
import type { Draft, Neighbour } from './neighbours.js';

export interface Start {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** What nets begin with; the first that the operators take. */
export const STARTS: readonly Start[] = [
  { shape: [2, 4, 6, 7], dtype: 'float32' },
  { shape: [2, 8, 6], dtype: 'float32' },
  { shape: [3, 8], dtype: 'float32' },
  { shape: [2, 2, 3], dtype: 'float32' },
  { shape: [2, 4, 6, 8], dtype: 'float32' },
  { shape: [2, 1, 6, 7], dtype: 'float32' },
  { shape: [2, 4, 6, 7], dtype: 'int32' },
  { shape: [2, 4, 6, 7], dtype: 'bool' },
  { shape: [2, 4, 6, 7], dtype: 'uint8' },
  { shape: [2, 3], dtype: 'int64' },
  { shape: [2, 4, 4], dtype: 'float32' },
];

export interface Chain {
  readonly title: string;
  readonly map: LayerMap;
  readonly drafts: readonly Draft[];
}

interface ChainOptions {
  readonly layout?: Layout;
  /** Whether what each makes is an output too. */
  readonly branches?: boolean;
  readonly start?: Start;
}

/**
 * A net of the neighbours in a row.
 *
 * @returns null where one of them does not take what the one before makes
 */
export function chain(makers: readonly Neighbour[], seed: number, { layout = 'nchw', branches = false, start = STARTS[0]! }: ChainOptions = {}): Chain | null {
  const random = numbers(seed + 1);
  const layers: Layer[] = [];
  const drafts: Draft[] = [];
  const inputs = [port('x', start, layout)];
  let types = new Map<string, ValueType>([['x', start]]);
  let value = 'x';
  for (const [i, make] of makers.entries()) {
    const { shape, dtype } = types.get(value)!;
    if (!shape?.every((size) => typeof size === 'number') || dtype === null) return null;
    const draft = make(shape, random, dtype);
    if (!draft) return null;
    drafts.push(draft);
    // The other operand: the same value through another operator, so that no optimiser can take the two for one.
    if (draft.second) layers.push(makeLayer({ name: `other${i}`, op: 'Softplus', inputs: [value], outputs: [`other${i}`] }));
    const constants = [...(draft.before ?? []), ...(draft.behind ?? [])].map((tensor, k) => {
      const name = `made${i}.c${k}`;
      layers.push(makeLayer({ name, op: 'Constant', inputs: [], outputs: [name], weights: { value: { ...tensor, name } } }));
      return name;
    });
    const before = draft.before?.length ?? 0;
    const weights = Object.fromEntries(Object.entries(draft.weights ?? {}).map(([role, weight]) => [role, { ...weight, name: `made${i}.${role}` }]));
    try {
      layers.push(
        makeLayer(
          {
            name: `made${i}`,
            op: draft.op,
            inputs: [...constants.slice(0, before), value, ...(draft.second ? [`other${i}`] : []), ...constants.slice(before)],
            outputs: Array.from({ length: draft.outputs ?? 1 }, (_, k) => (k === 0 ? `made${i}` : `made${i}.${k}`)),
            attributes: draft.attributes,
            weights,
          },
          draft.before || draft.behind ? undefined : [shape],
        ),
      );
      types = inferValues(layers, new Map([['x', start]]));
    } catch {
      return null;
    }
    value = `made${i}`;
  }
  const shown = branches ? makers.map((_, i) => `made${i}`) : [value];
  const outputs = shown.map((name) => ({ ...port(name, types.get(name)! as Start, layout), name: `out_${name}` }));
  return { title: drafts.map(({ title }) => title).join(' > '), map: { ...emptyMap, inputs, outputs, layers }, drafts };
}

function port(value: string, { shape, dtype }: Start, layout: Layout): Port {
  const turned = layout === 'nhwc' && shape.length === 4;
  return {
    name: value,
    value,
    dtype,
    ...(dtype === 'float32' ? {} : { valueDType: dtype }),
    shape: turned ? toChannelsLast(4).map((axis) => shape[axis]!) : shape,
    layout: turned ? layout : shape.length === 4 ? 'nchw' : 'other',
  };
}

/** Nets side by side: no value of one is another's, so that each is optimised as if it were alone. */
export function joined(maps: readonly LayerMap[]): LayerMap {
  const own = (i: number) => (name: string) => (name === '' ? '' : `n${i}_${name}`);
  const ports = (ports: readonly Port[], i: number) => ports.map((one) => ({ ...one, name: own(i)(one.name), value: own(i)(one.value) }));
  return {
    ...emptyMap,
    inputs: maps.flatMap(({ inputs }, i) => ports(inputs, i)),
    outputs: maps.flatMap(({ outputs }, i) => ports(outputs, i)),
    layers: maps.flatMap(({ layers }, i) =>
      layers.map((layer) => ({
        ...layer,
        name: own(i)(layer.name),
        inputs: layer.inputs.map(own(i)),
        outputs: layer.outputs.map(own(i)),
        weights: Object.fromEntries(Object.entries(layer.weights).map(([role, weight]) => [role, { ...weight, name: own(i)(weight.name) }])),
      })),
    ),
  };
}
