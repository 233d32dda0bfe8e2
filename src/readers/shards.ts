/** Weights in several files, as Hugging Face cuts and names them: shards, mostly with an index that tells each tensor its file. */
import type { FileSet } from '../bytes/file-set.js';
import { checkJson } from '../containers/json.js';
import { isModelError, ModelError } from '../errors.js';
import type { Notice, StoredWeight } from '../model/layer-map.js';

export interface Shards {
  /** Name of the index, or null where there is none. */
  readonly index: string | null;
  /** The file of each tensor, as the index has it. */
  readonly places: ReadonlyMap<string, string> | null;
  /** Names of the files with weights, in order. */
  readonly shards: readonly string[];
}

/** The largest models have some ten thousand tensors, of a hundred bytes here. */
const MAX_INDEX_BYTES = 2 ** 26;
/** What Hugging Face's trainers leave beside the weights, under the same extension. */
const TRAINING_STATE = /^(optimizer|scheduler|scaler|sampler|training_args|random_states|rng_state)(_\d+)*\.\w+$/;
/** 'model-00001-of-00003.safetensors'. */
const SHARD_NAME = /^(.*)-(\d+)-of-(\d+)\.\w+$/;
/** Of nets whose every matrix is cut over several devices: each file has a part of all of them, and nothing in it says so. */
const PARALLEL_NAME = /^(.*(?:consolidated\.|mp_rank_))(\d\d)((?:_model_states)?\.(?:pth|pt|safetensors))$/;

/**
 * The files of what the user named: an index, one file, or a folder with an index, with a whole set of shards, or with one file.
 *
 * @param extension of the files with weights, with the dot
 * @throws ModelError 'malformed' where they are something else
 */
export async function findShards(files: FileSet, extension: string): Promise<Shards> {
  const suffix = `${extension}.index.json`;
  const index = files.main === null ? await findIndex(files, suffix) : files.main.endsWith(suffix) ? files.main : null;
  if (index !== null) {
    const places = await readIndex(files, index);
    return { index, places, shards: [...new Set(places.values())].sort() };
  }
  return { index, places: null, shards: files.main === null ? await findSet(files, extension) : [files.main] };
}

async function findIndex(files: FileSet, suffix: string): Promise<string | null> {
  const found = (await files.list()).filter((name) => name.endsWith(suffix));
  if (found.length > 1) throw new ModelError('malformed', `the folder holds several indexes (${found.join(', ')}): name one`, { file: files.label });
  return found[0] ?? null;
}

async function findSet(files: FileSet, extension: string): Promise<readonly string[]> {
  const found = (await files.list()).filter((name) => name.endsWith(extension) && !TRAINING_STATE.test(name));
  if (found.length === 1 && !SHARD_NAME.test(found[0]!)) return found;
  const parts = found.map((name) => SHARD_NAME.exec(name));
  const [stem, count] = [parts[0]?.[1], Number(parts[0]?.[3])];
  const numbers = new Set(parts.map((part) => (part?.[1] === stem && Number(part?.[3]) === count ? Number(part?.[2]) : Number.NaN)));
  const isWhole = numbers.size === count && found.length === count && [...numbers].every((number) => number >= 1 && number <= count);
  if (isWhole) return found;
  const several = found.length > 12 ? `${found.slice(0, 12).join(', ')}, ...` : found.join(', ');
  throw new ModelError('malformed', `the folder has no index, and its ${extension} files (${several}) are no whole set of shards: name one`, {
    file: files.label,
  });
}

/** What a single file is a part of, by its name: 'part 1 of 3'; null where it is no part. A folder's shards were checked to be a whole set. */
export function partOf(shards: readonly string[]): string | null {
  const part = SHARD_NAME.exec(shards[0] ?? '');
  return !part || shards.length === Number(part[3]) ? null : `part ${Number(part[2])} of ${Number(part[3])}`;
}

/** The same of files that only their neighbours tell for parts: 'consolidated.00.pth' beside 'consolidated.01.pth'. */
export async function parallelPartOf(files: FileSet): Promise<string | null> {
  const [, stem, number, end] = PARALLEL_NAME.exec(files.main ?? '') ?? [];
  if (number === undefined) return null;
  const other = `${stem}${number === '00' ? '01' : '00'}${end}`;
  return (await files.has(other)) ? `part ${Number(number) + 1} of several (${other} lies beside it)` : null;
}

export function partNotices(part: string | null): Notice[] {
  if (part === null) return [];
  return [{ code: 'part', message: `this is ${part}${part.includes('several') ? '' : ': open the folder or the index for all of the model'}` }];
}

/** @returns the file of each tensor */
async function readIndex(files: FileSet, name: string): Promise<Map<string, string>> {
  const source = await files.open(name);
  if (source.byteLength > MAX_INDEX_BYTES) throw new ModelError('unsafe', `an index of ${source.byteLength} bytes describes no model`, { file: name });
  let index: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.byteLength));
    checkJson(text, name);
    index = JSON.parse(text);
  } catch (error) {
    if (isModelError(error)) throw error;
    throw new ModelError('malformed', `the index is no JSON: ${(error as Error).message}`, { file: name }, error);
  }
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const entries = typeof map === 'object' && map !== null && !Array.isArray(map) ? Object.entries(map) : [];
  if (entries.length === 0 || !entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) {
    throw new ModelError('malformed', 'the weight_map of the index does not tell each tensor its file', { file: name });
  }
  return new Map(entries as [string, string][]);
}

/**
 * What the index promises must be there; what it leaves out is told.
 *
 * @throws ModelError 'malformed'
 */
export function checkIndex(places: ReadonlyMap<string, string>, tensors: readonly StoredWeight[], file: string): Notice[] {
  const found = new Map(tensors.map(({ tensor }) => [tensor.name, tensor.origin.file]));
  for (const [tensor, shard] of places) {
    if (found.get(tensor) !== shard)
      throw new ModelError('malformed', `the index says that ${JSON.stringify(shard)} holds it, and it does not`, { file, tensor });
  }
  return tensors
    .filter(({ tensor }) => !places.has(tensor.name))
    .map(({ tensor }) => ({ code: 'assumed', message: `${tensor.name} stands in ${tensor.origin.file} but not in the index; it was read all the same` }));
}

export function checkUnique(tensors: readonly StoredWeight[], file: string): void {
  const seen = new Set<string>();
  for (const { tensor } of tensors) {
    if (seen.has(tensor.name)) throw new ModelError('malformed', 'stands in two shards', { file, tensor: tensor.name });
    seen.add(tensor.name);
  }
}
