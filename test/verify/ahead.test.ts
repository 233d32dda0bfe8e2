/** A net whose weights take much memory: one of the two sides at a time. */
import { expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { ModelError } from '../../src/errors.js';
import { runAhead } from '../../src/verify/ahead.js';
import type { EngineHost, NdArray } from '../../src/verify/engine.js';
import { PLAIN } from '../../src/verify/inputs.js';
import { openActual } from '../../src/verify/side.js';
import type { Expected } from '../../src/verify/witness.js';

const feed = (value: number): NdArray => ({ shape: [1], data: Float32Array.of(value) });
const sampleOf = (sample: number) => ({ range: PLAIN, feeds: [feed(sample)] });

/** A witness that counts, and fails for a 13. */
function counting() {
  const counts = { runs: 0, rests: 0 };
  const witness: Expected = {
    name: 'counting',
    engine: 'counting',
    witness: { kind: 'runtime', independent: true, detail: '', refused: [] },
    maxSamples: Number.POSITIVE_INFINITY,
    async run([array]) {
      counts.runs++;
      if (array!.data[0] === 13) throw new ModelError('engine', 'not this one');
      return [feed(2 * Number(array!.data[0]))];
    },
    rest: async () => {
      counts.rests++;
    },
    close: async () => {},
  };
  return { counts, witness };
}

it('answers to the planned samples are at hand after the witness was put to rest', async () => {
  const { counts, witness } = counting();
  const steps: string[] = [];
  const ahead = await runAhead(witness, 3, sampleOf, { onProgress: (phase, done, total) => steps.push(`${phase} ${done}/${total}`) });
  expect(counts).toEqual({ runs: 3, rests: 1 });
  expect(steps).toEqual(['running counting 0/3', 'running counting 1/3', 'running counting 2/3']);
  for (const sample of [2, 0, 1]) expect(await ahead.run(ahead.sampleOf(sample).feeds)).toEqual([feed(2 * sample)]);
  expect(counts.runs).toBe(3);
});

it('the witness is asked again for what was not planned', async () => {
  const { counts, witness } = counting();
  const ahead = await runAhead(witness, 1, sampleOf, {});
  expect(await ahead.run([feed(5)])).toEqual([feed(10)]);
  expect(counts.runs).toBe(2);
});

it('what it cannot compute is told when that is asked for, and not before', async () => {
  const { witness } = counting();
  const ahead = await runAhead(witness, 2, (sample) => ({ range: PLAIN, feeds: [feed(13 + sample)] }), {});
  await expect(ahead.run(ahead.sampleOf(0).feeds)).rejects.toMatchObject({ kind: 'engine', problem: 'not this one' });
  expect(await ahead.run(ahead.sampleOf(1).feeds)).toEqual([feed(28)]);
});

it('the written file runs in a process of its own, which ends with it, where its weights take much memory', async () => {
  const asked: string[] = [];
  const port = { name: 'x', shape: [1] };
  const host: EngineHost = {
    availability: async () => ({ available: true, detail: '' }),
    async open({ name }) {
      asked.push(`open ${name}`);
      return { inputs: [port], outputs: [port], run: async (feeds) => new Map(feeds), close: async () => void asked.push('close') };
    },
    end: ({ name }) => void asked.push(`end ${name}`),
    close: async () => {},
  };
  const ports = [{ name: 'x', value: 'x', dtype: 'float32', shape: [1], layout: 'other' }] as const;
  const target = { format: 'onnx', files: memoryFileSet({ 'a.onnx': new Uint8Array(1) }, 'a.onnx'), path: '/a.onnx' };
  const actual = await openActual(target, { inputs: ports, outputs: ports }, () => 'other', { host, engine: 'ort-cpu' }, [], { isApart: true });
  expect(await actual.run([feed(3)])).toEqual([feed(3)]);
  await actual.close();
  expect(asked).toEqual(['open ort-cpu', 'close', 'end ort-cpu']);
});
