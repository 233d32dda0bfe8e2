/**
 * Written Keras and Caffe files: read back by our own reader, whose layers are named after the map's.
 *
 * A layer of the map may be several of the file's (a normalisation and a scale), and a constant may stand in another role, so a weight is
 * looked for under its layer's name first by role and then by its size.
 */
import type { FileSet } from '../../bytes/file-set.js';
import type { Layer } from '../../model/layer-map.js';
import { elementCount, reshape, sliceAxis, type Tensor } from '../../model/tensor.js';
import { openModel } from '../../readers/open.js';
import { validName } from '../../writers/tfjs/valid-name.js';
import type { WrittenModel } from './written.js';

/** @param format name of a reader and of a writer */
export async function openReread(files: FileSet, format: string, layers: readonly Layer[]): Promise<WrittenModel> {
  const map = await (await openModel(files, { from: format })).map();
  const names = new Map(layers.map((layer) => [layer, nameIn(format, layer.name)]));
  const taken = new Set(names.values());
  const owned = new Map<string, Layer[]>();
  for (const layer of map.layers) {
    const owner = ownerOf(layer.name, taken);
    owned.set(owner, [...(owned.get(owner) ?? []), layer]);
  }
  const layouts = new Map([...map.inputs, ...map.outputs].map(({ name, layout }) => [name, layout]));
  const used = new Map<Layer, Set<Tensor>>();
  return {
    format,
    // A file that has all of the map's names was made from it, whoever made it.
    isOurs: layers.every((layer) => Object.keys(layer.weights).length === 0 || owned.has(names.get(layer)!)),
    // TensorFlow.js numbers the names of what it loads, so that the file's own come first.
    layoutOf: ({ name, layout }, shown) => layouts.get(nameIn(format, name)) ?? layouts.get(shown.name) ?? layout,
    weight(layer, role) {
      const source = layer.weights[role]!;
      const candidates = owned.get(names.get(layer) ?? '') ?? [];
      const taken = used.get(layer) ?? new Set<Tensor>();
      used.set(layer, taken);
      const fits = (tensor: Tensor | undefined): tensor is Tensor => tensor !== undefined && elementCount(tensor.shape) === elementCount(source.shape);
      // Caffe scales and shifts what it has normalised in a layer of its own.
      const apart = layer.op === 'BatchNormalization' ? APART[role] : undefined;
      const ofItsOwn = candidates.find(({ op, weights }) => op === apart && fits(weights.operand))?.weights.operand;
      const byRole = ofItsOwn ?? candidates.map(({ weights }) => weights[role]).find(fits);
      // One number for all channels is stored once for each of them, as a normalisation that does nothing else.
      const inNorm =
        elementCount(source.shape) === 1
          ? candidates.map(({ op, weights }) => (op === 'BatchNormalization' ? weights[IN_NORM[layer.op]!] : undefined)).find(Boolean)
          : undefined;
      if (!byRole && inNorm) return { tensor: reshape(sliceAxis(inNorm, 0, 0, 1), source.shape) };
      const found = byRole ?? candidates.flatMap(({ weights }) => Object.values(weights)).find((tensor) => fits(tensor) && !taken.has(tensor));
      if (!found) return undefined;
      taken.add(found);
      return { tensor: reshape(found, source.shape) };
    },
    valueOf: () => undefined,
  };
}

const IN_NORM: Readonly<Record<string, string>> = { Mul: 'scale', Add: 'bias' };

const APART: Readonly<Record<string, string>> = { scale: 'Mul', bias: 'Add' };

/** The name of a layer of the map in a file of a format. */
export function nameIn(format: string, name: string): string {
  return format === 'caffe' || format === 'onnx' ? name : validName(name).replaceAll('/', '_');
}

/** The layer of the map that a layer of the file belongs to: of its name, or of the longest name that it begins with. */
export function ownerOf(name: string, taken: ReadonlySet<string>): string {
  for (let end = name.length; end > 0; end--) {
    const head = name.slice(0, end);
    if (taken.has(head) && (end === name.length || /[/_.:-]/.test(name[end]!))) return head;
  }
  return name;
}
