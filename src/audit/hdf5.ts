/** HDF5 files: links and values that lie in other files, configurations in attributes, and what stands around the file. */
import { openHdf5 } from '../containers/hdf5/index.js';
import { findSuperblock } from '../containers/hdf5/signature.js';
import type { Hdf5Group } from '../containers/hdf5/types.js';
import { isModelError } from '../errors.js';
import type { Audit, Examiner } from './examiner.js';
import { examineConfig } from './keras.js';

/** Groups and datasets of the largest models: some ten thousand. */
const MAX_OBJECTS = 200_000;

export const hdf5: Examiner = {
  kind: 'HDF5 file',
  match: async ({ source }) => (await findSuperblock(source)) !== null,
  async examine({ source, path }, audit) {
    const base = (await findSuperblock(source))!;
    if (base > 0 && (await source.read(0, base)).some((byte) => byte !== 0)) audit.tell('unused-bytes', `${base} bytes stand before the HDF5 file`, path, 0);
    const queue: Hdf5Group[] = [await openHdf5(source)];
    for (let group = queue.pop(), seen = 0; group !== undefined; group = queue.pop()) {
      for (const [name, value] of await group.attributes())
        if (typeof value === 'string' && value.includes('"class_name"')) examineConfig(value, `${path}/${group.path === '/' ? '' : group.path}${name}`, audit);
      for (const key of await group.keys()) {
        if (++seen > MAX_OBJECTS) return audit.tell('unsafe', `it has more than ${MAX_OBJECTS} groups and datasets`, path);
        const object = await opened(group, key, path, audit);
        if (object?.kind === 'group') queue.push(object);
      }
    }
  },
};

async function opened(group: Hdf5Group, key: string, path: string, audit: Audit) {
  try {
    return await group.get(key);
  } catch (error) {
    if (isModelError(error, 'unsafe')) audit.tell('outside-file', error.problem, path, error.place.offset);
    else if (isModelError(error)) audit.tell('unreadable', error.problem, path, error.place.offset);
    else throw error;
    return null;
  }
}
