/** Models on servers: what is fetched, and what is refused of servers that misbehave. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inspect } from '../../src/inspect.js';
import { inspectFile } from '../../src/node/inspect-file.js';
import { isPublicAddress } from '../../src/node/remote/address.js';
import { download } from '../../src/node/remote/download.js';
import { remoteFileSet } from '../../src/node/remote/file-set.js';
import { checkedToken, checkOneOrigin, locate, shownName } from '../../src/node/remote/location.js';
import { rangeSource } from '../../src/node/remote/range-source.js';
import { checkUrl, type RemotePolicy, redirected, request } from '../../src/node/remote/request.js';
import { temporaryFolder } from '../cli/run-cli.js';

const BLOCK = 2 ** 18;
/** Four blocks and some more. */
const CONTENT = randomBytes(4 * BLOCK + 777);

let server: Server;
let other: Server;
let base: string;
let otherBase: string;
/** What was asked, and what went out. */
let asked: IncomingMessage[] = [];
let sent = 0;
/** Of the file at `/file`. */
let etag = '"one"';
let cuts = 0;

function send(response: ServerResponse, status: number, headers: Record<string, string | number>, body: Buffer): void {
  sent += body.length;
  response.writeHead(status, headers);
  response.end(body);
}

/** A server that does as it should, apart from what a test wants. */
function serve(
  request: IncomingMessage,
  response: ServerResponse,
  change: (headers: Record<string, string | number>, part: Buffer) => Buffer = (_, part) => part,
): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  if (request.headers['if-none-match'] === etag) return send(response, 304, { etag }, Buffer.alloc(0));
  const isPart = first !== undefined && [undefined, etag].includes(request.headers['if-range'] as string | undefined);
  const start = isPart ? Number(first) : 0;
  const end = isPart && last ? Math.min(CONTENT.length, Number(last) + 1) : CONTENT.length;
  const headers: Record<string, string | number> = { etag, 'accept-ranges': 'bytes', 'content-length': end - start };
  if (isPart) headers['content-range'] = `bytes ${start}-${end - 1}/${CONTENT.length}`;
  const part = change(headers, CONTENT.subarray(start, end));
  send(response, isPart ? 206 : 200, headers, part);
}

const ROUTES: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
  '/file': (request, response) => serve(request, response),
  '/whole': (request, response) => {
    delete request.headers.range;
    serve(request, response);
  },
  '/wrong-range': (request, response) =>
    serve(request, response, (headers, part) => {
      headers['content-range'] = String(headers['content-range']).replace(/\d+-/, '7-');
      return part;
    }),
  '/no-range': (request, response) =>
    serve(request, response, (headers, part) => {
      delete headers['content-range'];
      return part;
    }),
  '/grown': (request, response) =>
    serve(request, response, (headers, part) => {
      if (!request.headers.range?.startsWith('bytes=0-'))
        headers['content-range'] = String(headers['content-range']).replace(/\d+$/, String(CONTENT.length + 1));
      return part;
    }),
  '/changed': (request, response) =>
    serve(request, response, (headers, part) => {
      headers.etag = `"${Math.random()}"`;
      return part;
    }),
  // Goes on with another file than was begun.
  '/swapped': (request, response) => {
    delete request.headers['if-range'];
    serve(request, response);
  },
  '/long-part': (request, response) =>
    serve(request, response, (headers, part) => {
      headers['content-length'] = part.length + 10;
      return Buffer.concat([part, Buffer.alloc(10)]);
    }),
  '/short': (request, response) => {
    serve(request, response, (_, part) => {
      setTimeout(() => response.destroy(), 50);
      return part.subarray(0, part.length >> 1);
    });
  },
  '/packed': (request, response) =>
    serve(request, response, (headers, part) => {
      headers['content-encoding'] = 'gzip';
      return part;
    }),
  '/silent': () => {},
  '/drip': (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 0-${BLOCK - 1}/${CONTENT.length}`, etag });
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  },
  '/endless': (_, response) => {
    response.writeHead(200, {});
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(2 ** 16)));
    };
    response.on('drain', more);
    more();
  },
  '/huge': (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 0-${BLOCK - 1}/${2 ** 50}` });
    response.end(Buffer.alloc(BLOCK));
  },
  '/loop': (_, response) => send(response, 302, { location: '/loop' }, Buffer.alloc(0)),
  '/to-file': (_, response) => send(response, 302, { location: 'file:///etc/passwd' }, Buffer.alloc(0)),
  '/to-nowhere': (_, response) => send(response, 302, { location: 'http://' }, Buffer.alloc(0)),
  '/elsewhere': (_, response) => send(response, 302, { location: `${otherBase}/file` }, Buffer.alloc(0)),
  '/here': (_, response) => send(response, 307, { location: 'file' }, Buffer.alloc(0)),
  '/login': (_, response) => send(response, 401, {}, Buffer.alloc(0)),
  '/broken': (_, response) => send(response, 500, {}, Buffer.alloc(0)),
  '/cut': (request, response) => {
    const isCut = cuts-- > 0;
    serve(request, response, (_, part) => {
      if (!isCut) return part;
      setTimeout(() => response.destroy(), 50);
      return part.subarray(0, 1000);
    });
  },
};

