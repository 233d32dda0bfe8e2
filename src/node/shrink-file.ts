/** `shrink` from disk to disk: convert with narrower weights, which are chosen one by one where a limit says what they may cost. */
import { basename } from 'node:path';
import { memorySink } from '../bytes/byte-sink.js';
import { memorySource } from '../bytes/byte-source.js';
import { type ConvertOptions, chooseWriter, possibleDTypes } from '../convert.js';
import { ModelError } from '../errors.js';
import { type DType, type DTypeName, dtypeNamed } from '../model/dtype.js';
import type { EditedMap } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Better, Shrunk } from '../shrink/index.js';
import { checkOptions, forPrograms, type OptionNames } from '../spelling.js';
import type { WeightReport } from '../verify/report.js';
import { type Agreement, mayListClasses, type ShrinkTotals, totalsOf, worstAgreement } from '../verify/savings.js';
import type { AnyWriter } from '../writers/index.js';
import { compressFile } from './compress.js';
import { CONVERT_NAMES, type ConvertDocument, type ConvertFileOptions, convertWhole, totalBytes } from './convert-file.js';
import { readGiven } from './given-inputs.js';
import { openFiles } from './open-files.js';
import { type OnStep, onSteps } from './watching.js';

export interface ShrinkLimits {
  /** ONNX, TensorFlow.js: codes of 8 bits in steps of so many standard deviations of a weight, from 0.02 to 4. */
  readonly step?: number;
  /** int4, uint4: values that share a scale, at most; 32 where left out. */
  readonly block?: number;
  /** ONNX: each weight is one of so many values, 2 to 256, which are chosen so that it loses least. */
  readonly palette?: number;
  /** Dense layers become two smaller ones with such a part of their kernel's sum of squares, where that is worth it. */
  readonly svd?: number;
  /** The same with a rank. */
  readonly rank?: number;
  /** ONNX, TensorFlow.js: `best` works codes out on half of the inputs, where the other half says that they are better than rounding. */
  readonly method?: 'round' | 'best';
  /** ONNX: computes in 8 bits as well, with ranges of what flows in the net from inputs. */
  readonly activations?: 'uint8' | 'int8';
  /** Most bytes that the output may take; what each weight becomes is searched for. */
  readonly budget?: number;
  /** Bytes that the budget is about; `wire` means `compress: 'gzip'`. */
  readonly count?: 'disk' | 'wire' | 'memory';
  /** Least share of inputs with the same top class: the smallest net that keeps it is searched for. */
  readonly minAgreement?: number;
}

/** Codes of 4 bits, which ONNX has, by the names that people use. */
export type FourBitName = keyof typeof FOUR_BIT_NAMES;

export interface ShrinkFileOptions extends Omit<ConvertFileOptions, 'verify' | 'float16Compute' | 'dtype'>, ShrinkLimits {
  /** Of the large weights; int8 for ONNX, uint8 for TensorFlow.js, float16 for others where left out. */
  readonly dtype?: DTypeName | FourBitName;
}

const { verify: _, float16Compute: __, ...OF_CONVERT } = CONVERT_NAMES;

const SHRINK_NAMES: OptionNames<ShrinkFileOptions> = {
  ...OF_CONVERT,
  step: true,
  block: true,
  palette: true,
  svd: true,
  rank: true,
  method: true,
  activations: true,
  budget: true,
  count: true,
  minAgreement: true,
};

/** What `shrink --json` prints; `schemas/shrink.schema.json` describes it. */
export interface ShrinkDocument extends Omit<ConvertDocument, 'schema'> {
  readonly schema: 'weighbridge/shrink@1';
  readonly weights: readonly WeightReport[];
  readonly totals: ShrinkTotals;
  /** Null where no limit was given. */
  readonly budget: { readonly byteLength: number; readonly count: 'disk' | 'wire' | 'memory'; readonly taken: number; readonly met: boolean } | null;
  /** Null where the output is no list of classes, or nothing was run. */
  readonly agreement: (Agreement & { readonly minimum: number | null; readonly met: boolean }) | null;
}

/**
 * Converts with narrower weights and says, weight by weight, what it saved and what it cost. That a limit was not met is no error:
 * `budget` and `agreement` say so.
 *
 * @returns the document that `weighbridge shrink --json` prints
 * @throws ModelError where it could not be done
 */
