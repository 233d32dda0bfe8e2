/** Reads safetensors: one file, shards with an index, or a folder of either. */
import { sliceSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { checkJson } from '../containers/json.js';
import { looksLikeSafetensors, readSafetensorsHeader } from '../containers/safetensors.js';
import { isModelError, ModelError } from '../errors.js';
import type { Notice, StoredWeight } from '../model/layer-map.js';
import { storedTensor } from '../model/tensor.js';
import { underKey } from './keyed.js';
import type { Reader } from './reader.js';
import { wireWeights } from './wire.js';

const EXTENSION = '.safetensors';
export const INDEX_SUFFIX = '.safetensors.index.json';
/** The largest models have some ten thousand tensors, of a hundred bytes here. */
const MAX_INDEX_BYTES = 2 ** 26;
/** 'model-00001-of-00003.safetensors', as Hugging Face names shards. */
const SHARD_NAME = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/;

export const safetensors: Reader = {
  name: 'safetensors',
  title: 'safetensors',
  extensions: ['.safetensors', INDEX_SUFFIX],
  hasKeys: true,

  async match({ files, name, source, head }) {
    if (name === null) return (await files.list()).some((entry) => entry.endsWith(EXTENSION) || entry.endsWith(INDEX_SUFFIX));
    if (name.endsWith(INDEX_SUFFIX)) return true;
    return looksLikeSafetensors(head, source!.byteLength);
  },

  async read(files, options) {
    const index = files.main === null ? await findIndex(files) : files.main.endsWith(INDEX_SUFFIX) ? files.main : null;
    const places = index === null ? null : await readIndex(files, index);
    const shards = places ? [...new Set(places.values())].sort() : files.main === null ? await findShards(files) : [files.main];
    const tensors: StoredWeight[] = [];
    const metadata: Record<string, string> = {};
    for (const shard of shards) {
      const source = await files.open(shard);
      const header = await readSafetensorsHeader(source);
      Object.assign(metadata, header.metadata);
      for (const { name, dtype, shape, start, end } of header.entries) {
        const tensor = storedTensor({ name, dtype, shape, source: sliceSource(source, start, end), origin: { file: shard, offset: start, name } });
        tensors.push({ tensor, layer: name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : null });
      }
    }
    checkUnique(tensors, files.label);
    const notices = places ? checkIndex(places, tensors, index!) : partNotices(shards);
    const producer = metadata['weighbridge.version'] === undefined ? (metadata.format ?? null) : `weighbridge ${metadata['weighbridge.version']}`;
    const weights = underKey(tensors, options.weightsKey, files.label);
    return {
      format: 'safetensors',
      producer,
      tensors: weights,
      details: { ...(shards.length === 1 && index === null ? {} : { shards: String(shards.length) }), ...metadata },
      warnings: notices,
      files: index === null ? shards : [index, ...shards],
      map: () => wireWeights(weights, { file: files.label, format: 'safetensors', producer, options }),
    };
  },
};

async function findIndex(files: FileSet): Promise<string | null> {
  const found = (await files.list()).filter((name) => name.endsWith(INDEX_SUFFIX));
  if (found.length > 1) throw new ModelError('malformed', `the folder holds several indexes (${found.join(', ')}): name one`, { file: files.label });
  return found[0] ?? null;
}

/**
 * The files of a folder without an index: one, or a whole set of shards.
 *
 * @throws ModelError 'malformed' where they are something else
 */
async function findShards(files: FileSet): Promise<string[]> {
  const found = (await files.list()).filter((name) => name.endsWith(EXTENSION));
  if (found.length === 1 && !SHARD_NAME.test(found[0]!)) return found;
  const parts = found.map((name) => SHARD_NAME.exec(name));
  const [stem, count] = [parts[0]?.[1], Number(parts[0]?.[3])];
  const numbers = new Set(parts.map((part) => (part?.[1] === stem && Number(part?.[3]) === count ? Number(part?.[2]) : Number.NaN)));
  const isWhole = numbers.size === count && found.length === count && [...numbers].every((number) => number >= 1 && number <= count);
  if (isWhole) return found;
  throw new ModelError('malformed', `the folder has no index, and its safetensors files (${found.join(', ')}) are no whole set of shards: name one`, {
    file: files.label,
  });
}

/** A shard on its own is a part of a model only; a folder's shards were checked to be a whole set. */
function partNotices(shards: readonly string[]): Notice[] {
  const part = SHARD_NAME.exec(shards[0]!);
  if (!part || shards.length === Number(part[3])) return [];
  return [{ code: 'assumed', message: `this is part ${Number(part[2])} of ${Number(part[3])}: open the folder or the index for all of the model` }];
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
function checkIndex(places: ReadonlyMap<string, string>, tensors: readonly StoredWeight[], file: string): Notice[] {
  const found = new Map(tensors.map(({ tensor }) => [tensor.name, tensor.origin.file]));
  for (const [tensor, shard] of places) {
    if (found.get(tensor) !== shard)
      throw new ModelError('malformed', `the index says that ${JSON.stringify(shard)} holds it, and it does not`, { file, tensor });
  }
  return tensors
    .filter(({ tensor }) => !places.has(tensor.name))
    .map(({ tensor }) => ({ code: 'assumed', message: `${tensor.name} stands in ${tensor.origin.file} but not in the index; it was read all the same` }));
}

function checkUnique(tensors: readonly StoredWeight[], file: string): void {
  const seen = new Set<string>();
  for (const { tensor } of tensors) {
    if (seen.has(tensor.name)) throw new ModelError('malformed', 'stands in two shards', { file, tensor: tensor.name });
    seen.add(tensor.name);
  }
}