beforeAll(async () => {
  const start = async () => {
    const made = createServer((request, response) => {
      asked.push(request);
      const route = ROUTES[request.url!.split('?')[0]!];
      if (route) route(request, response);
      else send(response, 404, {}, Buffer.alloc(0));
    });
    await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
    return [made, `http://127.0.0.1:${(made.address() as AddressInfo).port}`] as const;
  };
  [server, base] = await start();
  [other, otherBase] = await start();
});

afterAll(() => {
  for (const one of [server, other]) {
    one.closeAllConnections();
    one.close();
  }
});

beforeEach(() => {
  asked = [];
  sent = 0;
  cuts = 0;
  etag = '"one"';
});

const POLICY: RemotePolicy = { allowPrivate: true, allowHttp: true, maxBytes: 2 ** 24, timeoutMs: 400, token: null };
const fetched = (path: string, policy = POLICY) => rangeSource(new URL(base + path), policy, path);
const expected = (kind: string, message: RegExp) => expect.objectContaining({ name: 'ModelError', kind, message: expect.stringMatching(message) });

describe('a file of which parts are read', () => {
  it('gives any bytes, and fetches little more than them', async () => {
    const source = (await fetched('/file'))!;
    expect(source.byteLength).toBe(CONTENT.length);
    expect(Buffer.from(await source.read(0, 10))).toEqual(CONTENT.subarray(0, 10));
    expect(Buffer.from(await source.read(CONTENT.length - 5, CONTENT.length))).toEqual(CONTENT.subarray(-5));
    expect(sent).toBe(BLOCK + 777);
    await Promise.all([source.read(1, 2), source.read(CONTENT.length - 1, CONTENT.length)]);
    expect(asked).toHaveLength(2);
    expect(CONTENT.subarray(BLOCK - 3, 3 * BLOCK + 5).equals(await source.read(BLOCK - 3, 3 * BLOCK + 5))).toBe(true);
    expect(Buffer.from(await source.read(7, 7))).toEqual(Buffer.alloc(0));
    await expect(source.read(0, CONTENT.length + 1)).rejects.toEqual(expected('malformed', /truncated/));
  });

  it('asks once more where it was sent on from', async () => {
    const source = (await fetched('/elsewhere'))!;
    expect(Buffer.from(await source.read(2 * BLOCK, 2 * BLOCK + 3))).toEqual(CONTENT.subarray(2 * BLOCK, 2 * BLOCK + 3));
    expect(asked.map(({ url }) => url)).toEqual(['/elsewhere', '/file', '/file']);
  });

  it.each([
    ['/wrong-range', 'malformed', /sends "bytes 7-/],
    ['/no-range', 'malformed', /does not name/],
    ['/long-part', 'unsafe', /more than the/],
    ['/short', 'usage', /ended early/],
    ['/packed', 'malformed', /packed \(gzip\)/],
    ['/silent', 'usage', /says nothing for 0.4 seconds/],
    ['/drip', 'usage', /bytes in 0.4 seconds/],
    ['/huge', 'unsafe', /--max-download/],
    ['/loop', 'malformed', /sends on more than 5 times/],
    ['/to-file', 'unsafe', /file:/],
    ['/to-nowhere', 'malformed', /no address/],
    ['/login', 'usage', /401: .*HF_TOKEN/],
    ['/broken', 'usage', /answers 500/],
    ['/nothing', 'usage', /404: there is no such file/],
  ])('%s: %s', async (path, kind, message) => {
    await expect(fetched(path)).rejects.toEqual(expected(kind, message));
  });

  it.each(['/changed', '/grown'])('%s: is refused where it changes while it is read', async (path) => {
    const source = (await fetched(path))!;
    await expect(source.read(2 * BLOCK, 2 * BLOCK + 1)).rejects.toEqual(expected('malformed', /changed on the server/));
  });

  it('of a server that gives no parts, is none', async () => {
    expect(await fetched('/whole')).toBeNull();
  });

  it('of nobody who listens, is an error', async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    await expect(rangeSource(new URL(`http://127.0.0.1:${port}/x`), POLICY, 'x')).rejects.toEqual(expected('usage', /nobody listens/));
  });
});