export async function shrinkFile(from: string, to: string, options: ShrinkFileOptions = {}): Promise<ShrinkDocument> {
  return forPrograms(options, async () => {
    checkOptions(options, SHRINK_NAMES, 'shrinkFile');
    const { rewrite, ...chosen } = await planShrink(to, options);
    const source = await openFiles(from, options, options.signal);
    try {
      return judgeShrunk(await convertWhole(source, to, { ...options, ...chosen, verify: true }, { rewrite: rewrite?.(onSteps(options)) }), options);
    } finally {
      await source.files.close();
    }
  });
}

const FOUR_BIT_NAMES = { int4: 'int4', i4: 'int4', q4: 'int4', uint4: 'uint4', u4: 'uint4' } as const;
/** The opset that codes of 4 bits came with. */
const FOUR_BITS_OPSET = 21;

export interface ShrinkPlan {
  readonly dtype: DTypeName | undefined;
  readonly compress: ConvertFileOptions['compress'];
  readonly rewrite: Rewrite | undefined;
  /** Set where normalisations are folded first. */
  readonly foldBatchnorm?: 'any';
}

type Rewrite = (onStep: OnStep) => ConvertOptions['rewrite'];

/** What each target is shrunk to when nothing is said: the smallest that keeps most nets' predictions. */
const CODED_DTYPES: Readonly<Record<string, DType>> = { onnx: 'int8', tfjs: 'uint8', 'tfjs-graph': 'uint8' };
const OTHERS_DTYPE: DType = 'float16';

/** How it is done. @throws ModelError 'usage' where the options contradict each other, or mean nothing for the target */
export async function planShrink(to: string, options: ShrinkFileOptions): Promise<ShrinkPlan> {
  if (to === '-') throw new ModelError('usage', 'what was shrunk is read back and judged, so it needs a path: stdout will not do.');
  const writer = chooseWriter(basename(to), options.to);
  if (options.minAgreement !== undefined && writer.carries === 'weights') {
    throw new ModelError('usage', `--min-agreement is about predictions, and ${writer.title} files hold weights without wiring.`);
  }
  const narrowest = CODED_DTYPES[writer.name] ?? OTHERS_DTYPE;
  if (!writer.dtypes.includes(narrowest) && options.dtype === undefined)
    throw new ModelError('usage', `${writer.title} files hold weights in ${writer.dtypes.join(' or ')}, and in nothing narrower: convert writes them.`);
  const { MOST_RANK } = await import('../shrink/low-rank.js');
  checkLimits(options, MOST_RANK);
  const isInCodes = options.activations !== undefined;
  const coded = isInCodes
    ? await toActivations(writer, options)
    : ((await bySearch(writer, to, options)) ?? (await toFour(writer, options)) ?? (await toPalettes(writer, options)) ?? (await byStep(writer, options)));
  // What is left are names of dtypes: those of 4 bits are written anew, or were refused.
  const dtype = coded ? undefined : ((options.dtype as DTypeName | undefined) ?? narrowest);
  const ranks = byRank(writer, options);
  const hasOneScale = ONE_SCALE.has(writer.name) && (coded || dtypeNamed(dtype ?? '') === 'uint8');
  return {
    rewrite: judgeable(options, ranks(hasOneScale ? oneScale(coded) : coded)),
    dtype,
    compress: options.compress ?? (options.count === 'wire' && options.budget !== undefined ? 'gzip' : undefined),
    // What stands between a product and its codes would have to compute in float32.
    ...(isInCodes ? { foldBatchnorm: 'any' as const } : {}),
  };
}

/** Numbers are in the ranges that they have a meaning in, and an option that another one leaves without effect is no wish. @throws ModelError 'usage' */
function checkLimits({ step, svd, rank, palette, dtype, budget, count, block }: ShrinkFileOptions, mostRank: number): void {
  const refused = (problem: string) => new ModelError('usage', problem);
  const isWithin = (value: number | undefined, least: number, most: number) => value === undefined || (value >= least && value <= most);
  if (!isWithin(step, LEAST_STEP, MOST_STEP)) throw refused(`--step ${step} is no number of standard deviations from ${LEAST_STEP} to ${MOST_STEP}.`);
  if (svd !== undefined && !(svd > 0 && svd <= 1))
    throw refused(`--svd ${svd} leaves nothing of a layer, or more than there is: give a part above 0 and up to 1, such as 0.95.`);
  if (!isWithin(rank, 1, mostRank)) throw refused(`--rank ${rank} is no rank from 1 to ${mostRank}.`);
  if (palette !== undefined && dtype !== undefined) throw refused('--palette and --dtype both say what weights become: give one of them.');
  if (block !== undefined && !fourBits(dtype))
    throw refused('--block is about codes of 4 bits: give --dtype int4 or uint4 with it, which are then not searched for (--budget, --min-agreement).');
  if (count !== undefined && budget === undefined) throw refused(`--count ${count} says which bytes a budget is about: give --budget with it.`);
}

