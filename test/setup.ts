/** For every test file: what was opened is closed. The garbage collector closes file handles too, with a warning that later versions of Node turn into an error. */
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll } from 'vitest';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const left: string[] = [];
const onWarning = ({ message }: Error) => {
  if (message.includes('on garbage collection')) left.push(message);
};
process.on('warning', onWarning);

afterAll(async () => {
  collectGarbage();
  await turn();
  await turn();
  process.off('warning', onWarning);
  if (left.length > 0) throw new Error(`files were not closed: ${left.join('; ')}`);
});
