/** Files that hold named tensors and no wiring: with the source's names, canonical ones, those of PyTorch's modules, or of a net that is recognised. */
import type { FileSet } from '../../bytes/file-set.js';
import { isModelError } from '../../errors.js';
import type { Layer, LayerMap, ModelFile } from '../../model/layer-map.js';
import { openModel } from '../../readers/open.js';
import type { WrittenModel } from './written.js';

/**
 * @param format name of a reader
 * @param names of weights, by 'layer role', where the format's own are neither
 */
export async function openNamedWeights(files: FileSet, format: string, names?: ReadonlyMap<string, string>): Promise<WrittenModel> {
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
      const name = names?.get(`${layer.name} ${role}`) ?? roleName(layer, role);
      const tensor = byName.get(name) ?? byName.get(roleName(layer, role)) ?? byRole.get(roleName(layer, role));
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
