/** Folders of pictures: whatever names and kinds there are in them, what is read is in order and what is not is told. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { openPictureFolder } from '../../src/node/picture-folder.js';
import { temporaryFolder } from './temporary-folder.js';

function folderOf(...names: string[]): string {
  const folder = temporaryFolder();
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), name);
  }
  return folder;
}

it('takes names with spaces and letters of any script, in folders of classes, and every ending that JPEGs have', async () => {
  const names = ['Großkatzen/löwe 1.PNG', 'a b/c (1).jpg', 'a b/d.jpe', 'ねこ/三毛.jfif', '# 100%/x&y.jpeg'].sort();
  const folder = (await openPictureFolder(folderOf(...names, '.hidden.png', 'notes.txt', '.git/a.png')))!;
  expect([folder.names, folder.leftOut]).toEqual([names, []]);
  for (const name of names) expect(new TextDecoder().decode(await folder.bytes(name))).toBe(name);
});

it('tells which pictures it leaves out, as they are of other kinds', async () => {
  const folder = (await openPictureFolder(folderOf('a.png', 'b.webp', 'c/d.GIF', 'e.tif', 'f.heic', 'labels.csv')))!;
  expect([folder.names, folder.leftOut, folder.labels]).toEqual([
    ['a.png'],
    ['left out, as PNG and JPEG are read alone: b.webp, c/d.GIF, e.tif and 1 more'],
    'labels.csv',
  ]);
});

it('goes eight folders deep, and tells what lies deeper', async () => {
  const [deep, deeper] = ['1/2/3/4/5/6/7/8/a.png', '1/2/3/4/5/6/7/8/9/a.png'];
  const folder = (await openPictureFolder(folderOf(deep, deeper)))!;
  expect([folder.names, folder.leftOut]).toEqual([[deep], ['left out, as they lie more than 8 folders deep: 1/2/3/4/5/6/7/8/9']]);
});

it.skipIf(process.platform === 'win32')('takes folders and pictures that are linked to, and tells of links that go in a circle', async () => {
  const path = folderOf('cat/a.png');
  const elsewhere = folderOf('b.png');
  symlinkSync(elsewhere, join(path, 'dog'));
  symlinkSync(join(elsewhere, 'b.png'), join(path, 'cat/c.png'));
  symlinkSync(path, join(path, 'cat/all'));
  const folder = (await openPictureFolder(path))!;
  expect(folder.names).toEqual(['cat/a.png', 'cat/c.png', 'dog/b.png']);
  expect(folder.leftOut).toEqual(['left out, as they lead back to a folder that they lie in: cat/all']);
  expect(new TextDecoder().decode(await folder.bytes('dog/b.png'))).toBe('b.png');
});

it.each([
  [['a.webp', 'b.bmp'], /no pictures in it that are read: .*There are a\.webp, b\.bmp: give copies as PNG or JPEG/],
  [['a.txt'], /no pictures in it that are read: files ending in \.png, \.jpg or \.jpeg are looked for\.$/],
])('a folder with none is refused, by what is there: %j', async (names, message) => {
  await expect(openPictureFolder(folderOf(...names))).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(message) });
});
