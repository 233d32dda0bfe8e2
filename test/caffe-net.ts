/** Small Caffe nets made in memory: a prototxt, and a caffemodel with seeded blobs. */
import { concatBytes } from '../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../src/bytes/file-set.js';
import { MessageBuilder } from '../src/containers/protobuf-writer.js';

export interface CaffeNetLayer {
  readonly name: string;
  readonly type: string;
  readonly bottoms: readonly string[];
  readonly tops: readonly string[];
  /** As it stands in the prototxt: 'lrn_param { k: 2 }'. */
  readonly params?: string;
  readonly blobs?: readonly Blob[];
}

export interface Blob {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Uniform numbers in [-1, 1) from a seed. */
export function numbers(seed: number): () => number {
  let state = Math.imul(seed, 2654435761) >>> 0 || 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

export function blobOf(next: () => number, shape: readonly number[], change: (value: number) => number = (value) => value): Blob {
  const count = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float32Array.from({ length: count }, () => change(next())) };
}

/** The prototxt's name in the file set is `net.prototxt`. */
export function caffeNet(inputs: Readonly<Record<string, readonly number[]>>, layers: readonly CaffeNetLayer[]): FileSet {
  const lines = Object.entries(inputs).map(
    ([name, shape]) => `layer { name: "${name}" type: "Input" top: "${name}" input_param { shape { ${shape.map((size) => `dim: ${size}`).join(' ')} } } }`,
  );
  const model = new MessageBuilder().string(1, 'net');
  for (const { name, type, bottoms, tops, params = '', blobs = [] } of layers) {
    const ends = [...bottoms.map((blob) => `bottom: "${blob}"`), ...tops.map((blob) => `top: "${blob}"`)];
    lines.push(`layer { name: "${name}" type: "${type}" ${ends.join(' ')} ${params} }`);
    const layer = new MessageBuilder().string(1, name).string(2, type);
    for (const { shape, data } of blobs) {
      const sizes = new MessageBuilder();
      for (const size of shape) sizes.int(1, size);
      layer.message(7, new MessageBuilder().message(7, sizes).bytes(5, new Uint8Array(data.buffer)));
    }
    model.message(100, layer);
  }
  return memoryFileSet(
    { 'net.caffemodel': concatBytes(model.pieces as Uint8Array[]), 'net.prototxt': new TextEncoder().encode(lines.join('\n')) },
    'net.caffemodel',
  );
}