describe('a file that is fetched whole', () => {
  const fetch = async (path: string, policy = POLICY, to = join(temporaryFolder(), 'file')) => {
    await download(new URL(base + path), to, policy, path);
    return to;
  };

  it('is fetched once for as long as it is the same, and again when it is another', async () => {
    const to = await fetch('/file');
    expect(readFileSync(to).equals(CONTENT)).toBe(true);
    expect(sent).toBe(CONTENT.length);
    await fetch('/file', POLICY, to);
    expect(sent).toBe(CONTENT.length);
    etag = '"two"';
    await fetch('/file', POLICY, to);
    expect(sent).toBe(2 * CONTENT.length);
  });

  it('goes on where the connection was cut', async () => {
    cuts = 2;
    const to = await fetch('/cut');
    expect(readFileSync(to).equals(CONTENT)).toBe(true);
    expect(asked.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=1000-', 'bytes=2000-']);
  });

  it('goes on in another process, and starts over where the file is another by then', async () => {
    const to = join(temporaryFolder(), 'file');
    for (const [next, ranges] of [
      ['"one"', [undefined, 'bytes=1000-']],
      ['"two"', [undefined, 'bytes=1000-']],
    ] as const) {
      asked = [];
      etag = '"one"';
      writeFileSync(`${to}.part`, CONTENT.subarray(0, 1000));
      writeFileSync(`${to}.part.weighbridge.json`, JSON.stringify({ mark: '"one"', byteLength: CONTENT.length }));
      etag = next;
      await fetch('/file', POLICY, to);
      expect(readFileSync(to).equals(CONTENT)).toBe(true);
      expect(asked.map(({ headers }) => headers.range)).toEqual(ranges.slice(1));
    }
    expect(existsSync(`${to}.part`)).toBe(false);
  });

  it.each([
    ['/swapped', /changed on the server while it was fetched/],
    ['/wrong-range', /asked for bytes 1000-\d+ and sends "bytes 7-/],
    ['/no-range', /a part that it does not name/],
  ])('%s: goes on with nothing but what belongs to it, and the next time it is begun anew', async (path, message) => {
    const to = join(temporaryFolder(), 'file');
    writeFileSync(`${to}.part`, CONTENT.subarray(0, 1000));
    writeFileSync(`${to}.part.weighbridge.json`, JSON.stringify({ mark: path === '/swapped' ? '"old"' : '"one"', byteLength: CONTENT.length }));
    await expect(fetch(path, POLICY, to)).rejects.toEqual(expected('malformed', message));
    expect([existsSync(to), existsSync(`${to}.part`)]).toEqual([false, false]);
    await fetch(path === '/swapped' ? path : '/whole', POLICY, to);
    expect(readFileSync(to).equals(CONTENT)).toBe(true);
  });

  it('is not taken from an answer with a part that nobody asked for', async () => {
    ROUTES['/part'] = (request, response) => {
      request.headers.range = 'bytes=0-999';
      serve(request, response);
    };
    await expect(fetch('/part')).rejects.toEqual(expected('usage', /206/));
  });

  it('is not waited for without end', async () => {
    cuts = 1000;
    const to = join(temporaryFolder(), 'file');
    await expect(fetch('/cut', POLICY, to)).rejects.toEqual(expected('usage', /ended early/));
    expect(asked.length).toBeLessThan(40);
    expect(existsSync(to)).toBe(false);
  });

  it.each([
    ['/endless', 'unsafe', /more than the 1048576 bytes/],
    ['/file', 'unsafe', /--max-download/],
  ])('%s is refused beyond a limit, and nothing is kept', async (path, kind, message) => {
    const to = join(temporaryFolder(), 'file');
    await expect(fetch(path, { ...POLICY, maxBytes: 2 ** 20 }, to)).rejects.toEqual(expected(kind, message));
    expect([existsSync(to), existsSync(`${to}.part`)]).toEqual([false, false]);
  });

  it.each([
    ['/packed', 'malformed', /packed/],
    ['/silent', 'usage', /says nothing/],
    ['/nothing', 'usage', /404/],
  ])('%s: %s', async (path, kind, message) => {
    await expect(fetch(path)).rejects.toEqual(expected(kind, message));
  });
});

describe('where a request may lead', () => {
  const strict: RemotePolicy = { ...POLICY, allowHttp: false, allowPrivate: false };
  const noPrivate: RemotePolicy = { ...POLICY, allowPrivate: false };

  it.each([
    'http://127.0.0.1:1/',
    'http://localhost:1/',
    'http://0x7f.1/',
    'http://2130706433/',
    'http://[::1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://[fd00::1]/',
  ])('%s is not asked', async (url) => {
    await expect(request(new URL(url), {}, noPrivate, 'x')).rejects.toEqual(expected('unsafe', /--allow-private/));
  });

  it.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://0xa9fea9fe/',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[fe80::1]/',
    'http://[febf::1]/',
    'http://[fd00:ec2::254]/',
    'http://100.100.100.200/',
  ])('%s is not asked, whatever is allowed, nor where a server sends on to it', async (url) => {
    await expect(request(new URL(url), {}, POLICY, 'x')).rejects.toEqual(expected('unsafe', /never asked, not even with --allow-private/));
    ROUTES['/to-link'] = (_, response) => send(response, 302, { location: url }, Buffer.alloc(0));
    await expect(fetched('/to-link')).rejects.toEqual(expected('unsafe', /never asked/));
  });

  it('a redirect leads to https alone, and to no private address', () => {
    const from = new URL('https://host.example/a/b');
    expect(redirected(from, '../c', strict, 'x').href).toBe('https://host.example/c');
    expect(() => redirected(from, 'http://host.example/c', strict, 'x')).toThrow(/--allow-http/);
    expect(() => redirected(from, 'https://10.0.0.1/c', strict, 'x')).toThrow(/--allow-private/);
    expect(() => redirected(from, 'https://user:secret@host.example/c', strict, 'x')).toThrow(/--token-env/);
  });

  it('a redirect to a private name is refused when it is looked up', async () => {
    ROUTES['/to-private'] = (_, response) => send(response, 302, { location: `http://localhost:${new URL(otherBase).port}/file` }, Buffer.alloc(0));
    // The first server is private itself, so its address is taken for a public one here.
    const policy: RemotePolicy = {
      ...POLICY,
      get allowPrivate() {
        return asked.length === 0;
      },
    };
    await expect(request(new URL(`${base}/to-private`), {}, policy, 'x')).rejects.toEqual(expected('unsafe', /localhost is .*--allow-private/));
    expect(asked).toHaveLength(1);
  });

  it('says nothing secret in a message', () => {
    try {
      checkUrl(new URL('https://user:secret@host.example/'), strict, 'https://user:secret@host.example/');
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).not.toContain('secret');
    }
  });

  it('a token is told its own origin and no other', async () => {
    const policy = { ...POLICY, token: { origin: base, value: 'secret' } };
    await (await fetched('/elsewhere', policy))!.read(3 * BLOCK, 3 * BLOCK + 1);
    expect(asked.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ['/elsewhere', 'Bearer secret'],
      ['/file', undefined],
      ['/file', undefined],
    ]);
  });

  it.each([
    ['8.8.8.8', true],
    ['2606:4700::1111', true],
    ['::ffff:8.8.8.8', true],
    ['64:ff9b::808:808', true],
    ...['10.1.2.3', '172.31.0.1', '192.168.1.1', '127.8.9.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '198.19.0.1'].map(
      (address) => [address, false] as const,
    ),
    ...[
      '::',
      '::1',
      'fe80::1',
      'fe80::1%eth0',
      'fd00::1',
      'ff02::1',
      '::ffff:127.0.0.1',
      '64:ff9b::a00:1',
      '64:ff9b:1::1',
      '2002:7f00:1::',
      '2001:db8::1',
      '2001::1',
    ].map((address) => [address, false] as const),
  ] as const)('%s is public: %s', (address, isPublic) => {
    expect(isPublicAddress(address)).toBe(isPublic);
  });
});

