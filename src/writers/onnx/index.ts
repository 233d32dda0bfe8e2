/** Writes ONNX: one ModelProto, its weights inline or in a file beside it. */

import { inTurns } from '../../bytes/breath.js';
import type { ByteSink } from '../../bytes/byte-sink.js';
import { type Span, writePieces } from '../../containers/protobuf-writer.js';
import { ModelError } from '../../errors.js';
import type { HeldTally } from '../../model/half-range.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { inferMap } from '../../model/ops/index.js';
import { castNotices } from '../cast-weights.js';
import { byteProgress } from '../progress.js';
import { ONNX } from '../targets.js';
import type { WriteOptions, WriteResult, Writer } from '../writer.js';
import { type ExternalPlace, encodeMetadata, encodeModel, encodeOtherMetadata, OPSETS, tensorSpan } from './encode.js';
import { layerObstacle } from './node-forms.js';
import { inOlderForms } from './older-forms.js';
import { apartNotices, encodePatch, type Patch, patchable, planPatch } from './patch.js';
import { type NarrowedWeight, planGraph, portLayout, portObstacle } from './plan.js';
import { measureScales } from './scales.js';
import { sourceModel } from './source.js';
import { BLOCKS_SINCE, hasDequantize, optionsObstacle, storageObstacle, WIDE_CODES_SINCE, wantsBlocks } from './storage.js';

const DEFAULT_OPSET = 17;
/** protobuf parsers stop at 2 GiB; the graph itself and its names need some room too. */
const MAX_INLINE_BYTES = 2 ** 31 - 2 ** 24;
/** Smaller ones stay inline, as onnx's own tools keep them: shape inference reads shapes and axes there only. */
const MIN_EXTERNAL_BYTES = 1024;
/** Offsets of large external tensors are multiples of what Windows maps files at, so that runtimes can map them. */
const EXTERNAL_ALIGNMENT = 65536;
/** Smaller ones are read rather than mapped, as in files of ONNX Runtime's own tools: their offsets only suit their elements. */
const MIN_MAPPED_BYTES = 2 ** 20;
const ELEMENT_ALIGNMENT = 64;

/** What ONNX Runtime (1.30) has no kernel for, and takes apart in opset 24 alone: its steps run everywhere. */
const LEFT_APART: ReadonlySet<string> = new Set(['Swish']);

export const onnx: Writer = {
  carries: 'model',
  ...ONNX,

  hasOperator: async (layer, map, { opset }) => !LEFT_APART.has(layer.op) && layerObstacle(layer, opset ?? ownOpset(map)) === null,

  async check(map, options) {
    if (patchable(map, options)) return [optionsObstacle(options)].filter((error) => error !== null);
    const opset = chooseOpset(map, options);
    const errors: (ModelError | null)[] = [optionsObstacle(options)];
    // What its operators would be is no question then.
    if (!OPSETS.includes(opset)) return [new ModelError('usage', `ONNX opset ${opset} is not written; ${OPSETS[0]} to ${OPSETS.at(-1)} are.`)];
    for (const port of [...map.inputs, ...map.outputs]) errors.push(portObstacle(port));
    for (const layer of inOlderForms(map, opset, options.float16Compute === true).layers) {
      errors.push(layerObstacle(layer, opset), options.float16Compute ? foreignObstacle(layer) : null);
      for (const [role, tensor] of Object.entries(layer.weights)) errors.push(storageObstacle(layer, role, tensor));
    }
    errors.push(...codesObstacles(map, opset));
    return errors.filter((error) => error !== null);
  },

  async write(map, sink, name, options) {
    const source = patchable(map, options);
    if (source) return writePatch(await planPatch(source, options), map, sink, name, options);
    const opset = chooseOpset(map, options);
    const own = inOlderForms(map, opset, options.float16Compute === true);
    const { graph, narrowed, warnings } = await inTurns(planGraph(own, options, opset, await measureScales(own, options)));
    const spans = graph.initializers.map(({ name: stored, tensor, isPacked }) => ({ name: stored, bytes: tensorSpan(tensor, isPacked) }));
    const total = spans.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    const file = await sink.create(name);
    const onBytes = byteProgress(total, options);
    const inline = options.externalData !== true && total <= MAX_INLINE_BYTES;
    const outside = inline ? [] : spans.filter(({ bytes }) => bytes.byteLength >= MIN_EXTERNAL_BYTES);
    const places = await writeExternal(outside, sink, `${name}.data`, onBytes);
    await writePieces(encodeModel(graph, places).pieces, file, inline ? onBytes : undefined);
    const metadata = { ...(await options.metadata()), ...layoutMetadata(map, options) };
    await writePieces(encodeMetadata(metadata).pieces, file);
    await file.close();
    return { warnings: [...warnings, ...opsetNotices(map, options), ...narrowingNotices(narrowed, options)] };
  },
};

