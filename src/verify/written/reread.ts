/**
 * Written Keras and Caffe files, and programs of PyTorch: read back by our own reader, whose layers are named after the map's.
 *
 * A layer of the map may be several of the file's (a normalisation and a scale), and a constant may stand in another role, so a weight is
 * looked for under its layer's name first by role and then by its size.
 */
import type { FileSet } from '../../bytes/file-set.js';
import { isClosedGroup, layerGroup } from '../../model/groups.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { elementCount, isNumber, permute, reshape, sliceAxis, type Tensor } from '../../model/tensor.js';
import { openModel } from '../../readers/open.js';
import { validName } from '../../writers/tfjs/valid-name.js';
import { ARRANGING, mapShapes } from '../layer-source.js';
import { negatedTensor } from './tfjs-orient.js';
import type { WrittenModel } from './written.js';

/** @param format name of a reader and of a writer */
export async function openReread(files: FileSet, format: string, layers: readonly Layer[]): Promise<WrittenModel> {
  return rereadModel(await (await openModel(files, { from: format })).map(), format, layers);
}

/** @param map what our reader reads of the file */
export function rereadModel(map: LayerMap, format: string, layers: readonly Layer[]): WrittenModel {
  const names = new Map(layers.map((layer) => [layer, nameIn(format, layer.name)]));
  const taken = new Set(names.values());
  /** What our reader calls a layer of the source it calls so in the file as well, where another program wrote that. */
  const sameNames = new Map(layers.map(({ name }) => [name, nameIn(format, name)]));
  const owned = new Map<string, Layer[]>();
  for (const layer of map.layers) {
    const owner = sameNames.get(layer.name) ?? ownerOf(layer.name, taken);
    const group = owned.get(owner);
    if (group) group.push(layer);
    else owned.set(owner, [layer]);
  }
  const channelsLast = !CHANNELS_FIRST.has(format);
  const shows = valuesShown(layers, map, owned, (layer) => names.get(layer)!, channelsLast);
  const layouts = new Map([...map.inputs, ...map.outputs].map(({ name, layout }) => [name, layout]));
  // By role: who asks twice gets the same answer.
  const used = new Map<Layer, Map<string, Tensor>>();
  return {
    format,
    // A file that has all of the map's names was made from it, whoever made it.
    isOurs: layers.every((layer) => Object.keys(layer.weights).length === 0 || owned.has(names.get(layer)!)),
    // Names that our reader gives to parts of layers are never written.
    isOrigin: map.layers.some(({ name }) => (sameNames.get(name) ?? name) !== name),
    // TensorFlow.js numbers the names of what it loads, so that the file's own come first.
    layoutOf: ({ name, layout }, shown) => layouts.get(nameIn(format, name)) ?? layouts.get(shown.name) ?? layout,
    weight(layer, role) {
      const source = layer.weights[role]!;
      const candidates = owned.get(names.get(layer) ?? '') ?? [];
      const roles = used.get(layer) ?? new Map<string, Tensor>();
      used.set(layer, roles);
      const isTaken = (tensor: Tensor) => [...roles].some(([other, taken]) => other !== role && taken === tensor);
      const fits = (tensor: Tensor | undefined): tensor is Tensor => tensor !== undefined && elementCount(tensor.shape) === elementCount(source.shape);
      // Caffe scales and shifts what it has normalised in a layer of its own.
      const apart = layer.op === 'BatchNormalization' ? APART[role] : undefined;
      const ofItsOwn = candidates.find(({ op, weights }) => op === apart && fits(weights.operand))?.weights.operand;
      // Of several layers that stand for one, such as those of a normalisation of groups, the one that computes as it does comes first.
      const alike = [...candidates.filter(({ op }) => op === layer.op), ...candidates];
      const ofRole = alike.map((each) => asIn(layer, each, role)).filter(fits);
      // Several numbers of one function, such as those of a GELU, are told apart by their values, which their names end in.
      const ofValue = isNumber(source) ? ofRole.find((tensor) => isNumber(tensor) && tailOf(tensor) === tailOf(source)) : undefined;
      const byRole = ofItsOwn ?? ofValue ?? ofRole[0];
      // A constant for each channel is stored as a normalisation that does nothing else, and one for all of them once for each.
      const ofNorm = candidates.map(({ op, weights }) => (op === 'BatchNormalization' ? weights[IN_NORM[layer.op]!] : undefined)).find(Boolean);
      const inNorm = ofNorm && layer.op === 'Sub' ? negatedTensor(ofNorm) : ofNorm;
      if (!byRole && inNorm && elementCount(source.shape) === 1) return { tensor: reshape(sliceAxis(inNorm, 0, 0, 1), source.shape) };
      const found =
        byRole ??
        (fits(inNorm) ? inNorm : undefined) ??
        candidates.flatMap(({ weights }) => Object.values(weights)).find((tensor) => fits(tensor) && !isTaken(tensor));
      if (!found) return undefined;
      roles.set(role, found);
      return { tensor: reshape(found, source.shape) };
    },
    channelsLast,
    valueOf(layer) {
      const name = names.get(layer);
      const shown = shows.get(layer);
      // A runtime shows what a layer of the format makes, whose last one it must be.
      const isLast = (of: string | undefined) => of !== undefined && layerGroup(map, of).at(-1) === shown;
      if (format === 'caffe') return isLast(name) ? name : shown?.name;
      return shown && [name, wholeOf(shown, map), shown.name].find(isLast);
    },
    ownValueOf: (layer) => shows.get(layer)?.name,
  };
}

