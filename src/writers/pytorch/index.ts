/**
 * Writes PyTorch: a state dict in the zip container, which `torch.load(..., weights_only=True)` reads, and beside it the net as a Python
 * module. A source without wiring gives the state dict alone.
 */
import type { ByteSink } from '../../bytes/byte-sink.js';
import { encodeStateDict, STORAGE_CLASSES } from '../../containers/pickle-writer.js';
import type { Piece } from '../../containers/protobuf-writer.js';
import { crc32Of, type StoredMember, writeZip } from '../../containers/zip-writer.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, Notice, Port } from '../../model/layer-map.js';
import { isChannelsLast, portValueShape } from '../../model/ports.js';
import { plainName } from '../../model/state-dict.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../../model/tensor.js';
import { castWeights } from '../cast-weights.js';
import { byteProgress } from '../progress.js';
import { PYTORCH } from '../targets.js';
import type { WeightsWriter, WriteOptions, WriteResult, Writer } from '../writer.js';
import { moduleObstacles, type PythonModule, withNumbers, writeModule } from './module.js';
import { paddingNotices, withPadsInNumbers } from './pads.js';
import { wholeObstacles } from './whole-numbers.js';

/** Where PyTorch starts the elements of a storage, so that a file can be mapped. */
const ALIGNMENT = 64;

export const pytorchWeights: WeightsWriter = {
  carries: 'weights',
  ...PYTORCH,

  async check(weights) {
    const names = new Set<string>();
    const errors: ModelError[] = [];
    for (const { name, dtype, origin } of weights) {
      const place = { file: origin.file, tensor: name };
      if (!STORAGE_CLASSES[dtype]) errors.push(new ModelError('unsupported', `PyTorch has no storage of ${dtype}`, place));
      if (names.has(name)) errors.push(new ModelError('unsupported', 'the name is taken twice, and a state dict has each name once', place));
      names.add(name);
    }
    return errors;
  },

  write: writeStateDict,
};

export const pytorch: Writer = {
  carries: 'model',
  ...PYTORCH,

  hasOperator: async (layer, map) => moduleObstacles({ ...map, layers: [layer] }).length === 0,
  weightsOnly: pytorchWeights,

  async check(map, options) {
    const settled = await settledMap(map);
    const obstacles = [...moduleObstacles(settled), ...wholeObstacles(settled)];
    // What no module can be made of has no names in one.
    return obstacles.length > 0 ? obstacles : pytorchWeights.check(namedWeights(writeModule(settled)), options);
  },

  async write(given, sink, name, options) {
    const map = await settledMap(given);
    const module = writeModule(channelsFirst(map));
    const weights = namedWeights(module);
    // Written first, so that the state dict, which is the model, gets its name last.
    const { warnings } = await writeStateDict(weights, sink, name, options);
    const file = await sink.create(`${name.replace(/\.[^./]+$/, '')}${PYTORCH.beside}`);
    await file.write(new TextEncoder().encode(module.source));
    await file.close();
    return { warnings: [...paddingNotices(given), ...strangeWeights(map, weights), ...warnings] };
  },
};

/** What stands in a module as numbers is there as numbers. */
async function settledMap(map: LayerMap): Promise<LayerMap> {
  const settled = withPadsInNumbers(map);
  return { ...settled, layers: await withNumbers(settled.layers) };
}

/** The weights under their names in the state dict, each once. */
function namedWeights({ state, beside }: PythonModule): Tensor[] {
  return [
    ...new Map([...state.map(({ name, tensor }) => [name, { ...tensor, name }] as const), ...beside.map((tensor) => [tensor.name, tensor] as const)]).values(),
  ];
}

/** Formats whose names are those of PyTorch's own classes. */
const STATE_DICTS: ReadonlySet<string> = new Set(['pytorch', 'safetensors']);

/**
 * What the class that a recognised state dict is of does not know: weights that are worked out from its own in a way that the module cannot repeat,
 * and numbers that are too many for its code.
 */
function strangeWeights(map: LayerMap, weights: readonly Tensor[]): readonly Notice[] {
  if (!map.architecture || !STATE_DICTS.has(map.format)) return [];
  const { wrapper = '' } = map;
  const strange = weights.filter(({ name, origin }) => origin.name !== name && plainName(origin.name ?? '') !== wrapper + name);
  const folded = map.warnings.some(({ code }) => code === 'folded');
  if (strange.length === 0 || folded) return [];
  const [{ name }] = strange as [Tensor];
  const which = strange.length === 1 ? `"${name}" is a weight` : `${strange.length} weights ("${name}", ...) are weights`;
  const message = `${which} of the module beside the file, and not of the net's own class, which keeps what they are worked out from, or works them out itself: --names source writes what that class loads strictly`;
  return [{ code: 'other-weights', message }];
}

/** Modules take and give what the map has inside: channels first. */
function channelsFirst(map: LayerMap): LayerMap {
  const turned = (port: Port): Port => (isChannelsLast(port.layout) ? { ...port, shape: portValueShape(port), layout: FIRST[port.layout]! } : port);
  return { ...map, inputs: map.inputs.map(turned), outputs: map.outputs.map(turned) };
}

const FIRST: Readonly<Partial<Record<Port['layout'], Port['layout']>>> = { nhwc: 'nchw', nwc: 'ncw', ndhwc: 'ncdhw' };

async function writeStateDict(weights: readonly Tensor[], sink: ByteSink, name: string, { dtype, onProgress }: WriteOptions): Promise<WriteResult> {
  const { tensors, notices } = castWeights(weights, dtype);
  // The pass for the checksums must not count losses too.
  const uncounted = castWeights(weights, dtype).tensors;
  const total = tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
  const folder = name.replace(/^.*\//, '').replace(/\.[^.]+$/, '') || 'archive';
  const file = await sink.create(name);
  await writeZip(stateDictMembers(folder, tensors, uncounted), file, byteProgress(total, { onProgress }));
  await file.close();
  return { warnings: notices() };
}

/**
 * The members of a state dict's archive, in the order in which PyTorch writes them.
 *
 * @param again the same tensors, for the pass that works out the checksums
 */
export function stateDictMembers(folder: string, tensors: readonly Tensor[], again = tensors): StoredMember[] {
  const member = (path: string, pieces: readonly Piece[], same = pieces): StoredMember => ({
    name: `${folder}/${path}`,
    pieces,
    crc32: () => crc32Of(same),
    alignment: ALIGNMENT,
  });
  const elements = (tensor: Tensor): Piece[] => [{ byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) }];
  const pickle = encodeStateDict(tensors.map((tensor, i) => ({ name: tensor.name, tensor, storage: String(i) })));
  return [
    member('data.pkl', [pickle]),
    member('byteorder', [new TextEncoder().encode('little')]),
    ...tensors.map((tensor, i) => member(`data/${i}`, elements(tensor), elements(again[i]!))),
    member('version', [new TextEncoder().encode('3\n')]),
  ];
}
