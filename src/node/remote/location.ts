/** What an address of a model means: `https://` and `hf://owner/repository/file`. */
import { checkRelativeName } from '../../bytes/file-set.js';
import { ModelError } from '../../errors.js';

export interface RemoteOptions {
  readonly allowPrivate?: boolean;
  readonly allowHttp?: boolean;
  readonly maxBytes?: number;
  readonly timeoutMs?: number;
  /** Secret for the host that is named, and for no other. */
  readonly token?: string;
  /** Fetch only what is read: for looking at headers. */
  readonly inParts?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Whether a path names something on a server. */
export function isRemote(path: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(path);
}

export interface Location {
  readonly main: URL;
  /** What names of companions are relative to. */
  readonly base: URL;
  readonly token: { readonly origin: string; readonly value: string } | null;
}

/** Where `hf://owner/repo/path/file[@revision]` leads; `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to others. @throws ModelError 'usage' */
export function locate(path: string, token?: string, env: NodeJS.ProcessEnv = process.env): Location {
  const hub = /^hf:\/\/([^/@]+)\/([^/@]+)\/([^@]+)(?:@(.+))?$/i.exec(path);
  if (hub) {
    const [, owner, repository, file, revision = 'main'] = hub;
    const parts = checkRelativeName(file!, path).split('/').map(encodeURIComponent).join('/');
    const endpoint = (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
    if (!URL.canParse(endpoint)) throw new ModelError('usage', 'HF_ENDPOINT is no URL', { file: path });
    const main = new URL(`${endpoint}/${encodeURIComponent(owner!)}/${encodeURIComponent(repository!)}/resolve/${encodeURIComponent(revision)}/${parts}`);
    const secret = token ?? env.HF_TOKEN;
    return { main, base: new URL('.', main), token: secret ? { origin: main.origin, value: secret.trim() } : null };
  }
  if (/^hf:/i.test(path))
    throw new ModelError('usage', 'hf:// names a file: hf://owner/repository/file, with @revision behind it where it is not main', { file: path });
  if (!/^https?:/i.test(path) || !URL.canParse(path)) throw new ModelError('usage', 'is no address of a file: https:// and hf:// are known', { file: path });
  const main = new URL(path);
  main.hash = '';
  const base = new URL('.', main);
  base.search = '';
  return { main, base, token: token ? { origin: main.origin, value: token } : null };
}