/** Codes of 16 bits that flow, where the opset's operators make and take those of 8 alone. */
function codesObstacles(map: LayerMap, opset: number): readonly ModelError[] {
  const codesOf = ({ op, inputs, outputs }: Layer) => ({ QuantizeLinear: outputs[0], DequantizeLinear: inputs[0] })[op];
  if (opset >= WIDE_CODES_SINCE || !map.layers.some(codesOf)) return [];
  const types = inferMap(map);
  return map.layers.flatMap((layer) => {
    const dtype = types.get(codesOf(layer) ?? '')?.dtype;
    if (!dtype || hasDequantize(dtype, opset)) return [];
    const needs = `${layer.op} of ${dtype} needs opset ${WIDE_CODES_SINCE}; choose --opset ${WIDE_CODES_SINCE} or newer`;
    return [new ModelError('unsupported', needs, { layer: layer.name })];
  });
}

/** What it computes in is its own: graphs inside of it have float32. */
function foreignObstacle({ name, foreign }: Layer): ModelError | null {
  if (!foreign) return null;
  return new ModelError(
    'unsupported',
    `${foreign.op} is kept as it came (${foreign.reason}), and does not compute in float16; without --float16-compute it can stay`,
    {
      layer: name,
    },
  );
}

/** A file that is copied but for what changes: what lay beside it lies beside the copy. */
async function writePatch(patch: Patch, map: LayerMap, sink: ByteSink, name: string, options: WriteOptions): Promise<WriteResult> {
  const total = patch.stored.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  const everything = options.externalData === true || total > MAX_INLINE_BYTES;
  const outside = patch.stored.filter(({ bytes, wasExternal }) => (everything ? bytes.byteLength >= MIN_EXTERNAL_BYTES : wasExternal));
  const file = await sink.create(name);
  const onBytes = byteProgress(total, options);
  const places = await writeExternal(outside, sink, `${name}.data`, onBytes);
  await writePieces((await encodePatch(patch, places)).pieces, file, onBytes);
  const metadata = { ...(await options.metadata()), ...layoutMetadata(map, options) };
  await writePieces(encodeOtherMetadata(metadata).pieces, file);
  await file.close();
  return { warnings: [...narrowingNotices(patch.narrowed, options), ...apartNotices(patch)] };
}

/**
 * That of the file that the map came from, where it was one of ONNX that is not too old; a newer one where weights need it, or an operator
 * that has no words in it.
 */
function chooseOpset(map: LayerMap, options: WriteOptions): number {
  if (options.opset !== undefined) return options.opset;
  const own = ownOpset(map);
  const least = own < BLOCKS_SINCE && hasBlocks(map, options) ? BLOCKS_SINCE : own;
  const says = (opset: number) =>
    codesObstacles(map, opset).length === 0 && inOlderForms(map, opset, options.float16Compute === true).layers.every((layer) => !layerObstacle(layer, opset));
  return says(least) ? least : (OPSETS.find((opset) => opset > least && says(opset)) ?? least);
}

