/** `weighbridge evaluate` on the pictures of the demo: folders, lists, archives; parts; interruption; another net beside it. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parquetReadObjects } from 'hyparquet';
import { beforeAll, describe, expect, it } from 'vitest';
import type { EvaluationDocument } from '../../src/evaluate/document.js';
import { exifOf, withExif } from '../exif.js';
import { tarImage } from '../tar-image.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/evaluation.schema.json'), 'utf8')));
const folder = temporaryFolder();
const IMAGES = join(DIGITS, 'images');
const NAMES = readdirSync(IMAGES)
  .filter((name) => name.endsWith('.png'))
  .sort();
const LABELS = JSON.parse(readFileSync(join(DIGITS, 'labels.json'), 'utf8')).labels as number[];
/** The digits' nets take pictures from 0 to 1, of their own size. */
const AS_TRAINED = 'mean=0,range=1,resize=stretch';
const PREPARE = ['--preprocess', AS_TRAINED];

beforeAll(() => {
  const classes = join(folder, 'classes');
  for (const [i, name] of NAMES.entries()) {
    mkdirSync(join(classes, String(LABELS[i])), { recursive: true });
    copyFileSync(join(IMAGES, name), join(classes, String(LABELS[i]), name));
  }
  mkdirSync(join(folder, 'flat'));
  for (const name of NAMES) copyFileSync(join(IMAGES, name), join(folder, 'flat', name));
  writeFileSync(join(folder, 'flat', 'list.csv'), `file,class\n${NAMES.map((name, i) => `${name},${LABELS[i]}`).join('\n')}\n`);
  const samples = NAMES.map(
    (name, i) =>
      [
        [name, readFileSync(join(IMAGES, name))],
        [name.replace('.png', '.cls'), Buffer.from(String(LABELS[i]))],
      ] as const,
  );
  const half = NAMES.length >> 1;
  mkdirSync(join(folder, 'shards'));
  writeFileSync(join(folder, 'shards', 'a-0.tar'), tarImage(samples.slice(0, half).flat()));
  writeFileSync(join(folder, 'shards', 'a-1.tar'), tarImage(samples.slice(half).flat()));
  const { status, stderr } = weighbridge(['convert', join(DIGITS, 'digits.pth'), '-o', join(folder, 'd.onnx'), '--no-verify']);
  expect(status, stderr).toBe(0);
});

function evaluated(args: readonly string[]): { status: number | null; stderr: string; document: EvaluationDocument } {
  const { status, stdout, stderr } = weighbridge(['evaluate', ...args, ...(args[0] === 'd.onnx' ? PREPARE : []), '--json'], folder);
  const document = stdout === '' ? null : JSON.parse(stdout);
  if (status !== 2) expect(validate(document), `${stderr} ${JSON.stringify(validate.errors)}`).toBe(true);
  return { status, stderr, document };
}

describe('the same pictures', () => {
  it.each([
    ['a folder of classes', 'classes'],
    ['a list', 'flat/list.csv'],
    ['archives', 'shards/*.tar'],
    ['a folder of archives', 'shards'],
  ])('as %s', (_, data) => {
    const { status, document } = evaluated(['d.onnx', '--data', data]);
    expect(status).toBe(0);
    expect(document.counts).toEqual({ pictures: NAMES.length, labelled: NAMES.length, top1: NAMES.length, top5: NAMES.length, turned: 0 });
    expect(document.confusion).toEqual([]);
  });
});

it.each([
  ['an archive that was cut', 'cut.tar', () => tarImage(ofNames(true)).subarray(0, -2048), /truncated/],
  ['an archive in which one picture has no class', 'some.tar', () => tarImage(ofNames(false)), /1 of 2 pictures have no class.*\.cls/],
])('%s is an error, not less data', (_, name, bytes, says) => {
  writeFileSync(join(folder, name), bytes());
  const { status, stderr } = evaluated(['d.onnx', '--data', name]);
  expect(status).toBe(2);
  expect(stderr).toMatch(says);
});

