/** From a Caffe net and its blobs to the layer map: training parts removed, blobs' names followed through in-place layers. */

import { nameVgg } from '../../architectures/vgg-names.js';
import { isModelError, ModelError, throwAll } from '../../errors.js';
import type { LayerMap, Notice, Port } from '../../model/layer-map.js';
import { listed } from '../../words.js';
import type { ReadOptions } from '../reader.js';
import type { Blobs } from './blobs.js';
import { CaffeBuilder } from './builder.js';
import { type Inputs, makeInputs } from './inputs.js';
import { messagesOf, textsOf } from './message.js';
import { notKnown, Params, unknownIn } from './params.js';
import { DECLINED, OF_FORKS, RULES } from './rules/index.js';
import type { CaffeLayer, CaffeNet } from './topology.js';
import { findTrainingParts, isFeed, isLoss, LOSS_ACTIVATIONS, type TrainingParts } from './training.js';

/**
 * Translates a net. Where that cannot be and the net is to end earlier, what leads there.
 *
 * @throws ModelError 'unsupported' listing every layer and field without a translation; 'malformed' where net and weights disagree
 */
export async function buildCaffeMap(net: CaffeNet, blobs: ReadonlyMap<string, Blobs>, file: string, options: ReadOptions): Promise<LayerMap> {
  try {
    return await translateNet(net, blobs, file, options);
  } catch (error) {
    const leading = isModelError(error) && error.kind !== 'unsafe' ? leadingTo(net, options.ends ?? []) : [];
    if (leading.length === 0 || leading.length === net.layers.length) throw error;
    const kept = new Set(leading);
    const beyond = net.layers.filter((layer) => !kept.has(layer));
    const names = new Set(beyond.map(({ name }) => name));
    const stored = new Map([...blobs].filter(([name]) => !names.has(name)));
    const map = await translateNet({ ...net, layers: leading }, stored, file, options);
    const message = `not all of the net can be translated; what it is to end in does not depend on ${listed(beyond.map(({ name, type }) => `"${name}" (${type})`))}: left out`;
    // Where a layer that is followed in place has its blob's name, the name stays the layer's, as in a net that is read whole.
    const outputs = map.outputs.map((port) =>
      map.layers.some(({ name }) => name === port.name && name !== port.value) ? { ...port, name: port.value } : port,
    );
    return { ...map, outputs, warnings: [...map.warnings, { code: 'left-out', message }] };
  }
}

/** The layers that some of these names depend on: of layers, or of blobs. */
function leadingTo({ layers }: CaffeNet, names: readonly string[]): readonly CaffeLayer[] {
  const wanted = new Set(names);
  const kept: CaffeLayer[] = [];
  for (const layer of layers.toReversed()) {
    if (!names.includes(layer.name) && !layer.tops.some((top) => wanted.has(top))) continue;
    for (const bottom of layer.bottoms) wanted.add(bottom);
    kept.unshift(layer);
  }
  return kept;
}

