/** The page's side of the worker. */
import type { GivenModel, Jobs } from './jobs.js';
import type { Reply, Request } from './worker.js';

export type Progress = (what: string, done: number, total: number) => void;

/** What a job failed with; `kind` is that of a `ModelError`, null for a fault of the page's own. */
export class JobError extends Error {
  constructor(
    message: string,
    readonly kind: string | null,
  ) {
    super(message);
  }
}

export class Cancelled extends Error {}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress?: Progress;
}

export class Client {
  #worker = this.#start();
  #waiting = new Map<number, Waiting>();
  #lastId = 0;
  /** The model that a new worker must open before it can do anything with it. */
  #model: GivenModel | null = null;
  #isOpen = false;
  /** The model that is being opened. */
  #opening: GivenModel | null = null;

  /** Opens a model in place of the one before, which stays where this one cannot be read; what still ran for that is cancelled. */
  async open(model: GivenModel): Promise<Awaited<ReturnType<Jobs['open']>>> {
    // Whichever came last would be the worker's.
    if (this.#opening) this.cancel();
    this.#opening = model;
    try {
      const opened = await this.#call('open', model);
      this.#model = model;
      this.#isOpen = true;
      if (this.#waiting.size > 0) this.cancel();
      return opened;
    } finally {
      if (this.#opening === model) this.#opening = null;
    }
  }

  async run<K extends Exclude<keyof Jobs, 'open'>>(job: K, argument: Parameters<Jobs[K]>[0], onProgress?: Progress): Promise<Awaited<ReturnType<Jobs[K]>>> {
    if (!this.#isOpen && this.#model && job !== 'diff' && job !== 'adapter') {
      await this.#call('open', this.#model);
      this.#isOpen = true;
    }
    return this.#call(job, argument, onProgress);
  }

  /** Ends whatever runs, at once: the worker goes, and another one comes. */
  cancel(): void {
    this.#worker.terminate();
    this.#isOpen = false;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#worker = this.#start();
    for (const { reject } of waiting) reject(new Cancelled('cancelled'));
  }

  #call<K extends keyof Jobs>(job: K, argument: unknown, onProgress?: Progress): Promise<Awaited<ReturnType<Jobs[K]>>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject, onProgress });
      this.#worker.postMessage({ id, job, argument } satisfies Request);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#receive(data));
    worker.addEventListener('error', (event) => {
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      this.#isOpen = false;
      const message = event.message || 'it does not load';
      for (const { reject } of waiting)
        reject(new JobError(`the page's worker failed: ${message}. A model that is too large for the browser's memory is a usual reason.`, null));
    });
    return worker;
  }

  #receive(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ('progress' in reply) {
      const { what, done, total } = reply.progress;
      waiting.onProgress?.(what, done, total);
      return;
    }
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting.reject(new JobError(reply.error.message, reply.error.kind));
    else waiting.resolve(reply.result as never);
  }
}
