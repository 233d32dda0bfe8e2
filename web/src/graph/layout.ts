/**
 * A layered drawing of a directed acyclic graph, after Sugiyama: rows by the longest path, long edges bent at a stand-in in every row that
 * they pass, rows ordered by the middle of their neighbours, and places as close to the neighbours as there is room.
 */

export interface Box {
  readonly width: number;
  readonly height: number;
}

export interface Place {
  /** Of the upper left corner. */
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** By the box's index. */
  readonly places: readonly Place[];
  /** The points that each edge goes through, from the lower side of one box to the upper side of the other. */
  readonly lines: readonly (readonly (readonly [number, number])[])[];
}

const ROW_GAP = 26;
const BOX_GAP = 18;
/** Room that an edge takes between boxes. */
const LINE_WIDTH = 10;
const SWEEPS = 6;
/** Beyond so many stand-ins, edges that pass many rows are drawn straight instead. */
const MAX_STAND_INS = 40_000;

/** A box, or a stand-in of an edge. */
interface Node {
  readonly width: number;
  readonly row: number;
  readonly above: number[];
  readonly below: number[];
  x: number;
}

/**
 * @param boxes in running order: no edge goes from a later one to an earlier one
 * @param edges pairs of indices
 */
export function layOut(boxes: readonly Box[], edges: readonly (readonly [number, number])[]): Layout {
  const rows = rowsOf(boxes.length, edges);
  const nodes: Node[] = boxes.map(({ width }, i) => ({ width, row: rows[i]!, above: [], below: [], x: 0 }));
  const isBent = edges.reduce((sum, [from, to]) => sum + rows[to]! - rows[from]! - 1, 0) <= MAX_STAND_INS;
  const chains = edges.map(([from, to]) => {
    const chain = [from];
    for (let row = rows[from]! + 1; isBent && row < rows[to]!; row++) {
      nodes.push({ width: LINE_WIDTH, row, above: [], below: [], x: 0 });
      chain.push(nodes.length - 1);
    }
    chain.push(to);
    for (let i = 1; i < chain.length; i++) {
      nodes[chain[i - 1]!]!.below.push(chain[i]!);
      nodes[chain[i]!]!.above.push(chain[i - 1]!);
    }
    return chain;
  });
  const order = ordered(nodes);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const isDown = sweep % 2 === 0;
    for (const row of isDown ? order : order.toReversed()) settle(row, nodes, isDown || sweep === SWEEPS - 1 ? 'above' : 'below');
  }
  const left = Math.min(0, ...nodes.map(({ x, width }) => x - width / 2));
  const right = Math.max(0, ...nodes.map(({ x, width }) => x + width / 2));
  const heights = order.map((row) => Math.max(0, ...row.map((i) => boxes[i]?.height ?? 0)));
  const tops: number[] = [];
  heights.reduce((top, height) => {
    tops.push(top);
    return top + height + ROW_GAP;
  }, 0);
  const places = boxes.map(({ width, height }, i) => ({ x: nodes[i]!.x - width / 2 - left, y: tops[rows[i]!]! + (heights[rows[i]!]! - height) / 2 }));
  const lines = chains.map((chain) => {
    const points: [number, number][] = [];
    for (const [step, i] of chain.entries()) {
      const x = nodes[i]!.x - left;
      const [top, height] = [tops[nodes[i]!.row]!, heights[nodes[i]!.row]!];
      if (step === 0) points.push([x, places[i]!.y + boxes[i]!.height]);
      else if (step === chain.length - 1) points.push([x, places[i]!.y]);
      else points.push([x, top], [x, top + height]);
    }
    return points;
  });
  return { width: right - left, height: (tops.at(-1) ?? 0) + (heights.at(-1) ?? 0), places, lines };
}

/** The longest path to each box; one that nothing flows into stands right above the first that reads it. */
function rowsOf(count: number, edges: readonly (readonly [number, number])[]): number[] {
  const into: number[][] = Array.from({ length: count }, () => []);
  const outOf: number[][] = Array.from({ length: count }, () => []);
  for (const [from, to] of edges) {
    into[to]!.push(from);
    outOf[from]!.push(to);
  }
  const rows: number[] = [];
  for (let i = 0; i < count; i++) rows.push(Math.max(-1, ...into[i]!.map((from) => rows[from]!)) + 1);
  for (let i = count - 1; i >= 0; i--) {
    if (into[i]!.length === 0 && outOf[i]!.length > 0) rows[i] = Math.max(0, Math.min(...outOf[i]!.map((to) => rows[to]!)) - 1);
  }
  return rows;
}

/** The nodes of each row, from left to right. */
function ordered(nodes: readonly Node[]): number[][] {
  const rows: number[][] = Array.from({ length: Math.max(-1, ...nodes.map(({ row }) => row)) + 1 }, () => []);
  for (const [i, { row }] of nodes.entries()) rows[row]!.push(i);
  const place = new Float64Array(nodes.length);
  const number = (row: readonly number[]) => {
    for (const [at, i] of row.entries()) place[i] = at - (row.length - 1) / 2;
  };
  rows.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 === 0 ? 'above' : 'below';
    for (const row of sweep % 2 === 0 ? rows : rows.toReversed()) {
      const wanted = new Map(row.map((i) => [i, mean(nodes[i]![side], (other) => place[other]!) ?? place[i]!]));
      row.sort((a, b) => wanted.get(a)! - wanted.get(b)!);
      number(row);
    }
  }
  let x = 0;
  for (const row of rows) {
    x = 0;
    for (const i of row) {
      nodes[i]!.x = x + nodes[i]!.width / 2;
      x += nodes[i]!.width + BOX_GAP;
    }
    for (const i of row) nodes[i]!.x -= (x - BOX_GAP) / 2;
  }
  return rows;
}

/** Moves a row's nodes as near to their neighbours as their order and widths allow: the least sum of squares. */
function settle(row: readonly number[], nodes: readonly Node[], side: 'above' | 'below'): void {
  // Less what lies to its left, a node's place only has to grow along the row: neighbours that would not are pooled.
  const blocks: { sum: number; weight: number; count: number }[] = [];
  const offsets: number[] = [];
  let offset = 0;
  for (const [at, i] of row.entries()) {
    const node = nodes[i]!;
    if (at > 0) offset += (nodes[row[at - 1]!]!.width + node.width) / 2 + BOX_GAP;
    offsets.push(offset);
    const wanted = mean(node[side], (other) => nodes[other]!.x) ?? node.x;
    // A long edge that is straight is easier to follow.
    const weight = node.width === LINE_WIDTH ? 4 : 1;
    blocks.push({ sum: weight * (wanted - offset), weight, count: 1 });
    while (blocks.length > 1 && blocks.at(-2)!.sum / blocks.at(-2)!.weight > blocks.at(-1)!.sum / blocks.at(-1)!.weight) {
      const last = blocks.pop()!;
      const before = blocks.at(-1)!;
      before.sum += last.sum;
      before.weight += last.weight;
      before.count += last.count;
    }
  }
  let at = 0;
  for (const { sum, weight, count } of blocks) {
    for (let k = 0; k < count; k++, at++) nodes[row[at]!]!.x = sum / weight + offsets[at]!;
  }
}

function mean(items: readonly number[], value: (item: number) => number): number | null {
  return items.length === 0 ? null : items.reduce((sum, item) => sum + value(item), 0) / items.length;
}
