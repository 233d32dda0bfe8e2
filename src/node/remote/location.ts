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
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Whether a path names something on a server. */
export function isRemote(path: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(path);
}

/** A path as it is shown and recorded: of a URL neither what it was signed with (behind a question mark) nor a name and a password. */
export function shownName(path: string): string {
  return isRemote(path) ? path.replace(/[?#].*$/s, '').replace(/^([^:]+:\/\/)[^/]*@(?=[^/]*)/, '$1') : path;
}

/**
 * A token is told to one server.
 *
 * @param paths all models that are read with it
 * @throws ModelError 'usage' where they are of several origins
 */
export function checkOneOrigin(paths: readonly string[], tokenEnv: string | undefined): void {
  if (tokenEnv === undefined) return;
  const origins = new Set(paths.filter(isRemote).map((path) => locate(path).main.origin));
  if (origins.size < 2) return;
  throw new ModelError('usage', `--token-env is a secret of one server, and the models are of ${[...origins].join(' and ')}: read them one by one.`);
}

export interface Location {
  readonly main: URL;
  /** What names of companions are relative to. */
  readonly base: URL;
  readonly token: { readonly origin: string; readonly value: string } | null;
}

/** Where `hf://owner/repo/path/file[@revision]` leads; `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to others. @throws ModelError 'usage' */
export function locate(path: string, token?: string, env: NodeJS.ProcessEnv = process.env): Location {
  const shown = shownName(path);
  const hub = /^hf:\/\/([^/@]+)\/([^/@]+)\/([^@]+)(?:@(.+))?$/i.exec(path);
  if (hub) {
    const [, owner, repository, file, revision = 'main'] = hub;
    const parts = checkRelativeName(file!, shown).split('/').map(encodeURIComponent).join('/');
    const endpoint = (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
    if (!URL.canParse(endpoint)) throw new ModelError('usage', 'HF_ENDPOINT is no URL', { file: shown });
    const main = new URL(`${endpoint}/${encodeURIComponent(owner!)}/${encodeURIComponent(repository!)}/resolve/${encodeURIComponent(revision)}/${parts}`);
    const secret = token ?? checkedToken(env.HF_TOKEN, 'HF_TOKEN');
    return { main, base: new URL('.', main), token: secret ? { origin: main.origin, value: secret } : null };
  }
  if (/^hf:/i.test(path))
    throw new ModelError('usage', 'hf:// names a file: hf://owner/repository/file, with @revision behind it where it is not main', { file: shown });
  if (!/^https?:/i.test(path) || !URL.canParse(path)) throw new ModelError('usage', 'is no address of a file: https:// and hf:// are known', { file: shown });
  const main = new URL(path);
  main.hash = '';
  const base = new URL('.', main);
  base.search = '';
  return { main, base, token: token ? { origin: main.origin, value: token } : null };
}

/**
 * What a variable holds, as a header can take it: without the line break that a file ends in.
 *
 * @throws ModelError 'usage' where it holds what no token does
 */
export function checkedToken(value: string | undefined, variable: string): string | undefined {
  const token = value?.trim();
  if (token && !/^[\x21-\x7e]+$/.test(token))
    throw new ModelError('usage', `what ${variable} holds is no token: it has a blank, a line break, or a letter beyond ASCII in it`);
  return token || undefined;
}
