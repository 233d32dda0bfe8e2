/** Takes a layer map layer by layer to a target of layers or nodes: TensorFlow.js, Keras. */
import { isModelError, ModelError } from '../../errors.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { beyondPlain, inferMap } from '../../model/ops/index.js';
import type { ValueType } from '../../model/ops/operator.js';
import { wholeResults } from '../../model/whole-numbers.js';
import { operatorInWords } from '../../words.js';
import { beyondFloat32, countedNotices } from '../float32-arithmetic.js';
import type { WriteOptions } from '../writer.js';
import { type LayerNote, Lowering } from './lowering.js';
import { filePortLayout } from './placement.js';
import { type GeneralRule, RULES } from './rules.js';
import type { Target } from './target.js';

/** Axes of what a layout is said of. */
const LAYOUT_RANK: Readonly<Record<string, number>> = { nchw: 4, nhwc: 4, ncw: 3, nwc: 3, ncdhw: 5, ndhwc: 5 };

export interface Lowered {
  /** Where there are any, what was built is of no use. */
  readonly obstacles: readonly ModelError[];
  /** By the layer's name, where there is something to say. */
  readonly notes: Readonly<Record<string, LayerNote>>;
  readonly warnings: readonly Notice[];
}

/** The rule for a layer, or what of it has no translation. */
export type RuleFinder = (layer: Layer) => GeneralRule | string;

/** Operators that make fractions of whole numbers, which runtimes cut off; what is nearest is whole. */
const OF_FRACTIONS: ReadonlySet<string> = new Set(['ReduceMean', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'Resize']);

export function cutsFractions({ op, inputs, attributes }: Layer, lowering: Lowering): boolean {
  const dtype = OF_FRACTIONS.has(op) ? lowering.types.get(inputs[0]!)!.dtype : null;
  return dtype !== null && !isFloatDType(dtype) && attributes.mode !== 'nearest';
}

/** Rules that every target can follow, for plain forms of operators. */
export const plainRule: RuleFinder = (layer) => {
  if (!Object.hasOwn(RULES, layer.op)) return `the operator ${layer.op} has`;
  const beyond = beyondPlain(layer);
  if (beyond) return `${layer.op} ${beyond}, which has`;
  return (own, lowering) => {
    if (cutsFractions(own, lowering)) return lowering.decline(`a ${own.op} of whole numbers`);
    const beyond = beyondFloat32(own, lowering.whole);
    return beyond === null ? RULES[own.op]!(own, lowering) : lowering.decline(beyond);
  };
};

/** Builds the whole model in `target`; finds every obstacle. */
export function lower(map: LayerMap, target: Target, options: Pick<WriteOptions, 'layout'>, ruleFor: RuleFinder = plainRule): Lowered {
  const obstacles: ModelError[] = [];
  for (const port of [...map.inputs, ...map.outputs]) {
    const rank = LAYOUT_RANK[port.layout];
    if (rank !== undefined && rank !== port.shape.length)
      obstacles.push(new ModelError('unsupported', `the port "${port.name}" is said to be ${port.layout}, but its shape is [${port.shape}]`));
    if (port.dtype.startsWith('complex')) obstacles.push(new ModelError('unsupported', `the port "${port.name}" is ${port.dtype}`));
  }
  for (const layer of map.layers) {
    const rule = ruleFor(layer);
    const what = layer.foreign ? `${operatorInWords(layer)} has` : rule;
    if (typeof what === 'string') obstacles.push(new ModelError('unsupported', `${what} no translation to ${target.runtime}`, { layer: layer.name }));
  }
  if (obstacles.length > 0) return { obstacles, notes: {}, warnings: [] };
  let types: ReadonlyMap<string, ValueType>;
  try {
    types = inferMap(map);
  } catch (error) {
    if (isModelError(error)) return { obstacles: [error], notes: {}, warnings: [] };
    throw error;
  }
  const whole = wholeResults(map, types);
  const lowering = new Lowering(target, types, whole);
  for (const port of map.inputs) lowering.addInput(port, options);
  for (const layer of map.layers) {
    try {
      lowering.addLayer(layer, (ruleFor(layer) as GeneralRule)(layer, lowering));
    } catch (error) {
      if (!isModelError(error)) throw error;
      obstacles.push(error.at({ layer: layer.name }));
      lowering.pretend(layer);
    }
  }
  for (const port of map.outputs) {
    try {
      lowering.addOutput(port, map.outputs, options);
    } catch (error) {
      if (!isModelError(error)) throw error;
      obstacles.push(new ModelError(error.kind, `the output "${port.name}": ${error.problem}`));
    }
  }
  return { obstacles, notes: lowering.notes(), warnings: countedNotices(map.layers, whole) };
}

/** Each port's layout in the file, for its metadata: shapes alone do not tell. */
export function layoutMetadata({ inputs, outputs }: LayerMap, options: Pick<WriteOptions, 'layout'>): Record<string, string> {
  return Object.fromEntries([...inputs, ...outputs].map((port) => [`weighbridge.layout.${port.name}`, filePortLayout(port, options)]));
}
