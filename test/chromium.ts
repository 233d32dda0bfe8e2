/**
 * A page in headless Chromium, driven through its DevTools protocol over a pipe: no port, no driver, no download.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const CANDIDATES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Path of a Chromium, or null; tests that need one skip visibly without. */
export const CHROMIUM: string | null = CANDIDATES.find((path): path is string => path !== undefined && existsSync(path)) ?? null;

/** What a test says of itself that is skipped for want of a browser. Where CI has installed one, nothing is skipped. */
export const NO_CHROMIUM = {
  isRequired: process.env.WEIGHBRIDGE_REQUIRE_CHROMIUM === '1',
  why: CHROMIUM === null ? ' (skipped: no Chromium found; apt-get install chromium, or set CHROMIUM to its path)' : '',
} as const;

/** Without these it asks Google's servers for updates at every start, which a closed network refuses. */
const QUIET = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
  '--no-default-browser-check',
];

export interface Page {
  /** Everything that the page wrote to the console, and uncaught exceptions. */
  readonly console: readonly string[];
  /** Complaints of the browser itself: resources that a policy refused, failed loads. */
  readonly complaints: readonly string[];
  /** URLs that the page asked for, its own first. */
  readonly requests: readonly string[];
  goto(url: string): Promise<void>;
  /** Value of an expression in the page, awaited where it is a promise. @throws Error with the page's own message */
  evaluate<T>(expression: string): Promise<T>;
  /** As a reader of the page with this width and preference sees it. */
  emulate(options: { width?: number; height?: number; colours?: 'light' | 'dark' }): Promise<void>;
  /** PNG of the whole page. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** @param flags more of Chromium's own, such as '--enable-unsafe-webgpu' */
export async function openPage(flags: readonly string[] = []): Promise<Page> {
  const profile = mkdtempSync(join(tmpdir(), 'weighbridge-chromium-'));
  const child = spawn(
    CHROMIUM!,
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--hide-scrollbars',
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      ...QUIET,
      ...flags,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const [toBrowser, fromBrowser] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  const waiting = new Map<number, { resolve: (result: Record<string, unknown>) => void; reject: (error: Error) => void }>();
  const listeners = new Map<string, (params: Record<string, unknown>) => void>();
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error('Chromium has ended'));
  });
  let pending = Buffer.alloc(0);
  fromBrowser.on('data', (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    for (let end = pending.indexOf(0); end >= 0; end = pending.indexOf(0)) {
      const message = JSON.parse(pending.subarray(0, end).toString()) as Message;
      pending = pending.subarray(end + 1);
      if (message.id === undefined) {
        listeners.get(message.method!)?.(message.params ?? {});
        continue;
      }
      const call = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) call?.reject(new Error(message.error.message));
      else call?.resolve(message.result ?? {});
    }
  });
  let lastId = 0;
  let sessionId: string | undefined;
  const send = (method: string, params: Record<string, unknown> = {}) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      toBrowser.write(`${JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) })}\0`);
    });

  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  sessionId = (await send('Target.attachToTarget', { targetId, flatten: true })).sessionId as string;
  const [said, complaints, requests]: string[][] = [[], [], []];
  listeners.set('Runtime.consoleAPICalled', ({ type, args }) => {
    said!.push(`${type}: ${(args as { value?: unknown; description?: string }[]).map(({ value, description }) => value ?? description).join(' ')}`);
  });
  listeners.set('Runtime.exceptionThrown', ({ exceptionDetails }) => {
    const { text, exception } = exceptionDetails as { text: string; exception?: { description?: string } };
    said!.push(`exception: ${exception?.description ?? text}`);
  });
  listeners.set('Log.entryAdded', ({ entry }) => {
    const { level, text, url } = entry as { level: string; text: string; url?: string };
    complaints!.push(`${level}: ${text} ${url ?? ''}`);
  });
  listeners.set('Network.requestWillBeSent', ({ request }) => void requests!.push((request as { url: string }).url));
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);

  const page: Page = {
    console: said!,
    complaints: complaints!,
    requests: requests!,
    async goto(url) {
      const loaded = new Promise<void>((resolve) => listeners.set('Page.loadEventFired', () => resolve()));
      const { errorText } = await send('Page.navigate', { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
      await Promise.race([loaded, ended]);
    },
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) {
        const { text, exception } = exceptionDetails as { text: string; exception?: { description?: string } };
        throw new Error(exception?.description ?? text);
      }
      return (result as { value: T }).value;
    },
    async emulate({ width = 1200, height = 900, colours = 'light' }) {
      await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
      await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: colours }] });
    },
    async screenshot() {
      const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
      return Buffer.from(data as string, 'base64');
    },
    async close() {
      sessionId = undefined;
      await send('Browser.close').catch(() => {});
      await ended;
      // Its helper processes may still be writing.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
  return page;
}
