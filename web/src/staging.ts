/** Where converted files lie until they are saved: on disk, in a folder that the browser keeps for this page alone. */

const ROOT = 'weighbridge';

export interface Staged {
  readonly folder: FileSystemDirectoryHandle;
  /** @param name as written, '/' between its parts */
  file(name: string): Promise<File>;
}

/** The worker's own folder of this run; emptied before each conversion. */
const id = crypto.randomUUID();
let made: Promise<FileSystemDirectoryHandle | null> | undefined;

/**
 * A folder; null where the browser has none, and files are held in memory.
 *
 * @param keep whether what lies in it stays; else it is emptied
 */
export async function staged({ keep = false } = {}): Promise<Staged | null> {
  made ??= make();
  const root = await made;
  if (!root) return null;
  const number = String(Date.now());
  if (!keep) for await (const name of root.keys()) await root.removeEntry(name, { recursive: true }).catch(() => {});
  const folder = await root.getDirectoryHandle(number, { create: true });
  return {
    folder,
    async file(name) {
      const parts = name.split('/');
      const last = parts.pop()!;
      let parent = folder;
      for (const part of parts) parent = await parent.getDirectoryHandle(part);
      return (await parent.getFileHandle(last)).getFile();
    },
  };
}

async function make(): Promise<FileSystemDirectoryHandle | null> {
  try {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
    // Folders whose worker is gone are removed; a lock says whose worker is not. It is held until this one ends.
    await new Promise<void>((resolve) => void navigator.locks.request(`${ROOT}/${id}`, () => new Promise(() => resolve())));
    const { held = [] } = await navigator.locks.query();
    const alive = new Set(held.map(({ name }) => name));
    for await (const name of root.keys()) if (!alive.has(`${ROOT}/${name}`)) await root.removeEntry(name, { recursive: true }).catch(() => {});
    return await root.getDirectoryHandle(id, { create: true });
  } catch {
    return null;
  }
}
