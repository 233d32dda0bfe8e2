/** Bare weights become a net, where they are recognised as one; for every container that holds named tensors and no wiring. */
import { ModelError } from '../errors.js';
import type { LayerMap, Notice, StoredWeight } from '../model/layer-map.js';
import { stateDict } from '../model/state-dict.js';
import type { ReadOptions } from './reader.js';

/** Of an optimiser's file, and of a checkpoint without its model. */
export const NO_WEIGHTS = 'the file holds no weights of a model, only what is kept beside one in training';

export interface WiringContext {
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  readonly options: ReadOptions;
  /** 'part 1 of 3', where the file is only that. */
  readonly part?: string | null;
  /** Keys of the dictionaries around the weights. */
  readonly path?: readonly string[];
}

/**
 * Builds the layer map of a net from names and shapes of its weights.
 *
 * @throws ModelError 'unsupported' when the weights are of no family that is recognised: the wiring is not in the file
 */
export async function wireWeights(weights: readonly StoredWeight[], context: WiringContext): Promise<LayerMap> {
  const tensors = weights.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  if (tensors.length === 0) throw new ModelError('unsupported', NO_WEIGHTS, { file: context.file });
  if (context.part) {
    throw new ModelError('unsupported', `this is ${context.part} of a model, and a part makes no net: name the folder, or the index beside it`, {
      file: context.file,
    });
  }
  const { recogniseStateDict } = await import('../architectures/recognise.js');
  const { tensors: plain, prefix } = stateDict(tensors);
  const recognition = recogniseStateDict(plain, { ...recogniseOptions(context), under: [...(context.path ?? []).map((key) => `${key}.`), prefix].join('') });
  if (recognition.map) return { ...recognition.map, warnings: [...recognition.map.warnings, ...prefixNotices(prefix)] };
  const modules = [...new Set([...plain.keys()].map((name) => name.slice(0, Math.max(0, name.lastIndexOf('.')))))];
  throw new ModelError(
    'unsupported',
    `the file holds weights without wiring, and ${recognition.unknown} ` +
      `The ${modules.length} modules${prefix === '' ? '' : `, all under ${JSON.stringify(prefix)}`}: ${shortList(modules)}. ` +
      'The weights can be inspected, and written as safetensors or npz.',
    { file: context.file },
  );
}

/** What the caller said, as recognition wants it. */
export function recogniseOptions({ options: { arch, described, assume, inputShape, recordedShape }, file, format, producer }: WiringContext) {
  return { file, format, producer, arch, described, assume, inputShape: inputShape ?? recordedShape };
}

export function shortList(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 6).join(', ')}, ... ${names.at(-1)}` : names.join(', ');
}

function prefixNotices(prefix: string): Notice[] {
  if (prefix === '') return [];
  return [{ code: 'prefix', message: `every name starts with ${JSON.stringify(prefix)}, which is left out of the names of layers` }];
}
