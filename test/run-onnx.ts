/** Converts to ONNX in memory and runs the result in ONNX Runtime, on recorded inputs. */
import { join } from 'node:path';
import { memorySink } from '../src/bytes/byte-sink.js';
import type { FileSet } from '../src/bytes/file-set.js';
import { type ConvertOptions, type ConvertResult, convert } from '../src/convert.js';
import { type CorpusCase, readNpyFile } from './corpus.js';

export interface Run {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export async function convertInMemory(files: FileSet, options: ConvertOptions = {}): Promise<{ bytes: Uint8Array; result: ConvertResult }> {
  const sink = memorySink();
  const result = await convert(files, sink, 'model.onnx', { to: 'onnx', ...options });
  return { bytes: sink.files.get('model.onnx')!, result };
}

/** Runs a model on inputs in the order of its ports. */
export async function runOnnx(bytes: Uint8Array, inputs: readonly Run[], { optimised = true } = {}): Promise<Map<string, Run>> {
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3, graphOptimizationLevel: optimised ? 'all' : 'disabled' });
  try {
    const types = session.inputMetadata;
    const feeds = Object.fromEntries(
      session.inputNames.map((name, i) => {
        const type = (types[i] as { type?: string }).type ?? 'float32';
        const { data, shape } = inputs[i]!;
        const values =
          type === 'float32'
            ? data
            : type === 'bool'
              ? Uint8Array.from(data)
              : type === 'int64'
                ? BigInt64Array.from(data, (value) => BigInt(Math.round(value)))
                : Int32Array.from(data);
        return [name, new ort.Tensor(type as 'float32', values as Float32Array, shape)];
      }),
    );
    const results = await session.run(feeds);
    return new Map(
      session.outputNames.map((name) => [name, { shape: results[name]!.dims, data: Float32Array.from(results[name]!.data as Float32Array, Number) }]),
    );
  } finally {
    await session.release();
  }
}

/** Largest excess of any value over the case's tolerance, for all outputs; at most 0 when the case passes. */
export async function corpusExcess(entry: CorpusCase, bytes: Uint8Array): Promise<{ excess: number; shapes: string }> {
  const inputs = await Promise.all(entry.inputs.map(({ file }) => readNpyFile(join(entry.folder, file))));
  const results = await runOnnx(bytes, inputs);
  const { atol, rtol } = entry.tolerance!;
  let excess = Number.NEGATIVE_INFINITY;
  const shapes: string[] = [];
  for (const [i, { name, file }] of entry.outputs.entries()) {
    const expected = await readNpyFile(join(entry.folder, file));
    const actual = (name !== null && results.get(name)) || [...results.values()][i]!;
    shapes.push(`[${expected.shape}] [${actual.shape}]`);
    if (expected.data.length !== actual.data.length) {
      excess = Number.POSITIVE_INFINITY;
      continue;
    }
    const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expected.data.forEach((value, j) => {
      const difference = Math.abs(value - actual.data[j]!) - (atol + rtol * scale);
      if (!(difference <= excess)) excess = difference;
    });
  }
  return { excess, shapes: shapes.join(' ') };
}
