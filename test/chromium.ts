/**
 * A page in headless Chromium, driven through its DevTools protocol over a pipe: no port, no driver, no download.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
  emulate(options: { width?: number; height?: number; colours?: 'light' | 'dark'; media?: 'screen' | 'print' }): Promise<void>;
  /** Clicks the middle of an element, as a mouse does. @throws Error where none can be seen */
  click(selector: string): Promise<void>;
  /** A key by its DOM name ('Tab', 'Enter', 'ArrowDown', ' '). */
  press(key: string): Promise<void>;
  /** Gives files, or a folder, on disk to a file input. */
  setFiles(selector: string, paths: readonly string[]): Promise<void>;
  /** Waits until an expression is true. @throws Error saying what the page shows where it does not become so */
  waitFor(expression: string, timeoutMs?: number): Promise<void>;
  /** PNG of the whole page, or of what is in the window. */
  screenshot(options?: { whole?: boolean }): Promise<Buffer>;
  /** Has the network fail, or work again. */
  offline(isOffline: boolean): Promise<void>;
  /** Of the browser and its helpers, in bytes. */
  processMemory(): Promise<number>;
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
    async emulate({ width = 1200, height = 900, colours = 'light', media = 'screen' }) {
      await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
      await send('Emulation.setEmulatedMedia', { media, features: [{ name: 'prefers-color-scheme', value: colours }] });
    },
    async click(selector) {
      const at = await page.evaluate<{ x: number; y: number } | null>(`(() => {
        const element = document.querySelector(${JSON.stringify(selector)});
        element?.scrollIntoView({ block: 'center', behavior: 'instant' });
        const { x, y, width, height } = element?.getBoundingClientRect() ?? { width: 0 };
        return width > 0 ? { x: x + width / 2, y: y + height / 2 } : null;
      })()`);
      if (!at) throw new Error(`${selector} cannot be seen`);
      for (const type of ['mousePressed', 'mouseReleased']) await send('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
    },
    async press(key) {
      const text = key === 'Enter' ? '\r' : key.length === 1 ? key : undefined;
      const code = { Tab: 9, Enter: 13, ' ': 32, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 }[key] ?? 0;
      await send('Input.dispatchKeyEvent', { type: text === undefined ? 'rawKeyDown' : 'keyDown', key, text, windowsVirtualKeyCode: code });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', key, windowsVirtualKeyCode: code });
    },
    async setFiles(selector, paths) {
      const { result } = await send('Runtime.evaluate', { expression: `document.querySelector(${JSON.stringify(selector)})` });
      await send('DOM.setFileInputFiles', { files: [...paths], objectId: (result as { objectId: string }).objectId });
    },
    async waitFor(expression, timeoutMs = 30_000) {
      for (const startedAt = Date.now(); !(await page.evaluate(`!!(${expression})`)); await new Promise((resolve) => setTimeout(resolve, 50))) {
        if (Date.now() - startedAt < timeoutMs) continue;
        throw new Error(`${expression} did not become true; the page shows: ${await page.evaluate('document.body.innerText')}\n${said!.join('\n')}`);
      }
    },
    async screenshot({ whole = true } = {}) {
      const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole });
      return Buffer.from(data as string, 'base64');
    },
    async offline(isOffline) {
      await send('Network.emulateNetworkConditions', { offline: isOffline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    },
    async processMemory() {
      const of = (pid: number): number => {
        const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
        const [, kilobytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^RssAnon:\s+(\d+)/m) ?? [0, 0];
        return 1024 * Number(kilobytes) + children.reduce((sum, child) => sum + of(child), 0);
      };
      return of(child.pid!);
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
