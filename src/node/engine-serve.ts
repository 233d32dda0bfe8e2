/** The inner side of an engine's process: runs engines for the program that started it, one request after the other. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { closingOnError } from '../bytes/closing.js';
import { isModelError, ModelError } from '../errors.js';
import type { Engine, Session } from '../verify/engine.js';
import type { Answer, Answers, Numbered, Request } from './engine-protocol.js';
import { nodeFileSet } from './file-set.js';

/** Bytes outside of V8's heap from which on what nobody holds any more is given back at once: V8 sees little of them, and lets hundreds of megabytes wait. */
const MOST_WAITING = 2 ** 26;

function collectGarbage(): void {
  if (process.memoryUsage().arrayBuffers < MOST_WAITING) return;
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

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