function ownOpset(map: LayerMap): number {
  const model = sourceModel(map);
  const own = model?.opsets.get('') ?? model?.opsets.get('ai.onnx') ?? 0;
  return model ? Math.min(Math.max(own, OPSETS[0]!), OPSETS.at(-1)!) : DEFAULT_OPSET;
}

function hasBlocks({ layers }: LayerMap, { dtype, float16Compute }: WriteOptions): boolean {
  return dtype === 'source' && !float16Compute && layers.some(({ weights }) => Object.values(weights).some(wantsBlocks));
}

function opsetNotices(map: LayerMap, options: WriteOptions): Notice[] {
  const [own, chosen] = [ownOpset(map), chooseOpset(map, options)];
  if (options.opset !== undefined || chosen === own) return [];
  const layers = inOlderForms(map, own, options.float16Compute === true).layers.filter((layer) => layerObstacle(layer, own));
  const newer = [...new Set(layers.map(({ op }) => op)), ...(codesObstacles(map, own).length > 0 ? ['codes of 16 bits'] : [])];
  const why = newer.length > 0 ? `it has no words for ${newer.join(', ')} as the net has them` : 'weights of 4 bits and scales of blocks came with it';
  return [{ code: 'opset-raised', message: `the file has opset ${chosen} instead of ${own}: ${why}` }];
}

/**
 * Streams the weights into the file beside the model; there is none where no weight is to lie there.
 *
 * @returns where each one is
 */
async function writeExternal(
  stored: readonly { readonly name: string; readonly bytes: Span }[],
  sink: ByteSink,
  name: string,
  onBytes: (byteLength: number) => void,
): Promise<Map<string, ExternalPlace>> {
  const places = new Map<string, ExternalPlace>();
  if (stored.length === 0) return places;
  const file = await sink.create(name);
  for (const { name: initializer, bytes } of stored) {
    const unit = bytes.byteLength >= MIN_MAPPED_BYTES ? EXTERNAL_ALIGNMENT : ELEMENT_ALIGNMENT;
    await file.write(new Uint8Array((unit - (file.position % unit)) % unit));
    places.set(initializer, { file: name, offset: file.position });
    await writePieces([bytes], file, onBytes);
  }
  await file.close();
  return places;
}

/** Numbers of formulas that are within float16's range in the file, and not in the source. */
function heldNotices(name: string, { large, small }: HeldTally = { large: 0, small: 0 }): Notice[] {
  const notice = (count: number, why: string, what: string): Notice[] =>
    count === 0
      ? []
      : [{ code: 'held', message: `${name}: ${count} ${count === 1 ? 'number is' : 'numbers are'} too ${why} for float16, and ${what} in the file` }];
  return [...notice(large, 'large', '65504'), ...notice(small, 'small', '6e-8, the smallest one,')];
}

/** What was lost when dtypes changed; complete once all weights were streamed. */
function narrowingNotices(narrowed: readonly NarrowedWeight[], { dtype: wanted }: WriteOptions): Notice[] {
  const notices = narrowed.flatMap(({ layer, tensor, dtype, tally, held }) =>
    [...heldNotices(tensor.name, held), ...castNotices(tensor.name, tally, dtype)].map((notice) => ({ ...notice, layer })),
  );
  const wide = narrowed.filter(({ tensor, dtype }) => tensor.dtype === 'float64' && dtype === 'float32');
  if (wanted !== 'source' || wide.length === 0) return notices;
  return [{ code: 'narrowed', message: `${wide.length} weights are float64 and were stored as float32, in which ONNX files compute here` }, ...notices];
}

/** Shapes alone do not tell NHWC from NCHW, so the file says which each port is. */
function layoutMetadata({ inputs, outputs }: LayerMap, options: WriteOptions): Record<string, string> {
  return Object.fromEntries([...inputs, ...outputs].map((port) => [`weighbridge.layout.${port.name}`, portLayout(port, options)]));
}