/** Standard deviations that a step may be wide. */
export const LEAST_STEP = 0.02;
export const MOST_STEP = 4;

/** Refuses, before anything is written, an agreement of which it is plain that no output can have one. */
function judgeable({ minAgreement }: ShrinkFileOptions, rewrite: Rewrite | undefined): Rewrite | undefined {
  if (minAgreement === undefined) return rewrite;
  return (onStep) => async (map, edited) => {
    if (!mayListClasses(map)) throw noClasses();
    return (await rewrite?.(onStep)?.(map, edited)) ?? null;
  };
}

function noClasses(more = ''): ModelError {
  return new ModelError('usage', `no output of this model is a list of classes, so --min-agreement has nothing to judge.${more}`);
}

/** With dense layers of low rank first, where that is asked for. @throws ModelError 'usage' where it means nothing */
function byRank(writer: AnyWriter, { svd, rank, dtype, names }: ShrinkFileOptions): (coded: Rewrite | undefined) => Rewrite | undefined {
  if (svd === undefined && rank === undefined) return (coded) => coded;
  const refused = (problem: string) => new ModelError('usage', problem);
  if (svd !== undefined && rank !== undefined) throw refused('--svd and --rank both say how much of a layer is left: give one of them.');
  const option = svd === undefined ? '--rank' : '--svd';
  if (writer.carries === 'weights') throw refused(`${option} makes two layers of one, and ${writer.title} files hold weights without wiring.`);
  if (writer.weightsOnly && names === 'source')
    throw refused(`${option} makes two layers of one, and --names source writes the weights as the source has them: leave one out.`);
  if (dtypeNamed(dtype ?? '') === 'float32')
    throw refused(`what ${option} loses is judged with what narrower weights lose: choose --dtype float16 or a narrower one with it.`);
  return (coded) => (onStep) => async (map, edited) => {
    const { shrinkRanks } = await import('../shrink/low-rank.js');
    const low = await shrinkRanks(map, { energy: svd ?? null, rank: rank ?? null }, onStep);
    const made = await coded?.(onStep)?.(low.map, edited);
    return made ? oneBehind(low, made) : low;
  };
}

/** Two changes as one. */
function oneBehind(first: Shrunk, { map, change, claims = [] }: Shrunk): Shrunk {
  return { map, claims: [...(first.claims ?? []), ...claims], change: { ...change, message: `${first.change.message}; ${change.message}` } };
}

/** Targets with one scale for a whole weight. */
const ONE_SCALE: ReadonlySet<string> = new Set(['tfjs', 'tfjs-graph']);

/** With channels of one range, or layers split by them, where that pays, before weights are coded: by `coded`, or by the writer. */
function oneScale(coded: Rewrite | undefined): Rewrite {
  return (onStep) => async (map, edited) => {
    const { forOneScale } = await import('../shrink/one-scale.js');
    const even = await forOneScale(map);
    const made = await coded?.(onStep)?.(even?.map ?? map, edited);
    return made && even ? oneBehind(even, made) : (made ?? even);
  };
}

/** @throws ModelError 'usage' where the target does not compute in integers, or there is nothing to tell ranges by */
async function toActivations(writer: AnyWriter, options: ShrinkFileOptions): Promise<Rewrite> {
  const { activations, step, dtype, palette, method } = options;
  if (writer.name !== 'onnx')
    throw new ModelError('usage', `--activations is for ONNX files, whose runtimes compute in integers; ${writer.title} is not among them.`);
  const other = dtype !== undefined && dtype !== 'int8' ? `--dtype ${dtype}` : step !== undefined ? '--step' : palette !== undefined ? '--palette' : null;
  if (other) throw new ModelError('usage', `--activations has kernels of int8: ${other} says otherwise.`);
  if (method === 'best')
    throw new ModelError(
      'usage',
      '--method best works out codes of weights that are computed with in float32, and --activations computes in codes: leave one out.',
    );
  if (options.inputs === undefined && options.golden === undefined)
    throw new ModelError('usage', '--activations needs to know what flows in the net: give --inputs (arrays or a folder of pictures) or --golden.');
  const { shrinkActivations } = await import('../shrink/activations.js');
  return (onProgress) => async (map, edited) =>
    shrinkActivations(map, { dtype: activations!, inputs: (await readGiven(options, onProgress, edited))!, onProgress });
}

