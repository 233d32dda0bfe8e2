/**
 * Products on several threads: worker threads of Node, or workers of a page. What a task gives has the same bits on any thread, so results do
 * not depend on how many there are.
 *
 * All that a worker runs is the text below and the kernels, so that no bundler needs to find a file for it. A page whose policy allows no
 * workers made of text, and a Node before 20.16, compute in their one thread.
 */
import { ModelError } from '../../errors.js';
import { localMultiplier, type Multiplier, productKernels } from '../../model/ops/multiplier.js';
import { type Factors, factorsOf, type Precision, type ProductTask } from '../../model/ops/product-task.js';

/** Copies what a task writes into its memory, calls its kernels, and sends the sums back: `localMultiplier` does the same. */
const WORKER = `
let memory, kernels;
const answer = ({ module, id, byteLength, writes, calls, sums }) => {
  if (module) {
    memory = new WebAssembly.Memory({ initial: 1 });
    kernels = new WebAssembly.Instance(module, { js: { memory } }).exports;
    return;
  }
  try {
    const missing = byteLength - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    for (const { at, data } of writes) new data.constructor(memory.buffer, at, data.length).set(data);
    for (const [name, ...args] of calls) kernels[name](...args);
    const made = new Float64Array(memory.buffer, sums.at, sums.count).slice();
    post({ id, made }, [made.buffer]);
  } catch (error) {
    post({ id, problem: String(error) }, []);
  }
};`;
const NODE_WORKER = `const { parentPort } = require('node:worker_threads');
const post = (message, transfer) => parentPort.postMessage(message, transfer);
${WORKER}
parentPort.on('message', answer);`;
const PAGE_WORKER = `const post = (message, transfer) => self.postMessage(message, transfer);
${WORKER}
self.onmessage = ({ data }) => answer(data);`;

/** More threads than this gain nothing: main memory is the limit, and each holds what it works on. */
const MOST_THREADS = 8;
/** Multiplications from which a task is worth sending. */
const WORTH_SENDING = 2 ** 22;

interface Answer {
  readonly id: number;
  readonly made?: Float64Array;
  readonly problem?: string;
}

interface Thread {
  post(message: unknown, transfer: ArrayBuffer[]): void;
  /** Whether the program must not end before it has answered. */
  hold(isHeld: boolean): void;
  terminate(): void;
}

interface Listener {
  answered(answer: Answer): void;
  failed(error: unknown): void;
}

export interface ThreadedMultiplier extends Multiplier {
  /** Ends the threads, unless another multiplier uses them. */
  close(): void;
}

/** @param width how many threads; as many as the machine has cores where left out. They are started when there is work for them. */
export function threadedMultiplier(precision: Precision, width = Math.min(coreCount(), MOST_THREADS)): ThreadedMultiplier {
  const local = localMultiplier(precision);
  /** Null where threads cannot be had; undefined before they are needed. */
  let pool: Pool | null | undefined;
  let isClosed = false;
  return {
    precision,
    width,
    share: (data) => (width > 1 && data.length >= WORTH_SHARING ? shared(factorsOf(data, precision)) : factorsOf(data, precision)),
    shareTable: (table) => (width > 1 && table.length >= WORTH_SHARING ? shared(table) : table),
    async perform(task, take) {
      if (width < 2 || task.work < WORTH_SENDING || isClosed) return local.perform(task, take);
      if (pool === undefined) pool = usePool(width);
      if (!pool || pool.isBroken()) return local.perform(task, take);
      const used = pool;
      let made: Float64Array;
      try {
        made = await used.perform(task);
      } catch (error) {
        // A page's policy may forbid its workers, which shows when they should start.
        if (used.isBroken()) return local.perform(task, take);
        throw error;
      }
      take(made);
    },
    close() {
      isClosed = true;
      if (pool) leavePool(pool);
      pool = null;
    },
  };
}

/** Elements from which memory that threads have in common saves copies. */
const WORTH_SHARING = 2 ** 14;

function shared<T extends Factors | Int32Array>(data: T): T {
  if (typeof SharedArrayBuffer === 'undefined') return data;
  const made = new (data.constructor as new (buffer: SharedArrayBuffer) => T)(new SharedArrayBuffer(data.byteLength));
  made.set(data as never);
  return made;
}

