/** The corpus of real third-party models, read in place where it is; tests that need it skip, saying so, where it is absent. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySource } from '../src/bytes/byte-source.js';
import { readNpy } from '../src/containers/npy.js';
import { toFloat64Array } from '../src/model/cast.js';
import type { ModelFile } from '../src/model/layer-map.js';
import { tensorBytes } from '../src/model/tensor.js';

const SHARED = fileURLToPath(new URL('../../shared/', import.meta.url));
export const CORPUS = join(SHARED, 'corpus');
export const hasCorpus = existsSync(CORPUS);
/** For titles: a skipped suite says why. */
export const corpusTitle = hasCorpus ? '' : ' (skipped: no corpus beside the project)';

export interface CorpusCase {
  readonly case: string;
  readonly kind: 'net' | 'weights' | 'container' | 'refuse';
  readonly format: string;
  readonly model: string;
  readonly prototxt: string | null;
  readonly architecture: string | null;
  readonly inputs: readonly { name: string | null; file: string; layout: string }[];
  readonly outputs: readonly { name: string | null; file: string; layout: string }[];
  readonly tolerance: { atol: number; rtol: number } | null;
  readonly expect: 'convert' | 'inspect' | 'refuse' | 'warn';
  readonly optional?: boolean;
  readonly warning?: string;
  readonly folder: string;
}

export interface RecordedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

/** Cases of the corpus, by folder name; none where it is absent. */
export function corpusCases(wanted: (candidate: CorpusCase) => boolean): CorpusCase[] {
  if (!hasCorpus) return [];
  return readdirSync(CORPUS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => {
      const folder = join(CORPUS, entry.name);
      return { ...(JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as CorpusCase), folder };
    })
    .filter(wanted);
}

export function recordedTensors(folder: string): RecordedTensor[] {
  return JSON.parse(readFileSync(join(folder, 'tensors.json'), 'utf8')) as RecordedTensor[];
}

/** What a reader listed, in the corpus's own words: 'dtype [shape] sha256' by name. */
export async function listedTensors(model: ModelFile): Promise<Map<string, string>> {
  const listed = new Map<string, string>();
  for (const { tensor } of model.tensors) {
    const hash = createHash('sha256').update(await tensorBytes(tensor));
    listed.set(tensor.name, describe({ ...tensor, sha256: hash.digest('hex') }));
  }
  return listed;
}

export function describe({ dtype, shape, sha256 }: Omit<RecordedTensor, 'name'>): string {
  return `${dtype} [${shape}] ${sha256}`;
}

/** A recorded array as float32. */
export async function readNpyFile(path: string): Promise<{ shape: readonly number[]; data: Float32Array }> {
  const tensor = await readNpy(memorySource(new Uint8Array(readFileSync(path)), path), 'array');
  return { shape: tensor.shape, data: Float32Array.from(toFloat64Array(await tensorBytes(tensor), tensor.dtype)) };
}
