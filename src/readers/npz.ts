/** Reads npz: NumPy arrays by name, without wiring. A bare .npy array is read as well, under its file's name. */
import { looksLikeNpy, looksLikeObjects, readNpy, readNpz } from '../containers/npy.js';
import { looksLikeZip, openZip } from '../containers/zip.js';
import { listed } from '../words.js';
import { underKey } from './keyed.js';
import type { Reader } from './reader.js';
import { wireWeights } from './wire.js';

export const npz: Reader = {
  name: 'npz',
  title: 'NumPy npz',
  extensions: ['.npz', '.npy'],
  options: ['arch', 'assume', 'inputShape', 'weightsKey'],

  async match({ source, head }) {
    if (!source) return false;
    if (looksLikeNpy(head)) return !looksLikeObjects(head);
    if (!looksLikeZip(head)) return false;
    const { entries } = await openZip(source);
    return entries.length > 0 && entries.every(({ name }) => name.endsWith('.npy'));
  },

  async read(files, options) {
    const name = files.main!;
    const source = await files.open(name);
    const isArray = looksLikeNpy(await source.read(0, Math.min(8, source.byteLength)));
    const unread = new Map<string, string>();
    const arrays = isArray ? [await readNpy(source, name.replace(/\.np[yz]$/i, ''))] : [...(await readNpz(source, undefined, unread)).values()];
    const weights = underKey(
      arrays.map((tensor) => ({ tensor, layer: layerOf(tensor.name) })),
      options.weightsKey,
      files.label,
    );
    return {
      format: 'npz',
      producer: null,
      tensors: weights,
      details: { arrays: String(arrays.length) },
      warnings: unread.size === 0 ? [] : [{ code: 'unread-tensor', message: `not read: ${listed([...unread].map(([key, why]) => `${key} (${why})`))}` }],
      files: [name],
      map: () => wireWeights(weights, { file: files.label, format: 'npz', producer: null, options }),
    };
  },
};

/** 'conv1/W' and 'features.0.weight' say to which layer they belong. */
function layerOf(name: string): string | null {
  const end = Math.max(name.lastIndexOf('.'), name.lastIndexOf('/'));
  return end > 0 ? name.slice(0, end) : null;
}
