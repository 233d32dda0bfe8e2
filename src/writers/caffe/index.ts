/**
 * Writes Caffe: the weights as `.caffemodel` and the net as `.prototxt` beside it, in the layers that BVLC's release has,
 * and those of its fork for SSD where there is no other way, which is told.
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
 */
import { MessageBuilder, type Piece, writePieces } from '../../containers/protobuf-writer.js';
import { isModelError, ModelError } from '../../errors.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { inferMap, type ValueType } from '../../model/ops/index.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../../model/tensor.js';
import { wholeResults } from '../../model/whole-numbers.js';
import { operatorInWords } from '../../words.js';
import { castWeights } from '../cast-weights.js';
import { beyondFloat32, countedNotices } from '../float32-arithmetic.js';
import { byteProgress } from '../progress.js';
import { CAFFE } from '../targets.js';
import type { WriteOptions, Writer } from '../writer.js';
import { type CaffeLayer, NetBuilder, type Setting, type Settings } from './net.js';
import { RULES } from './rules.js';

const NET = { name: 1, layer: 100 } as const;
const LAYER = { name: 1, type: 2, bottom: 3, top: 4, blobs: 7 } as const;
const BLOB = { data: 5, shape: 7, doubleData: 8 } as const;

export const caffe: Writer = {
  carries: 'model',
  ...CAFFE,

  hasOperator: async () => false,

  async check(map, options) {
    const errors = plan(map).obstacles;
    if (options.dtype !== 'source' && !CAFFE.dtypes.includes(options.dtype))
      errors.push(new ModelError('usage', `Caffe files are not written in ${options.dtype}. Possible: ${CAFFE.dtypes.join(', ')}.`));
    return errors;
  },

  async write(map, sink, name, options) {
    const { layers, obstacles, warnings } = plan(map);
    if (obstacles[0]) throw obstacles[0];
    const blobs = layers.flatMap((layer) => layer.blobs);
    const { store, notices } = storage(blobs, options);
    const total = blobs.reduce((sum, blob) => sum + tensorByteLength(store(blob)), 0);
    const model = await sink.create(name);
    const net = new MessageBuilder().string(NET.name, map.name || 'model');
    for (const layer of layers) net.message(NET.layer, layerMessage(layer, store));
    await writePieces(net.pieces, model, byteProgress(total, options));
    await model.close();
    const prototxt = await sink.create(`${name.replace(/\.[^./]+$/, '')}${CAFFE.beside}`);
    await prototxt.write(new TextEncoder().encode(prototxtOf(map, layers, await options.metadata())));
    await prototxt.close();
    return { warnings: [...warnings, ...notices()] };
  },
};

function plan(map: LayerMap): { layers: readonly CaffeLayer[]; obstacles: ModelError[]; warnings: readonly Notice[] } {
  const obstacles: ModelError[] = [];
  let types: ReadonlyMap<string, ValueType>;
  try {
    types = inferMap(map);
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { layers: [], obstacles: [error], warnings: [] };
  }
  const whole = wholeResults(map, types);
  const shapes = new Map([...types].flatMap(([name, { shape }]) => (shape ? [[name, shape] as const] : [])));
  const read = new Set([...map.layers.flatMap(({ inputs }) => inputs), ...map.outputs.map(({ value }) => value)]);
  const builder = new NetBuilder(shapes, read);
  for (const port of map.inputs) {
    const problem = builder.addInput(port);
    if (problem !== null) obstacles.push(new ModelError('unsupported', `the input "${port.name}": ${problem}`));
    else builder.silence(port.name, [port.value]);
  }
  for (const layer of map.layers) {
    const rule = RULES[layer.op];
    const isKnown = rule && (layer.outputs.filter((value) => value !== '').length === 1 || layer.op === 'Split');
    const problem = isKnown
      ? (flowingWeights(layer) ?? beyondFloat32(layer, whole) ?? roundedOff(layer, types) ?? rule(layer, builder))
      : `${operatorInWords(layer)} has no translation to Caffe`;
    if (typeof problem === 'string') {
      obstacles.push(new ModelError('unsupported', problem, { layer: layer.name }));
      builder.pretend(layer);
    } else builder.silence(layer.name, layer.outputs);
  }
  for (const port of map.outputs) builder.addOutput(port);
  return { layers: builder.layers, obstacles, warnings: [...countedNotices(map.layers, whole), ...forkNotice(builder.layers), ...newerNotice(builder.layers)] };
}

const DIVIDING = new Set(['Div', 'ReduceMean', 'Mean', 'AveragePool', 'GlobalAveragePool']);

/** Quotients of whole numbers are rounded to whole ones; Caffe's are not. */
function roundedOff({ op, outputs: [made] }: Layer, types: ReadonlyMap<string, ValueType>): string | null {
  const dtype = types.get(made ?? '')?.dtype;
  return DIVIDING.has(op) && dtype != null && !isFloatDType(dtype) ? `${op} of ${dtype} values, which Caffe computes in float32` : null;
}

/** Types that BVLC's Caffe lacks. */
const OF_FORKS = new Set(['Permute', 'ShuffleChannel']);

