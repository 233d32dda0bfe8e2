/** The built command on models that are on a server, or come through stdin. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

let server: Server;
let base: string;
let folder: string;
let asked: string[] = [];
const cache = temporaryFolder();

beforeAll(async () => {
  folder = temporaryFolder();
  weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', join(folder, 'web'), '--to', 'tfjs', '--no-verify']);
  server = createServer((request, response) => {
    const [path] = request.url!.split('?');
    const file = [join(DIGITS, path!), join(folder, path!)].find((candidate) => existsSync(candidate) && statSync(candidate).isFile());
    asked.push(path!);
    if (!file) return void response.writeHead(404).end();
    const { size } = statSync(file);
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const etag = `"${size}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    if (first === undefined) return void createReadStream(file).pipe(response.writeHead(200, { etag, 'content-length': size }));
    const end = Math.min(size, last ? Number(last) + 1 : size);
    response.writeHead(206, { etag, 'content-range': `bytes ${first}-${end - 1}/${size}` });
    createReadStream(file, { start: Number(first), end: end - 1 }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** As `weighbridge` does, while this process goes on to serve. */
function run(args: readonly string[], { stdin, env = {} }: { readonly stdin?: string; readonly env?: Record<string, string> } = {}) {
  asked = [];
  const variables = { ...process.env, NO_COLOR: '1', WEIGHBRIDGE_CACHE: cache, ...env };
  const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), ...args], { env: variables });
  // It may end before it has read all of it.
  child.stdin.on('error', () => {});
  if (stdin === undefined) child.stdin.end();
  else createReadStream(stdin).pipe(child.stdin);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (status) => resolve({ status, stdout, stderr })),
  );
}

const LOCAL = ['--allow-http', '--allow-private'];

