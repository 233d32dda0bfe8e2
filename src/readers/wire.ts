/** Bare weights become a net, where they are recognised as one; for every container that holds named tensors and no wiring. */
import { inTurns } from '../bytes/breath.js';
import { ModelError } from '../errors.js';
import type { LayerMap, Notice, StoredWeight } from '../model/layer-map.js';
import { plainName, stateDict, withoutMachinery } from '../model/state-dict.js';
import { clipped } from '../words.js';
import { kerasNamed } from './keras-named.js';
import type { ReadOptions } from './reader.js';

/** Of an optimiser's file, and of a checkpoint without its model. */
export const NO_WEIGHTS = 'the file holds no weights of a model, only what is kept beside one in training';

export interface WiringContext {
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  readonly options: ReadOptions;
  /** 'part 1 of 3', where the file is only that. */
  readonly part?: string | null;
  /** Keys of the dictionaries around the weights. */
  readonly path?: readonly string[];
  /** Class of the object that the file is, where it is more than its weights. */
  readonly className?: string | null;
}

/**
 * Builds the layer map of a net from names and shapes of its weights.
 *
 * @throws ModelError 'unsupported' when the weights are of no family that is recognised: the wiring is not in the file
 */
export async function wireWeights(weights: readonly StoredWeight[], context: WiringContext): Promise<LayerMap> {
  const tensors = weights.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  if (tensors.length === 0) throw new ModelError('unsupported', NO_WEIGHTS, { file: context.file });
  if (context.part) {
    throw new ModelError('unsupported', `this is ${context.part} of a model, and a part makes no net: name the folder, or the index beside it`, {
      file: context.file,
    });
  }
  const { recogniseKeras, recogniseStateDict } = await import('../architectures/recognise.js');
  const ofKeras = kerasNamed(tensors);
  const own = ofKeras && (await inTurns(recogniseKeras(ofKeras, false, recogniseOptions(context))));
  if (own?.map) return own.map;
  const { tensors: plain, prefix } = stateDict(tensors);
  const recognition =
    own ??
    (await inTurns(recogniseStateDict(plain, { ...recogniseOptions(context), under: [...(context.path ?? []).map((key) => `${key}.`), prefix].join('') })));
  if (recognition.map) {
    const { wrapper: inner, ...map } = recognition.map;
    const wrapper = inner === undefined ? withoutMachinery(prefix) : prefix + inner;
    const isWrapped = wrapper !== '' || tensors.some(({ name }) => plainName(name) !== name);
    return { ...map, ...(isWrapped ? { wrapper } : {}), warnings: [...map.warnings, ...prefixNotices(prefix)] };
  }
  const [bare] = tensors;
  if (tensors.length === 1 && !/\.\w+$/.test(bare!.name)) {
    const what = `this is one tensor${bare!.name === '' ? '' : ` (${bare!.name})`} of shape [${bare!.shape.join(', ')}], not a model`;
    throw new ModelError('unsupported', `${what}: it can be inspected, and written as safetensors or npz.`, { file: context.file });
  }
  const kept = keptOtherwise(tensors.map(({ name }) => name));
  if (kept !== null)
    throw new ModelError('unsupported', `${kept}. What there is can be inspected, and moved to safetensors or npz by name.`, { file: context.file });
  const modules = ofKeras?.map(({ name }) => name) ?? modulesOf([...plain.keys()]);
  const under = prefix === '' ? '' : ` under ${JSON.stringify(prefix)}`;
  throw new ModelError(
    'unsupported',
    `the file holds weights without wiring, and ${recognition.unknown} Modules${under}: ${shortList(modules)}. ` +
      `The weights can be inspected, and written as safetensors or npz.${wayOut(context)}`,
    { file: context.file },
  );
}

/** What holds the tensors: names without their last part, or the tensors themselves where names have no parts. */
function modulesOf(names: readonly string[]): readonly string[] {
  return [...new Set(names.map((name) => name.replace(/[./][^./]*$/, '')))];
}

/** Forms in which training and serving code keep weights that are not the weights of a net, by names that no net's own tensors have. */
const OTHER_FORMS: readonly (readonly [RegExp, string])[] = [
  [
    /(^|[._])lora_(A|B|down|up|embedding_A|embedding_B|magnitude_vector)\b/,
    'low-rank changes to weights (LoRA), which are to be merged into the net that they belong to: merge_and_unload() of PEFT does, and what it gives can be saved',
  ],
  [/\.qzeros$|\.qweight$/, 'codes of a few bits in the packing of GPTQ or AWQ: save the net as it was before, or as its own library dequantises it'],
  [/\.(absmax|quant_map|nested_absmax|quant_state\.\w+)$/, 'codes of four bits of bitsandbytes: dequantize() of Transformers gives a net that can be saved'],
  [/\.SCB$/, 'codes of eight bits of bitsandbytes, with a scale for each row beside them: dequantize() of Transformers gives a net that can be saved'],
  [
    /\.(weight_scale|weight_scale_inv|input_scale|weight_packed)$/,
    'codes with scales beside them, as compressed-tensors and nets in float8 keep them: save the net dequantised',
  ],
  [
    /(^|\.)_?flat_param(_\d+)?$/,
    "parameters of FSDP run together into rows of numbers, mostly one process's part of them: save a full state dict (StateDictType.FULL_STATE_DICT)",
  ],
];

/** What is said of weights in another form; null where no name tells one. */
function keptOtherwise(names: readonly string[]): string | null {
  for (const [pattern, what] of OTHER_FORMS) {
    const found = names.filter((name) => pattern.test(name));
    if (found.length > 0) return `${found.length} of its ${names.length} tensors (${shortList(found.map((name) => clipped(name)))}) are ${what}`;
  }
  return null;
}

/** How else the wiring comes along. PyTorch keeps it in code, which is never run; what it traces or exports holds it. */
function wayOut({ format, className }: WiringContext): string {
  if (format !== 'pytorch') return ' --arch takes a description of the net (docs/architectures.md).';
  const whole = className ? `The file is a whole ${clipped(className)} of PyTorch, whose wiring is code that is never run. ` : '';
  return ` ${whole}Save what has the wiring in it: torch.jit.trace(model, example).save("model.pt"), torch.export.save or torch.onnx.export; or describe the net with --arch (docs/architectures.md).`;
}

/** What the caller said, as recognition wants it. */
export function recogniseOptions({ options: { arch, described, assume, inputShape, recordedShape }, file, format, producer }: WiringContext) {
  return { file, format, producer, arch, described, assume, inputShape: inputShape ?? recordedShape };
}

export function shortList(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 6).join(', ')}, ... ${names.at(-1)}` : names.join(', ');
}

function prefixNotices(prefix: string): Notice[] {
  if (prefix === '') return [];
  return [{ code: 'prefix', message: `every name starts with ${JSON.stringify(prefix)}, which is left out of the names of layers` }];
}
