/** A command that is ended leaves nothing behind, and says by its exit code what ended it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { encodeSafetensorsHeader } from '../../src/containers/safetensors.js';
import { ROOT } from './run-cli.js';

/** Most of it is a hole, so that it takes no room; converting it takes long enough to be ended. */
function largeModel(path: string): void {
  const byteLength = 2 ** 33;
  const header = encodeSafetensorsHeader([{ name: 'w', dtype: 'float32', shape: [byteLength / 4], byteLength }], {});
  writeFileSync(path, header);
  truncateSync(path, header.byteLength + byteLength);
}

describe.skipIf(process.platform === 'win32')('a command that is ended', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('by %s exits with %d and leaves no half-written output', async (signal, code) => {
    const folder = mkdtempSync(join(tmpdir(), 'weighbridge-signal-'));
    try {
      largeModel(join(folder, 'large.safetensors'));
      const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), 'convert', 'large.safetensors', '-o', 'out.safetensors', '--no-verify'], {
        cwd: folder,
        stdio: 'ignore',
      });
      const ended = once(child, 'exit');
      while (!readdirSync(folder).some((name) => name.endsWith('.part')) && child.exitCode === null) await wait(10);
      child.kill(signal);
      expect((await ended)[0]).toBe(code);
      expect(readdirSync(folder)).toEqual(['large.safetensors']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Whether a process has a file open; its files come and go while they are looked at. */
function hasOpen(pid: number, name: string): boolean {
  const folder = `/proc/${pid}/fd`;
  const isIt = (fd: string): boolean => {
    try {
      return readlinkSync(join(folder, fd)).endsWith(name);
    } catch {
      return false;
    }
  };
  return readdirSync(folder).some(isIt);
}

// Only Linux tells when another process has opened a file.
it.skipIf(process.platform !== 'linux')('a command that finds out which net weights are of is ended all the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-signal-'));
  try {
    const weights = Array.from({ length: 12 }, (_, i) => ({ name: `alpha${i}.beta.weight`, dtype: 'float32' as const, shape: [1], byteLength: 4 }));
    writeFileSync(join(folder, 'strange.safetensors'), Buffer.concat([encodeSafetensorsHeader(weights, {}), new Uint8Array(4 * weights.length)]));
    const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), 'convert', 'strange.safetensors', '-o', 'out.onnx', '--no-verify'], {
      cwd: folder,
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    while (child.exitCode === null && !hasOpen(child.pid!, 'strange.safetensors')) await wait(5);
    // All of it is read by now; every family is then built once, to see which the weights are like.
    await wait(250);
    child.kill('SIGINT');
    expect((await ended)[0]).toBe(130);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