async function translateNet(net: CaffeNet, blobs: ReadonlyMap<string, Blobs>, file: string, options: ReadOptions): Promise<LayerMap> {
  const builder = new CaffeBuilder(file, blobs, net.layers);
  const training = findTrainingParts(net, blobs);
  const computing = net.layers.filter((layer) => layer.type !== 'Input' && !isFeed(layer));
  const { ports, open } = inputsOf(net, computing, builder, training, options);
  const readers = readersOf(computing);
  for (const layer of computing) {
    if (training.layers.has(layer)) builder.warnings.push(removed(layer, `${layer.type} prepares what losses are told and was removed`));
    else if (isLoss(layer)) finishLoss(layer, readers, builder);
    else translate(layer, builder);
  }
  const included = new Set(net.layers.map(({ name }) => name));
  for (const layer of net.leftOut) {
    const overwritten = layer.tops.find((top) => layer.bottoms.includes(top) && builder.values.has(top));
    // A snapshot of training has the layer as it trained, and not as it tests.
    if (overwritten !== undefined && blobs.has(layer.name) && !included.has(layer.name)) {
      const problem = `${layer.type} is ${outOf(layer)}, has weights, and writes over "${overwritten}", which the net goes on with: without it the net is another. Give the prototxt for deployment with --prototxt`;
      builder.obstacles.push(builder.unsupported(layer, `${problem}.`));
      continue;
    }
    if (!layer.tops.some((top) => ports.some(({ name }) => name === top)))
      builder.warnings.push(removed(layer, `${layer.type} is ${outOf(layer)} and was removed`));
  }
  if (builder.obstacles.length === 0) for (const obstacle of builder.openPositions()) builder.obstacles.push(obstacle);
  for (const obstacle of builder.weights.doubtfulFills()) builder.obstacles.push(obstacle);
  refuse(builder, open);
  if (net.assumedStage !== null)
    builder.warnings.push({ code: 'assumed', message: `the net's layers are for several stages; those of "${net.assumedStage}" were taken` });
  const unused = builder.weights.unusedLayers();
  if (unused.length > 0)
    builder.warnings.push({ code: 'unused-weights', message: `the weights of ${unused.join(', ')} belong to no layer of the net and were left out` });
  const outputs = makeOutputs(
    computing.filter((layer) => !training.layers.has(layer)),
    builder,
    ports,
  );
  builder.warnings.push(...builder.weights.notices);
  for (const check of builder.checks) builder.warnings.push(...(await check()));
  builder.warnings.push(...(await builder.weights.doubtfulVectors()));
  return nameVgg({
    name: net.name,
    format: 'caffe',
    producer: 'Caffe',
    architecture: null,
    inputs: ports,
    outputs,
    layers: builder.layers,
    warnings: builder.warnings,
  });
}

/** Where an input's shape is not known nothing can be built, but types without a translation are told as well. */
function inputsOf(net: CaffeNet, computing: readonly CaffeLayer[], builder: CaffeBuilder, training: TrainingParts, options: ReadOptions): Inputs {
  try {
    return makeInputs(net, builder, training, options);
  } catch (error) {
    if (!isModelError(error)) throw error;
    builder.obstacles.unshift(error);
    for (const layer of computing) {
      if (!RULES[layer.type] && !isLoss(layer) && !training.layers.has(layer)) builder.obstacles.push(builder.unsupported(layer, withoutRule(layer, false)));
    }
    refuse(builder, null);
    throw error;
  }
}

/** Nobody reads more, and hostile nets have thousands. */
const MAX_TOLD = 200;

/** Everything that stands in the way, at once; that sizes are missing is said once. */
function refuse(builder: CaffeBuilder, open: ModelError | null): void {
  const { missing, stored } = builder.weights;
  const saidOnce: ModelError[] = [];
  if (stored.size === 0 && missing.size > 0)
    saidOnce.push(new ModelError('malformed', 'the net has layers with weights, but no weights are stored. Was the caffemodel meant?', { file: builder.file }));
  if (open && builder.sizeNeeded.size > 0) saidOnce.push(open);
  const rest = builder.obstacles.filter((error) => !(stored.size === 0 && missing.has(error)) && !(open && builder.sizeNeeded.has(error)));
  const obstacles = [...saidOnce, ...rest.slice(0, MAX_TOLD)];
  if (rest.length > MAX_TOLD) obstacles.push(new ModelError('unsupported', `and ${rest.length - MAX_TOLD} more`, { file: builder.file }));
  if (obstacles.length > 0) throwAll(obstacles, `${builder.file}: this Caffe net cannot be translated faithfully:`);
}

/** Why a layer's rules leave it out. */
function outOf({ message }: CaffeLayer): string {
  const rules = [...messagesOf(message, 'include'), ...messagesOf(message, 'exclude')];
  return rules.some((rule) => textsOf(rule, 'phase').length > 0) ? 'of the TRAIN phase' : 'of another stage or level';
}

function removed(layer: CaffeLayer, message: string): Notice {
  return { code: 'training-layer-removed', message, layer: layer.name };
}

