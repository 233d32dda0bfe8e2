/** Reads safetensors: one file, or shards with an index. */
import { sliceSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { looksLikeSafetensors, readSafetensorsHeader } from '../containers/safetensors.js';
import { ModelError } from '../errors.js';
import type { StoredWeight } from '../model/layer-map.js';
import { storedTensor } from '../model/tensor.js';
import type { Reader } from './reader.js';

export const INDEX_SUFFIX = '.safetensors.index.json';

export const safetensors: Reader = {
  name: 'safetensors',
  title: 'safetensors',
  extensions: ['.safetensors', INDEX_SUFFIX],

  async match({ files, name, source, head }) {
    if (name === null) return (await findIndex(files)) !== null;
    if (name.endsWith(INDEX_SUFFIX)) return true;
    return looksLikeSafetensors(head, source!.byteLength);
  },

  async read(files) {
    const index = files.main === null ? await findIndex(files) : files.main.endsWith(INDEX_SUFFIX) ? files.main : null;
    const shards = index === null ? [files.main!] : await readIndex(files, index);
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
    return {
      format: 'safetensors',
      producer: metadata['weighbridge.version'] === undefined ? (metadata.format ?? null) : `weighbridge ${metadata['weighbridge.version']}`,
      tensors,
      details: { ...(index === null ? {} : { shards: String(shards.length) }), ...metadata },
      warnings: [],
      files: index === null ? shards : [index, ...shards],
      map: async () => {
        throw new ModelError(
          'unsupported',
          'a safetensors file holds weights without wiring, so there is no net to build. It can be inspected, and written as weights (safetensors, npz).',
          {
            file: files.label,
          },
        );
      },
    };
  },
};

async function findIndex(files: FileSet): Promise<string | null> {
  const found = (await files.list()).filter((name) => name.endsWith(INDEX_SUFFIX));
  if (found.length > 1) throw new ModelError('malformed', `the folder holds several indexes (${found.join(', ')}): name one`, { file: files.label });
  return found[0] ?? null;
}

/** @returns names of the shards, sorted, each once */
async function readIndex(files: FileSet, name: string): Promise<string[]> {
  const source = await files.open(name);
  try {
    const { weight_map: map } = JSON.parse(new TextDecoder().decode(await source.read(0, source.byteLength)));
    const shards = [...new Set(Object.values(map as Record<string, unknown>))].sort();
    if (shards.length > 0 && shards.every((shard) => typeof shard === 'string')) return shards as string[];
  } catch (error) {
    throw new ModelError('malformed', `the index is no JSON with a weight_map: ${(error as Error).message}`, { file: name }, error);
  }
  throw new ModelError('malformed', 'the weight_map of the index names no files', { file: name });
}

function checkUnique(tensors: readonly StoredWeight[], file: string): void {
  const seen = new Set<string>();
  for (const { tensor } of tensors) {
    if (seen.has(tensor.name)) throw new ModelError('malformed', 'stands in two shards', { file, tensor: tensor.name });
    seen.add(tensor.name);
  }
}
