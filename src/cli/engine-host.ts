/** Where the commands' GPU engines run. */
import { ModelError } from '../errors.js';
import { engineHost } from '../node/index.js';
import type { EngineHost } from '../verify/engine.js';

/** Seconds that an answer of a GPU engine may take. */
const TIMEOUT_VARIABLE = 'WEIGHBRIDGE_ENGINE_TIMEOUT';

/** A host whose processes start when an engine is asked for and end with this one. */
export function commandHost(): EngineHost {
  const given = process.env[TIMEOUT_VARIABLE];
  if (given === undefined) return engineHost();
  const seconds = Number(given);
  if (!(seconds > 0)) throw new ModelError('usage', `${TIMEOUT_VARIABLE} is "${given}"; a number of seconds is expected`);
  return engineHost({ timeoutMs: 1000 * seconds });
}
