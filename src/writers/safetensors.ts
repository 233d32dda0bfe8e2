/** Writes safetensors: one file, or shards with an index when asked or large. */
import { encodeSafetensorsHeader, SAFETENSORS_DTYPES, safetensorsDType } from '../containers/safetensors.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES } from '../model/dtype.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../model/tensor.js';
import { castWeights } from './cast-weights.js';
import { SAFETENSORS } from './targets.js';
import type { WeightsWriter } from './writer.js';

/** Hugging Face's own default for one file. */
const DEFAULT_SHARD_BYTES = 5e9;

export const safetensors: WeightsWriter = {
  carries: 'weights',
  ...SAFETENSORS,

  async check(weights) {
    const names = new Set<string>();
    const errors: ModelError[] = [];
    for (const { name, dtype, origin } of weights) {
      const place = { file: origin.file, tensor: name };
      if (safetensorsDType(dtype) === undefined)
        errors.push(new ModelError('unsupported', `safetensors has no dtype ${dtype}. Known: ${Object.values(SAFETENSORS_DTYPES).join(', ')}.`, place));
      if (name === '__metadata__') errors.push(new ModelError('unsupported', 'safetensors reserves this name', place));
      if (names.has(name)) errors.push(new ModelError('unsupported', 'the name is taken twice, and a safetensors file has each name once', place));
      names.add(name);
    }
    return errors;
  },

  async write(weights, sink, output, { dtype, shardBytes = DEFAULT_SHARD_BYTES, metadata, onProgress }) {
    const name = mainName(output);
    const { tensors, notices } = castWeights(weights, dtype);
    const total = tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
    // The header comes first, so the provenance must be known before the weights are read.
    const facts = { format: 'pt', ...(await metadata()) };
    const shards = split(tensors, shardBytes);
    const shardNames = shards.map((_, i) => (shards.length === 1 ? name : shardName(name, i, shards.length)));
    // Created first, so that it gets its final name last.
    const index = shards.length > 1 ? await sink.create(`${name}.index.json`) : null;
    let done = 0;
    for (const [i, shard] of shards.entries()) {
      const file = await sink.create(shardNames[i]!);
      await file.write(
        encodeSafetensorsHeader(
          shard.map((tensor) => ({ ...tensor, byteLength: tensorByteLength(tensor) })),
          facts,
        ),
      );
      for (const tensor of shard) {
        for await (const chunk of tensorChunks(tensor)) {
          await file.write(chunk);
          done += chunk.byteLength;
          onProgress?.(done, total);
        }
      }
      await file.close();
    }
    if (index) {
      // Names in the index are relative to it.
      const local = shardNames.map((shardName) => shardName.slice(shardName.lastIndexOf('/') + 1));
      const map = Object.assign(Object.create(null), Object.fromEntries(shards.flatMap((shard, i) => shard.map((tensor) => [tensor.name, local[i]!]))));
      await index.write(new TextEncoder().encode(`${JSON.stringify({ metadata: { total_size: total }, weight_map: map }, null, 2)}\n`));
      await index.close();
    }
    return { warnings: notices() };
  },
};

/** A name without extension is a folder, in which files are called as Hugging Face calls them. */
function mainName(output: string): string {
  return /\.[^./]+$/.test(output) ? output : `${output}/model.safetensors`;
}

/** Fills shards in order; within each the widest elements come first, so that every tensor is aligned to its element size. */
function split(tensors: readonly Tensor[], shardBytes: number): Tensor[][] {
  const shards: Tensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    const byteLength = tensorByteLength(tensor);
    if (filled > 0 && filled + byteLength > shardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += byteLength;
  }
  return shards.map((shard) => shard.sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]));
}

/** 'model.safetensors' to 'model-00001-of-00003.safetensors', as Hugging Face names shards. */
function shardName(name: string, i: number, count: number): string {
  const stem = name.replace(/\.safetensors$/, '');
  const number = (value: number) => String(value).padStart(5, '0');
  return `${stem}-${number(i + 1)}-of-${number(count)}.safetensors`;
}
