/** Makes small Caffe files, and runs what becomes of them. */
import { concatBytes } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { MessageBuilder, type Piece } from '../../src/containers/protobuf-writer.js';
import type { ConvertOptions } from '../../src/convert.js';
import { isModelError, type ModelError } from '../../src/errors.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';

export interface BlobSpec {
  readonly shape: readonly number[];
  /** Made up where left out. */
  readonly values?: readonly number[];
  readonly encode?: (values: readonly number[], blob: MessageBuilder) => void;
  /** num, channels, height and width instead of a shape. */
  readonly legacy?: true;
}

export type Blobs = Readonly<Record<string, readonly BlobSpec[]>>;

/** Values that differ from each other, the same ones each time. */
export function made(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, i) => Math.fround(Math.sin(1.3 * (i + 1) * seed + 0.7) * (1 + ((i * 7 + seed) % 5) / 5)));
}

export const blob = (...shape: number[]): BlobSpec => ({ shape });
export const values = (...list: number[]): BlobSpec => ({ shape: [list.length], values: list });

export const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** What a blob holds, as the files say. */
export function valuesOf({ shape, values: given }: BlobSpec, seed = 1): number[] {
  return given ? [...given] : made(size(shape), seed);
}

export function floats(list: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(list).buffer);
}

function blobMessage(spec: BlobSpec, seed: number): MessageBuilder {
  const message = new MessageBuilder();
  const list = valuesOf(spec, seed);
  if (spec.legacy) [...[1, 1, 1, 1].slice(spec.shape.length), ...spec.shape].forEach((length, i) => void message.int(i + 1, length));
  if (spec.encode) spec.encode(list, message);
  else message.bytes(5, floats(list));
  if (!spec.legacy) {
    const shape = new MessageBuilder();
    for (const length of spec.shape) shape.int(1, length);
    message.message(7, shape);
  }
  return message;
}

export function bytesOf(message: MessageBuilder): Uint8Array {
  return concatBytes(message.pieces as readonly (Piece & Uint8Array)[]);
}

/** The weights of layers by name, seeded by their place: blob i of layer n has the seed n + i + 1. */
export function caffemodel(blobs: Blobs, more: (net: MessageBuilder) => void = () => {}): Uint8Array {
  const net = new MessageBuilder().string(1, 'made');
  for (const [n, [name, list]] of Object.entries(blobs).entries()) {
    const layer = new MessageBuilder().string(1, name).string(2, 'Convolution');
    for (const [i, spec] of list.entries()) layer.message(7, blobMessage(spec, n + i + 1));
    net.message(100, layer);
  }
  if (Object.keys(blobs).length === 0) net.message(100, new MessageBuilder().string(1, 'none').string(2, 'ReLU'));
  more(net);
  return bytesOf(net);
}

export function v1Caffemodel(blobs: Blobs): Uint8Array {
  const net = new MessageBuilder().string(1, 'made');
  for (const [n, [name, list]] of Object.entries(blobs).entries()) {
    const layer = new MessageBuilder().string(2, 'in').string(3, 'out').string(4, name);
    for (const [i, spec] of list.entries()) layer.message(6, blobMessage({ ...spec, legacy: true }, n + i + 1));
    net.message(2, layer);
  }
  return bytesOf(net);
}

export function filesOf(prototxt: string | Uint8Array, model: Uint8Array) {
  const text = typeof prototxt === 'string' ? new TextEncoder().encode(prototxt) : prototxt;
  return memoryFileSet({ 'x.caffemodel': model, 'x.prototxt': text }, 'x.caffemodel');
}

/** A layer in short: 'Pooling data -> pool | pooling_param { ... }', named by its last top. */
export function layer(line: string): string {
  const [wiring = '', params = ''] = line.split(' | ');
  const [from = '', to = ''] = wiring.split(' -> ');
  const [type, ...bottoms] = from.split(' ').filter(Boolean);
  const tops = to.split(' ').filter(Boolean);
  const words = (name: string, list: readonly string[]) => list.map((word) => ` ${name}: "${word}"`).join('');
  return `layer { name: "${tops.at(-1) ?? type}" type: "${type}"${words('bottom', bottoms)}${words('top', tops)} ${params} }\n`;
}

/** A net of layers in short; inputs as 'data 2 3 4 4'. */
export function net(inputs: readonly string[], ...lines: readonly string[]): string {
  const declared = inputs.map((input) => {
    const [name, ...dims] = input.split(' ');
    return `input: "${name}" input_shape { ${dims.map((dim) => `dim: ${dim}`).join(' ')} }\n`;
  });
  return `name: "made"\n${declared.join('')}${lines.map((line) => (line.startsWith('layer') ? line : layer(line))).join('')}`;
}

export async function mapOf(prototxt: string | Uint8Array, blobs: Blobs = {}, options: ConvertOptions = {}): Promise<LayerMap> {
  return (await openModel(filesOf(prototxt, caffemodel(blobs)), options)).map();
}

/** The refusal of a net. */
export async function refusal(prototxt: string | Uint8Array, blobs: Blobs = {}, options: ConvertOptions = {}): Promise<ModelError> {
  const outcome = await mapOf(prototxt, blobs, options).catch((error: unknown) => error);
  if (!isModelError(outcome)) throw outcome instanceof Error ? outcome : new Error(`accepted:\n${prototxt}`);
  return outcome;
}

/** The largest difference, of the largest value. */
export function difference(actual: ArrayLike<number>, expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-6);
  return expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - actual[i]!) / scale), 0);
}
