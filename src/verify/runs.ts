/**
 * Two files that runtimes run themselves, such as a quantised ONNX file and the one that it was made from. No wiring is read:
 * ports are lined up by name or position, their layouts by what the files say of themselves or by shape.
 */
import { isModelError, ModelError } from '../errors.js';
import type { Dim, Layer, LayerMap, Layout, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import type { ReadPort } from '../readers/onnx/graph.js';
import type { EngineModel, Session } from './engine.js';
import { selectEngine } from './engines/index.js';
import { givenInputs, recordedInputs } from './feeds.js';
import { generateSample } from './inputs.js';
import { type LayerSource, sessionLayers } from './layer-source.js';
import { compareLayers } from './layers.js';
import { layoutByShape } from './layout.js';
import { findNarrowing } from './narrowing.js';
import { compareOutputs } from './outputs.js';
import type { Report } from './report.js';
import { predictionReport, runSamples } from './samples.js';
import { type Arrays, adaptPorts, openActual, portRunner } from './side.js';
import { tolerances } from './tolerance.js';
import { firstDifference, type VerifyOptions, verdictOf, type WrittenTarget } from './verify.js';
import { compareWeights } from './weights.js';
import { type Expected, recordedWitness } from './witness.js';
import { findWrittenFormat } from './written/index.js';
import type { WrittenModel } from './written/written.js';

export interface RunsToVerify {
  readonly expected: WrittenTarget;
  readonly target: WrittenTarget;
}

const SAMPLES = 4;
const DEFAULT_SEED = 0;

/**
 * Runs both files on the same inputs; with recorded outputs, the target alone.
 *
 * @throws ModelError 'engine' when one cannot be run, 'malformed' when their ports do not fit each other
 */
export async function verifyRuns({ expected, target }: RunsToVerify, options: VerifyOptions = {}): Promise<Report> {
  const startedAt = performance.now();
  const notes: string[] = [];
  const written = (await findWrittenFormat(target.format)?.open(target.files)) ?? null;
  const map = await describePorts(options.golden ? target : expected, options);
  const shown = written ? null : await describePorts(target, options);
  const layoutOf = (port: Port) => written?.layoutOf(port) ?? layoutByShape(port, shapeShown(port, map, shown!));
  const narrowing = written && findNarrowing(map, written, false);
  options.onMap?.(map);
  const ran = await runBoth({ expected, target }, map, layoutOf, narrowing?.narrowest, written, options, notes);
  const layers = options.layers ? await verifyRunLayers({ expected, target }, map, written, layoutOf, ran, options, notes) : null;
  const weights =
    written && map.layers.length > 0 ? await compareWeights(map, written, (done, total) => options.onProgress?.('comparing weights', done, total)) : null;
  if (!weights) notes.push('weights were not compared one by one: the files do not name them alike');
  if (narrowing) notes.push('whether the file computes what its narrower weights say was not checked: that takes a source whose wiring is read');
  return predictionReport(ran, {
    verdict: verdictOf(ran.outputs, weights, true, layers?.firstDifference == null),
    layers: layers?.layers ?? null,
    weights,
    narrowing,
    correctness: null,
    firstDifference: firstDifference(map, weights, layers?.firstDifference ?? null, ran.problem),
    notes,
    startedAt,
  });
}

type Ran = Awaited<ReturnType<typeof runBoth>>;

async function runBoth(
  { expected, target }: RunsToVerify,
  map: LayerMap,
  layoutOf: (port: Port) => Layout,
  narrowest: string | undefined,
  written: WrittenModel | null,
  options: VerifyOptions,
  notes: string[],
) {
  const seed = options.golden || options.inputs ? null : (options.seed ?? DEFAULT_SEED);
  const actual = await openActual(target, map, layoutOf, options, notes);
  try {
    checkShapes(map.inputs, actual.inputs, layoutOf, target.files.label);
    const witness = options.golden ? await recordedWitness(options.golden, map) : await openExpected(expected, map, options);
    try {
      const allowed = tolerances({ ...options, expected: witness.name, actual: actual.name, narrowest, computeDType: written?.computeDType });
      const comparison = compareOutputs(map, allowed.outputs);
      const inputs = options.golden ? await recordedInputs(options.golden, map) : options.inputs ? await givenInputs(options.inputs, map) : null;
      const samples = inputs?.count ?? options.samples ?? SAMPLES;
      const feeds: Arrays[] = [];
      const sampleOf = (sample: number) => inputs?.sample(sample) ?? generateSample(map.inputs, sample, seed!, map.layers);
      await runSamples({ expected: witness, actual, samples, sampleOf, comparison }, options, (run) => {
        if (feeds.length === 0) feeds.push(run.feeds);
      });
      return {
        ...comparison.report(),
        witness: witness.witness,
        engines: { expected: witness.engine, actual: actual.engine },
        device: actual.device,
        inputs: { samples, seed, kind: inputs ? ('recorded' as const) : ('generated' as const) },
        tolerances: allowed,
        feeds,
      };
    } finally {
      await witness.close();
    }
  } finally {
    await actual.close();
  }
}

async function openExpected(expected: WrittenTarget, map: LayerMap, { host }: VerifyOptions): Promise<Expected> {
  const { engine, availability } = await selectEngine(expected.format, { host });
  const session = await engine.open(expected);
  return {
    name: engine.name,
    engine: `${engine.name} (${availability.detail})`,
    witness: { kind: 'runtime', independent: true, detail: `${availability.detail}, on the first file as it is; no reader of ours takes part` },
    run: portRunner(session, map, (port) => port.layout),
    maxSamples: Number.POSITIVE_INFINITY,
    close: () => session.close(),
  };
}

/** Layers are lined up where both files name their nodes alike. */
async function verifyRunLayers(
  { expected, target }: RunsToVerify,
  map: LayerMap,
  written: WrittenModel | null,
  layoutOf: (port: Port) => Layout,
  { feeds, tolerances: allowed }: Ran,
  options: VerifyOptions,
  notes: string[],
) {
  if (!written || map.layers.length === 0 || options.golden) {
    notes.push('layers were not compared: only ONNX files are lined up with each other, by the names of their nodes');
    return null;
  }
  const openSide = async (
    model: EngineModel,
    format: string,
    layouts: (port: Port) => Layout,
    choice: VerifyOptions,
    nameOf: (layer: Layer) => string | undefined,
  ) => {
    const { engine } = await selectEngine(format, choice);
    const session = await engine.open({ ...model, layers: true });
    const shown = new Set([...(session.intermediates ?? []), ...session.outputs.map(({ name }) => name)]);
    const names = new Map(map.layers.map((layer) => [layer, nameOf(layer) ?? ''] as const).filter(([, name]) => shown.has(name)));
    const { feed } = adaptPorts(session, map, layouts);
    return { session, source: sessionLayers({ name: engine.name, shapes: new Map(), session, feed, names, channelsLast: false }) };
  };
  const sides: { session: Session; source: LayerSource }[] = [];
  try {
    sides.push(await openSide(target, target.format, layoutOf, options, (layer) => written.valueOf(layer)));
    sides.push(
      await openSide(
        expected,
        expected.format,
        (port) => port.layout,
        { host: options.host },
        (layer) => layer.outputs[0],
      ),
    );
    const [actual, wanted] = [sides[0]!.source, sides[1]!.source];
    const compared = await compareLayers({ map, expected: [wanted], actual, feeds, toleranceFor: () => allowed.outputs, missing: new Set() });
    notes.push(...compared.notes);
    return compared;
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`layers were not compared: ${error.message}`);
    return null;
  } finally {
    for (const { session } of sides) await session.close();
  }
}