function translate(layer: CaffeLayer, builder: CaffeBuilder): void {
  const fail = (...errors: readonly ModelError[]) => {
    builder.obstacles.push(...errors);
    for (const top of layer.tops) builder.giveUpOn(top);
  };
  const rule = RULES[layer.type];
  if (!rule) {
    fail(builder.unsupported(layer, withoutRule(layer, builder.obstacles.length === 0)));
    return;
  }
  const unknown = unknownIn(layer.message);
  const named = unknown.length > 0 ? [builder.unsupported(layer, `${layer.type} has ${notKnown(unknown)}`)] : [];
  const count = (what: string, found: number, [least, most]: readonly [number, number] = [1, 1]) =>
    found >= least && found <= most ? [] : [builder.malformed(layer, `${layer.type} with ${found} ${what}`)];
  const inPlace = new Set(layer.bottoms);
  const again = layer.tops.find((top) => !inPlace.has(top) && builder.values.has(top));
  const faults = [
    ...count('bottoms', layer.bottoms.length, rule.bottoms),
    ...count('tops', layer.tops.length, rule.tops),
    ...(again === undefined ? [] : [builder.malformed(layer, `makes "${again}", which is made already; Caffe refuses such nets`)]),
  ];
  if (layer.bottoms.some((bottom) => builder.isGivenUp(bottom))) {
    // What flows in is not known; what can be told without is told.
    fail(...named, ...faults, ...builder.weights.disagreements(layer, rule.block));
    return;
  }
  const layerParams = new Params(layer.message);
  const params = rule.block === null ? new Params() : layerParams.child(rule.block);
  try {
    if (faults.length > 0) throw faults[0]!;
    rule.build(builder, layer, params);
    const strays = strayBlocks(layer, rule.block);
    for (const name of strays) layerParams.leave(name);
    if (strays.length > 0)
      builder.warnings.push({
        code: 'setting-ignored',
        message: `${layer.type} has ${listed(strays)}, which Caffe gives to layers of other types only: without effect`,
        layer: layer.name,
      });
    const unaccounted = layerParams.unaccounted();
    if (unaccounted.length > 0) fail(builder.unsupported(layer, `${layer.type} has ${notKnown(unaccounted)}`));
    const unread = builder.weights.unread(layer);
    if (unread.length > 0)
      fail(builder.malformed(layer, `${layer.type} has no use for ${unread.join(', ')}, which the weights hold. Do prototxt and caffemodel belong together?`));
  } catch (error) {
    if (!(error instanceof ModelError) || error.kind === 'unsafe') throw error;
    fail(...named, error);
  }
}

/** From here on numbers of LayerParameter's mean other messages in forks: a binary does not say which. */
const FIRST_CONTESTED_BLOCK = 137;

/** Messages for layers of other types, which Caffe parses and does not look at: left over from a layer that was replaced, as a rule. */
function strayBlocks({ type, message }: CaffeLayer, own: string | null): string[] {
  if (OF_FORKS.has(type)) return [];
  const strays = message.fields.filter(({ name, spec, value, line }) => {
    // How pictures are prepared is told by whatever feeds the net, and by nothing else.
    if (spec === null || spec.number === null || !name.endsWith('_param') || name === own || name === 'transform_param' || spec.type === 'Opaque') return false;
    return typeof value === 'object' && (line > 0 || spec.number < FIRST_CONTESTED_BLOCK);
  });
  return [...new Set(strays.map(({ name }) => name))];
}

function withoutRule(layer: CaffeLayer, listsKnown: boolean): string {
  if (layer.type === 'Python') {
    const params = new Params(layer.message).child('python_param');
    return `its code is Python (${params.word('module', '?')}.${params.word('layer', '?')}), which is not in the file and has no translation`;
  }
  const reason = DECLINED[layer.type];
  return `layers of type ${layer.type} have no translation${reason ? `: ${reason}` : listsKnown ? `. Known: ${Object.keys(RULES).join(', ')}` : ''}.`;
}

/** Layers that go on with a blob, by its name. */
function readersOf(layers: readonly CaffeLayer[]): ReadonlyMap<string, readonly CaffeLayer[]> {
  const readers = new Map<string, CaffeLayer[]>();
  for (const layer of layers) {
    if (isLoss(layer) || layer.type === 'Silence') continue;
    for (const bottom of layer.bottoms) {
      const known = readers.get(bottom);
      if (known) known.push(layer);
      else readers.set(bottom, [layer]);
    }
  }
  return readers;
}