/** Undefined where codes of 4 bits are not asked for. @throws ModelError 'usage' where they cannot be had */
async function toFour(writer: AnyWriter, options: ShrinkFileOptions): Promise<Rewrite | undefined> {
  const { dtype, block, opset, step } = options;
  const name = fourBits(dtype);
  const refused = (problem: string) => new ModelError('usage', problem);
  if (!name) return undefined;
  const { DEFAULT_BLOCK, shrinkToFour } = await import('../shrink/index.js');
  if (!writer.packed?.includes(name)) throw refused(`${writer.title} files are not written in "${dtype}". ${possibleDTypes(writer)}`);
  if (opset !== undefined && opset < FOUR_BITS_OPSET)
    throw refused(`${name} came with opset ${FOUR_BITS_OPSET}, and --opset ${opset} is older: leave --opset out, or choose --dtype int8.`);
  if (step !== undefined) throw refused('--dtype and --step both say what weights become: give one of them.');
  return (onStep) => async (map, edited) => shrinkToFour(map, name, block ?? DEFAULT_BLOCK, await better(options, onStep, edited));
}

function fourBits(dtype: string | undefined): 'int4' | 'uint4' | undefined {
  const lower = dtype?.toLowerCase() ?? '';
  return Object.hasOwn(FOUR_BIT_NAMES, lower) ? FOUR_BIT_NAMES[lower as FourBitName] : undefined;
}

/** Undefined where no palettes are asked for. @throws ModelError 'usage' where they cannot be had */
async function toPalettes(writer: AnyWriter, { dtype, palette, step, method }: ShrinkFileOptions): Promise<Rewrite | undefined> {
  if (palette === undefined) return undefined;
  const { PALETTES, shrinkToPalettes } = await import('../shrink/palettes.js');
  if (!PALETTES.has(writer.name))
    throw new ModelError('usage', `--palette means nothing for ${writer.title} files; ${NO_PALETTES[writer.name] ?? 'they have no such form of weights'}.`);
  const other = dtype !== undefined ? '--dtype' : step !== undefined ? '--step' : method === 'best' ? '--method best' : null;
  if (other) throw new ModelError('usage', `--palette and ${other} both say what weights become: give one of them.`);
  return (onStep) => async (map) => shrinkToPalettes(map, palette, onStep);
}

const NO_PALETTES: Readonly<Record<string, string>> = {
  tfjs: 'its layers have no gather among their weights: --step makes weights as small on the wire',
  'tfjs-graph': 'TensorFlow.js would look every weight up again for each prediction: --step makes weights as small on the wire',
};

/** Undefined where neither a step nor a method is asked for. @throws ModelError 'usage' where the target keeps no codes, or a dtype is asked for as well */
async function byStep(writer: AnyWriter, options: ShrinkFileOptions): Promise<Rewrite | undefined> {
  const { dtype, step } = options;
  const isBest = options.method === 'best';
  if (step === undefined && !isBest) return undefined;
  const { CODE_FORMS, shrinkByStep } = await import('../shrink/index.js');
  const form = CODE_FORMS[writer.name];
  const option = step === undefined ? '--method best' : '--step';
  if (!form)
    throw new ModelError('usage', `${option} means nothing for ${writer.title} files, which keep no codes; it is for ${Object.keys(CODE_FORMS).join(', ')}.`);
  if (dtype !== undefined && !(step === undefined && dtype === CODED_DTYPES[writer.name]))
    throw new ModelError('usage', `--dtype and ${option} both say what weights become: give one of them.`);
  return (onStep) => async (map, edited) => shrinkByStep(map, form, step ?? 'full', await better(options, onStep, edited));
}

/** @throws ModelError 'usage' where there are no inputs to work codes out with */
async function better(options: ShrinkFileOptions, onProgress: OnStep, edited: EditedMap): Promise<Better> {
  if (options.method !== 'best') return { inputs: null, onProgress };
  const inputs = await readGiven(options, onProgress, edited);
  if (!inputs) throw needsInputs();
  return { inputs, onProgress };
}

function needsInputs(): ModelError {
  return new ModelError('usage', '--method best works codes out on inputs that mean something: give --inputs (arrays or a folder of pictures) or --golden.');
}