/** Ports as the file, or else its runtime, states them; for ONNX also its nodes by name. */
async function describePorts(model: WrittenTarget, { host }: VerifyOptions): Promise<LayerMap> {
  const made = { name: model.format, format: model.format, producer: null, architecture: null, warnings: [] };
  if (model.format === 'onnx') {
    const [{ readOnnxModel }, { nodesAsLayers }] = await Promise.all([import('../readers/onnx/graph.js'), import('./written/onnx-weights.js')]);
    const read = await readOnnxModel(model.files, model.files.main!);
    const port = ({ name, dtype, shape }: ReadPort): Port => {
      if (!shape) throw new ModelError('unsupported', `the file does not say which shape its port "${name}" has`, { file: model.files.label });
      const layout = (read.metadata.get(`weighbridge.layout.${name}`) as Layout | undefined) ?? likelyLayout(shape, false);
      return { name, value: name, dtype: dtype ?? 'float32', shape: shape.map((size) => (typeof size === 'number' && size < 1 ? 'N' : size)), layout };
    };
    return { ...made, inputs: read.inputs.map(port), outputs: read.outputs.map(port), layers: await nodesAsLayers(read) };
  }
  const { engine } = await selectEngine(model.format, { host });
  const session = await engine.open(model);
  try {
    const port = ({ name, shape, layout }: Session['inputs'][number]): Port => {
      const sizes = shape.map((size, axis): Dim => size ?? (axis === 0 ? 'N' : '?'));
      return { name, value: name, dtype: 'float32', shape: sizes, layout: layout ?? likelyLayout(sizes, model.format !== 'caffe') };
    };
    return { ...made, inputs: session.inputs.map(port), outputs: session.outputs.map(port), layers: [] };
  } finally {
    await session.close();
  }
}

