/** The list of engines. Adding one is one line here. */
import { ModelError } from '../../errors.js';
import type { Availability, Engine, EngineChoice } from '../engine.js';
import { opencv } from './opencv.js';
import { ortCpu } from './ort-cpu.js';
import { ortWasm } from './ort-wasm.js';
import { tfjsCpu } from './tfjs-cpu.js';
import { tfjsWasm } from './tfjs-wasm.js';

/** In order of preference: the first that runs a format and is available is taken. */
export const engines: readonly Engine[] = [ortCpu, ortWasm, tfjsWasm, tfjsCpu, opencv];

export interface SelectedEngine {
  readonly engine: Engine;
  readonly availability: Availability;
}

/**
 * The engine to run a format with, by name or by device.
 *
 * @throws ModelError 'usage' when no engine of that name runs the format, 'engine' when none can run here, saying for each why
 */
export async function selectEngine(format: string, { engine: wanted, device = 'cpu' }: EngineChoice = {}): Promise<SelectedEngine> {
  const known = engines.filter((engine) => engine.formats.includes(format));
  const named = wanted === undefined ? known : known.filter(({ name }) => name === wanted);
  if (named.length === 0) {
    throw new ModelError(
      wanted === undefined ? 'engine' : 'usage',
      `there is no engine ${wanted ? `"${wanted}" ` : ''}for ${format} files. Known: ${known.map(({ name }) => name).join(', ') || 'none'}.`,
    );
  }
  const devices = wanted !== undefined && device !== 'gpu' ? (['cpu', 'gpu'] as const) : device === 'auto' ? (['gpu', 'cpu'] as const) : ([device] as const);
  const reasons: string[] = [];
  for (const place of devices) {
    for (const engine of named.filter((candidate) => candidate.device === place)) {
      const availability = await engine.availability();
      if (availability.available) return { engine, availability };
      reasons.push(`${engine.name}: ${availability.detail}`);
    }
  }
  throw new ModelError('engine', `no engine for ${format} files can run here${device === 'gpu' ? ' on a GPU' : ''}. ${reasons.join('. ')}`);
}