/** Two pictures as members of an archive, the second of which may have its class beside it. */
function ofNames(isWhole: boolean) {
  const [first, second] = NAMES.map((name) => [name, readFileSync(join(IMAGES, name))] as const);
  const classOf = ([name]: readonly [string, ...unknown[]]) => [name.replace('.png', '.cls'), Buffer.from('1')] as const;
  return [first!, classOf(first!), second!, ...(isWhole ? [classOf(second!)] : [])];
}

it('another net beside it, one that has to be converted before it runs, and least shares', () => {
  const { status, document } = evaluated([
    join(DIGITS, 'digits.pth'),
    '--against',
    join(DIGITS, 'digits.h5'),
    ...PREPARE,
    '--other-preprocess',
    AS_TRAINED,
    '--data',
    'classes',
    '--min-agreement',
    '1',
    '--min-top1',
    '0.9',
  ]);
  expect(status).toBe(0);
  expect(document.other).toEqual({ top1: NAMES.length, top5: NAMES.length, agree: NAMES.length, agreeTop5: expect.any(Number) });
  expect(document.notes.join()).toContain('was converted to ONNX to be run');
  const wrong = NAMES.map((name, i) => `${name},${(LABELS[i]! + 1) % 10}`).join('\n');
  writeFileSync(join(folder, 'flat', 'wrong.csv'), wrong);
  const missed = evaluated(['d.onnx', '--data', 'flat/wrong.csv', '--min-top1', '0.5']);
  expect([missed.status, missed.document.counts.top1]).toEqual([1, 0]);
  expect(missed.document.confusion.reduce((sum, { count }) => sum + count, 0)).toBe(NAMES.length);
});

describe('parts', () => {
  it('are put together to what the whole says', () => {
    const whole = evaluated(['d.onnx', '--data', 'classes']).document;
    for (const part of [1, 2, 3]) expect(evaluated(['d.onnx', '--data', 'classes', '--shard', `${part}/3`, '-o', `part${part}.json`]).status).toBe(0);
    const merge = (...parts: string[]) => weighbridge(['report', 'merge', ...parts, '--json'], folder);
    const merged = merge('part2.json', 'part1.json', 'part3.json');
    expect(merged.status, merged.stderr).toBe(0);
    const document = JSON.parse(merged.stdout);
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document).toMatchObject({ counts: whole.counts, confusion: whole.confusion });
    expect(merge('part1.json', 'part3.json')).toMatchObject({ status: 1, stderr: expect.stringContaining('parts are missing: 2 of 3') });
    expect(merge('part1.json', 'part1.json').status).toBe(2);
    expect(weighbridge(['report', 'merge', join(DIGITS, 'labels.json')], folder).status).toBe(2);
  });
});

it('a part in which there is no picture is one: a job of more parts than pictures ends well', () => {
  const { status, document } = evaluated(['d.onnx', '--data', 'classes', '--shard', '99/99']);
  expect([status, document.counts.pictures, document.notes]).toEqual([0, 0, [`part 99 of 99 has no pictures: there are ${NAMES.length}`]]);
});

it('an interrupted run goes on where it stopped; rows of another run are refused', () => {
  const args = ['d.onnx', '--data', 'classes', '--rows', 'rows.jsonl', '--parquet', 'rows.parquet'];
  const whole = evaluated(args).document;
  const lines = readFileSync(join(folder, 'rows.jsonl'), 'utf8').split('\n');
  expect(lines).toHaveLength(NAMES.length + 2);
  // Half of the rows, and half of a line.
  writeFileSync(join(folder, 'rows.jsonl'), `${lines.slice(0, 9).join('\n')}\n${lines[9]!.slice(0, 20)}`);
  const again = evaluated(args);
  expect(again.stderr).toContain('8 pictures are in rows.jsonl already');
  expect(again.document.counts).toEqual(whole.counts);
  writeFileSync(join(folder, 'rows.jsonl'), lines[0]!.slice(0, 50));
  expect(evaluated(args).document.counts).toEqual(whole.counts);
  expect(evaluated(['d.onnx', '--data', 'classes', '--rows', 'rows.jsonl', '--shard', '1/2']).status).toBe(2);
  writeFileSync(join(folder, 'strange.jsonl'), `${lines[0]}\n{"name":5}\n`);
  const strange = evaluated(['d.onnx', '--data', 'classes', '--rows', 'strange.jsonl']);
  expect(strange).toMatchObject({ status: 2, stderr: expect.stringMatching(/strange\.jsonl: line 2 is no row/) });
});

