/** The Keras readers; what they do is loaded when a file is theirs. */
import { isHdf5 } from '../../containers/hdf5/signature.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import type { Reader } from '../reader.js';
import { ARCHIVE_CONFIG, ARCHIVE_WEIGHTS, SHARD_INDEX } from './archive.js';

export const kerasH5: Reader = {
  name: 'keras-h5',
  title: 'Keras HDF5',
  extensions: ['.h5', '.hdf5', '.keras'],
  options: ['config', 'arch', 'assume', 'inputShape'],

  async match({ source, name, head }) {
    if (!source) return false;
    if (name?.endsWith(SHARD_INDEX)) return new TextDecoder().decode(head).includes('"weight_map"');
    if (!(await isHdf5(source))) return false;
    return (await import('./model.js')).isKerasHdf5(source);
  },

  async read(files, options) {
    return (await import('./model.js')).readHdf5(files, options);
  },
};

export const kerasArchive: Reader = {
  name: 'keras-v3',
  title: 'Keras 3 archive',
  extensions: ['.keras'],
  options: ['config', 'arch', 'assume', 'inputShape'],

  async match({ source, head }) {
    if (!source || !looksLikeZip(head)) return false;
    const archive = await openZip(source);
    return archive.get(ARCHIVE_CONFIG) !== undefined && archive.get(ARCHIVE_WEIGHTS) !== undefined;
  },

  async read(files, options) {
    return (await import('./model.js')).readArchive(files, options);
  },
};
