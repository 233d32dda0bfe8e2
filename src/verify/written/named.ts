/** Files that hold named tensors and no wiring: with the source's names, canonical ones, those of PyTorch's modules, or of a net that is recognised. */
import type { FileSet } from '../../bytes/file-set.js';
import { isModelError } from '../../errors.js';
import type { Layer, LayerMap, ModelFile } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { openModel } from '../../readers/open.js';
import type { WrittenModel } from './written.js';

/** A layer's weight from a state dict: the map's of what lies there; or a weight that is none of the file's. */
export type StatePlace = { find(stored: (name: string) => Tensor | undefined): Tensor | undefined } | { readonly given: Tensor };

/**
 * @param format name of a reader
 * @param named where the format's own names are neither
 */
export async function openNamedWeights(files: FileSet, format: string, named?: (layer: Layer, role: string) => StatePlace | undefined): Promise<WrittenModel> {
  const model = await openModel(files, { from: format });
  const own = model.tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  const byName = new Map(own.map((tensor) => [tensor.name, tensor]));
  const byRole = new Map(
    (await mapOf(model))?.layers.flatMap((layer) => Object.entries(layer.weights).map(([role, tensor]) => [roleName(layer, role), tensor])),
  );
  return {
    format,
    isOurs: true,
    layoutOf: ({ layout }) => layout,
    weight(layer, role) {
      const own = named?.(layer, role);
      if (own && 'given' in own) return { tensor: own.given };
      const found = own?.find((name) => byName.get(name));
      if (found) return { tensor: found };
      const tensor = byName.get(roleName(layer, role)) ?? byRole.get(roleName(layer, role));
      return tensor && { tensor };
    },
    valueOf: () => undefined,
    tensors: own,
  };
}

/** Null where the weights are of no net that is known. */
async function mapOf(model: ModelFile): Promise<LayerMap | null> {
  try {
    return await model.map();
  } catch (error) {
    if (isModelError(error)) return null;
    throw error;
  }
}

function roleName({ name, canonicalName }: Layer, role: string): string {
  return `${canonicalName ?? name}.${role}`;
}
