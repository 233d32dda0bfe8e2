/** `--compress` writes what goes over the wire beside the model, and every command reads it. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const GOLDEN = ['--golden', join(DIGITS, 'keras.npz')];

it('shrink --compress gzip: the three sizes are told, and inspect, verify and convert read the packed file', () => {
  const folder = temporaryFolder();
  const output = join(folder, 'digits.onnx');
  const { status, stdout } = weighbridge(['shrink', join(DIGITS, 'digits.h5'), '-o', output, '--compress', 'gzip', '--json', ...GOLDEN]);
  const { totals, target, files } = JSON.parse(stdout);
  const packed = `${output}.gz`;
  expect([status, totals.onWire.after, target.wireByteLength]).toEqual([0, statSync(packed).size, statSync(packed).size]);
  expect(files.map(({ path }: { path: string }) => path)).toEqual([output, packed]);
  expect(totals.onWire.after).toBeLessThan(totals.onDisk.after);
  expect(Buffer.compare(gunzipSync(readFileSync(packed)), readFileSync(output))).toBe(0);
  expect(weighbridge(['inspect', packed, '--json']).stdout).toContain('"format": "onnx"');
  const verified = weighbridge(['verify', join(DIGITS, 'digits.h5'), packed, '--json', ...GOLDEN]);
  expect([verified.status, JSON.parse(verified.stdout).verdict]).toEqual([0, 'match']);
  const again = join(folder, 'again.safetensors');
  expect([weighbridge(['convert', packed, '-o', again]).status, existsSync(again)]).toEqual([0, true]);
});

it('refuses to write over what is there, or beside stdout', () => {
  const output = join(temporaryFolder(), 'a.npz');
  const args = ['convert', join(DIGITS, 'digits.h5'), '--no-verify', '--compress', 'br'];
  expect(weighbridge([...args, '-o', output]).status).toBe(0);
  expect(weighbridge([...args, '-o', output]).status).toBe(2);
  expect(weighbridge([...args, '-o', output, '--force']).status).toBe(0);
  expect(weighbridge([...args, '-o', '-', '--to', 'npz']).status).toBe(2);
});