/** The layer of the format that a layer of its map is a part of, as the activation of a dense layer is: our reader calls it 'fc1/Relu'. */
function wholeOf({ name, op }: Layer, { layers }: LayerMap): string | undefined {
  if (!name.endsWith(`/${op}`)) return undefined;
  const whole = name.slice(0, -op.length - 1);
  return layers.some((layer) => layer.name === whole) ? whole : undefined;
}

const CHANNELS_FIRST: ReadonlySet<string> = new Set(['caffe', 'onnx', 'pytorch']);

/**
 * The file's layer that makes what each layer of the map makes: the last of those under its name, where nothing else reads the others.
 *
 * Where channels are last, what is flattened has its elements in another order than the map has them, up to the next layer that has them multiplied by
 * a matrix or takes them together: there no layer stands for one of the map.
 */
function valuesShown(
  layers: readonly Layer[],
  map: LayerMap,
  owned: ReadonlyMap<string, readonly Layer[]>,
  nameOf: (layer: Layer) => string,
  isTurned: boolean,
): ReadonlyMap<Layer, Layer> {
  const shapes = mapShapes(map);
  /** Whether axes of a value could be exchanged without its shape telling. */
  const isAmbiguous = ({ outputs: [value] }: Layer) => {
    const [, ...inner] = shapes.get(value!) ?? [];
    return isTurned && inner.length === 2 && inner[0] === inner[1];
  };
  const shown = new Map<Layer, Layer>();
  const arranged = new Set<string>();
  for (const layer of layers) {
    if (isTurned && (ARRANGING.has(layer.op) || (!layer.weights.kernel && layer.inputs.some((value) => arranged.has(value))))) {
      for (const value of layer.outputs) arranged.add(value);
      continue;
    }
    const group = owned.get(nameOf(layer)) ?? [];
    const last = group.at(-1);
    // What turns a value at the end of a group leaves it as the next one wants it, which need not be as the map has it.
    const isArranged = isTurned && last !== undefined && last.op !== 'Flatten' && ARRANGING.has(last.op);
    if (isClosedGroup(group, map) && !isArranged && !isAmbiguous(last!)) shown.set(layer, last!);
  }
  return shown;
}

const tailOf = ({ name }: Tensor) => name.slice(name.lastIndexOf('/') + 1);

/** A weight as the map's layer would have it: a product of matrices alone has its matrix the other way round than a dense layer. */
function asIn({ op }: Layer, { op: own, weights }: Layer, role: string): Tensor | undefined {
  const tensor = weights[role];
  const isTurned = role === 'kernel' && tensor?.shape.length === 2 && ((op === 'MatMul' && own === 'Gemm') || (op === 'Gemm' && own === 'MatMul'));
  return isTurned ? permute(tensor, [1, 0]) : tensor;
}

const IN_NORM: Readonly<Record<string, string>> = { Mul: 'scale', Add: 'bias', Sub: 'bias' };

const APART: Readonly<Record<string, string>> = { scale: 'Mul', bias: 'Add' };

/** The name of a layer of the map in a file of a format. */
export function nameIn(format: string, name: string): string {
  if (format === 'caffe' || format === 'onnx' || format === 'pytorch') return name;
  const valid = validName(name);
  // Keras takes a slash for a scope of its own.
  return format === 'tfjs' || format === 'tfjs-graph' ? valid : valid.replaceAll('/', '_');
}

/** The layer of the map that a layer of the file belongs to: of its name, or of the longest name that it begins with. */
export function ownerOf(name: string, taken: ReadonlySet<string>): string {
  for (let end = name.length; end > 0; end--) {
    const head = name.slice(0, end);
    if (taken.has(head) && (end === name.length || /[/_.:-]/.test(name[end]!))) return head;
  }
  return name;
}
