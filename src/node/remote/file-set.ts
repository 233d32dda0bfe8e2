/** A model on a server, with its companions beside it, as a file set. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ByteSource } from '../../bytes/byte-source.js';
import { checkRelativeName } from '../../bytes/file-set.js';
import { refuseLeftover } from '../../bytes/leftover.js';
import { isModelError, ModelError } from '../../errors.js';
import { type NodeFileSet, nodeFileSet } from '../file-set.js';
import { fileSource } from '../file-source.js';
import { folderFor } from './cache.js';
import { type DownloadProgress, download } from './download.js';
import { locate, type RemoteOptions, shownName } from './location.js';
import { rangeSource } from './range-source.js';
import { type RemotePolicy, request } from './request.js';

/** The largest published nets in one file, and some more. */
const MAX_BYTES = 2e10;
const TIMEOUT_MS = 30_000;
const MAX_NAME_LENGTH = 200;

/**
 * The model at a URL. Only the model's folder on its server is asked for companions.
 *
 * @param path https:// or hf://
 * @throws ModelError as reading does
 */
export async function remoteFileSet(path: string, options: RemoteOptions = {}): Promise<NodeFileSet> {
  const shown = shownName(path);
  const { main: url, base, token } = locate(path, options.token);
  const { allowPrivate = false, allowHttp = false, maxBytes = MAX_BYTES, timeoutMs = TIMEOUT_MS, signal } = options;
  const policy: RemotePolicy = { allowPrivate, allowHttp, maxBytes, timeoutMs, token, signal };
  // What stands behind a question mark may make another file of it.
  const folder = folderFor(url.search === '' ? base : url);
  const main = nameOf(url);
  const inParts = options.inParts === true && !/\.(gz|br)$/i.test(main);
  const opened: ByteSource[] = [];
  const openedPaths = new Set<string>();
  const known = new Map<string, Promise<boolean>>();
  const urlOf = (name: string) => (name === main ? url : new URL(name.split('/').map(encodeURIComponent).join('/'), base));

  async function open(name: string): Promise<ByteSource> {
    const label = name === main ? shown : urlOf(name).href;
    const source = inParts ? await rangeSource(urlOf(name), policy, label) : null;
    if (source) return source;
    const local = join(folder, ...name.split('/'));
    mkdirSync(dirname(local), { recursive: true });
    await fetchOnce(urlOf(name), local, policy, label, options.onProgress);
    openedPaths.add(local);
    return fileSource(local, label);
  }

  async function exists(name: string): Promise<boolean> {
    // Not every server answers HEAD.
    const answer = await request(urlOf(name), { range: 'bytes=0-0' }, policy, urlOf(name).href);
    answer.body.destroy();
    return answer.status === 200 || answer.status === 206 || answer.status === 416;
  }

  const has = (name: string): Promise<boolean> => {
    const relative = checkRelativeName(name, shown);
    if (relative === main) return Promise.resolve(true);
    const found = known.get(relative) ?? exists(relative);
    known.set(relative, found);
    return found;
  };

  const local = join(folder, main);
  if (!inParts) {
    await (await open(main)).close();
    // What is packed is unpacked from disk, and has no companions elsewhere.
    if (/\.(gz|br)$/i.test(main)) return { ...(await nodeFileSet(local)), label: shown };
  }

  const close = async () => void (await Promise.all(opened.splice(0).map((source) => source.close())));

  return {
    main,
    label: shown,
    folder,
    path: inParts ? shown : local,
    // Servers do not list what they have: what usually lies beside such a file is asked for.
    async list() {
      const names = await Promise.all(usualCompanions(main).map(async (name) => ((await has(name)) ? [name] : [])));
      return [main, ...names.flat()].sort();
    },
    has,
    async open(name) {
      const relative = checkRelativeName(name, shown);
      try {
        const source = await open(relative);
        opened.push(source);
        if (relative !== main) await refuseLeftover(source);
        return source;
      } catch (error) {
        if (relative === main || !isModelError(error, 'usage')) throw error;
        throw new ModelError('malformed', `${JSON.stringify(name)}, which the model names, could not be fetched: ${error.problem}`, { file: shown }, error);
      }
    },
    openedPaths: () => [...openedPaths],
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A process fetches a file once, however often it opens it. */
const fetched = new Map<string, { readonly signal: AbortSignal | undefined; readonly end: Promise<void> }>();

async function fetchOnce(url: URL, local: string, policy: RemotePolicy, label: string, onProgress?: DownloadProgress): Promise<void> {
  const key = `${url.href}\n${local}`;
  const { signal } = policy;
  const known = fetched.get(key);
  // What another stops is not waited for.
  const running = known && known.signal === signal ? known : { signal, end: download(url, local, policy, label, onProgress) };
  fetched.set(key, running);
  running.end.catch(() => fetched.delete(key));
  await running.end;
}

function usualCompanions(main: string): readonly string[] {
  const stem = main.replace(/\.[^.]+$/, '');
  if (/\.caffemodel(\.h5)?$/i.test(main)) return [`${stem}.prototxt`, 'deploy.prototxt'];
  return /\.(h5|hdf5|bin|pth|pt|safetensors|onnx)$/i.test(main) ? ['config.json', 'labels.txt'].filter((name) => name !== main) : [];
}

/** The file's name, as any disk takes it. */
function nameOf(url: URL): string {
  const last = url.pathname.split('/').at(-1) ?? '';
  let name = last;
  try {
    name = decodeURIComponent(last);
  } catch {
    // As it stands, then.
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those that Windows has no names with
  name = name.replace(/[<>:"/\\|?*\u0000-\u001f]/g, '_').replace(/^\.+|[. ]+$/g, '_');
  return name === '' ? 'model' : name.slice(-MAX_NAME_LENGTH);
}
