/**
 * Chooses the witness: what the written file is compared with.
 *
 * Best first: outputs that the original framework recorded; another runtime on the original file, which shares no code with our
 * reader; our float64 evaluator on the layer map, which cannot see a reader's mistake, and the report says so.
 */
import { closingOnError } from '../bytes/closing.js';
import { isModelError, ModelError, throwAll } from '../errors.js';
import { type EditedMap, hasOtherPorts, rowsOfSource } from '../model/edited.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { MIN_ROWS } from './agreement.js';
import { toArray } from './array.js';
import { isApart, isHuge, isLarge, mayHold } from './effort.js';
import type { EngineHost, EngineModel } from './engine.js';
import { apart, byReason, type Reason, witnessEngines } from './engines/index.js';
import { batchOf, type GivenRows, inBatches, pickArrays } from './feeds.js';
import { type HeldLayers, holdLayers } from './held-layers.js';
import type { LayerSource } from './layer-source.js';
import { feedsBehind, originalLayers, originalRunner } from './original.js';
import { referenceSession } from './reference/session.js';
import type { Witness } from './report.js';
import { type Arrays, type Feeds, portRunner, remembering, type Side } from './side.js';

export interface Expected extends Side {
  readonly witness: Witness;
  readonly maxSamples: number;
  /** Rows of given inputs that are run where nobody asks for more; all where left out. */
  readonly maxRows?: number;
  /** Gives back the memory that it holds until it is run again. */
  rest(): Promise<void>;
  /** Shows what layers make, where it was opened for that. */
  hold?(feeds: readonly Feeds[]): Promise<HeldLayers | null>;
}