interface Pool {
  users: number;
  readonly width: number;
  /** Whether a thread ended that should not have. */
  isBroken(): boolean;
  perform(task: ProductTask): Promise<Float64Array>;
  end(): void;
}

/** One for all multipliers of the same width that run at once. */
const pools = new Map<number, Pool>();

function usePool(width: number): Pool | null {
  const pool = pools.get(width) ?? startPool(width);
  if (!pool) return null;
  pools.set(width, pool);
  pool.users++;
  return pool;
}

function leavePool(pool: Pool): void {
  if (--pool.users > 0) return;
  pools.delete(pool.width);
  pool.end();
}

/** Null where threads cannot be had. */
function startPool(width: number): Pool | null {
  const waiting = new Map<number, { thread: number; resolve: (made: Float64Array) => void; reject: (error: unknown) => void }>();
  const loads = new Array<number>(width).fill(0);
  const threads: Thread[] = [];
  let ended: ModelError | null = null;
  const settle = (id: number) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (asked && --loads[asked.thread]! === 0) threads[asked.thread]?.hold(false);
    return asked;
  };
  const end = () => {
    for (const thread of threads) thread.terminate();
  };
  try {
    for (let i = 0; i < width; i++) {
      const thread = startThread({
        answered({ id, made, problem }) {
          const asked = settle(id);
          if (made) asked?.resolve(made);
          else asked?.reject(new ModelError('engine', `a thread of our evaluator fails: ${problem}`));
        },
        failed(error) {
          ended ??= new ModelError('engine', `a thread of our evaluator ended: ${error}`);
          for (const [id, { thread: at }] of waiting) if (at === i) settle(id)?.reject(ended);
        },
      });
      threads.push(thread);
      thread.post({ module: productKernels() }, []);
    }
  } catch {
    end();
    return null;
  }
  let last = 0;
  return {
    users: 0,
    width,
    isBroken: () => ended !== null,
    async perform(task) {
      const id = ++last;
      const thread = loads.indexOf(Math.min(...loads));
      if (loads[thread]!++ === 0) threads[thread]!.hold(true);
      // What is not shared is copied now: its owner may write to it again.
      const writes = task.writes.map(({ at, data }) => ({ at, data: isShared(data) ? data : data.slice() }));
      const copies = writes.filter(({ data }) => !isShared(data)).map(({ data }) => data.buffer as ArrayBuffer);
      return new Promise((resolve, reject) => {
        waiting.set(id, { thread, resolve, reject });
        threads[thread]!.post({ id, byteLength: task.byteLength, calls: task.calls, sums: task.sums, writes }, copies);
      });
    },
    end,
  };
}

function isShared({ buffer }: Factors | Int32Array): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
}

/** @throws where threads cannot be had */
function startThread(listener: Listener): Thread {
  if (isNode()) {
    // No import: bundlers for a page would look for the module.
    const worker = new (process.getBuiltinModule('node:worker_threads').Worker)(NODE_WORKER, {
      eval: true,
      execArgv: [],
      env: {},
      stdout: false,
      stderr: false,
    });
    worker.on('message', (answer: Answer) => listener.answered(answer));
    worker.on('error', (error) => listener.failed(error));
    worker.on('exit', () => listener.failed('it ended'));
    worker.unref();
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      hold: (isHeld) => (isHeld ? worker.ref() : worker.unref()),
      terminate: () => void worker.terminate(),
    };
  }
  const address = URL.createObjectURL(new Blob([PAGE_WORKER], { type: 'text/javascript' }));
  try {
    const worker = new Worker(address);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => listener.answered(data);
    worker.onerror = ({ message }) => listener.failed(message);
    return { post: (message, transfer) => worker.postMessage(message, transfer), hold: () => {}, terminate: () => worker.terminate() };
  } finally {
    URL.revokeObjectURL(address);
  }
}

function isNode(): boolean {
  return typeof process !== 'undefined' && Boolean(process.versions?.node);
}

function coreCount(): number {
  if (isNode()) return process.getBuiltinModule?.('node:os').availableParallelism() ?? 1;
  return navigator.hardwareConcurrency ?? 1;
}
