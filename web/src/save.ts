/** Saves converted files where the user says, streamed from disk to disk; where a page cannot ask, they are downloads. */
import { download } from './dom.js';
import type { Converted } from './jobs.js';

/**
 * @param pack puts several files into one, for browsers that cannot write into a folder
 * @returns what was done, as a sentence; null where the user chose no place
 */
export async function save(files: Converted['files'], pack: () => Promise<File>): Promise<string | null> {
  try {
    const [main] = files;
    if (files.length === 1 && window.showSaveFilePicker) {
      const handle = await window.showSaveFilePicker({ suggestedName: nameOf(main!.name) });
      await main!.file.stream().pipeTo(await handle.createWritable());
      return `saved as ${handle.name}`;
    }
    if (files.length > 1 && window.showDirectoryPicker) {
      const folder = await window.showDirectoryPicker({ mode: 'readwrite' });
      for (const { name, file } of files) {
        const parts = name.split('/');
        let parent = folder;
        for (const part of parts.slice(0, -1)) parent = await parent.getDirectoryHandle(part, { create: true });
        const handle = await parent.getFileHandle(parts.at(-1)!, { create: true });
        await file.stream().pipeTo(await handle.createWritable());
      }
      return `saved ${files.length} files in ${folder.name}`;
    }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null;
    throw error;
  }
  const whole = files.length === 1 ? files[0]!.file : await pack();
  download(whole, nameOf(files.length === 1 ? files[0]!.name : whole.name));
  return files.length === 1 ? 'downloaded' : `${files.length} files downloaded in one archive: unpack it, and they lie in one folder`;
}

function nameOf(path: string): string {
  return path.split('/').at(-1)!;
}