function forkNotice(layers: readonly CaffeLayer[]): Notice[] {
  const types = [...new Set(layers.map(({ type }) => type))].filter((type) => OF_FORKS.has(type));
  if (types.length === 0) return [];
  const message = `the net has layers of the type ${types.join(' and ')}, which BVLC's Caffe lacks: its fork for SSD and OpenCV have Permute, forks for ShuffleNet and OpenCV ShuffleChannel`;
  return [{ code: 'fork-layers', message }];
}

/** What BVLC's Caffe has since 2018: parsers of its release 1.0, and OpenCV's, stop at the field, whatever it says. */
function newerNotice(layers: readonly CaffeLayer[]): Notice[] {
  const rounds = layers.some(({ settings }) => settings.pooling_param?.round_mode);
  const clips = layers.some(({ type }) => type === 'Clip');
  if (!rounds && !clips) return [];
  const fields = [...(rounds ? ['round_mode'] : []), ...(clips ? ['clip_param'] : [])].join(' and ');
  const instead = [
    ...(rounds ? ['"ceil_mode: false" for "round_mode: FLOOR"'] : []),
    ...(clips ? ['the type "ReLU6" without clip_param for a Clip from 0 to 6'] : []),
  ];
  const message = `the prototxt has ${fields}, which BVLC's Caffe has since 2018: its release 1.0 and OpenCV refuse to parse it. OpenCV takes ${instead.join(', and ')}`;
  return [{ code: 'newer-caffe', message }];
}

function storage(blobs: readonly Tensor[], { dtype }: WriteOptions) {
  // Caffe knows two floats; what is narrower is widened.
  const { tensors, notices } = castWeights(blobs, dtype, (own) => own === 'float32' || own === 'float64');
  const stored = new Map(blobs.map((blob, i) => [blob, tensors[i]!]));
  return { store: (blob: Tensor) => stored.get(blob)!, notices };
}

/** The weights of a layer under its name; the settings stand in the prototxt. */
function layerMessage({ name, type, bottoms, tops, blobs }: CaffeLayer, store: (blob: Tensor) => Tensor): MessageBuilder {
  const message = new MessageBuilder().string(LAYER.name, name).string(LAYER.type, type);
  for (const bottom of bottoms) message.string(LAYER.bottom, bottom);
  for (const top of tops) message.string(LAYER.top, top);
  for (const blob of blobs) {
    const tensor = store(blob);
    const span: Piece = { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) };
    const shape = new MessageBuilder();
    for (const size of tensor.shape) shape.int(1, size);
    message.message(LAYER.blobs, new MessageBuilder().message(BLOB.shape, shape).bytes(tensor.dtype === 'float64' ? BLOB.doubleData : BLOB.data, span));
  }
  return message;
}

function prototxtOf(map: LayerMap, layers: readonly CaffeLayer[], metadata: Readonly<Record<string, string>>): string {
  const facts = Object.entries(metadata).map(([key, value]) => `# ${key}: ${value.replaceAll(/[^\x20-\x7e]/g, '?')}`);
  const blocks = layers.map(({ name, type, bottoms, tops, settings }) => {
    const lines = [
      `name: ${quoted(name)}`,
      `type: ${quoted(type)}`,
      ...bottoms.map((bottom) => `bottom: ${quoted(bottom)}`),
      ...tops.map((top) => `top: ${quoted(top)}`),
    ];
    return ['layer {', ...[...lines, ...settingLines(settings)].map((line) => `  ${line}`), '}'].join('\n');
  });
  return `${[...facts, `name: ${quoted(map.name || 'model')}`, ...blocks].join('\n')}\n`;
}

function settingLines(settings: Settings): string[] {
  return Object.entries(settings).flatMap(([field, value]): string[] => {
    if (Array.isArray(value)) return value.map((item) => `${field}: ${settingText(item)}`);
    if (typeof value !== 'object' || 'word' in value) return [`${field}: ${settingText(value as Setting)}`];
    return [`${field} {`, ...settingLines(value as Settings).map((line) => `  ${line}`), '}'];
  });
}

function settingText(value: Setting): string {
  if (typeof value === 'string') return quoted(value);
  return typeof value === 'object' ? value.word : String(value);
}

/** A string of protobuf's text format: bytes beyond ASCII in octal. */
function quoted(text: string): string {
  const bytes = [...new TextEncoder().encode(text)].map((byte) => {
    const character = String.fromCharCode(byte);
    if (byte < 32 || byte > 126) return `\\${byte.toString(8).padStart(3, '0')}`;
    return character === '"' || character === '\\' ? `\\${character}` : character;
  });
  return `"${bytes.join('')}"`;
}

/** Layers that Caffe has with stored weights alone, whatever else may flow into them elsewhere. */
const STORED: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'Gemm', 'BatchNormalization', 'PRelu']);

function flowingWeights({ op, inputs }: Layer): string | null {
  return STORED.has(op) && inputs.length > 1 ? `${op} with weights that flow in; those of Caffe are stored` : null;
}
