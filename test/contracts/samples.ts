/**
 * One small net as a file of every format, for the suites that hold for all of them. What has a writer is written by it; a reader
 * without one has an entry below, and the suites fail for a reader that has neither.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { inferShapes, makeLayer } from '../../src/model/ops/index.js';
import { readers } from '../../src/readers/index.js';
import { writers } from '../../src/writers/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import type { WriteOptions } from '../../src/writers/writer.js';
import { byte, int, liteModel, table } from '../lite-models.js';
import { graphDef, placeholder } from '../tf-graphs.js';
import { emptyMap, weight } from '../writers/onnx-cases.js';

const float32Bytes = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

export interface Sample {
  /** Name of its reader. */
  readonly format: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Name of the main file, or null where the model is a folder. */
  readonly main: string | null;
}

export const PLAIN: WriteOptions = { dtype: 'source', layout: 'source', metadata: async () => ({}) };

/** A picture of 1 x 6 x 6 through a convolution, a pooling and a dense layer to three classes. */
export function smallNet(): LayerMap {
  const layers = [
    makeLayer({
      name: 'conv',
      op: 'Conv',
      inputs: ['x'],
      outputs: ['a'],
      weights: { kernel: weight('conv.weight', [2, 1, 3, 3]), bias: weight('conv.bias', [2]) },
    }),
    makeLayer({ name: 'relu', op: 'Relu', inputs: ['a'], outputs: ['b'] }),
    makeLayer({ name: 'pool', op: 'MaxPool', inputs: ['b'], outputs: ['c'], attributes: { kernel_shape: [2, 2], strides: [2, 2] } }),
    makeLayer({ name: 'flat', op: 'Flatten', inputs: ['c'], outputs: ['d'] }),
    makeLayer({
      name: 'dense',
      op: 'Gemm',
      inputs: ['d'],
      outputs: ['e'],
      weights: { kernel: weight('dense.weight', [3, 8]), bias: weight('dense.bias', [3]) },
    }),
    makeLayer({ name: 'prob', op: 'Softmax', inputs: ['e'], outputs: ['y'] }),
  ];
  const shape = ['N', 1, 6, 6] as const;
  inferShapes(layers, new Map([['x', shape]]));
  return {
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape, layout: 'nchw' }],
    outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3], layout: 'other' }],
    layers,
  };
}

async function onnxBytes(): Promise<Uint8Array> {
  const sink = memorySink();
  await onnx.write(smallNet(), sink, 'net.onnx', PLAIN);
  await sink.commit();
  return sink.files.get('net.onnx')!;
}

export async function sourceFiles(): Promise<FileSet> {
  return memoryFileSet({ 'net.onnx': await onnxBytes() }, 'net.onnx');
}

/** Output names that a writer is asked for: its extension, or a folder. */
export function outputName(writer: (typeof writers)[number]): string {
  const [extension] = writer.extensions;
  return extension ? `net${extension}` : 'model.json';
}

const FOREIGN: Readonly<Record<string, () => Sample['files']>> = {
  tensorflow: () => ({
    'net.pb': graphDef({
      nodes: [
        placeholder('x', [-1, 3]),
        { name: 'y', op: 'MatMul', input: ['x', 'w'], attr: { T: { type: 1 }, transpose_a: { b: false }, transpose_b: { b: false } } },
      ],
      weights: { w: { dtype: 'float32', shape: [3, 2], values: [1, 2, 3, 4, 5, 6] } },
      inputs: ['x'],
      outputs: ['y'],
    }),
  }),
  tflite: () => ({
    'net.tflite': liteModel(
      [
        { name: 'x', shape: [1, 3, 3, 1], type: 0 },
        { name: 'kernel', shape: [2, 2, 2, 1], type: 0, data: float32Bytes([1, -2, 3, 4, 5, -6, 7, 8]) },
        { name: 'bias', shape: [2], type: 0, data: float32Bytes([0.5, -1]) },
        { name: 'y', shape: [1, 2, 2, 2], type: 0 },
      ],
      [{ code: 3, inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(1), int(1), byte(3)) }],
      [0],
      [3],
    ),
  }),
};

/** One for each reader, in the order of their list. @throws Error naming a reader that has none */
export async function samples(): Promise<readonly Sample[]> {
  return Promise.all(
    readers.map(async ({ name: format }): Promise<Sample> => {
      const foreign = FOREIGN[format];
      if (foreign) {
        const files = foreign();
        return { format, files, main: Object.keys(files)[0]! };
      }
      const writer = writers.find(({ name }) => name === format);
      if (!writer) throw new Error(`there is no small file of the format ${format}: add one to test/contracts/samples.ts`);
      const name = outputName(writer);
      const sink = memorySink();
      await convert(await sourceFiles(), sink, name, { to: format });
      return { format, files: Object.fromEntries(sink.files), main: name };
    }),
  );
}

export const filesOf = ({ files, main }: Sample, changed: Readonly<Record<string, Uint8Array>> = {}): FileSet => memoryFileSet({ ...files, ...changed }, main);

/** Puts a sample on disk. @returns the path of its main file */
export function onDisk({ format, files, main }: Sample, folder: string): string {
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(folder, format, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  return join(folder, format, main ?? '');
}
