/** Files that hold named tensors and no wiring, with the source's names or canonical ones. */
import type { FileSet } from '../../bytes/file-set.js';
import { openModel } from '../../readers/open.js';
import type { WrittenModel } from './written.js';

/**
 * @param format name of a reader
 * @param names of weights, by 'layer role', where the format's own are neither
 */
export async function openNamedWeights(files: FileSet, format: string, names?: ReadonlyMap<string, string>): Promise<WrittenModel> {
  const { tensors } = await openModel(files, { from: format });
  const byName = new Map(tensors.map(({ tensor }) => [tensor.name, tensor]));
  return {
    format,
    isOurs: true,
    layoutOf: ({ layout }) => layout,
    weight({ name, canonicalName }, role) {
      const tensor = byName.get(names?.get(`${name} ${role}`) ?? `${canonicalName ?? name}.${role}`);
      return tensor && { tensor };
    },
    valueOf: () => undefined,
    tensor: (name) => byName.get(name),
  };
}
