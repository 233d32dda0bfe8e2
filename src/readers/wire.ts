/** Bare weights become a net, where they are recognised as one; for every container that holds named tensors and no wiring. */
import { ModelError } from '../errors.js';
import type { LayerMap, Notice } from '../model/layer-map.js';
import { type StateDict, stateDict, unwrap } from '../model/state-dict.js';
import type { Tensor } from '../model/tensor.js';
import type { ReadOptions } from './reader.js';

export interface WiringContext {
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  readonly options: ReadOptions;
}

/**
 * Builds the layer map of a net from names and shapes of its weights.
 *
 * @throws ModelError 'unsupported' when the weights are of no family that is recognised: the wiring is not in the file
 */
export async function wireWeights(tensors: readonly Tensor[], context: WiringContext): Promise<LayerMap> {
  const { recogniseVgg } = await import('./pytorch/recognise.js');
  const plain = stateDict(tensors);
  // A module of a name that nobody foresaw may hold the net as well.
  for (let dict: StateDict | null = plain; dict !== null; dict = unwrap(dict)) {
    const map = recogniseVgg(dict, context);
    if (map) return { ...map, warnings: [...map.warnings, ...prefixNotices(dict.prefix)] };
  }
  const { recogniseStateDict } = await import('../architectures/recognise.js');
  const { arch, assume, inputShape, recordedShape } = context.options;
  const { map, ...unknown } = recogniseStateDict(plain.tensors, { ...context, arch, assume, inputShape: inputShape ?? recordedShape });
  if (map) return { ...map, warnings: [...map.warnings, ...prefixNotices(plain.prefix)] };
  const { families } = await import('../architectures/index.js');
  const known = ['VGG', ...families.map(({ title }) => title)];
  throw notRecognised(plain, context.file, known, (unknown as { resembles: string | null }).resembles);
}

function prefixNotices(prefix: string): Notice[] {
  if (prefix === '') return [];
  return [{ code: 'prefix', message: `every name starts with ${JSON.stringify(prefix)}, which is left out of the names of layers` }];
}

function notRecognised({ tensors, prefix }: StateDict, file: string, known: readonly string[], resembles: string | null): ModelError {
  const modules = [...new Set([...tensors.keys()].map((name) => name.slice(0, Math.max(0, name.lastIndexOf('.')))))];
  const shown = modules.length > 8 ? `${modules.slice(0, 6).join(', ')}, ... ${modules.at(-1)}` : modules.join(', ');
  return new ModelError(
    'unsupported',
    `the file holds weights without wiring, and these are of no family that is recognised (${known.join(', ')}). ` +
      `The ${modules.length} modules${prefix === '' ? '' : `, all under ${JSON.stringify(prefix)}`}: ${shown}. ${resembles === null ? '' : `${resembles}. `}The weights can be inspected, and written as safetensors or npz.`,
    { file },
  );
}