describe('a signal', () => {
  const patient: RemotePolicy = { ...POLICY, timeoutMs: 20_000 };

  it.each(['/silent', '/drip', '/stalls'])(
    '%s: ends what a server is waited for, at once',
    async (path) => {
      ROUTES['/stalls'] = (_, response) => {
        response.writeHead(206, { 'content-range': `bytes 0-${BLOCK - 1}/${CONTENT.length}`, etag });
        response.write('x');
      };
      const reason = new Error('enough');
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 50);
      await expect(fetched(path, { ...patient, signal: controller.signal })).rejects.toBe(reason);
    },
    5000,
  );

  it('stops the functions of the library, and no other call that reads the same', async () => {
    process.env.WEIGHBRIDGE_CACHE = temporaryFolder();
    const reason = new Error('enough');
    const controller = new AbortController();
    const options = { allowHttp: true, allowPrivate: true };
    setTimeout(() => controller.abort(reason), 50);
    await expect(inspectFile(`${base}/silent`, { ...options, signal: controller.signal })).rejects.toBe(reason);
    await expect(inspectFile(`${base}/file`, { ...options, signal: controller.signal })).rejects.toBe(reason);
    await expect(inspectFile(`${base}/file`, { ...options, weights: true })).rejects.toEqual(expected('unknown-format', /./));
  }, 5000);
});

