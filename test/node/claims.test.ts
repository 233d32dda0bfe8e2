// @module-tag slow
/** What `shrink` says is a match a later verification finds to be one, on the file's own word for its weights, and without that word a mismatch. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { claimsIn } from '../../src/model/claims.js';
import { type ShrinkFileOptions, shrinkFile, verifyFiles } from '../../src/node/index.js';
import { verdictSentence } from '../../src/report/verdict.js';
import { editOnnx } from '../verify/faults/onnx-edit.js';
import { temporaryFolder } from './temporary-folder.js';

const DIGITS = fileURLToPath(new URL('../../demo/digits', import.meta.url));
const H5 = join(DIGITS, 'digits.h5');
const golden = join(DIGITS, 'keras.npz');

async function shrunk(name: string, how: ShrinkFileOptions) {
  const path = join(temporaryFolder(), name);
  const document = await shrinkFile(H5, path, { golden, ...how });
  return { path: document.files[0]!.path, report: document.report! };
}

/** The file with other bytes of the same number in place of some. */
function changed(path: string, from: string, to: string): string {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(from);
  expect(at).toBeGreaterThan(0);
  bytes.write(to, at, 'latin1');
  writeFileSync(path, bytes);
  return path;
}

describe.each([
  ['computing in codes', 'a.onnx', { activations: 'uint8' }, ['in-codes']],
  ['codes worked out', 'a.onnx', { method: 'best' }, ['worked-out']],
  ['4 bits worked out', 'a.onnx', { method: 'best', dtype: 'int4' }, ['even-channels', 'worked-out']],
  ['low rank', 'a.onnx', { rank: 24 }, ['low-rank']],
  ['low rank and codes', 'a.onnx', { rank: 24, activations: 'int8' }, ['low-rank', 'in-codes']],
  ['low rank', 'model.json', { rank: 24, to: 'tfjs' }, ['low-rank', 'even-channels']],
  ['channels of one range', 'model.json', { to: 'tfjs-graph' }, ['even-channels']],
] as const)('%s in %s', (_, name, how, claims) => {
  it('is judged by outputs and its own weights, which is told', async () => {
    const { path, report: first } = await shrunk(name, how);
    expect(first.verdict).toBe('match');
    const report = await verifyFiles(H5, path, { golden });
    expect([report.verdict, report.weights!.judged, report.weights!.claims]).toEqual(['match', false, claims]);
    expect(report.quantisation).toMatchObject({ correctness: { passed: true }, loss: { passed: true }, lossJudgedBy: 'predictions' });
    expect(report.quantisation!.agreement!.same).toEqual(first.quantisation!.agreement!.same);
    expect(report.notes.join('\n')).toMatch(/says of itself \(weighbridge\.weights\).*its own word/);
    expect(verdictSentence(report)).toMatch(/as it says itself/);
  });
});

it('says on generated inputs what they cannot tell', async () => {
  const { path } = await shrunk('a.onnx', { method: 'best' });
  const report = await verifyFiles(H5, path);
  expect([report.verdict, report.quantisation!.lossJudgedBy]).toEqual(['match', 'nothing']);
  expect(report.notes.join('\n')).toMatch(/generated inputs do not tell what narrower weights cost/);
});

it('is a mismatch without the claim', async () => {
  const { path } = await shrunk('a.onnx', { activations: 'uint8' });
  const report = await verifyFiles(H5, changed(path, 'weighbridge.weights', 'weighbridge.weighed'), { golden });
  expect([report.verdict, report.weights!.judged, report.weights!.claims]).toEqual(['mismatch', true, undefined]);
});

it('excuses nothing of what the file predicts', async () => {
  const { path } = await shrunk('a.onnx', { rank: 1 });
  const report = await verifyFiles(H5, path, { golden });
  expect([report.verdict, report.weights!.claims]).toEqual(['mismatch', ['low-rank']]);
});

it('excuses no kernel whose codes are those of another order, however little that moves what is predicted', async () => {
  const { path } = await shrunk('a.onnx', { method: 'best', dtype: 'int8' });
  expect((await verifyFiles(H5, path)).verdict).toBe('match');
  const bytes = editOnnx(readFileSync(path), (graph) => {
    const kernels = graph.initializer!.filter(({ dims, dataType }) => dims!.length === 4 && dataType === 3);
    // The first two output channels of the last convolution, exchanged.
    const { dims, rawData } = kernels.at(-1)!;
    const size = rawData!.length / Number(dims![0]);
    const [first, second] = [rawData!.slice(0, size), rawData!.slice(size, 2 * size)];
    rawData!.set(second, 0);
    rawData!.set(first, size);
  });
  writeFileSync(path, bytes);
  const report = await verifyFiles(H5, path);
  expect([report.verdict, report.weights!.judged, report.weights!.mismatches.map(({ role }) => role)]).toEqual(['mismatch', true, ['kernel']]);
  expect(report.weights!.mismatches[0]!.message).toMatch(
    /other signs than the source's in output channel [01]: what the file says of its weights does not explain that$/,
  );
});

it('is nothing but words that are known', async () => {
  expect(claimsIn('in-codes folded toString anything')).toEqual(['folded', 'in-codes']);
  expect([claimsIn(undefined), claimsIn(7), claimsIn('')]).toEqual([[], [], []]);
  const { path } = await shrunk('a.onnx', {});
  expect(readFileSync(path).includes('weighbridge.weights')).toBe(false);
});