describe('a URL', () => {
  it('is refused on this machine and without encryption, unless that is allowed', async () => {
    const plain = await run(['inspect', `${base}/digits.h5`]);
    expect([plain.status, plain.stderr]).toEqual([2, expect.stringContaining('--allow-http')]);
    const local = await run(['inspect', `${base}/digits.h5`, '--allow-http']);
    expect([local.status, local.stderr]).toEqual([2, expect.stringContaining('--allow-private')]);
    expect(asked).toEqual([]);
  });

  it('is inspected as the file is, without being kept', async () => {
    const { status, stdout } = await run(['inspect', `${base}/digits.h5`, ...LOCAL, '--json']);
    expect(status).toBe(0);
    const { stdout: local } = weighbridge(['inspect', join(DIGITS, 'digits.h5'), '--json']);
    expect(JSON.parse(stdout)).toEqual(JSON.parse(local));
    expect(readdirSync(cache).flatMap((name) => readdirSync(join(cache, name)))).toEqual([]);
  });

  it('is converted and verified with what lies beside it, and fetched once', async () => {
    const output = join(temporaryFolder(), 'a.onnx');
    const first = await run(['convert', `${base}/web/model.json`, '-o', output, ...LOCAL, '--samples', '1', '--json']);
    expect(first.status, first.stderr).toBe(0);
    expect(JSON.parse(first.stdout).report.verdict).toBe('match');
    expect(asked.filter((path) => path.endsWith('.bin'))).toHaveLength(1);
    const again = await run(['convert', `${base}/web/model.json`, '-o', output, '--force', ...LOCAL, '--no-verify']);
    expect(again.status, again.stderr).toBe(0);
    expect(asked.sort()).toEqual(['/web/group1-shard1of1.bin', '/web/model.json']);
  });

  it('has the prototxt of its own server', async () => {
    const { status, stdout, stderr } = await run(['inspect', `${base}/digits.caffemodel`, ...LOCAL, '--json']);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).details.wiring).toBe('digits.prototxt');
  });

  it('is held to a hash, and so is a file', async () => {
    const right = createHash('sha256')
      .update(readFileSync(join(DIGITS, 'digits.pth')))
      .digest('hex');
    const wrong = right.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    for (const path of [`${base}/digits.pth`, join(DIGITS, 'digits.pth')]) {
      expect((await run(['inspect', path, ...LOCAL, '--sha256', right])).status).toBe(0);
      const refused = await run(['inspect', path, ...LOCAL, '--sha256', wrong]);
      expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(right)]);
    }
  });

  it('is compared with a file', async () => {
    const { status, stdout, stderr } = await run(['diff', join(DIGITS, 'digits.pth'), `${base}/digits.pth`, ...LOCAL, '--json']);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).verdict.equal).toBe(true);
  });

  it('of the hub is asked with its token, and what is missing is said', async () => {
    const { status, stderr } = await run(['inspect', 'hf://owner/name/none.h5@v1', ...LOCAL], { env: { HF_ENDPOINT: base, HF_TOKEN: 'x' } });
    expect([status, stderr]).toEqual([2, expect.stringContaining('404')]);
    expect(asked).toEqual(['/owner/name/resolve/v1/none.h5']);
  });

  it('that was signed is nowhere to be read afterwards', async () => {
    const out = temporaryFolder();
    const signed = `${base}/digits.h5?sig=SECRET`;
    const reports = ['xml', 'md', 'html', 'json'].flatMap((kind) => ['--report', join(out, `r.${kind}`)]);
    const said = [
      await run(['convert', signed, '-o', join(out, 'a.onnx'), ...LOCAL, '--samples', '1', ...reports]),
      await run(['convert', signed, '-o', join(out, 'b.onnx'), ...LOCAL, '--no-verify', '--json']),
      await run(['inspect', signed, ...LOCAL]),
      await run(['inspect', signed, `${base}/digits.pth?sig=SECRET`, ...LOCAL, '--json']),
      await run(['diff', signed, join(DIGITS, 'digits.pth'), ...LOCAL, '--html', join(out, 'd.html')]),
      await run(['verify', signed, join(out, 'a.onnx'), ...LOCAL, '--samples', '1', '--report', join(out, 'v.html')]),
      await run(['audit', signed, ...LOCAL]),
    ];
    for (const { status, stderr } of said) expect(status, stderr).toBe(0);
    said.push(await run(['inspect', `${base}/none.h5?sig=SECRET`, ...LOCAL, '--json', '-v']), await run(['convert', signed]));
    said.push(await run(['inspect', signed, '--sha256', '0'.repeat(64), ...LOCAL]));
    expect(said.filter(({ stdout, stderr }) => `${stdout}${stderr}`.includes('SECRET'))).toEqual([]);
    const written = readdirSync(out);
    expect(written).toHaveLength(8);
    expect(written.filter((name) => readFileSync(join(out, name)).includes('SECRET'))).toEqual([]);
  });

  it('has a token that is told to no other server', async () => {
    const there = `${base.replace('127.0.0.1', 'localhost')}/digits.pth`;
    const here = `${base}/digits.h5`;
    const env = { CORP: 'secret' };
    for (const args of [
      ['diff', here, there],
      ['verify', here, there],
      ['inspect', here, there],
      ['convert', here, there, '--to', 'onnx'],
      ['evaluate', here, '--against', there, '--data', DIGITS],
    ]) {
      const { status, stderr } = await run([...args, ...LOCAL, '--token-env', 'CORP'], { env });
      expect([args[0], status, stderr]).toEqual([args[0], 2, expect.stringContaining('--token-env is a secret of one server')]);
    }
    const config = join(temporaryFolder(), 'weighbridge.config.json');
    const jobs = { a: { command: 'inspect', model: here }, b: { command: 'inspect', model: there } };
    writeFileSync(config, JSON.stringify({ options: { 'allow-http': true, 'allow-private': true, 'token-env': 'CORP' }, jobs }));
    const together = await run(['run', '--config-file', config], { env });
    expect([together.status, together.stderr]).toEqual([2, expect.stringContaining('--token-env is a secret of one server')]);
    expect(asked).toEqual([]);
    const broken = await run(['inspect', here, ...LOCAL, '--token-env', 'CORP'], { env: { CORP: 'a\nb' } });
    expect([broken.status, broken.stderr]).toEqual([2, expect.stringMatching(/^error {2}what CORP holds is no token[^\n]*\n$/)]);
  });

  it('is limited in size, and one of several models', async () => {
    const large = await run(['convert', `${base}/digits.h5`, '--to', 'onnx', ...LOCAL, '--max-download', '1KB']);
    expect([large.status, large.stderr]).toEqual([2, expect.stringContaining('--max-download')]);
    const several = await run(['inspect', `${base}/digits.pth`, join(DIGITS, 'digits.h5'), ...LOCAL, '--json']);
    expect(several.status, several.stderr).toBe(0);
    expect(JSON.parse(several.stdout).totals.done).toBe(2);
  });
});

describe('stdin', () => {
  it('is a model', async () => {
    const { status, stdout, stderr } = await run(['inspect', '-', '--json'], { stdin: join(DIGITS, 'digits.h5') });
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).format).toBe('keras-h5');
    const output = join(temporaryFolder(), 'a.onnx');
    const converted = await run(['convert', '-', '-o', output, '--samples', '1', '--json'], { stdin: join(DIGITS, 'digits.h5') });
    expect(converted.status, converted.stderr).toBe(0);
    expect(JSON.parse(converted.stdout).report.verdict).toBe('match');
  });

  it('is an error where it cannot be kept', async () => {
    const { status, stderr } = await run(['inspect', '-'], { stdin: join(DIGITS, 'digits.h5'), env: { TMPDIR: '/nonexistent', TEMP: '/nonexistent' } });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^error [^\n]*TMPDIR names another place[^\n]*\n$/)]);
  });

  it('of nothing, or of too much, is refused', async () => {
    expect((await run(['inspect', '-'])).stderr).toContain('nothing came');
    const much = await run(['inspect', '-', '--max-download', '1KB'], { stdin: join(DIGITS, 'digits.h5') });
    expect([much.status, much.stderr]).toEqual([2, expect.stringContaining('--max-download')]);
  });
});
