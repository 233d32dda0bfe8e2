/** The list of formats whose written files are read back. Adding one is one line here. */
import type { FileSet } from '../../bytes/file-set.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import type { StatePlace } from './named.js';
import type { WrittenFormat, WrittenModel } from './written.js';

export const writtenFormats: readonly WrittenFormat[] = [
  { format: 'onnx', runs: true, open: async (files, layers) => (await import('./onnx.js')).openWrittenOnnx(files, layers) },
  { format: 'tfjs', runs: true, open: async (files, layers) => (await import('./tfjs.js')).openWrittenTfjs(files, layers) },
  { format: 'tfjs-graph', runs: true, open: async (files, layers) => (await import('./tfjs-graph.js')).openWrittenTfjsGraph(files, layers) },
  { format: 'safetensors', runs: false, open: async (files) => (await import('./named.js')).openNamedWeights(files, 'safetensors') },
  { format: 'npz', runs: false, open: async (files) => (await import('./named.js')).openNamedWeights(files, 'npz') },
  ...['keras-h5', 'keras-v3', 'caffe'].map(
    (format): WrittenFormat => ({ format, runs: true, open: async (files, layers) => (await import('./reread.js')).openReread(files, format, layers) }),
  ),
  { format: 'pytorch', runs: false, open: async (files, layers) => (await import('./named.js')).openNamedWeights(files, 'pytorch', await stateNames(layers)) },
];

/** Under which names a state dict has the weights of layers, and how those are the map's. Numbers in the module's code are as little seen as attributes are. */
async function stateNames(layers: readonly Layer[]) {
  const { formOf, isConstant, literalOf, stateOf, withNumbers } = await import('../../writers/pytorch/module.js');
  const { partsOf } = await import('../../writers/pytorch/derived.js');
  const { derivedAgain } = await import('../../model/derivations.js');
  const settled = new Map((await withNumbers(layers)).map((layer) => [layer.name, layer]));
  const state = stateOf([...settled.values()]);
  const known = new Map(state.map(({ layer, role, name }) => [`${layer.name} ${role}`, name]));
  const parts = new Map(state.map(({ tensor, name }) => [tensor, name]));
  return (layer: Layer, role: string): StatePlace | undefined => {
    const own = settled.get(layer.name) ?? layer;
    const tensor = own.weights[role]!;
    if (literalOf(own, tensor) !== null || isConstant(tensor)) return { given: tensor };
    if (partsOf(tensor)) return { find: (stored) => derivedAgain(tensor, (part) => stored(parts.get(part) ?? part.name)) };
    const name = known.get(`${layer.name} ${role}`);
    if (name === undefined) return undefined;
    return {
      find(stored) {
        const found = stored(name);
        return found && (formOf(own, tensor)?.back(found) ?? found);
      },
    };
  };
}

/**
 * Undefined where files of the format cannot be verified.
 *
 * @param wired what the file itself says of its wiring, where files of its format do not always
 */
export function findWrittenFormat(format: string, wired?: LayerMap): WrittenFormat | undefined {
  const found = wired
    ? { format, runs: true, open: async (_: FileSet, layers: readonly Layer[]) => (await import('./reread.js')).rereadModel(wired, format, layers) }
    : writtenFormats.find((candidate) => candidate.format === format);
  return found && { ...found, open: async (files, layers) => withPlainPorts(await found.open(files, layers)) };
}

/** A port of the map without channels to speak of is used as it is, whatever a file says of its own. */
function withPlainPorts(written: WrittenModel): WrittenModel {
  return { ...written, layoutOf: (port, shown) => (port.layout === 'other' ? port.layout : written.layoutOf(port, shown)) };
}