/** Shape of the port in the other file: of that name, else at the same place. */
function shapeShown(port: Port, map: LayerMap, shown: LayerMap): readonly Dim[] | null {
  for (const side of ['inputs', 'outputs'] as const) {
    const place = map[side].indexOf(port);
    if (place >= 0) return (shown[side].find(({ name }) => name === port.name) ?? shown[side][place])?.shape ?? null;
  }
  return null;
}

/** Pictures have few channels, whatever axis those are on; where that does not tell, the format's own habit does. */
function likelyLayout(shape: readonly Dim[], channelsLast: boolean): Layout {
  const layouts = ([null, null, null, ['ncw', 'nwc'], ['nchw', 'nhwc'], ['ncdhw', 'ndhwc']] as const)[shape.length];
  if (!layouts) return 'other';
  const isFew = (size: Dim | undefined) => typeof size === 'number' && size <= 4;
  const isLast = isFew(shape.at(-1)) === isFew(shape[1]) ? channelsLast : isFew(shape.at(-1));
  return isLast ? layouts[1] : layouts[0];
}

/**
 * Whether inputs of the target can be what those of the expected file are, before a runtime says so in its own words.
 *
 * @throws ModelError 'malformed' naming both shapes
 */
function checkShapes(ports: readonly Port[], shown: Session['inputs'], layoutOf: (port: Port) => Layout, file: string): void {
  for (const [i, port] of ports.entries()) {
    const other = shown.find(({ name }) => name === port.name) ?? shown[i];
    if (!other || other.shape.length === 0) continue;
    const layout = layoutOf(port);
    const turned = isChannelsLast(layout) === isChannelsLast(port.layout) || port.shape.length < 3 ? port.shape : turn(port);
    const fits =
      other.shape.length === turned.length && other.shape.every((size, axis) => size === null || typeof turned[axis] === 'string' || size === turned[axis]);
    if (!fits)
      throw new ModelError(
        'malformed',
        `takes [${other.shape.map((size) => size ?? 'N')}] as "${other.name}", but the other file takes [${port.shape}] (${port.layout})`,
        { file },
      );
  }
}

function turn({ shape, layout }: Port): Dim[] {
  return (isChannelsLast(layout) ? toChannelsFirst(shape.length) : toChannelsLast(shape.length)).map((axis) => shape[axis]!);
}
