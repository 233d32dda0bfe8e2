/**
 * Processor time that ONNX Runtime takes for one input, of files beside each other: node scripts/shrink-speed.mjs float32.onnx int8.onnx ...
 *
 * One thread, the files in turns, the median of many runs: a busy machine then slows all of them alike.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';

const RUNS = 31;
const sessions = [];
for (const path of process.argv.slice(2)) {
  const session = await InferenceSession.create(path, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
  sessions.push({ path, session, feeds: feedsOf(session), spent: [] });
}
for (let run = 0; run < RUNS; run++) {
  for (const { session, feeds, spent } of sessions) {
    const before = process.cpuUsage();
    await session.run(feeds);
    const { user, system } = process.cpuUsage(before);
    spent.push((user + system) / 1000);
  }
}
const medians = sessions.map(({ spent }) => spent.toSorted((a, b) => a - b)[Math.floor(RUNS / 2)]);
for (const [i, { path }] of sessions.entries())
  console.log(`${medians[i].toFixed(2)} ms   ${(medians[0] / medians[i]).toFixed(2)} times as fast as the first   ${path}`);

/** One row of the same numbers each time. */
function feedsOf({ inputMetadata }) {
  return Object.fromEntries(
    inputMetadata.map(({ name, shape }) => {
      const dims = shape.map((size) => (typeof size === 'number' && size > 0 ? size : 1));
      const count = dims.reduce((a, b) => a * b, 1);
      return [
        name,
        new Tensor(
          'float32',
          Float32Array.from({ length: count }, (_, i) => ((i * 7919) % 1000) / 500 - 1),
          dims,
        ),
      ];
    }),
  );
}
