/** The engines, and how one is chosen. */
import { ModelError } from '../../errors.js';
import { didYouMean } from '../../model/nearest.js';
import type { Availability, Engine, EngineChoice, EngineHost } from '../engine.js';
import { engines } from './list.js';

export { engines };

export interface SelectedEngine {
  readonly engine: Engine;
  readonly availability: Availability;
  /** Engines that would have been preferred, each with why it was not taken. */
  readonly passedOver: readonly string[];
}

/**
 * The engine to run a format with, by name or by device.
 *
 * @throws ModelError 'usage' when no engine of that name runs the format on that device, 'engine' when none can run here, saying for each why
 */
export async function selectEngine(format: string, { engine: wanted, device, host }: EngineChoice = {}): Promise<SelectedEngine> {
  const known = engines.filter((engine) => engine.formats.includes(format));
  const named = known.filter(({ name, onRequest }) => (wanted === undefined ? !onRequest : name === wanted));
  if (named.length === 0) {
    const names = known.map(({ name }) => name);
    throw new ModelError(
      wanted === undefined ? 'engine' : 'usage',
      `there is no engine ${wanted ? `"${wanted}" ` : ''}for ${format} files.${didYouMean(wanted ?? '', names)} Known: ${names.join(', ') || 'none'}.`,
    );
  }
  const places = wanted !== undefined && device !== 'gpu' ? placesOf(named[0]!, device) : device === 'auto' ? ['gpu', 'cpu'] : [device ?? 'cpu'];
  const candidates = places.flatMap((place) => named.filter((engine) => engine.device === place));
  if (candidates.length === 0) {
    throw new ModelError(
      wanted === undefined ? 'engine' : 'usage',
      wanted === undefined
        ? `no engine runs ${format} files on a ${device === 'gpu' ? 'GPU' : 'CPU'}`
        : `the engine "${wanted}" computes on the CPU, not on a GPU`,
    );
  }
  const reasons: Reason[] = [];
  for (const candidate of candidates) {
    const engine = placed(candidate, host);
    const availability = await engine.availability();
    const tooSoft = wanted === undefined && device === 'auto' && availability.adapter?.software === true;
    if (availability.available && !tooSoft) return { engine, availability, passedOver: byReason(reasons) };
    reasons.push({ name: engine.name, detail: availability.detail });
  }
  throw new ModelError('engine', `no engine for ${format} files can run here${device === 'gpu' ? ' on a GPU' : ''}. ${byReason(reasons).join('. ')}.`);
}

export interface Reason {
  readonly name: string;
  readonly detail: string;
}

/** Each reason once, behind the engines that it holds for: 'ort-cpu, ort-wasm: not installed'. */
export function byReason(reasons: readonly Reason[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, detail } of reasons) names.set(detail, [...(names.get(detail) ?? []), name]);
  return [...names].map(([detail, those]) => `${those.join(', ')}: ${detail}`);
}

/** An engine that was named runs where it runs, unless the other device was asked for too. */
function placesOf(engine: Engine, device: EngineChoice['device']): readonly Engine['device'][] {
  if (device !== 'cpu' || engine.device === 'cpu') return [engine.device];
  throw new ModelError('usage', `the engine "${engine.name}" computes on a GPU, but --device cpu was asked for`);
}

/** Engines that may be taken as a witness without being asked for: on the CPU, and of another origin than our readers. */
export function witnessEngines(format: string): readonly Engine[] {
  return engines.filter((engine) => engine.formats.includes(format) && engine.device === 'cpu' && !engine.onRequest && !engine.isOwn);
}

/** The engine as it is run: one on a GPU in the host's process. In a browser a page's GPU process does the same. */
export function placed(engine: Engine, host: EngineHost | undefined): Engine {
  if (engine.device === 'cpu') return engine;
  if (host) return { ...engine, availability: () => host.availability(engine), open: (model) => host.open(engine, model) };
  if (typeof process === 'undefined' || !process.versions?.node) return engine;
  const detail = 'engines on a GPU run in a process of their own: give a host (engineHost of weighbridge/node)';
  return {
    ...engine,
    availability: async () => ({ available: false, detail }),
    async open({ files }) {
      throw new ModelError('engine', detail, { file: files.label });
    },
  };
}

/** The engine in a process of its own, which ends with its session: memory that a runtime never gives back goes with it. */
export function apart(engine: Engine, host: EngineHost): Engine {
  return {
    ...engine,
    availability: () => host.availability(engine),
    async open(model) {
      const session = await host.open(engine, model).catch((error: unknown) => {
        host.end(engine);
        throw error;
      });
      return { ...session, close: () => session.close().finally(() => host.end(engine)) };
    },
  };
}
