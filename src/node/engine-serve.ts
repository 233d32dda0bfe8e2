/** The inner side of an engine's process: runs engines for the program that started it, one request after the other. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { closingOnError } from '../bytes/closing.js';
import { isModelError, ModelError } from '../errors.js';
import type { Engine, NdArray, Session, ShelvedArray } from '../verify/engine.js';
import type { Answer, Answers, Numbered, Request } from './engine-protocol.js';
import { nodeFileSet } from './file-set.js';
import { collectGarbage } from './garbage.js';

/** Answers requests until the other side goes away, and then ends the process: whatever a driver still does is of no use to anyone. */
export function serveEngines(engines: readonly Engine[]): void {
  const sessions = new Map<number, { session: Session; release: () => Promise<void> }>();
  let opened = 0;

  const engineNamed = (name: string): Engine => {
    const engine = engines.find((candidate) => candidate.name === name);
    if (!engine) throw new ModelError('engine', `there is no engine "${name}"`);
    return engine;
  };

  async function answer(request: Request): Promise<Answers[keyof Answers]> {
    if (request.what === 'availability') return engineNamed(request.engine).availability();
    if (request.what === 'open') {
      const { engine, path, prototxt, layers } = request;
      const files = await nodeFileSet(path);
      const session = await closingOnError(files, () => engineNamed(engine).open({ files, path, prototxt, layers }));
      sessions.set(++opened, { session, release: () => files.close() });
      const { inputs, outputs, intermediates, pieces } = session;
      return { session: opened, inputs, outputs, intermediates, pieces };
    }
    const held = sessions.get(request.session);
    if (!held) throw new ModelError('engine', 'the session is closed');
    if (request.what === 'run') return held.session.run(request.feeds, request.wanted);
    if (request.what === 'run aside') return shelved(await held.session.run(request.feeds, request.wanted), request.folder);
    sessions.delete(request.session);
    try {
      await held.session.close();
    } finally {
      await held.release();
    }
    return null;
  }

  let last: Promise<void> = Promise.resolve();
  process.on('message', (message: Numbered) => {
    last = last.then(async () => {
      const { id } = message;
      const reply: Answer = await answer(message).then(
        (result) => ({ id, result }),
        (error: unknown) => {
          if (isModelError(error)) return { id, error: { kind: error.kind, problem: error.problem, place: error.place } };
          return { id, bug: error instanceof Error ? String(error.stack) : String(error) };
        },
      );
      process.send!(reply, collectGarbage);
    });
  });
  process.on('disconnect', () => process.exit(0));
}

async function shelved(values: ReadonlyMap<string, NdArray>, folder: string): Promise<Map<string, ShelvedArray>> {
  const put = new Map<string, ShelvedArray>();
  for (const [name, { shape, data }] of values) {
    const path = join(folder, randomUUID());
    await writeFile(path, data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number));
    put.set(name, { shape, path });
  }
  return put;
}
