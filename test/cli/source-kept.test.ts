/** Whatever a command reads is there afterwards, unchanged: by its own name, through links, and where it is only a companion, a shard or a recording. */
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluationDocument } from '../../src/evaluate/document.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

interface Situation {
  /** Fills the folder; the command runs in it. */
  readonly prepare?: (folder: string) => void;
  readonly command: readonly string[];
}

const convert = (...words: string[]): readonly string[] => ['convert', ...words, '--force'];

const SITUATIONS: Readonly<Record<string, Situation>> = {
  'the source itself': { command: convert('digits.h5', '-o', 'digits.h5', '--to', 'onnx') },
  'the source, by another spelling of its path': {
    command: convert('digits.h5', '-o', './sub/../digits.h5', '--to', 'onnx'),
    prepare: (folder) => mkdirSync(join(folder, 'sub')),
  },
  'a link to the source': { command: convert('digits.h5', '-o', 'link.onnx'), prepare: (folder) => symlinkSync('digits.h5', join(folder, 'link.onnx')) },
  'what the source is a link to': {
    command: convert('link.h5', '-o', 'digits.h5', '--to', 'onnx'),
    prepare: (folder) => symlinkSync('digits.h5', join(folder, 'link.h5')),
  },
  'a hard link of the source': {
    command: convert('digits.h5', '-o', 'hard.onnx'),
    prepare: (folder) => linkSync(join(folder, 'digits.h5'), join(folder, 'hard.onnx')),
  },
  'the source, by way of a linked folder': {
    command: convert('real/digits.h5', '-o', 'here/digits.h5', '--to', 'onnx'),
    prepare: (folder) => {
      mkdirSync(join(folder, 'real'));
      copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'real/digits.h5'));
      symlinkSync('real', join(folder, 'here'));
    },
  },
  'the source, without verification': { command: convert('digits.h5', '-o', 'digits.h5', '--to', 'onnx', '--no-verify') },
  'the source, shrunk': { command: ['shrink', 'digits.h5', '-o', 'digits.h5', '--to', 'onnx', '--force'] },
  'the source, by a script that records it': { command: ['golden', 'digits.h5', '-o', 'digits.h5', '--force'] },
  'a companion, by a script that records its source': { command: ['golden', 'digits.caffemodel', '-o', 'digits.prototxt', '--force'] },
  'a companion that is found beside the source': { command: convert('digits.caffemodel', '-o', 'digits.prototxt', '--to', 'onnx') },
  'a companion that is named': { command: convert('digits.caffemodel', '--prototxt', 'digits.prototxt', '-o', 'digits.prototxt', '--to', 'onnx') },
  'a recording': { command: convert('digits.h5', '-o', 'keras.npz', '--to', 'npz', '--golden', 'keras.npz') },
  'given inputs': { command: convert('digits.h5', '-o', 'keras.npz', '--to', 'onnx', '--inputs', 'keras.npz') },
  'the source, as external data of the output': {
    command: convert('digits.h5', '-o', 'new.onnx', '--external-data'),
    prepare: (folder) => linkSync(join(folder, 'digits.h5'), join(folder, 'new.onnx.data')),
  },
  'a TensorFlow.js folder, by itself': {
    command: convert('web', '-o', 'web', '--to', 'tfjs', '--dtype', 'float16'),
    prepare: (folder) => expect(weighbridge(['convert', 'digits.h5', '-o', 'web', '--to', 'tfjs', '--no-verify'], folder).status).toBe(0),
  },
  'shards, by shards': {
    command: convert('a.safetensors.index.json', '-o', 'a.safetensors', '--shard-size', '4KB'),
    prepare: (folder) => expect(weighbridge(['convert', 'digits.h5', '-o', 'a.safetensors', '--shard-size', '4KB', '--no-verify'], folder).status).toBe(0),
  },
  'external data, by external data': {
    command: convert('a.onnx', '-o', 'b.safetensors', '--shard-size', '100MB'),
    prepare: (folder) => {
      expect(weighbridge(['convert', 'digits.h5', '-o', 'a.onnx', '--external-data', '--no-verify'], folder).status).toBe(0);
      linkSync(join(folder, 'a.onnx.data'), join(folder, 'b.safetensors'));
    },
  },
  'the source, by a report': {
    command: ['verify', 'digits.h5', 'digits.h5', '--report', 'hard.json'],
    prepare: (folder) => linkSync(join(folder, 'digits.h5'), join(folder, 'hard.json')),
  },
  'a shard, by a report': {
    command: ['verify', 'web', 'web', '--report', 'report.md'],
    prepare: (folder) => {
      expect(weighbridge(['convert', 'digits.h5', '-o', 'web', '--to', 'tfjs', '--no-verify'], folder).status).toBe(0);
      linkSync(join(folder, 'web/group1-shard1of1.bin'), join(folder, 'report.md'));
    },
  },
  'external data that was just written, by a report': {
    command: convert('digits.h5', '-o', 'new.onnx', '--external-data', '--report', 'report.md'),
    prepare: (folder) => symlinkSync('new.onnx.data', join(folder, 'report.md')),
  },
  'the recording, by a report': {
    command: ['verify', 'digits.h5', 'digits.h5', '--golden', 'keras.npz', '--report', 'hard.md'],
    prepare: (folder) => linkSync(join(folder, 'keras.npz'), join(folder, 'hard.md')),
  },
  'a model, by its evaluation': { command: ['evaluate', 'digits.h5', '--data', 'pictures', '-o', 'digits.h5'], prepare: pictures },
  'another model, by a table of rows': {
    command: ['evaluate', 'digits.h5', '--against', 'digits.caffemodel', '--data', 'pictures', '--parquet', 'digits.caffemodel'],
    prepare: pictures,
  },
  'a companion, by rows': {
    command: ['evaluate', 'digits.caffemodel', '--prototxt', 'digits.prototxt', '--data', 'pictures', '--rows', 'digits.prototxt'],
    prepare: pictures,
  },
  'a picture, by an evaluation': { command: ['evaluate', 'digits.h5', '--data', 'pictures', '-o', 'pictures/0/a.png'], prepare: pictures },
  'one output, by the other': { command: ['evaluate', 'digits.h5', '--data', 'pictures', '-o', 'x.json', '--rows', './x.json'], prepare: pictures },
  'an evaluation that is put together with others': { command: ['report', 'merge', 'part.json', '-o', 'hard.json'], prepare: evaluation },
  'what is no evaluation, by one': {
    command: ['report', 'merge', 'part.json', '-o', 'names.txt'],
    prepare: (folder) => {
      evaluation(folder);
      pictures(folder);
    },
  },
  'a policy, by the report of its check': { command: ['check', 'policy.json', '--report', 'policy.json'], prepare: policy('lock.json') },
  'a list of names, by the report of a check': { command: ['check', 'policy.json', '--report', 'names.json'], prepare: policy('lock.json') },
  'an artifact, by the lock': { command: ['check', 'policy.json', '--update'], prepare: policy('digits.h5') },
};

