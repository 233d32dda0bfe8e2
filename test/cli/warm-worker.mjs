/** Carries command lines to a process that stays, and answers back, while the thread that asks stands still and waits. */
import { workerData } from 'node:worker_threads';
import { WarmCommand } from '../../scripts/run-warm.mjs';

const { port, flag } = workerData;
const command = new WarmCommand();

port.on('message', async (request) => {
  port.postMessage(await command.run(request));
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
});
