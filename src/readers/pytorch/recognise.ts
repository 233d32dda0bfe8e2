/** Recognises VGG nets in the names and shapes of a state dict: torchvision's numbered modules, or the authors' names. */
import type { LayerMap } from '../../model/layer-map.js';
import type { StateDict } from '../../model/state-dict.js';
import { float32Tensor, type Tensor } from '../../model/tensor.js';
import { type VggLayerWeights, vggFromWeights } from '../../model/vgg.js';
import type { WiringContext } from '../wire.js';

/** A module's tensors by their last name: weight, bias, running_mean, ... */
interface Module {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

interface NumberedModule extends Module {
  readonly index: number;
}

const MODULE_TENSORS = new Set(['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']);
const KNOWN_ARCHS = /^vgg(11|13|16|19)?(-lrn|-c)?(_bn)?$/i;

/** Builds the layer map of a VGG net; null where the weights are of no such net, or another one was asked for. */
export function recogniseVgg(dict: StateDict, context: WiringContext): LayerMap | null {
  const { options } = context;
  if (options.arch !== undefined && !KNOWN_ARCHS.test(options.arch)) return null;
  const modules = groupModules(dict);
  const found = numberedVgg(modules) ?? namedVgg(modules);
  if (!found) return null;
  const names = found.blocks.flat().length;
  const assumed = [
    'a ReLU follows every convolution and every fully connected layer but the last',
    '2 x 2 max pooling ends every block (weights leave no trace of it)',
    'the net ends in logits, as torchvision defines it',
  ];
  if (found.guessedPools) assumed.push('pooling positions were taken from the layer names');
  return vggFromWeights({
    ...context,
    blocks: found.blocks,
    dense: found.dense,
    layout: 'nchw',
    softmax: false,
    inputName: 'input',
    outputName: found.dense.length > 0 ? 'logits' : 'features',
    localResponse: /-lrn/i.test(options.arch ?? '') && names > 0,
    inputShape: options.inputShape ?? options.recordedShape,
    adaptivePool: true,
    assumed,
  });
}

interface Found {
  readonly blocks: VggLayerWeights[][];
  readonly dense: VggLayerWeights[];
  readonly guessedPools: boolean;
}

/** features.0, features.2, ... and classifier.0, .3, .6: ReLU, pooling and dropout modules leave gaps in the numbers. */
function numberedVgg(modules: readonly Module[]): Found | null {
  const parents = new Map<string, NumberedModule[]>();
  for (const module of modules) {
    const match = /^(.*?)\.?(\d+)$/.exec(module.name);
    if (!match) continue;
    const list = parents.get(match[1]!) ?? [];
    list.push({ ...module, index: Number(match[2]) });
    parents.set(match[1]!, list);
  }
  const features = [...parents].filter(([name]) => /(^|\.)features$/.test(name));
  if (features.length !== 1) return null;
  const [prefix, list] = features[0]!;
  const base = prefix.slice(0, -'features'.length);
  const blocks = readBlocks(list.sort((a, b) => a.index - b.index));
  if (!blocks) return null;
  const numbered = (parents.get(`${base}classifier`) ?? []).sort((a, b) => a.index - b.index);
  const single = modules.filter(({ name }) => name === `${base}classifier` || name === `${base}fc`);
  const dense = numbered.length > 0 ? numbered : single;
  const covered = list.length + dense.length;
  // A module that is not part of the pattern would be left out of the net in silence.
  if (covered !== modules.length || !dense.every((module) => isDense(module) || isConvolution(module, false))) return null;
  // 2: Linear, ReLU; 3: and Dropout. Neighbours would have no activation between them.
  if (numbered.some(({ index }, i) => i > 0 && ![2, 3].includes(index - numbered[i - 1]!.index))) return null;
  return { blocks, dense: dense.map(asWeights), guessedPools: false };
}

function readBlocks(list: readonly NumberedModule[]): VggLayerWeights[][] | null {
  const blocks: VggLayerWeights[][] = [[]];
  let previous: { index: number; length: number } | null = null;
  for (let i = 0; i < list.length; i++) {
    const module = list[i]!;
    if (!isConvolution(module)) return null;
    const next = list[i + 1];
    const norm = next && isNorm(next) && next.index === module.index + 1 ? next : undefined;
    if (previous) {
      const gap = module.index - previous.index - previous.length;
      if (gap === 2) blocks.push([]);
      else if (gap !== 1) return null;
    } else if (module.index !== 0) return null;
    blocks.at(-1)!.push({ ...asWeights(module), ...(norm ? { norm: asNorm(norm) } : {}) });
    previous = { index: module.index, length: norm ? 2 : 1 };
    if (norm) i++;
  }
  return blocks[0]!.length > 0 ? blocks : null;
}

/** conv1_1 ... fc8, as in ports of the authors' release and in VGGFace. */
function namedVgg(modules: readonly Module[]): Found | null {
  const blocks: VggLayerWeights[][] = [];
  const dense: VggLayerWeights[] = [];
  for (const module of modules) {
    const conv = /(?:^|\.)conv_?(\d+)_(\d+)$/.exec(module.name);
    if (conv && isConvolution(module)) {
      const [block, place] = [Number(conv[1]), Number(conv[2])];
      if (block === blocks.length + 1 && place === 1) blocks.push([]);
      if (block !== blocks.length || place !== blocks.at(-1)!.length + 1) return null;
      blocks.at(-1)!.push(asWeights(module));
    } else if (/(?:^|\.)fc_?[678]$/.test(module.name) && (isDense(module) || isConvolution(module, false))) dense.push(asWeights(module));
    else return null;
  }
  return blocks.length >= 3 ? { blocks, dense, guessedPools: true } : null;
}

function groupModules({ tensors }: StateDict): Module[] {
  const modules = new Map<string, Map<string, Tensor>>();
  for (const [name, tensor] of tensors) {
    const dot = name.lastIndexOf('.');
    const module = modules.get(name.slice(0, Math.max(0, dot))) ?? new Map<string, Tensor>();
    module.set(name.slice(dot + 1), tensor);
    modules.set(name.slice(0, Math.max(0, dot)), module);
  }
  return [...modules].map(([name, members]) => ({ name, tensors: members }));
}

function isConvolution({ tensors }: Module, small = true): boolean {
  const shape = tensors.get('weight')?.shape;
  const known = [...tensors.keys()].every((name) => name === 'weight' || name === 'bias');
  return known && shape?.length === 4 && shape[2] === shape[3] && (!small || shape[2] === 3 || shape[2] === 1);
}

function isNorm({ tensors }: Module): boolean {
  return tensors.has('running_mean') && tensors.has('running_var') && [...tensors.keys()].every((name) => MODULE_TENSORS.has(name));
}

function isDense({ tensors }: Module): boolean {
  return tensors.get('weight')?.shape.length === 2 && [...tensors.keys()].every((name) => name === 'weight' || name === 'bias');
}

function asWeights({ name, tensors }: Module): VggLayerWeights {
  const bias = tensors.get('bias');
  return { name, kernel: tensors.get('weight')!, ...(bias ? { bias } : {}) };
}

function asNorm({ name, tensors }: Module) {
  const mean = tensors.get('running_mean')!;
  const filled = (value: number) => float32Tensor(`${name}.default`, mean.shape, new Array<number>(mean.shape[0]!).fill(value), mean.origin);
  return { name, scale: tensors.get('weight') ?? filled(1), bias: tensors.get('bias') ?? filled(0), mean, variance: tensors.get('running_var')! };
}
