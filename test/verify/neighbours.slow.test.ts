/**
 * Every pair of neighbouring operators, and random rows of four, as the stock runtimes compute them, against our evaluator. What differs is
 * a fault of the writer or of a runtime's optimisations, and is to be written around, refused, or listed here with its reason.
 */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import type { Engine, NdArray } from '../../src/verify/engine.js';
import { ortCpu } from '../../src/verify/engines/ort-cpu.js';
import { ortWasm } from '../../src/verify/engines/ort-wasm.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { portRunner } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { tfjs, tfjsGraph } from '../../src/writers/tfjs/index.js';
import type { Writer } from '../../src/writers/writer.js';
import { numbers } from '../caffe-net.js';
import { type Chain, chain, NEIGHBOURS } from './neighbours.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
const ROUNDING = 3e-5;
const ROWS = 1500;

/** ONNX Runtime (1.30) moves two Transposes in a row behind a Resize that interpolates, which then has axes that it refuses. Nothing is wrong in silence. */
const REFUSED = ['Transpose channels first > Resize linear'];

interface Stock {
  readonly writer: Writer;
  readonly file: string;
  readonly engine: Engine;
}

const STOCK: readonly Stock[] = [
  { writer: onnx, file: 'net.onnx', engine: ortCpu },
  { writer: onnx, file: 'net.onnx', engine: ortWasm },
  { writer: tfjsGraph, file: 'model.json', engine: tfjsCpu },
  { writer: tfjsGraph, file: 'model.json', engine: tfjsWasm },
  { writer: tfjs, file: 'model.json', engine: tfjsCpu },
  { writer: tfjs, file: 'model.json', engine: tfjsWasm },
];

/** Of the outputs' scales; null where the target has no form for the net. A message where it does not run. */
async function apart({ writer, file, engine }: Stock, map: LayerMap, feeds: readonly NdArray[], expected: readonly NdArray[]) {
  if ((await writer.check(map, OPTIONS)).length > 0) return null;
  try {
    const sink = memorySink();
    await writer.write(map, sink, file, OPTIONS);
    await sink.commit();
    const files = memoryFileSet(Object.fromEntries(sink.files), sink.files.has(file) ? file : null);
    const written = await findWrittenFormat(writer.name)!.open(files, map.layers);
    const session = await engine.open({ files });
    const found = await portRunner(session, map, written.layoutOf)(feeds);
    await session.close();
    let worst = 0;
    for (const [place, { data }] of expected.entries()) {
      const values = Array.from(data as Float64Array);
      const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
      for (const [i, value] of values.entries()) {
        const difference = Math.abs(value - Number(found[place]!.data[i])) / scale;
        if (!(difference <= worst)) worst = difference;
      }
    }
    return worst;
  } catch (error) {
    return String((error as Error).message);
  }
}

async function findings(stock: Stock, chains: Iterable<Chain>): Promise<{ tried: number; found: string[] }> {
  let tried = 0;
  const found: string[] = [];
  for (const { title, map } of chains) {
    const feeds = generateSample(map.inputs, 0, 1, { layers: map.layers });
    const expected = await runLayers(map, feeds, () => {});
    if (expected.some(({ data }) => (data as Float64Array).some((value) => !(Math.abs(value) < 1e30)))) continue;
    const worst = await apart(stock, map, feeds, expected);
    if (worst === null) continue;
    tried++;
    if (typeof worst === 'string' || !(worst < ROUNDING)) found.push(`${title}: ${worst}`);
  }
  return { tried, found };
}

function* pairs(layout: 'nchw' | 'nhwc'): Generator<Chain> {
  for (const [i, first] of NEIGHBOURS.entries()) {
    for (const [j, second] of NEIGHBOURS.entries()) {
      const made = chain([first, second], i * NEIGHBOURS.length + j, { layout });
      if (made) yield made;
    }
  }
}

function* rows(layout: 'nchw' | 'nhwc', count: number): Generator<Chain> {
  const random = numbers(99);
  for (let made = 0, seed = 0; made < count; seed++) {
    const makers = Array.from({ length: 4 }, () => NEIGHBOURS[Math.floor(((random() + 1) / 2) * NEIGHBOURS.length)]!);
    const row = chain(makers, seed, { layout, branches: seed % 3 === 0 });
    if (!row) continue;
    made++;
    yield row;
  }
}

describe.each(STOCK.map((stock) => [stock.writer.name, stock.engine.name, stock] as const))('%s in %s', (format, _, stock) => {
  const layouts = stock.engine === ortCpu ? (['nchw', 'nhwc'] as const) : ([format === 'onnx' ? 'nchw' : 'nhwc'] as const);
  it.each(layouts)('every pair of neighbours is computed as it is meant, %s', async (layout) => {
    const { tried, found } = await findings(stock, pairs(layout));
    expect(tried).toBeGreaterThan(1000);
    expect(found.filter((finding) => !(format === 'onnx' && REFUSED.some((title) => finding.startsWith(`${title}: ${stock.file}: `))))).toEqual([]);
  });
  it.each(layouts)('rows of four are computed as they are meant, %s', async (layout) => {
    const { tried, found } = await findings(stock, rows(layout, ROWS));
    expect(tried).toBeGreaterThan(1000);
    expect(found).toEqual([]);
  });
});
