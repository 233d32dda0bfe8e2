/**
 * The tables that position biases were picked from, where a net comes back from a graph that has only the biases: each row of a table stands in
 * them, and the classes of Swin and MaxViT keep the table.
 */
import { toFloat64Array } from '../model/cast.js';
import { derive, relativeIndex } from '../model/derivations.js';
import type { LayerMap, Notice } from '../model/layer-map.js';
import { listedTensor } from '../model/numbers.js';
import { type Tensor, tensorBytes } from '../model/tensor.js';

const BIAS = /\.relative_position_bias$/;
const MASK = /^mask(_\d+)?$/;

/** How torchvision's classes keep the places of pairs in the table, by names that theirs alone have; others work them out. */
const INDEXES: readonly (readonly [name: RegExp, shape: (tokens: number) => readonly number[]])[] = [
  [/^features\.\d+\.\d+\.attn\./, (tokens) => [tokens * tokens]],
  [/\.(window|grid)_attention\.attn_layer\.1\./, (tokens) => [tokens, tokens]],
];

/** The map with tables in the place of biases; null where it has none that a table has the numbers of. */
export async function withPositionTables(map: LayerMap): Promise<{ readonly map: LayerMap; readonly notices: readonly Notice[] } | null> {
  const beside: Tensor[] = [];
  const restored: string[] = [];
  const layers = await Promise.all(
    map.layers.map(async (layer) => {
      const { operand } = layer.weights;
      const mask = operand && MASK.test(operand.name) ? await maskOf(operand) : null;
      if (mask) return { ...layer, weights: { ...layer.weights, operand: mask } };
      const table = operand && BIAS.test(operand.name) ? await tableOf(operand) : null;
      if (!table) return layer;
      const tokens = operand!.shape.at(-1)!;
      const side = Math.sqrt(tokens);
      const path = operand!.name.replace(BIAS, '');
      restored.push(table.name);
      const shape = INDEXES.find(([name]) => name.test(table.name))?.[1](tokens);
      if (shape) beside.push(listedTensor(`${path}.relative_position_index`, 'int64', shape, relativeIndex(side), operand!.origin));
      return { ...layer, weights: { ...layer.weights, operand: derive(operand!.name, 'pair-bias', [table], { side }) } };
    }),
  );
  if (restored.length === 0) return null;
  const message = `${restored.length} tables of positions ("${restored[0]}", ...), which the net's own class keeps, were read off the biases that were picked from them`;
  return { map: { ...map, layers, beside: [...(map.beside ?? []), ...beside] }, notices: [{ code: 'class-names', message }] };
}

/** The same mask, as it follows from the sizes of a picture and its windows; null where it is none of a roll by half a window. */
async function maskOf({ name, shape, dtype, ...tensor }: Tensor): Promise<Tensor | null> {
  const [windows = 0, one, tokens = 0, others] = shape;
  const side = Math.sqrt(tokens);
  if (shape.length !== 4 || one !== 1 || tokens !== others || !Number.isInteger(side) || dtype !== 'float32') return null;
  const own = await tensorBytes({ name, shape, dtype, ...tensor });
  const half = Math.floor(side / 2);
  const rows = Array.from({ length: windows }, (_, i) => i + 1).filter((count) => windows % count === 0);
  for (const count of rows.toSorted((a, b) => Math.abs(a * a - windows) - Math.abs(b * b - windows))) {
    for (const [down, right] of [
      [half, half],
      [half, 0],
      [0, half],
    ] as const) {
      const made = derive(name, 'roll-mask', [], { side, height: count * side, width: (windows / count) * side, down, right });
      const bytes = await tensorBytes(made);
      if (bytes.every((byte, i) => byte === own[i])) return made;
    }
  }
  return null;
}

/** The row for each difference of places; null where pairs that differ alike have not the same. */
async function tableOf(bias: Tensor): Promise<Tensor | null> {
  const { name, shape, origin, dtype } = bias;
  const [heads = 0, tokens = 0, others] = shape;
  const side = Math.sqrt(tokens);
  if (shape.length !== 3 || tokens !== others || !Number.isInteger(side) || dtype !== 'float32') return null;
  const values = toFloat64Array(await tensorBytes(bias), dtype);
  const rows = (2 * side - 1) ** 2;
  const table = new Float64Array(rows * heads).fill(Number.NaN);
  const index = relativeIndex(side);
  for (let head = 0; head < heads; head++) {
    for (const [pair, row] of index.entries()) {
      const value = values[head * index.length + pair]!;
      const at = row * heads + head;
      if (Number.isNaN(table[at]!)) table[at] = value;
      else if (table[at] !== value) return null;
    }
  }
  return listedTensor(`${name}_table`, 'float32', [rows, heads], table, origin);
}
