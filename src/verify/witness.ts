/**
 * Chooses the witness: what the written file is compared with.
 *
 * Best first: outputs that the original framework recorded; another runtime on the original file, which shares no code with our
 * reader; our float64 evaluator on the layer map, which cannot see a reader's mistake, and the report says so.
 */
import { isModelError, ModelError } from '../errors.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { rows, toArray } from './array.js';
import { isLarge } from './effort.js';
import type { EngineModel, NdArray } from './engine.js';
import { witnessEngines } from './engines/index.js';
import { pickArray } from './feeds.js';
import { generateSample } from './inputs.js';
import { referenceSession } from './reference/session.js';
import type { Witness } from './report.js';
import { portRunner, type Side } from './side.js';

export interface Expected extends Side {
  readonly witness: Witness;
  readonly maxSamples: number;
}

export interface WitnessOptions {
  readonly golden?: ReadonlyMap<string, Tensor>;
  /** Seed of the generated inputs; null where inputs are given. */
  readonly seed: number | null;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

export async function chooseWitness(
  { source, model, map }: { source: EngineModel; model: ModelFile; map: LayerMap },
  options: WitnessOptions,
  notes: string[],
): Promise<Expected> {
  if (options.golden) return recordedWitness(options.golden, map);
  for (const engine of witnessEngines(model.format)) {
    const { available, detail } = await engine.availability();
    if (!available) {
      notes.push(`the independent witness ${engine.name} is not available: ${detail}`);
      continue;
    }
    try {
      const session = await engine.open(source);
      const run = portRunner(session, map, (port) => port.layout);
      // A first run tells whether it can, before its answers are relied on; generated inputs need not be run twice.
      const first = await run(generateSample(map.inputs, 0, options.seed ?? 0, map.layers));
      const answer: Side['run'] = async (feeds, sample) => (sample === 0 && options.seed !== null ? first : run(feeds));
      const witness: Witness = { kind: 'runtime', independent: true, detail: `${detail}, on the original file; it shares no code with our reader` };
      return { name: engine.name, engine: engine.name, witness, run: answer, maxSamples: Number.POSITIVE_INFINITY, close: () => session.close() };
    } catch (error) {
      if (!isModelError(error)) throw error;
      notes.push(`the independent witness ${engine.name} cannot run this model: ${error.message}`);
    }
  }
  return referenceWitness(map, options);
}

/** Our own evaluator; slow on large nets, so it runs one sample of them. */
export async function referenceWitness(map: LayerMap, { onProgress }: Pick<WitnessOptions, 'onProgress'>): Promise<Expected> {
  const session = await referenceSession(map, { onProgress: (done: number, total: number) => onProgress?.('reference', done, total) });
  const detail = 'our own float64 evaluator on the layer map; it sees a mistake of the writer, but not one of the reader. Recorded outputs (--golden) would.';
  return {
    name: 'reference',
    engine: 'reference',
    witness: { kind: 'reference', independent: false, detail },
    run: portRunner(session, map, (port) => port.layout),
    maxSamples: isLarge(map) ? 1 : Number.POSITIVE_INFINITY,
    close: () => session.close(),
  };
}

export async function recordedWitness(golden: ReadonlyMap<string, Tensor>, map: Pick<LayerMap, 'outputs'>): Promise<Expected> {
  const outputs = new Map<string, NdArray>();
  for (const [i, port] of map.outputs.entries()) {
    const tensor = pickArray(golden, 'output', port, i, map.outputs.length);
    if (tensor) outputs.set(port.name, await toArray(tensor));
  }
  if (outputs.size === 0)
    throw new ModelError(
      'malformed',
      `the recorded file has no outputs: arrays named output, or output:<name>, are expected; it has ${[...golden.keys()].join(', ')}`,
    );
  return {
    name: 'recorded',
    engine: 'recorded',
    witness: { kind: 'recorded', independent: true, detail: 'outputs that were recorded in the original framework; they share no code with this tool' },
    maxSamples: Number.POSITIVE_INFINITY,
    run: async (_feeds, sample = 0) => new Map([...outputs].map(([name, array]) => [name, rows(array, sample, sample + 1)])),
    close: async () => {},
  };
}
