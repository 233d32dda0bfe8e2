/**
 * Verification: the written file, read back by its consumer's own runtime, against the best witness there is.
 *
 * Witnesses, best first: outputs that the original framework recorded; another runtime on the original file, which shares no
 * code with our reader; our float64 evaluator on the layer map, which cannot see a reader's mistake, and the report says so.
 */
import { isModelError, ModelError } from '../errors.js';
import type { DType } from '../model/dtype.js';
import type { LayerMap, Layout, ModelFile, Port } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { readOnnxModel } from '../readers/onnx/graph.js';
import { rows, toArray, toLayout } from './array.js';
import { compareOutput, type Tolerance } from './compare.js';
import type { EngineChoice, EngineModel, NdArray, Session } from './engine.js';
import { engines, selectEngine } from './engines/index.js';
import { generateSample } from './inputs.js';
import { referenceSession } from './reference/session.js';
import type { Report, Verdict, Witness } from './report.js';
import { compareWeights } from './weights.js';

export interface VerifyOptions extends EngineChoice {
  /** Recorded arrays by name: input or input:<name>, output or output:<name>, in the source's layout. */
  readonly golden?: ReadonlyMap<string, Tensor>;
  /** Inputs to use instead of generated ones, by port name. */
  readonly inputs?: ReadonlyMap<string, Tensor>;
  readonly samples?: number;
  readonly seed?: number;
  readonly atol?: number;
  readonly rtol?: number;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

export interface ConversionToVerify {
  readonly source: EngineModel;
  readonly model: ModelFile;
  readonly map: LayerMap;
  readonly target: EngineModel;
  /** Narrowest dtype that weights were stored in. */
  readonly dtype: DType | 'source';
}

const DEFAULT_SEED = 0;
/** Multiplications of one sample beyond which fewer samples are run: eight of VGG16's 15.5 billion would take minutes on a CPU. */
const SMALL_NET = 5e8;
const SAMPLES = { small: 8, large: 4, largeReference: 1 } as const;

/**
 * Compares a written ONNX file with what it was made from.
 *
 * @throws ModelError 'engine' when no engine can run the file, 'malformed' when recorded arrays do not fit the model
 */
export async function verifyConversion({ source, model, map, target, dtype }: ConversionToVerify, options: VerifyOptions = {}): Promise<Report> {
  const startedAt = performance.now();
  const notes: string[] = [];
  const written = await readOnnxModel(target.files, target.files.main!);
  const actual = await openActual(target, map, written.metadata, options);
  try {
    const samples = options.golden || options.inputs ? null : (options.samples ?? defaultSamples(map));
    const expected = await chooseWitness({ source, model, map, target, dtype }, options, samples, notes);
    try {
      const tolerance = chooseTolerance(expected, dtype, options);
      const inputs = options.golden ? await recordedInputs(options.golden, map) : options.inputs ? await givenInputs(options.inputs, map) : null;
      const count = inputs ? inputs.count : Math.min(samples!, expected.maxSamples);
      const comparisons = map.outputs.map((port) => ({ port, comparison: compareOutput(port.name, tolerance) }));
      const spread = new Map<string, { first: NdArray | null; varies: boolean }>(map.outputs.map(({ name }) => [name, { first: null, varies: false }]));
      for (let sample = 0; sample < count; sample++) {
        options.onProgress?.('running', sample, count);
        const feeds = inputs ? inputs.sample(sample) : generateSample(map.inputs, sample, options.seed ?? DEFAULT_SEED);
        const wanted = await expected.run(feeds, sample);
        const found = await actual.run(feeds);
        comparisons.forEach(({ port, comparison }) => {
          const [a, b] = [wanted.get(port.name), found.get(port.name)];
          if (!a || !b) return;
          comparison.add(a, b);
          noteSpread(spread.get(port.name)!, a);
        });
      }
      options.onProgress?.('comparing weights', 0, 1);
      const weights = await compareWeights(map, written, (done, total) => options.onProgress?.('comparing weights', done, total));
      for (const [name, { varies }] of spread) {
        if (count > 1 && !varies) notes.push(`output "${name}" is the same for all ${count} inputs, so comparing it proves little`);
      }
      const outputs = comparisons.map(({ comparison }) => comparison.report());
      const problems = [
        ...weights.mismatches.map(({ message }) => message),
        ...comparisons.map(({ comparison }) => comparison.problem).filter((problem) => problem !== null),
      ];
      const smallest = Math.max(...comparisons.map(({ comparison }) => comparison.smallestRtol()));
      return {
        schema: 'weighbridge/report@1',
        verdict: verdictOf(
          outputs.map(({ compared, passed }) => ({ compared, passed })),
          weights.mismatches.length,
        ),
        witness: expected.witness,
        engines: { expected: expected.engine, actual: actual.engine },
        device: 'cpu',
        tolerance: { ...tolerance, smallestPassing: Number.isFinite(smallest) ? smallest : null },
        inputs: { samples: count, seed: inputs ? null : (options.seed ?? DEFAULT_SEED), kind: inputs ? 'recorded' : 'generated' },
        outputs,
        weights,
        firstDifference: problems[0] === undefined ? null : { message: problems[0] },
        notes,
        elapsedMs: performance.now() - startedAt,
      };
    } finally {
      await expected.close();
    }
  } finally {
    await actual.close();
  }
}

/** A side of the comparison: takes and gives arrays in the source's layouts, by the layer map's port names. */
interface Side {
  readonly engine: string;
  run(feeds: ReadonlyMap<string, NdArray>, sample?: number): Promise<ReadonlyMap<string, NdArray>>;
  close(): Promise<void>;
}

interface Expected extends Side {
  readonly witness: Witness;
  readonly maxSamples: number;
}

async function openActual(target: EngineModel, map: LayerMap, metadata: ReadonlyMap<string, string>, options: VerifyOptions): Promise<Side> {
  const { engine, availability } = await selectEngine('onnx', options);
  const { detail } = availability;
  const session = await engine.open(target);
  const layoutOf = (port: Port) => (metadata.get(`weighbridge.layout.${port.name}`) as Layout | undefined) ?? port.layout;
  return { engine: `${engine.name} (${detail})`, run: portRunner(session, map, layoutOf), close: () => session.close() };
}

/** Runs a session by the map's ports: by name, else by position where the numbers agree. */
function portRunner(session: Session, map: LayerMap, layoutOf: (port: Port) => Layout): Side['run'] {
  const pair = (ports: readonly Port[], names: readonly string[], what: string) => {
    const byName = ports.every(({ name }) => names.includes(name));
    if (!byName && ports.length !== names.length) {
      throw new ModelError(
        'engine',
        `the runtime sees ${names.length} ${what} (${names.join(', ')}), the model has ${ports.length} (${ports.map(({ name }) => name).join(', ')})`,
      );
    }
    return ports.map((port, i) => ({ port, name: byName ? port.name : names[i]! }));
  };
  const inputs = pair(
    map.inputs,
    session.inputs.map(({ name }) => name),
    'inputs',
  );
  const outputs = pair(
    map.outputs,
    session.outputs.map(({ name }) => name),
    'outputs',
  );
  return async (feeds) => {
    const fed = new Map(inputs.map(({ port, name }) => [name, toLayout(feeds.get(port.name)!, port.layout, layoutOf(port))]));
    const results = await session.run(fed);
    return new Map(outputs.map(({ port, name }) => [port.name, toLayout(results.get(name)!, layoutOf(port), port.layout)]));
  };
}

async function chooseWitness({ source, model, map }: ConversionToVerify, options: VerifyOptions, samples: number | null, notes: string[]): Promise<Expected> {
  if (options.golden) return recordedWitness(options.golden, map);
  for (const engine of engines.filter(({ formats }) => formats.includes(model.format) && !formats.includes('onnx'))) {
    const { available, detail } = await engine.availability();
    if (!available) {
      notes.push(`the independent witness ${engine.name} is not available: ${detail}`);
      continue;
    }
    try {
      const session = await engine.open(source);
      const run = portRunner(session, map, (port) => port.layout);
      // A first run tells whether it can, before its answers are relied on; generated inputs need not be run twice.
      const first = await run(generateSample(map.inputs, 0, options.seed ?? DEFAULT_SEED));
      const answer: Side['run'] = async (feeds, sample) => (sample === 0 && !options.inputs ? first : run(feeds));
      const witness: Witness = { kind: 'runtime', independent: true, detail: `${detail}, on the original file; it shares no code with our reader` };
      return { engine: engine.name, witness, run: answer, maxSamples: samples ?? Number.POSITIVE_INFINITY, close: () => session.close() };
    } catch (error) {
      if (!isModelError(error)) throw error;
      notes.push(`the independent witness ${engine.name} cannot run this model: ${error.message}`);
    }
  }
  const session = await referenceSession(map, { onProgress: (done: number, total: number) => options.onProgress?.('reference', done, total) });
  const detail = 'our own float64 evaluator on the layer map; it sees a mistake of the writer, but not one of the reader. Recorded outputs (--golden) would.';
  const maxSamples = multiplications(map) > SMALL_NET ? SAMPLES.largeReference : Number.POSITIVE_INFINITY;
  return {
    engine: 'reference',
    witness: { kind: 'reference', independent: false, detail },
    run: portRunner(session, map, (port) => port.layout),
    maxSamples,
    close: () => session.close(),
  };
}

async function recordedWitness(golden: ReadonlyMap<string, Tensor>, map: LayerMap): Promise<Expected> {
  const outputs = new Map<string, NdArray>();
  for (const [i, port] of map.outputs.entries()) {
    const tensor = pick(golden, 'output', port, i, map.outputs.length);
    if (tensor) outputs.set(port.name, await toArray(tensor));
  }
  if (outputs.size === 0)
    throw new ModelError(
      'malformed',
      `the recorded file has no outputs: arrays named output, or output:<name>, are expected; it has ${[...golden.keys()].join(', ')}`,
    );
  return {
    engine: 'recorded',
    witness: { kind: 'recorded', independent: true, detail: 'outputs that were recorded in the original framework; they share no code with this tool' },
    maxSamples: Number.POSITIVE_INFINITY,
    run: async (_feeds, sample = 0) => new Map([...outputs].map(([name, array]) => [name, rows(array, sample, sample + 1)])),
    close: async () => {},
  };
}

interface GivenInputs {
  readonly count: number;
  sample(i: number): Map<string, NdArray>;
}

function recordedInputs(golden: ReadonlyMap<string, Tensor>, map: LayerMap): Promise<GivenInputs> {
  const found = map.inputs.map((port, i) => {
    const tensor = pick(golden, 'input', port, i, map.inputs.length);
    if (!tensor)
      throw new ModelError(
        'malformed',
        `the recorded file has no input for "${port.name}": arrays named input, or input:<name>, are expected; it has ${[...golden.keys()].join(', ')}`,
      );
    return { port, tensor };
  });
  return sampled(found);
}

function givenInputs(inputs: ReadonlyMap<string, Tensor>, map: LayerMap): Promise<GivenInputs> {
  return sampled(
    map.inputs.map((port, i) => {
      const tensor = inputs.get(port.name) ?? (map.inputs.length === 1 ? [...inputs.values()][0] : pick(inputs, 'input', port, i, map.inputs.length));
      if (!tensor) throw new ModelError('usage', `there is no input for "${port.name}"`);
      return { port, tensor };
    }),
  );
}

async function sampled(found: readonly { port: Port; tensor: Tensor }[]): Promise<GivenInputs> {
  for (const { port, tensor } of found) {
    const fits =
      tensor.shape.length === port.shape.length && port.shape.every((size, axis) => axis === 0 || typeof size === 'string' || size === tensor.shape[axis]);
    if (!fits)
      throw new ModelError('malformed', `the input for "${port.name}" has the shape [${tensor.shape}], but the model takes [${port.shape}] (${port.layout})`, {
        file: tensor.origin.file,
        tensor: tensor.name,
      });
  }
  const arrays = new Map<string, NdArray>();
  const count = found[0]!.tensor.shape[0]!;
  for (const { port, tensor } of found) arrays.set(port.name, await toArray(tensor));
  return { count, sample: (i) => new Map([...arrays].map(([name, array]) => [name, rows(array, i, i + 1)])) };
}

/** An array for a port: 'output:<name>', 'output_<i>', or plain 'output' where there is one. */
function pick(arrays: ReadonlyMap<string, Tensor>, word: string, port: Port, i: number, count: number): Tensor | undefined {
  return (
    arrays.get(`${word}:${port.name}`) ??
    arrays.get(`${word}_${i}`) ??
    (count === 1 ? (arrays.get(word) ?? [...arrays].find(([name]) => name.startsWith(`${word}:`))?.[1]) : undefined)
  );
}

/**
 * How far apart two right answers may be. On full VGG16 ONNX Runtime's float32 differs from float64 by 6e-7 of an output's scale
 * (8e-7 in the worst layer), TensorFlow.js and OpenCV by 3e-6 (5e-6); the smallest real fault measured there was 5e-2. Weights
 * rounded to float16 alone move VGG16's output by 6e-4, to bfloat16 by 5e-3.
 */
function chooseTolerance(expected: Expected, dtype: DType | 'source', { atol, rtol }: VerifyOptions): Tolerance {
  if (atol !== undefined || rtol !== undefined) return { atol: atol ?? 0, rtol: rtol ?? 0, why: 'as given' };
  if (dtype === 'float16')
    return {
      atol: 1e-6,
      rtol: 5e-3,
      why: 'rounding weights to float16 moves outputs by about 6e-4 of their scale; that the rounding itself is right is checked weight by weight',
    };
  if (dtype === 'bfloat16')
    return {
      atol: 1e-6,
      rtol: 3e-2,
      why: 'rounding weights to bfloat16 moves outputs by about 5e-3 of their scale; that the rounding itself is right is checked weight by weight',
    };
  const who = expected.witness.kind === 'reference' ? 'float32 against float64' : 'two float32 runtimes, which add in another order';
  return { atol: 1e-6, rtol: 2e-5, why: `${who}: up to 5e-6 of an output's scale was measured on VGG16; real faults are a thousand times larger` };
}

function verdictOf(outputs: readonly { compared: number; passed: boolean }[], wrongWeights: number): Verdict {
  if (wrongWeights > 0 || outputs.some(({ passed }) => !passed)) return 'mismatch';
  return outputs.length === 0 || outputs.some(({ compared }) => compared === 0) ? 'nothing-compared' : 'match';
}

function noteSpread(spread: { first: NdArray | null; varies: boolean }, array: NdArray): void {
  const { first } = spread;
  if (first) spread.varies ||= first.data.some((value, i) => value !== array.data[i]);
  else spread.first = array;
}

function defaultSamples(map: LayerMap): number {
  return multiplications(map) > SMALL_NET ? SAMPLES.large : SAMPLES.small;
}

/** Rough count for one sample: every kernel once for each place of its layer's output, taken from the input's size. */
function multiplications(map: LayerMap): number {
  const [port] = map.inputs;
  const pixels = port ? elementCount(port.shape.filter((size, axis) => axis > 0 && typeof size === 'number') as number[]) : 1;
  return map.layers.reduce((sum, { op, weights }) => {
    if (!weights.kernel) return sum;
    return sum + elementCount(weights.kernel.shape) * (op === 'Conv' ? Math.max(1, pixels / 3 / 64) : 1);
  }, 0);
}
