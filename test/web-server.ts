/** A web server for pages of tests: files of the repository, and files in memory. */
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  mjs: 'text/javascript',
  json: 'application/json',
  wasm: 'application/wasm',
  css: 'text/css',
  svg: 'image/svg+xml',
};

export interface WebServer {
  readonly origin: string;
  close(): Promise<void>;
}

/** @param files in memory, by path without the leading '/'; other paths are those of the repository */
export async function serve(files: ReadonlyMap<string, Uint8Array | string>): Promise<WebServer> {
  const server = createServer((request, response) => {
    const asked = normalize(decodeURIComponent(new URL(request.url!, 'http://localhost').pathname)).replace(/^\/+/, '');
    const path = asked === '' || asked.endsWith('/') ? `${asked}index.html` : asked;
    const onDisk = join(ROOT, path);
    const isFile = !path.startsWith('..') && statSync(onDisk, { throwIfNoEntry: false })?.isFile();
    const content = files.get(path) ?? (isFile ? readFileSync(onDisk) : null);
    response.writeHead(content === null ? 404 : 200, { 'content-type': TYPES[path.split('.').at(-1)!] ?? 'application/octet-stream' });
    response.end(content);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