export interface WitnessOptions {
  /** The first input. */
  readonly first: Feeds;
  /** Where a runtime that holds much memory runs. */
  readonly host?: EngineHost;
  /** Whether layers will be asked for: of a net of which that is dear to load, they are had from the same session. */
  readonly layers?: boolean;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

export async function chooseWitness(
  { source, model, map, edited }: { source: EngineModel; model: ModelFile; map: LayerMap; edited?: EditedMap },
  options: WitnessOptions,
  notes: string[],
): Promise<Expected> {
  const refused: string[] = [];
  const reasons: string[] = [];
  const absent: Reason[] = [];
  const tellAbsent = () => void notes.push(...byReason(absent.splice(0)).map((reason) => `not available as an independent witness: ${reason}`));
  const changed = map.warnings.find(({ code }) => code === 'inference');
  if (changed) notes.push('runtimes that run the original file do not witness, because layers of it act as in training there');
  const behind = edited && hasOtherPorts(edited) ? edited : undefined;
  const host = source.path !== undefined && isApart(map) ? options.host : undefined;
  for (const candidate of changed ? [] : witnessEngines(model.format)) {
    const engine = host ? apart(candidate, host) : candidate;
    const { available, detail } = await engine.availability();
    if (!available) {
      absent.push({ name: engine.name, detail });
      refused.push(engine.name);
      continue;
    }
    try {
      const own = `${detail}, on the original file; it shares no code with our reader`;
      const witness: Witness = { kind: 'runtime', independent: true, detail: own, refused };
      const side = await resting(async () => {
        options.onProgress?.('opening the witness', 0, 1);
        // One that fuses what it is not asked for would give other outputs.
        const isShowing = options.layers === true && mayHold(map, 1) && !engine.optimises;
        const session = await engine.open(behind || isShowing ? { ...source, layers: true } : source);
        return closingOnError(session, () => {
          const run = behind ? originalRunner(session, behind) : portRunner(session, map, (port) => port.layout);
          const layers = isShowing ? originalLayers(engine.name, session, map, edited) : null;
          return { run: remembering(run), layers, close: () => session.close() };
        });
      }, options.first);
      tellAbsent();
      return { name: engine.name, engine: engine.name, witness, ...side, maxSamples: Number.POSITIVE_INFINITY };
    } catch (error) {
      if (!isModelError(error)) throw error;
      const reason = `the independent witness ${engine.name} cannot run this model: ${error.message}`;
      reasons.push(reason);
      notes.push(reason);
      refused.push(engine.name);
    }
  }
  tellAbsent();
  try {
    return await referenceWitness(map, options, refused, edited);
  } catch (error) {
    // Notes stand in a report, and there is none.
    if (!isModelError(error) || reasons.length === 0) throw error;
    throw new ModelError(error.kind, [error.problem, ...reasons].join('; '), error.place, error);
  }
}

type Opened = Pick<Side, 'run' | 'close'> & { readonly layers: LayerSource | null };

/**
 * A side that can be closed in between: it is opened again when it is asked for more. A first run tells whether a runtime can, before its
 * answers are relied on.
 */
async function resting(open: () => Promise<Opened>, first: Feeds): Promise<Pick<Expected, 'run' | 'close' | 'rest' | 'hold'>> {
  let side: Opened | null = await open();
  const rest = async () => {
    const opened = side;
    side = null;
    await opened?.close();
  };
  const run: Side['run'] = async (feeds, sample) => {
    side ??= await open();
    return side.run(feeds, sample);
  };
  const hold: Expected['hold'] = async (feeds) => (side?.layers ? holdLayers(side.layers, feeds) : null);
  try {
    // Its answer is kept, so that nothing is run twice.
    await run(first);
  } catch (error) {
    await rest();
    throw error;
  }
  return { run, rest, hold, close: rest };
}

/**
 * Our own evaluator; slow on large nets, so it runs one generated sample of them, and a part of many that are given.
 *
 * @param refused the independent witnesses that it stands in for
 * @param edited has it run the net as it was before it was changed, so that a mistake of a transform shows
 */
export async function referenceWitness(
  own: LayerMap,
  { onProgress }: Pick<WitnessOptions, 'onProgress'>,
  refused: readonly string[] = [],
  edited?: EditedMap,
): Promise<Expected> {
  const map = edited?.comparable ?? own;
  const session = await referenceSession(map, { onProgress: (done: number, total: number) => onProgress?.('reference', done, total) });
  const run = inBatches(
    portRunner(session, map, (port) => port.layout),
    edited ? rowsOfSource(map, own) : null,
  );
  const which = edited ? 'the layer map as it was before it was changed' : 'the layer map';
  const detail = `our own float64 evaluator on ${which}; it sees a mistake of the writer, but not one of the reader. Recorded outputs (--golden) would.`;
  return {
    name: 'reference',
    engine: 'reference',
    witness: { kind: 'reference', independent: false, detail, refused },
    run: remembering(edited?.prelude ? async (feeds) => run(await feedsBehind(edited, feeds)) : run),
    maxSamples: isLarge(map) ? 1 : Number.POSITIVE_INFINITY,
    // Each takes seconds, and these tell how often the classes agree.
    ...(isHuge(map) ? { maxRows: MIN_ROWS } : {}),
    rest: async () => {},
    close: () => session.close(),
  };
}

/** The outputs of a golden file, all rows. What a changed net ends in may have been recorded as a layer. */
export async function recordedOutputs(golden: ReadonlyMap<string, Tensor>, map: Pick<LayerMap, 'outputs'>, edited?: EditedMap): Promise<Arrays> {
  const own = edited?.original.outputs ?? map.outputs;
  const picked = pickArrays(golden, 'output', own);
  // Two ports may show one value, and are two arrays.
  const tensors = map.outputs.map(({ name, value }, i) => {
    if (!edited) return picked[i];
    const shown = edited.shown.get(value) ?? value;
    const named = own.findIndex((port) => port.value === shown && port.name === name);
    const place = named < 0 ? own.findIndex((port) => port.value === shown) : named;
    return place < 0 ? (golden.get(`output:${name}`) ?? golden.get(`layer:${name}`)) : picked[place];
  });
  const outputs = await Promise.all(tensors.map((tensor) => tensor && toArray(tensor)));
  if (outputs.every((output) => !output))
    throw new ModelError(
      'malformed',
      `the recorded file has no outputs: arrays named ${edited ? map.outputs.map(({ name }) => `output:${name} or layer:${name}`).join(', ') : 'output, or output:<name>,'} are expected; it has ${[...golden.keys()].join(', ')}`,
    );
  return outputs;
}

/**
 * @param rows of the recorded inputs
 * @throws ModelError 'malformed' naming each recorded output that has not as many values a row as the net gives
 */
export function checkRecordedShapes(outputs: Arrays, { inputs, outputs: ports }: Pick<LayerMap, 'inputs' | 'outputs'>, rows: number): void {
  const batch = inputs[0]?.shape[0];
  const errors = ports.flatMap(({ name, shape }, i) => {
    const found = outputs[i];
    const sizes = shape.slice(1);
    // How much an output has whose sizes are free, or which has no rows of the batch, is not known.
    if (!found || typeof batch !== 'string' || shape[0] !== batch || !sizes.every((size) => typeof size === 'number')) return [];
    if (elementCount(found.shape) === rows * elementCount(sizes)) return [];
    const problem = `the recorded output for "${name}" has the shape [${found.shape}], but for ${rows} inputs the net gives [${[rows, ...sizes]}]`;
    return [new ModelError('malformed', `${problem}: it was recorded with another net, or is another output of it.`)];
  });
  if (errors.length > 0) throwAll(errors, 'the recorded outputs do not fit the net:');
}

/** @param given the recording's inputs, which its outputs are cut like */
export function recordedWitness(outputs: Arrays, given: GivenRows): Expected {
  const detail = 'outputs that were recorded in the original framework; they share no code with this tool';
  return {
    name: 'recorded',
    engine: 'recorded',
    witness: { kind: 'recorded', independent: true, detail, refused: [] },
    maxSamples: Number.POSITIVE_INFINITY,
    run: async (_feeds, sample = 0) => outputs.map((array) => array && batchOf(array, sample * given.batch, given.batch, given.rows)),
    rest: async () => {},
    close: async () => {},
  };
}
