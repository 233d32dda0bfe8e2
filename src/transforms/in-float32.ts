/** A net of doubles or of half precision that computes in float32: its ports, weights, casts and everything that flows as floats. */
import { ModelError, throwAll } from '../errors.js';
import type { Change } from '../model/edited.js';
import { floatsAs32, isOtherFloat, layerInFloat32 } from '../model/in-float32.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import { inferMap } from '../model/ops/index.js';

/** Whether anything of the net is computed in other floats than float32. */
export function computesInOtherFloats(map: LayerMap): boolean {
  if (map.inputs.some(({ valueDType }) => isOtherFloat(valueDType))) return true;
  return [...inferMap(map).values()].some(({ dtype }) => isOtherFloat(dtype));
}

/** @throws ModelError 'unsupported' naming what is kept as it came, and computes in floats of its own */
export function computeInFloat32(map: LayerMap): { readonly map: LayerMap; readonly change: Change } {
  const types = inferMap(map);
  const kept = map.layers.filter(({ foreign, outputs, inputs }) => foreign && [...inputs, ...outputs].some((name) => isOtherFloat(types.get(name)?.dtype)));
  if (kept.length > 0) {
    const errors = kept.map(
      ({ name, foreign }) => new ModelError('unsupported', `${foreign!.op} is kept as it came, and computes in floats of its own`, { layer: name }),
    );
    throwAll(errors, 'The net cannot be made to compute in float32:');
  }
  const found = new Set([...map.inputs.map(({ valueDType }) => valueDType), ...[...types.values()].map(({ dtype }) => dtype)].filter(isOtherFloat));
  const changed = map.layers.map(layerInFloat32);
  const layers = map.layers.filter((layer, i) => layer !== changed[i]).map(({ name }) => name);
  const message = `what computed in ${[...found].join(' and ')} computes in float32`;
  return {
    map: { ...map, inputs: map.inputs.map(changedPort), outputs: map.outputs.map(changedPort), layers: changed },
    change: { transform: 'in-float32', message, layers },
  };
}

function changedPort(port: Port): Port {
  return { ...port, dtype: floatsAs32(port.dtype), ...(port.valueDType ? { valueDType: floatsAs32(port.valueDType) } : {}) };
}
