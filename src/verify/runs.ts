/**
 * Two files that runtimes run themselves, such as a quantised ONNX file and the one that it was made from. No wiring is read:
 * ports are lined up by name or position, their layouts by what the files say of themselves or by shape.
 */

import { closingOnError } from '../bytes/closing.js';
import type { ReadPort } from '../containers/onnx.js';
import { isModelError, ModelError } from '../errors.js';
import type { Dim, Layer, LayerMap, Layout, Port } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import { effortFor } from './effort.js';
import type { EngineHost, EngineModel, Session } from './engine.js';
import { evaluator } from './engines/evaluator.js';
import { selectEngine } from './engines/index.js';
import { type LayerSource, sessionLayers } from './layer-source.js';
import { type ComparedLayers, compareLayers } from './layers.js';
import { layoutByShape } from './layout.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import type { Alignment } from './ports.js';
import { comparePredictions } from './predictions.js';
import type { Report } from './report.js';
import { adaptPorts, type LayoutOf, portRunner } from './side.js';
import type { LayersRun, Subject } from './subject.js';
import type { Expected } from './witness.js';
import { findWrittenFormat } from './written/index.js';
import type { WrittenModel } from './written/written.js';

export interface RunsToVerify {
  readonly expected: WrittenTarget;
  readonly target: WrittenTarget;
}

/**
 * Runs both files on the same inputs; with recorded outputs, the target alone.
 *
 * @throws ModelError 'engine' when one cannot be run, 'malformed' when their ports do not fit each other
 */
export async function verifyRuns({ expected, target }: RunsToVerify, options: VerifyOptions = {}): Promise<Report> {
  const map = await describePorts(options.golden ? target : expected, options);
  const opened = await findWrittenFormat(target.format)?.open(target.files, map.layers);
  // Names that two files have in common need not mean that one was made from the other.
  const written = opened ? { ...opened, isOurs: false } : null;
  const layoutOf: LayoutOf = written?.layoutOf ?? ((port, shown) => shown.layout ?? layoutByShape(port, shown.shape));
  const subject: Subject = {
    map,
    target,
    written,
    layoutOf,
    isRead: false,
    effort: effortFor((await sizeOf(target)) > LARGE_BYTES),
    assumed: [],
    ...(expected.format === 'onnx' ? await (await import('./written/onnx.js')).onnxFacts(expected.files) : { training: [], overridable: [] }),
    checkInputs: ({ inputs, aligned }) => checkShapes(map.inputs, inputs, aligned.inputs, layoutOf, target.files.label),
    openExpected: (_, notes) => openExpected(expected, map, options, notes),
    compareLayers: (run, notes) => compareRunLayers({ expected, target }, map, written, layoutOf, run, options, notes),
  };
  return comparePredictions(subject, options);
}

async function openExpected(expected: WrittenTarget, map: LayerMap, { host }: VerifyOptions, notes: string[]): Promise<Expected> {
  const { session, engine, detail, refused } = await openFirst(expected, host, notes);
  const run = await closingOnError(session, () => portRunner(session, map, (port) => port.layout));
  const own = 'our own evaluator on the first file, as our own reader reads it; it does not see a mistake of that reader. Recorded outputs (--golden) would.';
  return {
    name: engine.name,
    engine: `${engine.name} (${detail})`,
    witness: engine.isOwn
      ? { kind: 'reference', independent: false, detail: own, refused }
      : { kind: 'runtime', independent: true, detail: `${detail}, on the first file as it is; no reader of ours takes part`, refused },
    run,
    maxSamples: Number.POSITIVE_INFINITY,
    rest: async () => {},
    close: () => session.close(),
  };
}

/** The first file in a runtime of its format, or in our own evaluator where that cannot take it. */
async function openFirst(model: WrittenTarget, host: EngineHost | undefined, notes: string[]) {
  const { engine, availability } = await selectEngine(model.format, { host });
  try {
    return { session: await engine.open(model), engine, detail: availability.detail, refused: [] };
  } catch (error) {
    if (!isModelError(error) || engine.isOwn) throw error;
    notes.push(`the independent witness ${engine.name} cannot run the first file: ${error.message}`);
    const { detail } = await evaluator.availability();
    return { session: await evaluator.open(model), engine: evaluator, detail, refused: [engine.name] };
  }
}

