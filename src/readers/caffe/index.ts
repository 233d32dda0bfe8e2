/** The Caffe reader: prototxt and caffemodel, a caffemodel alone (it carries its own net), and HDF5 snapshots. */
import { isHdf5 } from '../../containers/hdf5/signature.js';
import type { Reader } from '../reader.js';
import { looksLikeCaffemodel, looksLikePrototxt, snapshotLayers } from './recognise.js';

export const caffe: Reader = {
  name: 'caffe',
  title: 'Caffe',
  extensions: ['.caffemodel', '.prototxt', '.caffemodel.h5'],
  options: ['prototxt', 'inputShape'],

  async match({ source, head }) {
    if (!source) return false;
    if (looksLikeCaffemodel(head) || looksLikePrototxt(head)) return true;
    return (await isHdf5(source)) && (await snapshotLayers(source)) !== null;
  },

  async read(files, options) {
    return (await import('./model.js')).readCaffe(files, options);
  },
};
