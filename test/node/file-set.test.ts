import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeFileSet } from '../../src/node/index.js';
import { temporaryFolder } from './temporary-folder.js';

function makeFolder(): string {
  const folder = join(temporaryFolder(), 'model');
  mkdirSync(join(folder, 'parts'), { recursive: true });
  writeFileSync(join(folder, 'net.bin'), 'main');
  writeFileSync(join(folder, 'net.json'), 'companion');
  writeFileSync(join(folder, 'parts', 'one.bin'), 'below');
  writeFileSync(join(folder, '..', 'secret.bin'), 'outside');
  return folder;
}

async function textOf(files: Awaited<ReturnType<typeof nodeFileSet>>, name: string): Promise<string> {
  const source = await files.open(name);
  return new TextDecoder().decode(await source.read(0, source.byteLength));
}

describe('the files of a model on disk', () => {
  it('are seen from the main file', async () => {
    const folder = makeFolder();
    const files = await nodeFileSet(join(folder, 'net.bin'));
    expect(files.main).toBe('net.bin');
    expect(files.folder).toBe(folder);
    expect(await files.list()).toEqual(['net.bin', 'net.json']);
    expect(await files.has('net.json')).toBe(true);
    expect(await files.has('parts')).toBe(false);
    expect(await textOf(files, 'net.bin')).toBe('main');
    expect(await textOf(files, './parts/one.bin')).toBe('below');
    await files.close();
  });

  it('are seen from the folder', async () => {
    const files = await nodeFileSet(makeFolder());
    expect(files.main).toBeNull();
    expect(await textOf(files, 'net.json')).toBe('companion');
    await files.close();
  });

  it.each(['../secret.bin', '/etc/passwd', 'C:\\secret', 'parts/../../secret.bin', '..\\secret.bin', 'a\0b', ''])(
    'refuse the name %j as unsafe',
    async (name) => {
      const files = await nodeFileSet(makeFolder());
      await expect(files.open(name)).rejects.toMatchObject({ kind: 'unsafe' });
      await expect(files.has(name)).rejects.toMatchObject({ kind: 'unsafe' });
    },
  );

  it('refuse links that lead out of the folder, to files and through folders', async () => {
    const folder = makeFolder();
    symlinkSync(join(folder, '..', 'secret.bin'), join(folder, 'link.bin'));
    symlinkSync('..', join(folder, 'up'));
    // A neighbour whose name begins like the folder's is outside too.
    mkdirSync(`${folder}-other`);
    writeFileSync(join(`${folder}-other`, 'x'), 'x');
    symlinkSync(join(`${folder}-other`, 'x'), join(folder, 'neighbour'));
    const files = await nodeFileSet(join(folder, 'net.bin'));
    for (const name of ['link.bin', 'up/secret.bin', 'neighbour']) await expect(files.open(name)).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('follow links within the folder, and the link that the user named', async () => {
    const folder = makeFolder();
    symlinkSync('net.json', join(folder, 'alias.json'));
    symlinkSync(join(folder, '..', 'secret.bin'), join(folder, 'cached.bin'));
    const files = await nodeFileSet(join(folder, 'cached.bin'));
    expect(await textOf(files, 'alias.json')).toBe('companion');
    expect(await textOf(files, 'cached.bin')).toBe('outside');
    await files.close();
  });

  it('say what is missing', async () => {
    const folder = makeFolder();
    await expect(nodeFileSet(join(folder, 'absent.h5'))).rejects.toMatchObject({ kind: 'usage', place: { file: join(folder, 'absent.h5') } });
    await expect(nodeFileSet(join(folder, 'net.bin', 'x'))).rejects.toMatchObject({ kind: 'usage' });
    await expect(nodeFileSet('/dev/null')).rejects.toMatchObject({ kind: 'usage' });
    const files = await nodeFileSet(folder);
    await expect(files.open('absent.json')).rejects.toMatchObject({ kind: 'malformed' });
    await expect(files.open('parts')).rejects.toMatchObject({ kind: 'malformed' });
  });
});
