/** Whatever step of a verification fails, what it has opened is closed. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError, ModelError } from '../../src/errors.js';
import { verifyFiles } from '../../src/node/verify-files.js';
import { openModel } from '../../src/readers/open.js';
import type { Engine, Session } from '../../src/verify/engine.js';
import { verifyRuns } from '../../src/verify/runs.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { DIGITS } from '../cli/run-cli.js';
import { temporaryFolder } from '../node/temporary-folder.js';
import { branchedNet } from './faults/nets.js';
import { type Edit, editOnnx, skipNode } from './faults/onnx-edit.js';
import { written } from './small-files.js';

/** Sessions that are open, at which steps some were opened, and which step (an opening or a run) is to fail. */
const state = vi.hoisted(() => ({ open: new Set<object>(), steps: 0, openings: [] as number[], failAt: Number.POSITIVE_INFINITY, isBug: false }));

vi.mock('../../src/verify/engines/list.js', async (original) => {
  const { engines } = (await original()) as { engines: readonly Engine[] };
  return { engines: engines.filter(({ name }) => name === 'ort-cpu').map(counting) };
});

function step(): void {
  if (++state.steps !== state.failAt) return;
  if (state.isBug) throw new Error('a bug');
  throw new ModelError('engine', 'told to fail');
}

function counting(engine: Engine): Engine {
  return {
    ...engine,
    async open(model) {
      state.openings.push(state.steps + 1);
      step();
      const session: Session = await engine.open(model);
      const key = {};
      state.open.add(key);
      return {
        ...session,
        run: async (feeds, wanted) => {
          step();
          return session.run(feeds, wanted);
        },
        close: async () => {
          expect(state.open.delete(key), 'closed twice').toBe(true);
          await session.close();
        },
      };
    },
  };
}

afterEach(() => {
  Object.assign(state, { openings: [], steps: 0, failAt: Number.POSITIVE_INFINITY, isBug: false });
  expect(state.open.size).toBe(0);
});

async function filesWith(edit: Edit) {
  const bytes = (await written(branchedNet()))['net.onnx']!;
  const set = (content: Uint8Array) => memoryFileSet({ 'net.onnx': content }, 'net.onnx');
  return { source: set(bytes), target: set(editOnnx(bytes, edit)) };
}

const relu = branchedNet().layers.find(({ op }) => op === 'Relu')!.name;

describe.each([
  ['a conversion that is right', () => {}, 'verifyConversion'],
  ['one that is wrong, whose cause is looked for', skipNode(relu), 'verifyConversion'],
  ['two files', skipNode(relu), 'verifyRuns'],
] as const)('of %s', (_, edit, how) => {
  async function verify(): Promise<void> {
    const { source, target } = await filesWith(edit as Edit);
    const written = { files: target, format: 'onnx' };
    if (how === 'verifyRuns') await verifyRuns({ expected: { files: source, format: 'onnx' }, target: written }, { layers: true });
    else {
      const model = await openModel(source);
      await verifyConversion({ source: { files: source }, model, map: await model.map(), target: written }, { layers: true });
    }
  }

  it('every session is closed, whichever opening fails, or the first run behind it', async () => {
    await verify();
    const openings = [...state.openings];
    expect([openings.length > 2, state.open.size]).toEqual([true, 0]);
    for (const [i, at] of openings.entries()) {
      // In turn: a runtime that does not open a file, and a mistake of ours while it runs.
      const [failAt, isBug] = i % 2 === 0 ? [at + 1, true] : [at, false];
      Object.assign(state, { steps: 0, failAt, isBug });
      await verify().catch((error: unknown) => {
        if (isModelError(error) === isBug) throw error;
      });
      expect(state.open.size, `left open where step ${failAt} of ${openings} failed`).toBe(0);
    }
  });
});

it('a packed file is removed where the one to compare it with is not there', async () => {
  const folder = temporaryFolder();
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  vi.stubEnv('TMPDIR', temporary);
  try {
    const packed = join(folder, 'digits.h5.gz');
    writeFileSync(packed, gzipSync(readFileSync(join(DIGITS, 'digits.h5'))));
    await expect(verifyFiles(packed, join(folder, 'none.onnx'))).rejects.toMatchObject({ kind: 'usage' });
    expect(readdirSync(temporary)).toEqual([]);
    await expect(verifyFiles(packed, packed, { prototxt: join(folder, 'none.prototxt') })).rejects.toSatisfy(isModelError);
    expect(readdirSync(temporary)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
  }
});
