/** Reads safetensors: one file, shards with an index, or a folder of either. */
import { sliceSource } from '../bytes/byte-source.js';
import { looksLikeSafetensors, readSafetensorsHeader } from '../containers/safetensors.js';
import type { StoredWeight } from '../model/layer-map.js';
import { storedTensor } from '../model/tensor.js';
import { underKey } from './keyed.js';
import type { Reader } from './reader.js';
import { checkIndex, checkUnique, findShards, parallelPartOf, partNotices, partOf } from './shards.js';
import { wireWeights } from './wire.js';

const EXTENSION = '.safetensors';
const INDEX_SUFFIX = '.safetensors.index.json';

export const safetensors: Reader = {
  name: 'safetensors',
  title: 'safetensors',
  extensions: ['.safetensors', INDEX_SUFFIX],
  options: ['arch', 'assume', 'inputShape', 'weightsKey'],

  async match({ files, name, source, head }) {
    if (name === null) return (await files.list()).some((entry) => entry.endsWith(EXTENSION) || entry.endsWith(INDEX_SUFFIX));
    if (name.endsWith(INDEX_SUFFIX)) return true;
    return looksLikeSafetensors(head, source!.byteLength);
  },

  async read(files, options) {
    const { index, places, shards } = await findShards(files, EXTENSION);
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
    const part = index === null ? (partOf(shards) ?? (await parallelPartOf(files))) : null;
    const producer = metadata['weighbridge.version'] === undefined ? (metadata.format ?? null) : `weighbridge ${metadata['weighbridge.version']}`;
    const weights = underKey(tensors, options.weightsKey, files.label);
    return {
      format: 'safetensors',
      producer,
      tensors: weights,
      metadata,
      details: { ...(shards.length === 1 && index === null ? {} : { shards: String(shards.length) }), ...metadata },
      warnings: places ? checkIndex(places, tensors, index!) : partNotices(part),
      files: index === null ? shards : [index, ...shards],
      map: () => wireWeights(weights, { file: files.label, format: 'safetensors', producer, options, part }),
    };
  },
};