function pictures(folder: string): void {
  mkdirSync(join(folder, 'pictures/0'), { recursive: true });
  copyFileSync(join(ROOT, 'docs/report.png'), join(folder, 'pictures/0/a.png'));
  writeFileSync(join(folder, 'names.txt'), 'zero\none\n');
}

function evaluation(folder: string): void {
  const document: EvaluationDocument = {
    schema: 'weighbridge/evaluation@1',
    model: { path: 'digits.h5', format: 'keras-h5', engine: 'none', sha256: {} },
    against: null,
    data: { path: 'pictures', pictures: 0, sha256: '0'.repeat(64), prepared: 'not at all' },
    shards: [{ index: 1, of: 1 }],
    counts: { pictures: 0, labelled: 0, top1: 0, top5: 0, turned: 0 },
    other: null,
    confusion: [],
    failed: [],
    notes: [],
    elapsedMs: 0,
  };
  writeFileSync(join(folder, 'part.json'), JSON.stringify(document));
  linkSync(join(folder, 'part.json'), join(folder, 'hard.json'));
}

function policy(lock: string): (folder: string) => void {
  return (folder) => {
    writeFileSync(join(folder, 'policy.json'), JSON.stringify({ version: 1, lock, artifacts: [{ path: 'digits.h5' }] }));
    writeFileSync(join(folder, 'names.json'), '["zero", "one"]');
  };
}

function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile());
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]));
}

describe.skipIf(process.platform === 'win32')('no output replaces', () => {
  it.each(Object.entries(SITUATIONS))('%s', (title, { prepare, command }) => {
    const folder = temporaryFolder();
    for (const name of ['digits.h5', 'digits.caffemodel', 'digits.prototxt', 'keras.npz']) copyFileSync(join(DIGITS, name), join(folder, name));
    prepare?.(folder);
    const before = contents(folder);
    const { status, stderr } = weighbridge(command, folder);
    expect(stderr).toMatch(/^error {2}.*(will not be overwritten|replace|asked for twice)/m);
    expect(status).toBe(2);
    const after = contents(folder);
    const expected = title.includes('just written') ? Object.fromEntries(Object.keys(before).map((name) => [name, after[name]])) : after;
    expect(expected).toEqual(before);
  });
});