it('Parquet has the rows', async () => {
  const bytes = readFileSync(join(folder, 'rows.parquet'));
  const rows = await parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer });
  expect(rows).toHaveLength(NAMES.length);
  expect(rows.every(({ label, top1 }) => label === top1)).toBe(true);
});

it('a picture that is none is told and not counted', () => {
  mkdirSync(join(folder, 'some/3'), { recursive: true });
  copyFileSync(join(IMAGES, NAMES[0]!), join(folder, 'some/3/a.png'));
  writeFileSync(join(folder, 'some/3/b.png'), 'no picture');
  writeFileSync(join(folder, 'some/3/x.webp'), 'another kind');
  writeFileSync(join(folder, 'some/3/y.jpg'), withExif(readFileSync(join(ROOT, 'test/fixtures/pictures/grey.jpg')), exifOf(6)));
  const args = ['d.onnx', '--data', 'some', '--rows', 'some.jsonl'];
  for (const kept of ['none', 'all']) {
    // What was told of a picture is known of its row too.
    const { status, document, stderr } = evaluated(args);
    expect([kept, status, stderr.includes('2 pictures are in some.jsonl already')]).toEqual([kept, 1, kept === 'all']);
    expect(document).toMatchObject({ counts: { pictures: 2, turned: 1 }, failed: [{ name: '3/b.png' }] });
    expect(document.notes).toContain('left out, as PNG and JPEG are read alone: 3/x.webp');
  }
  // A part of a job is not run again for it; one that can read nothing is.
  for (const name of ['c', 'd']) copyFileSync(join(IMAGES, NAMES[0]!), join(folder, `some/3/${name}.png`));
  const parts = ['2/2', '2/4'].map((part) => evaluated(['d.onnx', '--data', 'some', '--shard', part]));
  expect(parts.map((each) => [each.status, each.document.counts.pictures, each.document.failed.length])).toEqual([
    [0, 1, 1],
    [1, 0, 1],
  ]);
});

it.each([
  ['no data', ['d.onnx', '--data', 'nowhere']],
  ['a part that there is not', ['d.onnx', '--data', 'classes', '--shard', '4/3']],
  ['an agreement with nothing', ['d.onnx', '--data', 'classes', '--min-agreement', '1']],
  ['a list that leaves its folder', ['d.onnx', '--data', 'bad.csv']],
])('%s cannot be evaluated', (_, args) => {
  writeFileSync(join(folder, 'bad.csv'), '../../../etc/x.png,1\n');
  expect(evaluated(args).status).toBe(2);
});

it('a list that names classes on some lines alone is refused, by the line: its folders are no classes', () => {
  const [one, other] = [3, 5].map((label) => `classes/${LABELS[label]}/${NAMES[label]}`);
  writeFileSync(join(folder, 'part.csv'), `file,class\n${one},${LABELS[3]}\n${other}\n`);
  expect(evaluated(['d.onnx', '--data', 'part.csv'])).toMatchObject({ status: 2, stderr: expect.stringMatching(/part\.csv: line 3 names no class/) });
  writeFileSync(join(folder, 'named.csv'), `${one},seven\n${other},eight\n`);
  expect(evaluated(['d.onnx', '--data', 'named.csv']).document.notes.join()).toContain('named.csv has 2 names of classes');
});
