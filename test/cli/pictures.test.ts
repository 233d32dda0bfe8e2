/** A folder of pictures as inputs of convert, verify and shrink. */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const H5 = join(DIGITS, 'digits.h5');
const IMAGES = join(DIGITS, 'images');
const HOW = ['--preprocess', 'mean=0.5,std=0.5,range=1'];

/** The demo's twenty digits, two of each, in a folder for each class. */
function inFolders(): string {
  const folder = temporaryFolder();
  for (const [i, name] of readdirSync(IMAGES)
    .filter((name) => name.endsWith('.png'))
    .sort()
    .entries()) {
    mkdirSync(join(folder, String(Math.floor(i / 2))), { recursive: true });
    cpSync(join(IMAGES, name), join(folder, String(Math.floor(i / 2)), name));
  }
  return folder;
}

describe('pictures', () => {
  it('judge a shrunk net, with the accuracy that their folders tell', () => {
    const output = join(temporaryFolder(), 'a.onnx');
    const { status, stdout } = weighbridge(['shrink', H5, '-o', output, '--inputs', inFolders(), ...HOW, '--json']);
    const { report } = JSON.parse(stdout);
    expect([status, report.inputs.kind, report.inputs.samples]).toEqual([0, 'recorded', 20]);
    expect(report.notes[0]).toMatch(/^inputs: 20 pictures; .*32 x 32.*red first; less 127\.5; times 0\.00784314; --preprocess$/);
    const { expected, actual } = report.quantisation.agreement.accuracy;
    expect([expected.count, actual.count]).toEqual([20, 20]);
  });

  it('are what verify runs, as many as are asked for', () => {
    const output = join(temporaryFolder(), 'a.onnx');
    expect(weighbridge(['convert', H5, '-o', output, '--no-verify']).status).toBe(0);
    const { status, stdout } = weighbridge(['verify', H5, output, '--inputs', IMAGES, ...HOW, '--samples', '3', '--json']);
    expect([status, JSON.parse(stdout).inputs.samples]).toEqual([0, 3]);
  });

  it('go into a net that prepares them itself as they are', () => {
    const output = join(temporaryFolder(), 'a.onnx');
    const { status, stdout } = weighbridge(['convert', H5, '-o', output, '--inputs', IMAGES, ...HOW, '--embed-preprocessing', '--json']);
    const { report } = JSON.parse(stdout);
    expect([status, report.verdict, report.inputs.samples]).toEqual([0, 'match', 20]);
    expect(report.notes[0]).toMatch(/red first; the net prepares them itself: "preprocessing\/mean"$/);
  });

  it.each([
    ['how they are prepared is not known', [], /what is done to pictures before this net is not known.*--preprocess/s],
    ['one is damaged', HOW, /bad\.png.*PNG/s],
    ['they are of another size, and nobody says how to cut them', [...HOW, '--input-shape', '1,32,32,3'], /bad\.png/],
  ])('%s: one error, and nothing is written', (_, args, message) => {
    const folder = inFolders();
    writeFileSync(join(folder, '0', 'bad.png'), '\x89PNG\r\n\x1a\n', 'latin1');
    const output = temporaryFolder();
    const { status, stderr } = weighbridge([
      'convert',
      H5,
      '-o',
      join(output, 'a.onnx'),
      '--inputs',
      folder,
      '--to',
      'onnx',
      ...args.filter((arg) => arg !== ''),
    ]);
    expect([status, stderr.match(/^error/gm)?.length]).toEqual([2, 1]);
    expect(stderr).toMatch(message);
    expect(readdirSync(output)).toEqual([]);
  });

  it('--preprocess without them is an error', () => {
    const { status, stderr } = weighbridge(['verify', H5, H5, ...HOW]);
    expect([status, stderr]).toEqual([2, expect.stringContaining('--inputs names none')]);
  });
});
