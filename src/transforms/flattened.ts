/**
 * Flattened pictures of channels-last nets: the map counts their elements channels first, and dense layers have their rows turned to
 * match. Where such a value is shown, its elements are counted as the source counts them.
 */
import { ModelError } from '../errors.js';
import type { Dim, Layer, LayerMap } from '../model/layer-map.js';
import type { ValueType } from '../model/ops/index.js';
import { makeLayer } from '../model/ops/index.js';
import { toChannelsLast } from '../model/ports.js';

/** [C, ...spatial] of a flattened picture; 'mixed' where it met other values, so that no order can be told. */
type Flattened = readonly Dim[] | 'mixed';

/** Values whose elements are counted otherwise than in the source. @param pictures values that have their channels second */
export function flattenedPictures(
  map: Pick<LayerMap, 'layers'>,
  types: ReadonlyMap<string, ValueType>,
  pictures: ReadonlySet<string>,
): ReadonlyMap<string, Flattened> {
  const found = new Map<string, Flattened>();
  for (const layer of map.layers) {
    const [value = ''] = layer.inputs;
    const [made = ''] = layer.outputs;
    const shape = types.get(value)?.shape;
    const flattens = (layer.op === 'Flatten' || layer.op === 'Reshape') && pictures.has(value) && types.get(made)?.shape?.length === 2;
    if (flattens && shape) {
      // One pixel, or one channel, has one order only.
      if (shape[1] !== 1 && shape.slice(2).some((size) => size !== 1)) found.set(made, shape.slice(1));
      continue;
    }
    if (!layer.inputs.some((input) => found.has(input)) || takesRows(layer)) continue;
    const unflattened = found.get(value);
    const isAlike = layer.inputs.length === 1 && layer.outputs.length === 1 && layer.op !== 'Reshape' && `${types.get(made)?.shape}` === `${shape}`;
    // A Reshape back to the picture shows that all is well again.
    if (layer.op === 'Reshape' && unflattened && unflattened !== 'mixed' && `${types.get(made)?.shape?.slice(1)}` === `${unflattened}`) continue;
    for (const output of layer.outputs) found.set(output, isAlike && unflattened ? unflattened : 'mixed');
  }
  return found;
}

/** A dense layer has its rows in the order in which the map counts. */
function takesRows({ op, weights }: Layer): boolean {
  return (op === 'Gemm' || op === 'MatMul') && weights.kernel !== undefined;
}

/** The layers that count a flattened picture as the source does. @throws ModelError 'unsupported' where its order cannot be told */
export function asInSource(value: string, flattened: Flattened, taken: ReadonlySet<string>): readonly Layer[] {
  if (flattened === 'mixed' || flattened.some((size) => typeof size !== 'number')) {
    throw new ModelError(
      'unsupported',
      'its elements are counted otherwise here than in the source, and how they mix there is not known: end the net before or behind it',
      {
        layer: value,
      },
    );
  }
  const sizes = flattened as readonly number[];
  const name = (step: string) => {
    let free = `${value}/${step}`;
    for (let i = 2; taken.has(free); i++) free = `${value}/${step}_${i}`;
    return free;
  };
  const [picture, turned, flat] = [name('unflatten'), name('channels_last'), name('flatten_again')];
  const step = (op: string, from: string, to: string, attributes = {}) => makeLayer({ name: to, op, inputs: [from], outputs: [to], attributes });
  return [
    step('Reshape', value, picture, { shape: [0, ...sizes] }),
    step('Transpose', picture, turned, { perm: toChannelsLast(sizes.length + 1) }),
    step('Flatten', turned, flat),
  ];
}
