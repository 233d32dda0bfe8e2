/** The list of engines. Adding one is one line here. */
import { ModelError } from '../../errors.js';
import type { Engine } from '../engine.js';
import { opencv } from './opencv.js';
import { ortCpu, ortWasm } from './ort.js';
import { tfjsCpu, tfjsWasm } from './tfjs.js';

/** In order of preference: the first that runs a format and is available is taken. */
export const engines: readonly Engine[] = [ortCpu, ortWasm, tfjsWasm, tfjsCpu, opencv];

/**
 * The engine to run a format with.
 *
 * @param wanted name of an engine, to be used or to fail
 * @throws ModelError 'engine' when there is none, saying for each why
 */
export async function firstAvailableEngine(format: string, wanted?: string): Promise<Engine> {
  const candidates = engines.filter((engine) => engine.formats.includes(format) && (wanted === undefined || engine.name === wanted));
  if (candidates.length === 0) {
    const known = engines.filter((engine) => engine.formats.includes(format)).map(({ name }) => name);
    throw new ModelError(
      wanted === undefined ? 'engine' : 'usage',
      `there is no engine ${wanted ? `"${wanted}" ` : ''}for ${format} files. Known: ${known.join(', ') || 'none'}.`,
    );
  }
  const reasons: string[] = [];
  for (const engine of candidates) {
    const { available, detail } = await engine.availability();
    if (available) return engine;
    reasons.push(`${engine.name}: ${detail}`);
  }
  throw new ModelError('engine', `no engine for ${format} files can run here. ${reasons.join('. ')}`);
}