/** Bytes of a main file beyond which fewer samples are run; how much a net computes is not read of it. */
const LARGE_BYTES = 2 ** 26;

async function sizeOf({ files }: WrittenTarget): Promise<number> {
  return files.main === null ? 0 : (await files.open(files.main)).byteLength;
}

/** Layers are lined up where both files name their nodes alike. */
async function compareRunLayers(
  { expected, target }: RunsToVerify,
  map: LayerMap,
  written: WrittenModel | null,
  layoutOf: LayoutOf,
  { feeds, tolerances }: LayersRun,
  options: VerifyOptions,
  notes: string[],
): Promise<ComparedLayers | null> {
  if (!written || map.layers.length === 0 || options.golden) {
    notes.push('layers were not compared: only ONNX files are lined up with each other, by the names of their nodes');
    return null;
  }
  const sides: { session: Session; source: LayerSource }[] = [];
  const openSide = async (model: EngineModel, format: string, layouts: LayoutOf, choice: VerifyOptions, nameOf: (layer: Layer) => string | undefined) => {
    const { engine } = await selectEngine(format, choice);
    const session = await engine.open({ ...model, layers: true });
    const shown = new Set([...(session.intermediates ?? []), ...session.outputs.map(({ name }) => name)]);
    const names = new Map(map.layers.map((layer) => [layer, nameOf(layer) ?? ''] as const).filter(([, name]) => shown.has(name)));
    const side = {
      session,
      source: sessionLayers({ name: engine.name, shapes: new Map(), session, feed: async (fed) => ports.feed(fed), names, channelsLast: false }),
    };
    sides.push(side);
    const ports = adaptPorts(session, map, layouts);
    return side.source;
  };
  try {
    const actual = await openSide(target, target.format, layoutOf, options, (layer) => written.valueOf(layer));
    const wanted = await openSide(
      expected,
      expected.format,
      (port) => port.layout,
      { host: options.host },
      (layer) => layer.outputs[0],
    );
    return await compareLayers({ map, expected: [wanted], actual, feeds, toleranceFor: () => tolerances.outputs, missing: new Set(), first: options.first });
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
    const [{ readOnnxModel }, { nodesAsLayers }] = await Promise.all([import('../containers/onnx.js'), import('./written/onnx-weights.js')]);
    const read = await readOnnxModel(model.files, model.files.main!);
    const port = ({ name, dtype, shape }: ReadPort): Port => {
      // What an output's shape is, running tells; an input must be made.
      if (!shape && read.outputs.some((output) => output.name === name)) return { name, value: name, dtype: dtype ?? 'float32', shape: [], layout: 'other' };
      if (!shape) throw new ModelError('unsupported', `the file does not say which shape its port "${name}" has`, { file: model.files.label });
      const layout = (read.metadata.get(`weighbridge.layout.${name}`) as Layout | undefined) ?? likelyLayout(shape, false);
      return { name, value: name, dtype: dtype ?? 'float32', shape: shape.map((size) => (typeof size === 'number' && size < 1 ? 'N' : size)), layout };
    };
    return { ...made, inputs: read.inputs.map(port), outputs: read.outputs.map(port), layers: await nodesAsLayers(read) };
  }
  const { session } = await openFirst(model, host, []);
  try {
    const port = ({ name, shape, layout, dtype = 'float32' }: Session['inputs'][number]): Port => {
      const sizes = shape.map((size, axis): Dim => size ?? (axis === 0 ? 'N' : '?'));
      return { name, value: name, dtype, shape: sizes, layout: layout ?? likelyLayout(sizes, model.format !== 'caffe') };
    };
    return { ...made, inputs: session.inputs.map(port), outputs: session.outputs.map(port), layers: [] };
  } finally {
    await session.close();
  }
}

/** Pictures have few channels, whatever axis those are on; where that does not tell, the format's own habit does. */
export function likelyLayout(shape: readonly Dim[], channelsLast: boolean): Layout {
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
function checkShapes(ports: readonly Port[], shown: Session['inputs'], { places }: Alignment, layoutOf: LayoutOf, file: string): void {
  for (const [i, port] of ports.entries()) {
    const other = shown[places[i] ?? -1];
    if (!other || other.shape.length === 0) continue;
    const layout = layoutOf(port, other);
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
