/** The built command, once for each message of the process that started this one (`run-warm.mjs`), answered with what it wrote and its exit code. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadProgram } from '../dist/cli/load.js';

// The command's own file knows what the bundle begins with.
const MAIN = fileURLToPath(new URL('../dist/cli/main.cjs', import.meta.url));
const [name] = readFileSync(MAIN, 'latin1').match(/program-[\w-]+\.js/);
const program = loadProgram(name);

class Ended {
  constructor(status) {
    this.status = status;
  }
}

/** What a command hangs on the process goes with it, as it would with its own. */
const HUNG = [
  [process, ['SIGINT', 'SIGTERM', 'SIGHUP', 'warning', 'unhandledRejection', 'uncaughtException']],
  [process.stdout, ['error']],
  [process.stderr, ['error']],
];
const hungAtFirst = HUNG.map(([emitter, events]) => events.map((event) => emitter.listeners(event)));

const ending = process.listeners('exit');

// Threads of runtimes would keep it alive.
const exit = process.exit.bind(process);
process.once('disconnect', () => exit(0));
process.exit = (status) => {
  throw new Ended(Number(status ?? process.exitCode ?? 0));
};

async function run({ args, cwd, env }) {
  const written = { stdout: [], stderr: [] };
  for (const [name, pieces] of Object.entries(written)) {
    process[name].write = (piece, ...rest) => {
      const encoding = typeof rest[0] === 'string' ? rest[0] : 'utf8';
      pieces.push(typeof piece === 'string' ? Buffer.from(piece, encoding) : Buffer.from(piece));
      const done = rest.find((one) => typeof one === 'function');
      if (done) process.nextTick(done);
      return true;
    };
  }
  for (const name of Object.keys(process.env)) if (!Object.hasOwn(env, name)) delete process.env[name];
  Object.assign(process.env, env);
  process.chdir(cwd);
  process.argv = [process.execPath, MAIN, ...args];
  process.exitCode = undefined;
  let status;
  try {
    await program.run();
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    status = error.status;
  }
  for (const [i, [emitter, events]] of HUNG.entries())
    for (const [j, event] of events.entries())
      for (const listener of emitter.listeners(event)) {
        if (!hungAtFirst[i][j].includes(listener)) emitter.removeListener(event, listener);
      }
  // Modules that are loaded once hang these up once.
  for (const listener of process.listeners('exit')) if (!ending.includes(listener)) listener.call(process, status);
  process.exitCode = undefined;
  return { status, stdout: Buffer.concat(written.stdout), stderr: Buffer.concat(written.stderr) };
}

process.on('message', async (request) => process.send(await run(request)));
