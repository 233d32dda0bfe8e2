/**
 * Runs engines in processes of their own, one for each engine: a driver that crashes, hangs or ends the process is an 'engine'
 * error with what it said last, and the program that asked goes on.
 */
import type { ChildProcess, fork as Fork } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelError } from '../errors.js';
import type { Availability, Engine, EngineHost, EngineModel, Session } from '../verify/engine.js';
import type { Answer, Answers, Numbered, Request } from './engine-protocol.js';

export interface EngineHostOptions {
  /** How long one answer may take. Ten minutes where left out: VGG16 takes 40 s an image on the slowest adapter that was measured. */
  readonly timeoutMs?: number;
  /** Variables on top of this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** The program to start, where it is not the one that comes with this file. */
  readonly entry?: string;
}

const DEFAULT_TIMEOUT_MS = 600_000;
/** Looking for an adapter takes a second; a driver that hangs at it is found out sooner than one that computes. */
const LOOK_MS = 60_000;
/** What an engine's process said last is kept for the error message. */
const TAIL_CHARACTERS = 2000;

/** Set before the libraries load, because they read them once. */
const ENVIRONMENT = {
  // NVIDIA's libraries would round float32 to TF32 in matrix products.
  NVIDIA_TF32_OVERRIDE: '0',
  // oneDNN's kernels in TensorFlow add in an order that costs accuracy.
  TF_ENABLE_ONEDNN_OPTS: '0',
  // TensorFlow tells about every library that it does not find.
  TF_CPP_MIN_LOG_LEVEL: '2',
};

/**
 * glibc asks for large pages where much is allocated: VGG16's weights come in 130,000 small ones, each time that a runtime copies them. What is large is
 * a mapping of its own, however much was freed before, so that freeing it gives it back.
 */
const ALLOCATION = 'glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1048576';

/** Its processes start when an engine is asked for, and end when it is closed, or disposed of. */
export function engineHost(options: EngineHostOptions = {}): EngineHost & AsyncDisposable {
  const children = new Map<string, EngineProcess>();
  const processFor = async (engine: Engine): Promise<EngineProcess> => {
    // Most commands start no process and need not wait for the module that does.
    const { fork } = await import('node:child_process');
    let child = children.get(engine.name);
    if (!child || child.ended !== undefined) {
      child = new EngineProcess(engine.name, fork, options);
      children.set(engine.name, child);
    }
    return child;
  };
  const close = async () => {
    for (const child of children.values()) child.end();
    children.clear();
  };
  return {
    async availability(engine): Promise<Availability> {
      try {
        const child = await processFor(engine);
        return await child.ask({ what: 'availability', engine: engine.name }, LOOK_MS);
      } catch (error) {
        // That it crashes as soon as it is looked at is a reason like any other.
        if (error instanceof ModelError) return { available: false, detail: error.problem };
        throw error;
      }
    },
    open: async (engine, model) => openSession(await processFor(engine), engine, model),
    end({ name }) {
      children.get(name)?.end();
      children.delete(name);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openSession(child: EngineProcess, engine: Engine, model: EngineModel): Promise<Session> {
  if (model.path === undefined)
    throw new ModelError('engine', `${engine.name} runs in a process of its own, which needs the model on disk`, { file: model.files.label });
  const { prototxt, layers } = model;
  const { session, ...ports } = await child.ask({ what: 'open', engine: engine.name, path: resolve(model.path), prototxt, layers });
  return {
    ...ports,
    run: (feeds, wanted) => child.ask({ what: 'run', session, feeds, wanted }),
    runAside: (feeds, wanted, folder) => child.ask({ what: 'run aside', session, feeds, wanted, folder }),
    // A process that has ended has nothing left to release.
    close: async () => {
      if (child.ended === undefined) await child.ask({ what: 'close', session });
    },
  };
}

type AnswerTo<R extends Request> = Answers[R['what']];

/** One engine's process and the requests that it has not answered yet. */
class EngineProcess {
  /** Why it has ended; undefined while it runs. */
  ended: string | undefined;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void; timer: NodeJS.Timeout }>();
  readonly #timeoutMs: number;
  #asked = 0;
  #tail = '';
  readonly #onExit = () => this.#child.kill('SIGKILL');

  constructor(
    readonly name: string,
    fork: typeof Fork,
    { timeoutMs = DEFAULT_TIMEOUT_MS, env = {}, entry = fileURLToPath(new URL('engine-child.js', import.meta.url)) }: EngineHostOptions,
  ) {
    this.#timeoutMs = timeoutMs;
    // This process's own flags are not the other's: one started with -e would run the same script again.
    this.#child = fork(entry, {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...ENVIRONMENT, GLIBC_TUNABLES: [process.env.GLIBC_TUNABLES, ALLOCATION].filter(Boolean).join(':'), ...env },
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#tail = (this.#tail + text).slice(-TAIL_CHARACTERS);
      });
    }
    this.#child.on('message', (answer: Answer) => this.#settle(answer));
    this.#child.on('error', (error) => this.#fail(`could not be started or reached (${error.message})`));
    // 'close' comes after the last of its output, 'exit' need not.
    this.#child.on('close', (code, signal) => this.#fail(signal ? `crashed (${signal})` : `ended with exit code ${code}`));
    process.on('exit', this.#onExit);
    this.#hold();
  }

  /** @param mostMs shortens the time that an answer may take */
  ask<R extends Request>(request: R, mostMs = Number.POSITIVE_INFINITY): Promise<AnswerTo<R>> {
    const timeoutMs = Math.min(mostMs, this.#timeoutMs);
    if (this.ended !== undefined) return Promise.reject(this.#error(this.ended));
    return new Promise((resolve, reject) => {
      const id = ++this.#asked;
      const timer = setTimeout(() => {
        this.#fail(`gave no answer within ${timeoutMs / 1000} s and was ended`);
        this.end();
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#hold();
      this.#child.send({ ...request, id } satisfies Numbered, (error) => error && this.#fail(`could not be reached (${error.message})`));
    });
  }

  end(): void {
    this.ended ??= 'was ended';
    process.off('exit', this.#onExit);
    this.#child.kill('SIGKILL');
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if (!waiting) return;
    this.#forget(answer.id);
    if ('error' in answer) waiting.reject(new ModelError(answer.error.kind, answer.error.problem, answer.error.place));
    else if ('bug' in answer) waiting.reject(new Error(`in the process of ${this.name}: ${answer.bug}`));
    else waiting.resolve(answer.result as never);
  }

  #fail(what: string): void {
    this.ended ??= what;
    process.off('exit', this.#onExit);
    for (const [id, { reject }] of this.#waiting) {
      this.#forget(id);
      reject(this.#error(what));
    }
  }

  #error(what: string): ModelError {
    const said = this.#tail.trim();
    return new ModelError('engine', `the process of ${this.name} ${what}${said === '' ? '' : `. The last it said:\n${said}`}`);
  }

  #forget(id: number): void {
    clearTimeout(this.#waiting.get(id)!.timer);
    this.#waiting.delete(id);
    this.#hold();
  }

  /** A program that waits for nothing may end; one that waits for an answer may not. */
  #hold(): void {
    const method = this.#waiting.size > 0 ? 'ref' : 'unref';
    this.#child[method]();
    this.#child.channel?.[method]();
    for (const stream of [this.#child.stdout, this.#child.stderr]) (stream as unknown as { ref(): void; unref(): void })?.[method]();
  }
}