describe('addresses of models', () => {
  it.each([
    ['https://user:pass@host.example/a/b.h5?sig=x#y', 'https://host.example/a/b.h5'],
    ['hf://owner/name/file.h5@v1?token=x', 'hf://owner/name/file.h5@v1'],
    ['https://host.example/a@b.h5', 'https://host.example/a@b.h5'],
    ['what?.h5', 'what?.h5'],
  ])('%s is shown as %s', (path, shown) => {
    expect(shownName(path)).toBe(shown);
  });

  it('a token is for one origin', () => {
    const [one, two] = ['https://a.example/x.h5', 'https://b.example/x.h5'];
    expect(() => checkOneOrigin([one, two], 'TOKEN')).toThrow(/https:\/\/a.example and https:\/\/b.example/);
    expect(() => checkOneOrigin(['https://a.example:444/x.h5', one], 'TOKEN')).toThrow(/--token-env/);
    expect(() => checkOneOrigin(['hf://o/n/f.h5', one], 'TOKEN')).toThrow(/huggingface/);
    checkOneOrigin([one, 'https://a.example/y.h5', 'z.h5', '-'], 'TOKEN');
    checkOneOrigin([one, two], undefined);
  });

  it('a token is what a header takes', () => {
    expect(checkedToken('abc\n', 'T')).toBe('abc');
    expect(checkedToken(' ', 'T')).toBeUndefined();
    for (const token of ['a\nb', 'a b', 'schl\u00fcssel', '\u20ac']) expect(() => checkedToken(token, 'T')).toThrow(/^what T holds is no token/);
  });

  it.each([
    ['hf://owner/name/model.safetensors', 'https://huggingface.co/owner/name/resolve/main/model.safetensors'],
    ['hf://owner/name/onnx/model.onnx@refs/pr/1', 'https://huggingface.co/owner/name/resolve/refs%2Fpr%2F1/onnx/model.onnx'],
    ['https://host.example/a/b.h5?x=1#y', 'https://host.example/a/b.h5?x=1'],
  ])('%s is %s', (path, url) => {
    expect(locate(path, undefined, {}).main.href).toBe(url);
  });

  it.each(['hf://owner/name', 'hf://owner/name/../../x', 'ftp://host/x', 'https://'])('%s is none', (path) => {
    expect(() => locate(path, undefined, {})).toThrow();
  });

  it('HF_TOKEN is for the hub alone', () => {
    const env = { HF_TOKEN: 'secret' };
    expect(locate('hf://o/n/f', undefined, env).token).toEqual({ origin: 'https://huggingface.co', value: 'secret' });
    expect(locate('hf://o/n/f', undefined, { ...env, HF_ENDPOINT: 'https://mirror.example/hub/' }).token?.origin).toBe('https://mirror.example');
    expect(locate('https://huggingface.co/x', undefined, env).token).toBeNull();
  });
});