/** A loss is left out; some tell the activation that makes predictions of what they are given. */
function finishLoss(layer: CaffeLayer, readers: ReadonlyMap<string, readonly CaffeLayer[]>, builder: CaffeBuilder): void {
  const [logits] = layer.bottoms;
  const op = LOSS_ACTIVATIONS[layer.type];
  const [reader] = readers.get(layer.tops[0] ?? '') ?? [];
  if (reader) {
    builder.obstacles.push(builder.unsupported(layer, `the net goes on with the value of this loss (layer "${reader.name}"), which needs labels`));
    for (const top of layer.tops) builder.giveUpOn(top);
    return;
  }
  const hasActivation = logits !== undefined && readers.get(logits)?.some((reader) => reader.type === op && showsPredictions(reader, layer, readers));
  if (op === undefined || logits === undefined || hasActivation) {
    const shown = logits === undefined || hasActivation || !layer.type.endsWith('Loss') ? '' : `; what it is given ("${logits}") is shown as it is`;
    builder.warnings.push(removed(layer, `${layer.type} acts in training only and was removed${shown}`));
    return;
  }
  const params = new Params(layer.message);
  const axis = op === 'Softmax' ? params.child('softmax_param').number('axis', 1) : 1;
  params.child('loss_param');
  const unaccounted = params.unaccounted();
  if (unaccounted.length > 0) builder.obstacles.push(builder.unsupported(layer, `${layer.type} has ${notKnown(unaccounted)}`));
  // The loss's second top, where it has one, is what it made of its input.
  const top = layer.tops[1] ?? layer.tops[0] ?? 'prob';
  if (builder.isGivenUp(logits)) {
    builder.giveUpOn(top);
    return;
  }
  try {
    const attributes = op === 'Softmax' ? { attributes: { axis: builder.axis(layer, axis) } } : {};
    builder.values.set(top, builder.add(layer, layer.name, op, [builder.input(layer)], attributes));
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    builder.obstacles.push(error);
    builder.giveUpOn(top);
    return;
  }
  builder.warnings.push(removed(layer, `${layer.type} became ${op}`));
  builder.warnings.push({ code: 'training-net', message: `this is a training net: its loss became a ${op} that gives the predictions` });
}

/** Whether an activation gives what a loss tells of: along the same axis, and for whoever runs the net instead of for its next layers. */
function showsPredictions(activation: CaffeLayer, loss: CaffeLayer, readers: ReadonlyMap<string, readonly CaffeLayer[]>): boolean {
  const [axis, lossAxis] = [activation, loss].map(({ message }) => new Params(message).child('softmax_param').number('axis', 1));
  return axis === lossAxis && activation.tops.every((top) => !readers.has(top));
}

/** Blobs that no layer reads after they are made, in the order in which they are made first. */
function makeOutputs(layers: readonly CaffeLayer[], builder: CaffeBuilder, inputs: readonly Port[]): Port[] {
  const open = new Set<string>();
  const made = new Set<string>();
  for (const layer of layers) {
    const isActivation = LOSS_ACTIVATIONS[layer.type] !== undefined;
    if (!isLoss(layer) || isActivation) for (const bottom of layer.bottoms) open.delete(bottom);
    if (isLoss(layer) && !isActivation) continue;
    for (const top of isActivation ? [layer.tops[1] ?? layer.tops[0] ?? 'prob'] : layer.tops) {
      if (!builder.values.has(top)) continue;
      made.add(top);
      open.add(top);
    }
  }
  const fed = new Map(inputs.map(({ name, value }) => [name, value]));
  const names = [...made].filter((name) => open.has(name) && builder.values.get(name) !== fed.get(name));
  if (names.length === 0) throw new ModelError('malformed', 'the net has no output', { file: builder.file });
  return names.map((name) => {
    const value = builder.values.get(name)!;
    const shape = builder.shapeOf(value);
    return { name, value, dtype: 'float32', shape, layout: shape.length === 4 ? 'nchw' : 'other' };
  });
}
