/** A part of a net as a net of its own: what stands between some of its values and one that is made of them. */
import { ModelError } from '../errors.js';
import type { DType } from '../model/dtype.js';
import type { Layer, LayerMap, Port } from '../model/layer-map.js';
import { makersOf, valuesRead } from '../model/ops/index.js';
import { cut } from './cut.js';
import { removeDeadEnds } from './dead-ends.js';

/** What a value is that becomes an input. */
export interface Start {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * Inputs and the output have the names of their values, and the layout that they have inside of the net.
 *
 * @param starts values that are fed from now on; whatever made them is left out
 * @param end the value that is the only output
 * @throws ModelError 'unsupported' where the end depends on something else, or a layer that makes a start makes more that is needed
 */
export function between(map: LayerMap, starts: ReadonlyMap<string, Start>, end: string): LayerMap {
  const makers = makersOf(map.layers);
  const needed = new Set<Layer>();
  const open = [end];
  while (open.length > 0) {
    const value = open.pop()!;
    if (starts.has(value)) continue;
    const maker = makers.get(value);
    if (!maker) throw new ModelError('unsupported', `"${end}" depends on "${value}" as well`);
    if (maker.outputs.some((own) => starts.has(own)))
      throw new ModelError('unsupported', 'makes a value that is needed beside one that is fed', { layer: maker.name });
    if (needed.has(maker)) continue;
    needed.add(maker);
    for (const read of valuesRead(maker)) open.push(read);
  }
  const inputs = [...starts].map(([value, { dtype, shape }]): Port => ({ name: value, value, dtype, valueDType: dtype, shape, layout: 'other' }));
  const begun: LayerMap = { ...map, inputs, outputs: [], layers: map.layers.filter((layer) => needed.has(layer)), preparation: undefined, source: undefined };
  const { map: ended } = cut(begun, [makers.get(end)?.outputs.length === 1 ? makers.get(end)!.name : end]);
  return removeDeadEnds({ ...ended, outputs: ended.outputs.map((port) => ({ ...port, name: end })) }).map;
}
