/** What a changed net gives on inputs that mean something, in the runtime that it is made for, and how far that is from the net as it was. */
import { memorySink } from '../bytes/byte-sink.js';
import { memoryFileSet } from '../bytes/file-set.js';
import type { LayerMap } from '../model/layer-map.js';
import { selectEngine } from '../verify/engines/index.js';
import type { GivenInputs } from '../verify/feeds.js';
import { type Arrays, portRunner } from '../verify/side.js';
import { onnx } from '../writers/onnx/index.js';

/** Nets of more bytes are not held in memory. */
export const MAX_NET_BYTES = 2 ** 28;

/** What the net gives in the runtime that its target is run in. */
export async function outputsOf(map: LayerMap, inputs: GivenInputs, rows: number): Promise<Arrays[]> {
  const sink = memorySink();
  await onnx.write({ ...map, source: undefined }, sink, 'net.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  const { engine } = await selectEngine('onnx', { device: 'cpu' });
  const session = await engine.open({ files: memoryFileSet(Object.fromEntries(sink.files), 'net.onnx') });
  try {
    const run = portRunner(session, map, (port) => port.layout);
    const found: Arrays[] = [];
    const runs = Math.max(1, Math.min(inputs.runs, Math.ceil(rows / inputs.batch)));
    for (let i = 0; i < runs; i++) found.push(await run(inputs.sample(Math.floor((i * inputs.runs) / runs))));
    return found;
  } finally {
    await session.close();
  }
}

/** Energy of the difference, of the outputs' own; what is not finite is infinitely far. */
export function distance(expected: readonly Arrays[], actual: readonly Arrays[]): number {
  let [lost, energy] = [0, 0];
  for (const [i, arrays] of expected.entries()) {
    for (const [place, array] of arrays.entries()) {
      const other = actual[i]![place];
      for (let k = 0; k < (array?.data.length ?? 0); k++) {
        const [a, b] = [Number(array!.data[k]), Number(other!.data[k])];
        lost += (a - b) ** 2;
        energy += a * a;
      }
    }
  }
  return Number.isFinite(lost) ? lost / (energy || 1) : Number.MAX_VALUE;
}

/** Share of rows of the first output whose largest value is at the same place. */
export function sameTop(expected: readonly Arrays[], actual: readonly Arrays[]): number {
  let [same, of] = [0, 0];
  for (const [i, [array]] of expected.entries()) {
    const other = actual[i]![0];
    const classes = array!.data.length / array!.shape[0]!;
    for (let row = 0; row < array!.data.length; row += classes) {
      of++;
      if (top(array!.data, row, classes) === top(other!.data, row, classes)) same++;
    }
  }
  return same / of;
}

function top(values: ArrayLike<number | bigint>, start: number, count: number): number {
  let best = start;
  for (let i = start; i < start + count; i++) if (Number(values[i]) > Number(values[best])) best = i;
  return best - start;
}