/** Undefined where nothing is searched for: no limit, a dtype that was asked for, or a target without codes. @throws ModelError 'usage' where there are no inputs to measure agreement on */
async function bySearch(writer: AnyWriter, to: string, options: ShrinkFileOptions): Promise<Rewrite | undefined> {
  const { budget, count, minAgreement, dtype } = options;
  const { CODE_FORMS, shrinkBySearch } = await import('../shrink/index.js');
  const { PALETTES } = await import('../shrink/palettes.js');
  const form = CODE_FORMS[writer.name];
  const counted = count ?? 'disk';
  const limit = budget === undefined ? null : { byteLength: budget, count: counted };
  if (!form || dtype !== undefined || options.step !== undefined || options.palette !== undefined || (limit === null && minAgreement === undefined))
    return undefined;
  if (limit === null && options.inputs === undefined && options.golden === undefined) {
    throw new ModelError(
      'usage',
      '--min-agreement searches for the smallest net that keeps predictions, which takes inputs that mean something: give --inputs (arrays or a folder of pictures) or --golden, or say what weights become (--dtype, --step, --palette), and that is judged.',
    );
  }
  return (onProgress) => async (map, edited) => {
    const inputs = await readGiven(options, onProgress, edited);
    const search = {
      form,
      fours: writer.packed !== undefined && (options.opset ?? FOUR_BITS_OPSET) >= FOUR_BITS_OPSET,
      palettes: PALETTES.has(writer.name) && (options.opset ?? FOUR_BITS_OPSET) >= FOUR_BITS_OPSET,
      budget: limit,
      minAgreement: minAgreement ?? null,
      // What fewer layers lose is part of what is judged.
      source: edited.map,
      ...(limit && counted !== 'memory' ? { measure: (net: LayerMap) => writtenBytes(writer, net, to, options, counted) } : {}),
      inputs,
      onProgress,
    };
    if (options.method === 'best' && !inputs) throw needsInputs();
    return shrinkBySearch(map, search, { inputs: options.method === 'best' ? inputs : null, onProgress });
  };
}

/** The first of the two that a layer becomes. */
const RANK_LAYER = /\/rank'*$/;
/** Weights are computed with in float32. */
const FLOAT_BYTES = 4;
/** What is recorded beside a net: versions, names and hashes of its source. */
const METADATA_BYTES = 1024;

/** Bytes that a net takes as the target writes it, or as they are sent. */
async function writtenBytes(writer: AnyWriter, map: LayerMap, to: string, options: ShrinkFileOptions, count: 'disk' | 'wire'): Promise<number> {
  if (writer.carries !== 'model') return 0;
  const { layout, opset, externalData, compress = 'gzip' } = options;
  const written = memorySink();
  await writer.write({ ...map, source: undefined }, written, basename(to), {
    dtype: 'source',
    layout: layout ?? 'source',
    opset,
    externalData,
    metadata: async () => ({}),
  });
  const files = await written.commit();
  if (count === 'disk') return totalBytes(files) + METADATA_BYTES;
  const packed = memorySink();
  for (const [name, bytes] of written.files) {
    const file = await packed.create(name);
    await compressFile(memorySource(bytes, name), file, compress);
    await file.close();
  }
  return totalBytes(await packed.commit()) + METADATA_BYTES;
}

/** @throws ModelError 'usage' where an agreement is asked for and there is none to judge */
export function judgeShrunk(converted: ConvertDocument, { budget, count, minAgreement, activations }: ShrinkLimits): ShrinkDocument {
  const weights = converted.report?.weights?.tensors ?? [];
  const agreement = converted.report && worstAgreement(converted.report);
  if (minAgreement !== undefined && !agreement) {
    throw noClasses(' The output was written.');
  }
  const inCodes = activations ? converted.changes.filter(({ transform }) => transform === 'shrink').flatMap(({ layers }) => layers) : [];
  const found = totalsOf(converted, weights, new Set(inCodes));
  // Of layers that became two the file's own weights are compared, which are not all that the source had.
  const isLower = weights.some(({ layer }) => RANK_LAYER.test(layer));
  const totals = isLower && found.loaded ? { ...found, loaded: { ...found.loaded, before: FLOAT_BYTES * converted.source.parameterCount } } : found;
  const taken = count === 'memory' ? (totals.loaded?.after ?? totals.onDisk.after) : count === 'wire' ? totals.onWire.after : totals.onDisk.after;
  return {
    ...converted,
    schema: 'weighbridge/shrink@1',
    weights,
    totals,
    budget: budget === undefined ? null : { byteLength: budget, count: count ?? 'disk', taken, met: taken <= budget },
    agreement: agreement && { ...agreement, minimum: minAgreement ?? null, met: agreement.share >= (minAgreement ?? 0) },
  };
}
