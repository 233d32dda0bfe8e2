/** Written TensorFlow.js layers models: weights are named `layer/kernel`, layers as in the map. */
import type { FileSet } from '../../bytes/file-set.js';
import { ModelError } from '../../errors.js';
import type { Layer } from '../../model/layer-map.js';
import { readModelJson } from '../../readers/tfjs/model-json.js';
import { readManifest } from '../../readers/tfjs/weights.js';
import { readNotes } from './tfjs-notes.js';
import { type FoundWeight, notedModel } from './tfjs-orient.js';
import type { WrittenModel } from './written.js';

/** Keras's names of a layer's weights, by the map's. */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  kernel: ['kernel', 'depthwise_kernel'],
  bias: ['bias', 'beta'],
  scale: ['gamma'],
  mean: ['moving_mean'],
  variance: ['moving_variance'],
  table: ['embeddings'],
  slope: ['alpha'],
};

/** A constant is written as a normalisation that only multiplies or only adds. */
const OPERAND_ROLES: Readonly<Record<string, string>> = { Mul: 'gamma', Add: 'beta', Sub: 'beta' };

export async function openWrittenTfjs(files: FileSet, layers: readonly Layer[]): Promise<WrittenModel> {
  const json = await readModelJson(files);
  if (json.kind !== 'layers') throw new ModelError('malformed', 'is no TensorFlow.js layers model', { file: json.file });
  const { weights } = await readManifest(files, json);
  const notes = readNotes(json);
  const owners = notes.owners(layers);
  const find = (layer: Layer, role: string): FoundWeight[] => {
    const names = role === 'operand' ? [OPERAND_ROLES[layer.op] ?? ''] : (ROLES[role] ?? []);
    const own = weights.flatMap((weight): (FoundWeight & { owner: string })[] => {
      const { name } = weight.stored;
      const last = name.slice(name.lastIndexOf('/') + 1);
      if (!names.includes(last)) return [];
      const negated = role === 'operand' && layer.op === 'Sub';
      return [{ weight, owner: name.slice(0, -last.length - 1), depthwise: last === 'depthwise_kernel', negated }];
    });
    const { node } = notes.layer(layer.name);
    const plain = own.filter(({ owner }) => owner === node);
    return plain.length > 0 ? plain : own.filter(({ owner }) => isPart(owner, node) && !owners.has(owner));
  };
  return notedModel('tfjs', notes, find);
}

/** What a layer needs besides its last one is named after it: 'conv/conv', 'conv/conv_1' are the parts of a grouped convolution. */
function isPart(owner: string, layer: string): boolean {
  return owner.startsWith(`${layer}/`) && /^(conv|depthwise|dense|normalise)(_\d+)?$/.test(owner.slice(layer.length + 1));
}