it('a model is inspected by its headers, and its shards lie beside its index', async () => {
  const header = Buffer.from(JSON.stringify({ weight: { dtype: 'F32', shape: [2 ** 20], data_offsets: [0, 2 ** 22] } }).padEnd(128));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const shard = Buffer.concat([size, header, Buffer.alloc(2 ** 22)]);
  const index = Buffer.from(JSON.stringify({ metadata: {}, weight_map: { weight: 'model-00001-of-00001.safetensors' } }));
  const file = (content: Buffer) => (request: IncomingMessage, response: ServerResponse) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined) return send(response, 200, {}, content);
    const end = Math.min(content.length, Number(last) + 1);
    send(response, 206, { 'content-range': `bytes ${first}-${end - 1}/${content.length}`, etag: '"x"' }, content.subarray(Number(first), end));
  };
  ROUTES['/nets/model.safetensors.index.json'] = file(index);
  ROUTES['/nets/model-00001-of-00001.safetensors'] = file(shard);
  process.env.WEIGHBRIDGE_CACHE = temporaryFolder();
  const files = await remoteFileSet(`${base}/nets/model.safetensors.index.json`, { allowHttp: true, allowPrivate: true, inParts: true });
  const document = await inspect(files);
  await files.close();
  expect(document.parameterCount).toBe(2 ** 20);
  expect(sent).toBeLessThan(2 ** 20);
  expect(asked.every(({ url }) => url!.startsWith('/nets/'))).toBe(true);
  await expect(files.open('../file')).rejects.toEqual(expected('unsafe', /leaves the model's folder/));
});
