/**
 * Limits of CPU time are said for the machine on which they were set; what a slower or a busy one takes for the same work is no fault of the code.
 * Only where a limit was passed is the machine asked how fast it is: by work of the same kind, done here and now.
 */
import { expect } from 'vitest';

/** What `work` takes on the machine for which limits are said. */
const USUAL_SECONDS = 0.4;
/** However slow a machine is, a process may be ended that has taken so many times its limit. */
export const MAX_SLOWNESS = 4;

/** @param seconds of CPU time that were taken */
export function expectCpuSeconds(seconds: number, limit: number): void {
  if (seconds < limit) return;
  const slowness = Math.min(MAX_SLOWNESS, Math.max(1, workSeconds() / USUAL_SECONDS));
  expect(seconds, `seconds of CPU, on a machine that is ${slowness.toFixed(1)} times as slow as usual`).toBeLessThan(limit * slowness);
}

function workSeconds(): number {
  const startedAt = process.cpuUsage();
  for (let round = 0; round < 4; round++) work();
  const { user, system } = process.cpuUsage(startedAt);
  return (user + system) / 1e6;
}

/** Many small objects, names and maps: what readers do with a file's metadata. */
function work(): number {
  const names = new Map<string, { name: string; inputs: string[]; size: bigint }>();
  for (let i = 0; i < 40_000; i++) names.set(`value/${i}`, { name: `layer_${i % 977}`, inputs: [`value/${i - 1}`], size: BigInt(i) });
  const text = JSON.stringify([...names.values()].map(({ name, inputs }) => ({ name, inputs })));
  const again = JSON.parse(text) as { name: string; inputs: string[] }[];
  return again.reduce((sum, { inputs }) => sum + Number(names.get(inputs[0]!)?.size ?? 0n), 0);
}
