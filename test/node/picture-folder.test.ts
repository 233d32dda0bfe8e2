/** Folders of pictures: whatever names and kinds there are in them, what is read is in order and what is not is told. */
import { mkdirSync, writeFileSync } from 'node:fs';
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
  expect([folder.names, folder.others]).toEqual([names, []]);
  for (const name of names) expect(new TextDecoder().decode(await folder.bytes(name))).toBe(name);
});

it('tells which pictures it leaves out, as they are of other kinds', async () => {
  const folder = (await openPictureFolder(folderOf('a.png', 'b.webp', 'c/d.GIF', 'e.tif', 'f.heic', 'labels.csv')))!;
  expect([folder.names, folder.others, folder.labels]).toEqual([['a.png'], ['b.webp', 'c/d.GIF', 'e.tif', 'f.heic'], 'labels.csv']);
});

it.each([
  [['a.webp', 'b.bmp'], /no pictures in it that are read: .*There are a\.webp, b\.bmp: give copies as PNG or JPEG/],
  [['a.txt'], /no pictures in it that are read: files ending in \.png, \.jpg or \.jpeg are looked for\.$/],
])('a folder with none is refused, by what is there: %j', async (names, message) => {
  await expect(openPictureFolder(folderOf(...names))).rejects.toMatchObject({ kind: 'usage', message: expect.stringMatching(message) });
});
