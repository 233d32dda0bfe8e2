/** In what a net's own framework computes it, where that is coarser than float32. */
import type { LayerMap } from '../model/layer-map.js';
import { inferMap } from '../model/ops/index.js';

/** Layers that compute nothing: what they give out in a narrow dtype may be computed with in float32 behind them. */
const MOVES: ReadonlySet<string> = new Set(['Cast', 'Constant', 'Identity', 'Reshape', 'Transpose', 'DequantizeLinear']);

/** As its source says, or as the values say that flow through the graph. */
export function arithmeticOf(map: LayerMap): LayerMap['arithmetic'] {
  if (map.arithmetic) return map.arithmetic;
  const types = inferMap(map);
  const made = new Set(map.layers.flatMap(({ op, outputs }) => (MOVES.has(op) ? [] : outputs.map((output) => types.get(output)?.dtype))));
  return (['bfloat16', 'float16'] as const).find((dtype) => made.has(dtype));
}
