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
    labels: 'train-000/a.png,1\ntrain-001/a.png,1',
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
