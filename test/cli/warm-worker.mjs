/** Carries command lines to `warm-command.mjs` and answers back, while the thread that asks stands still and waits. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { workerData } from 'node:worker_threads';

const { port, flag } = workerData;
const COMMAND = fileURLToPath(new URL('warm-command.mjs', import.meta.url));
let child = null;

function start() {
  const started = fork(COMMAND, { serialization: 'advanced', execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  const said = { stdout: [], stderr: [] };
  for (const [name, pieces] of Object.entries(said)) started[name].on('data', (piece) => pieces.push(piece));
  started.on('message', answer);
  started.on('close', (status) => {
    if (child === started) child = null;
    answer({ status, stdout: Buffer.concat(said.stdout), stderr: Buffer.concat(said.stderr) });
  });
  return started;
}

function answer(found) {
  port.postMessage(found);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}

port.on('message', (request) => {
  child ??= start();
  child.send(request);
});
