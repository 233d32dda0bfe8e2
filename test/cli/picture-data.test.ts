/** Where the pictures of an evaluation come from: what is named is there, once, or it is told. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openPictureData } from '../../src/cli/picture-data.js';

import { tarImage } from '../tar-image.js';
import { temporaryFolder } from './run-cli.js';

const folder = temporaryFolder();
const BYTES = Buffer.from('a picture');

mkdirSync(join(folder, 'shards'));
for (const name of ['train-000', 'train-001', 'train-010']) {
  writeFileSync(
    join(folder, 'shards', `${name}.tar`),
    tarImage([
      ['a.png', BYTES],
      ['a.cls', Buffer.from('1')],
      ['b.webp', BYTES],
      ['b.cls', Buffer.from('1')],
    ]),
  );
}

async function opened(path: string) {
  const { names, leftOut, labels, close } = await openPictureData(join(folder, path));
  await close();
  return { names, leftOut, labels };
}

it('a range of archives is each of them, with zeros before its numbers; pictures of other kinds in them are told', async () => {
  expect(await opened('shards/train-{000..001}.tar')).toEqual({
    names: ['train-000/a.png', 'train-001/a.png'],
    leftOut: ['left out, as PNG and JPEG are read alone: train-000/b.webp, train-001/b.webp'],
    labels: ['1', '1'],
  });
  expect((await opened('shards/train-0{0..1}0.tar')).names).toEqual(['train-000/a.png', 'train-010/a.png']);
});

it.each([
  ['shards/train-{000..003}.tar', /2 of 4 archives are not there: .*train-002\.tar, .*train-003\.tar/],
  ['shards/train-{3..1}.tar', /\{3\.\.1\} is no range/],
  ['shards/test-*.tar', /no file matches/],
  ['shards/*.png', /only archives/],
])('%s is an error, not less data', async (path, message) => {
  await expect(openPictureData(join(folder, path))).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(message) });
});

it('a picture that a list names twice is looked at once, and that is told', async () => {
  writeFileSync(join(folder, 'list.csv'), 'file,class\na.png,1\nb.png,0\na.png,1\n');
  expect(await opened('list.csv')).toMatchObject({ names: ['a.png', 'b.png'], leftOut: ['left out, as the list names them before: 1 of its lines'] });
});

it.each([
  ['two classes of one picture', 'a.png,1\nb.png,0\na.png,2\n', /line 3 says another class of "a.png" than a line before: 2 and 1/],
  ['a line without a class', 'file,class\n\na.png,1\nb.png\n', /line 4 names no class, and other lines do: "b.png"/],
  ['a class behind lines without one', 'a.png\nb.png,1\n', /line 1 names no class/],
  ['a picture elsewhere', 'a.png,1\n../b.png,1\n', /line 2 names no picture .* beside or below it/],
  ['no picture', 'file,class\n', /names no picture/],
  ['more than a name and a class', 'a.png,1,2\n', /line 1|names no picture/],
  ['a line without end', `a.png,1\n${'x'.repeat(300_000)}`, /line 2 is longer/],
])('a list with %s is an error that says where', async (_, text, message) => {
  writeFileSync(join(folder, 'bad.csv'), text);
  await expect(openPictureData(join(folder, 'bad.csv'))).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(message) });
});

it('a list is read with quotes, other separators, names from Windows and no last line end', async () => {
  writeFileSync(join(folder, 'odd.csv'), '"x\\a.png" ; cat\r\n./b c.jpg\tdog\r\n"y/\u00e9.jpeg",cat');
  expect(await opened('odd.csv')).toEqual({ names: ['x/a.png', 'b c.jpg', 'y/\u00e9.jpeg'], leftOut: [], labels: ['cat', 'dog', 'cat'] });
  writeFileSync(join(folder, 'bare.csv'), 'a.png\nb.png\n');
  expect(await opened('bare.csv')).toEqual({ names: ['a.png', 'b.png'], leftOut: [], labels: null });
});

it('archives of one name in several folders keep their pictures apart', async () => {
  for (const part of ['one', 'two']) {
    mkdirSync(join(folder, part), { recursive: true });
    writeFileSync(join(folder, part, 'x.tar'), tarImage([['k/a.png', BYTES]]));
  }
  const { names, labels } = await opened('{one,two}/x.tar');
  expect(names).toEqual([expect.stringMatching(/one.x.k.a\.png$/), expect.stringMatching(/two.x.k.a\.png$/)]);
  expect(labels).toEqual(['k', 'k']);
});

it('a list of 300,000 lines holds its names, and little else', { tags: 'slow' }, async () => {
  const lines = Array.from({ length: 300_000 }, (_, i) => `some/folder/n${i % 1000}/picture_${i}.jpeg,class ${i % 1000}\n`);
  writeFileSync(join(folder, 'long.csv'), lines.join(''));
  const started = process.cpuUsage();
  const { names, labels } = await opened('long.csv');
  const used = process.cpuUsage(started);
  expect([names.length, names[299_999], labels![299_999], new Set(labels).size]).toEqual([300_000, 'some/folder/n999/picture_299999.jpeg', 'class 999', 1000]);
  expect(used.user + used.system).toBeLessThan(3_000_000);
});
