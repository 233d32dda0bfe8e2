/** `convert`: a model file in, a model file of another format out. */
import type { ByteSink, WrittenFile } from './bytes/byte-sink.js';
import type { FileSet } from './bytes/file-set.js';
import { isModelError, ModelError, throwAll } from './errors.js';
import { CLAIMS_KEY, type Claim } from './model/claims.js';
import { type DType, type DTypeName, dtypeNamed, dtypeNames } from './model/dtype.js';
import type { Change, EditedMap } from './model/edited.js';
import { LABELS_KEY } from './model/labels.js';
import type { LayerMap, ModelFile, Notice } from './model/layer-map.js';
import { didYouMean } from './model/nearest.js';
import { watchMap, watchTensors } from './model/odd-weights.js';
import type { Tensor } from './model/tensor.js';
import { readers } from './readers/index.js';
import { type OpenOptions, openModel } from './readers/open.js';
import { NO_WEIGHTS } from './readers/wire.js';
import type { DTypeEdits, Edits } from './transforms/index.js';
import { VERSION } from './version.js';
import { listed } from './words.js';
import { type AnyWriter, writers } from './writers/index.js';
import type { TargetName, TargetOption, WriteOptions } from './writers/writer.js';

export interface ConvertOptions extends OpenOptions, Edits {
  /** Name of a writer, checked when it is used; else the output's extension decides. */
  readonly to?: TargetName | (string & {});
  /** dtype of stored weights; each tensor keeps its own when left out. */
  readonly dtype?: DTypeName | (string & {});
  readonly layout?: WriteOptions['layout'];
  readonly opset?: number;
  readonly externalData?: boolean;
  readonly float16Compute?: boolean;
  /** Hashes of the source files by name, awaited when the last weight is written; recorded in the target. */
  readonly sourceHashes?: () => Promise<Readonly<Record<string, string>>>;
  /** Weights-only targets: names, shapes and layouts as the source has them, or canonical ones in the layer map's layout. */
  readonly names?: 'source' | 'canonical';
  readonly shardBytes?: number;
  /**
   * Puts other weights in place of the map's before it is written: what `shrink` does beyond a dtype. Null leaves it as it is.
   *
   * @param edited how the map came to be, in whose terms inputs are given
   */
  readonly rewrite?: (
    map: LayerMap,
    edited: EditedMap,
  ) => Promise<{ readonly map: LayerMap; readonly change: Change; readonly claims?: readonly Claim[] } | null>;
  readonly onProgress?: WriteOptions['onProgress'];
  /** Called once the source is understood and before anything is written. */
  readonly onRead?: (model: ModelFile, map: LayerMap | null, edited?: EditedMap) => void | Promise<void>;
}

export interface ConvertResult {
  readonly model: ModelFile;
  /** Null where weights were moved without looking at their wiring. */
  readonly map: LayerMap | null;
  /** Set where the map is not the source's own any more. */
  readonly edited?: EditedMap;
  /** The tensors that a weights-only target was given, before any cast. */
  readonly weights: readonly Tensor[] | null;
  readonly writer: AnyWriter;
  readonly dtype: DType | 'source';
  readonly files: readonly WrittenFile[];
  /** Of the reader, the layer map and the writer, in this order. */
  readonly warnings: readonly Notice[];
}

/**
 * Converts a model into `sink`, as `name`. Nothing appears under its final name unless everything was written.
 *
 * @throws ModelError; several obstacles are listed in one error
 */
export async function convert(files: FileSet, sink: ByteSink, name: string, options: ConvertOptions = {}): Promise<ConvertResult> {
  const named = chooseWriter(name, options.to);
  // Tensors under names that were asked for are no net, whatever else the format can hold.
  const chosen = options.names !== undefined && named.carries === 'model' && named.weightsOnly ? named.weightsOnly : named;
  const dtype = chooseDType(chosen, options.dtype);
  checkOptions(chosen, options);
  const edits = EDITS.filter((name) => options[name] !== undefined && options[name] !== false);
  if (chosen.carries === 'weights' && edits.length > 0) throw meansNothing(edits, chosen);
  if (chosen.carries === 'weights' && options.names !== 'canonical') checkWiring(options, chosen);
  const model = await openModel(files, { ...options, ends: options.until === undefined ? options.outputs : [options.until] });
  const read = chosen.carries === 'model' || options.names === 'canonical' ? await readMap(model, chosen, edits.length > 0) : null;
  const own = isModelError(read) ? null : read;
  const changed = own ? await editedFor(own, chosen, options) : undefined;
  const before = changed ?? (own && asItIs(own));
  const made = before && options.rewrite ? await options.rewrite(before.map, before) : null;
  const altered = withoutBeside(before && made ? rewritten(before, made) : changed);
  const classNames = own && chosen.name === 'pytorch' ? await classNamed(altered ?? asItIs(own), model) : null;
  const edited = classNames?.edited ?? altered;
  const map = edited?.map ?? own;
  const writer = chosen.carries === 'model' && chosen.weightsOnly && map === null ? chosen.weightsOnly : chosen;
  const weights = writer.carries === 'model' ? null : map ? canonicalWeights(map) : model.tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor);
  const withoutWiring: Notice[] = isModelError(read) ? [{ code: 'weights-only', message: `the weights alone were written: ${read.problem}` }] : [];
  if (weights?.length === 0) {
    const unread = model.warnings.find(({ code }) => code === 'unread-tensor')?.message;
    throw new ModelError('unsupported', unread ?? (model.tensors.length > 0 ? NO_WEIGHTS : 'the file holds no weights'), { file: files.label });
  }
  const labels = carriedLabels(model, map, writer);
  await options.onRead?.(model, map, edited);
  const writeOptions: WriteOptions = {
    dtype,
    layout: options.layout ?? 'source',
    opset: options.opset,
    externalData: options.externalData,
    float16Compute: options.float16Compute,
    shardBytes: options.shardBytes,
    // A weights-only format has its metadata before its weights, when the hashes are not yet known.
    metadata: async () => ({
      ...(writer.keepsMetadata ? ownMetadata(model) : {}),
      ...(labels.names ? { [LABELS_KEY]: JSON.stringify(labels.names) } : {}),
      ...claimed(edited?.changes ?? [], made?.claims ?? []),
      ...provenance(model, map, writer.carries === 'model' ? await options.sourceHashes?.() : {}),
    }),
    onProgress: options.onProgress,
  };
  const watched = writer.carries === 'model' ? watchMap(map!) : watchTensors(weights!);
  const obstacles = await (writer.carries === 'model'
    ? writer.check(watched.weights as LayerMap, writeOptions)
    : writer.check(watched.weights as readonly Tensor[], writeOptions));
  if (obstacles.length > 0)
    throwAll([...obstacles, ...(await wayRound(writer, watched.weights, writeOptions, obstacles))], `${writer.title} cannot express this model:`);
  try {
    const warnings: Notice[] = [
      ...model.warnings,
      ...(map?.warnings ?? []),
      ...withoutWiring,
      ...(classNames?.notices ?? []),
      ...labels.notices,
      ...lostMetadata(model, writer),
    ];
    const lost = await (writer.carries === 'model'
      ? writer.write(watched.weights as LayerMap, sink, name, writeOptions)
      : writer.write(watched.weights as readonly Tensor[], sink, name, writeOptions));
    await watched.rest();
    warnings.push(...noticed(watched.notices(), lost.warnings));
    await model.check?.();
    const written = await sink.commit();
    // Codes that were put in place of weights are no codes of the source.
    if (options.rewrite) warnings.splice(0, warnings.length, ...warnings.filter(({ code }) => code !== 'codes-kept'));
    return { model, map, ...(edited ? { edited } : {}), weights, writer, dtype, files: written, warnings };
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Another form of the same format that the net can be written in, where nobody has spoken of it yet. */
async function wayRound(writer: AnyWriter, map: LayerMap | readonly Tensor[], options: WriteOptions, obstacles: readonly ModelError[]): Promise<ModelError[]> {
  const wider = writers.find(({ name }) => name === writer.wider);
  if (
    wider?.carries !== 'model' ||
    obstacles.some(({ message }) => message.includes(`--to ${wider.name}`)) ||
    (await wider.check(map as LayerMap, options)).length > 0
  )
    return [];
  return [new ModelError('unsupported', `as a ${wider.title} it can be written: --to ${wider.name}`)];
}

/**
 * The map as it is to be written; undefined where that is how it is. Exporters' ways of writing an operator are taken out where the map is written
 * anew in another format: of its own format only what was asked for changes.
 */
async function editedFor(map: LayerMap, writer: AnyWriter, options: ConvertOptions): Promise<EditedMap | undefined> {
  const simplify = options.simplify ?? (writer.carries === 'model' && map.format !== writer.name);
  // Who asks for float32 does not want weights of it in a net of doubles, which runtimes lack.
  const inFloat32 = options.dtype === 'float32' && writer.name === 'onnx';
  const edits: Edits & DTypeEdits = { ...options, simplify, inFloat32 };
  if (!inFloat32 && !EDITS.some((name) => edits[name] !== undefined && edits[name] !== false)) return undefined;
  const { editMap } = await import('./transforms/index.js');
  const edited = await editMap(map, edits, async (layer) => writer.carries === 'model' && writer.hasOperator(layer, map, options));
  return edited.changes.length > 0 || edited.prelude ? edited : undefined;
}

/** Changes behind which a net is not that of its class any more. */
const OF_ANOTHER_NET: ReadonlySet<string> = new Set(['cut', 'fold-batchnorm', 'low-rank', 'shrink']);

function withoutBeside(edited: EditedMap | undefined): EditedMap | undefined {
  if (!edited?.map.beside || !edited.changes.some(({ transform }) => OF_ANOTHER_NET.has(transform))) return edited;
  const { beside: _, ...map } = edited.map;
  return { ...edited, map };
}

function asItIs(map: LayerMap): EditedMap {
  return { map, original: map, comparable: map, shown: new Map(), changes: [], prelude: null };
}

/** Formats of frameworks whose nets have names of their own. */
function isNamedOtherwise({ format }: ModelFile): boolean {
  return format === 'keras-h5' || format === 'keras-v3' || format === 'caffe';
}

/** The net under the names of PyTorch's own class; null where there is nothing to say. */
async function classNamed(edited: EditedMap, model: ModelFile): Promise<{ readonly edited?: EditedMap; readonly notices: readonly Notice[] } | null> {
  const found = await inClassNames(edited.map, model);
  return found && { ...(found.map === edited.map ? {} : { edited: { ...edited, map: found.map } }), notices: found.notices };
}

async function inClassNames(map: LayerMap, model: ModelFile): Promise<{ readonly map: LayerMap; readonly notices: readonly Notice[] } | null> {
  if (isNamedOtherwise(model)) return (await import('./architectures/torch-names.js')).withTorchNames(map);
  if (map.wrapper !== undefined) return (await import('./architectures/torch-names.js')).withoutWrapper(map);
  return map.architecture ? null : (await import('./architectures/position-tables.js')).withPositionTables(map);
}

function rewritten(edited: EditedMap, { map, change }: { readonly map: LayerMap; readonly change: Change }): EditedMap {
  return { ...edited, map, changes: [...edited.changes, change] };
}

/** What was noticed of weights as they passed, and what the writer says of its casts; NaN are told by both. */
function noticed(odd: readonly Notice[], lost: readonly Notice[]): Notice[] {
  return [...odd, ...lost.filter(({ code }) => code !== 'nan')];
}

/** The layer map, or why there is none, where the format can do without. @throws ModelError where it cannot */
async function readMap(model: ModelFile, writer: AnyWriter, isEdited: boolean): Promise<LayerMap | ModelError> {
  try {
    return await model.map();
  } catch (error) {
    if (!isEdited && writer.carries === 'model' && writer.weightsOnly && isModelError(error) && error.kind === 'unsupported') return error;
    throw error;
  }
}

/** The layer map's weights as 'conv1_1.kernel', in ONNX's layouts. */
export function canonicalWeights(map: LayerMap): Tensor[] {
  return map.layers.flatMap((layer) =>
    Object.entries(layer.weights).map(([role, tensor]) => ({ ...tensor, name: `${layer.canonicalName ?? layer.name}.${role}` })),
  );
}

/** @throws ModelError 'usage' naming what is known */
export function chooseWriter(name: string, to?: string): AnyWriter {
  const lower = name.toLowerCase();
  const isBeside = ({ name: target, beside }: AnyWriter) => (to === undefined || to === target) && beside !== undefined && lower.endsWith(beside);
  const other = writers.find(isBeside);
  if (other) {
    const [extension] = other.extensions;
    const weights = `${name.slice(0, -other.beside!.length)}${extension}`;
    throw new ModelError('usage', `"${name}" is what ${other.title}'s layers are written to beside their weights: give the name of those, ${weights}.`);
  }
  if (to !== undefined) {
    const writer = writers.find((candidate) => candidate.name === to);
    const names = writers.map((candidate) => candidate.name);
    if (writer) return writer;
    const readAlone = readers.find((reader) => reader.name === to);
    const meant = readAlone ? ` ${readAlone.title} files are read, and not written.` : didYouMean(to, names);
    throw new ModelError('usage', `there is no target format "${to}".${meant} Known: ${names.join(', ')}.`);
  }
  const writer = writers.find(({ extensions }) => extensions.some((extension) => lower.endsWith(extension)));
  if (writer) return writer;
  const known = writers.flatMap((candidate) => candidate.extensions.map((extension) => `${extension} (${candidate.name})`)).join(', ');
  const [extension = ''] = /\.\w+$/.exec(lower) ?? [];
  const source = readers.find(({ extensions }) => extensions.some((own) => lower.endsWith(own)));
  const meant = source
    ? ` ${source.title} files are read, and not written.`
    : didYouMean(extension, extension === '' ? [] : writers.flatMap(({ extensions }) => extensions));
  throw new ModelError('usage', `the extension of "${name}" does not say which format to write.${meant} Known: ${known}; or name one with --to.`);
}

/** @throws ModelError 'usage' naming the dtypes of the target */
function chooseDType(writer: AnyWriter, dtype: string | undefined): DType | 'source' {
  if (dtype === undefined) return 'source';
  const named = dtypeNamed(dtype);
  if (named !== null && writer.dtypes.includes(named)) return named;
  const { packed = [] } = writer;
  if ((packed as readonly string[]).includes(dtype)) {
    throw new ModelError('usage', `codes of ${dtype} are chosen so that they lose little, which is what \`weighbridge shrink --dtype ${dtype}\` does.`);
  }
  throw new ModelError(
    'usage',
    `${writer.title} files are not written in "${dtype}".${named === null ? didYouMean(dtype, [...dtypeNames(writer.dtypes), ...packed]) : ''} ${possibleDTypes(writer)}`,
  );
}

/** What an error says of the dtypes that a target is written in. */
export function possibleDTypes({ dtypes, packed = [] }: Pick<AnyWriter, 'dtypes' | 'packed'>): string {
  return `Possible: ${dtypes.join(', ')}${packed.length > 0 ? `; with shrink also ${packed.join(', ')}` : ''}.`;
}

/** Options that change the net on the way, and how the command line spells them. */
const EDIT_OPTIONS: Readonly<Record<keyof Edits, string>> = {
  until: '--until',
  outputs: '--outputs',
  foldBatchnorm: '--fold-batchnorm',
  embedPreprocessing: '--embed-preprocessing',
  preprocess: '--preprocess',
  mean: '--mean',
  batch: '--batch',
  simplify: '--simplify',
};
const EDITS = Object.keys(EDIT_OPTIONS) as (keyof Edits)[];

function meansNothing(edits: readonly (keyof Edits)[], { title }: AnyWriter): ModelError {
  const options = edits.map((name) => EDIT_OPTIONS[name]).join(' and ');
  return new ModelError('usage', `${options} ${edits.length > 1 ? 'change' : 'changes'} the net, and ${title} files hold weights without one.`);
}

/** What the caller says of a net's wiring, of which a weights-only target has nothing unless its names are the wiring's. @throws ModelError 'usage' */
function checkWiring(options: ConvertOptions, { title }: AnyWriter): void {
  const { arch = options.described, assume, inputShape } = options;
  const inference = options.inference || undefined;
  const given = Object.entries({ '--arch': arch, '--assume': assume, '--input-shape': inputShape, '--inference': inference }).filter(
    ([, value]) => value !== undefined,
  );
  if (given.length === 0) return;
  const [flags, verb] = [given.map(([flag]) => flag).join(' and '), given.length > 1 ? 'say' : 'says'];
  throw new ModelError(
    'usage',
    `${flags} ${verb} how a net is wired, and ${title} files hold weights without a net (but --names canonical takes names from it).`,
  );
}

/** How the command line spells options of the target, and what they are about. */
const TARGET_OPTIONS: Readonly<Record<TargetOption, string>> = {
  layout: '--layout (the axis order of inputs and outputs)',
  opset: '--opset',
  externalData: '--external-data',
  float16Compute: '--float16-compute',
  names: '--names',
  shardBytes: '--shard-size',
};

/** @throws ModelError 'usage' naming every option that the target does not have, and the targets that have it */
function checkOptions(writer: AnyWriter, options: ConvertOptions): void {
  const given = (Object.keys(TARGET_OPTIONS) as TargetOption[]).filter((name) => {
    const value = options[name];
    return value !== undefined && value !== false && value !== 'source';
  });
  const errors = given
    .filter((name) => !writer.options.includes(name))
    .map((name) => {
      const those = writers.filter((candidate) => candidate.options.includes(name)).map(({ title }) => title);
      return new ModelError('usage', `${TARGET_OPTIONS[name]} means nothing for ${writer.title} files; it is for ${those.join(', ')}.`);
    });
  if (errors.length > 0) throwAll(errors, `${writer.title} files do not have all that was asked for:`);
}

/**
 * The names of classes that go into the target.
 *
 * @throws ModelError 'usage' where the user names more or fewer than the net has
 */
function carriedLabels(
  { labels }: ModelFile,
  map: LayerMap | null,
  writer: AnyWriter,
): { readonly names: readonly string[] | null; readonly notices: readonly Notice[] } {
  if (!labels) return { names: null, notices: [] };
  const { names, from } = labels;
  const given = `${names.length} classes are named by ${from}`;
  const lost = (code: string, message: string) => ({ names: null, notices: [{ code, message }] });
  const count = map && classCount(map);
  if (count !== null && count !== names.length) {
    const problem = `${given}, and the net has ${count}`;
    if (from === '--labels') throw new ModelError('usage', `${problem}.`);
    return lost('labels-unfit', `${problem}: the names were left out`);
  }
  if (writer.hasNoFacts) return lost('labels-lost', `${given}, and ${writer.title} files have no place for them`);
  return { names, notices: [] };
}

/** How many classes the only output tells apart; null where it is no list of any. */
function classCount({ outputs: [output, ...others] }: LayerMap): number | null {
  const sizes = output?.shape.slice(1).filter((size) => size !== 1) ?? [];
  return others.length === 0 && sizes.length === 1 && typeof sizes[0] === 'number' ? sizes[0] : null;
}

/** What a source says about itself; what an earlier conversion recorded is not its own. */
function ownMetadata({ metadata = {} }: ModelFile): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !key.startsWith('weighbridge.')));
}

/** What a source says about itself and the target has no place for. */
function lostMetadata(model: ModelFile, writer: AnyWriter): Notice[] {
  const keys = Object.keys(ownMetadata(model)).filter((key) => key !== 'format');
  if (writer.keepsMetadata || keys.length === 0) return [];
  return [{ code: 'metadata-lost', message: `${writer.title} files have no place for the metadata of the source (${listed(keys)}), which was left out` }];
}

/** What the target records of weights that are not the source's, each rounded. */
function claimed(changes: readonly Change[], claims: readonly Claim[]): Record<string, string> {
  const isFolded = changes.some(({ transform, layers }) => transform === 'fold-batchnorm' && layers.length > 0);
  const all = [...(isFolded ? ['folded'] : []), ...claims];
  return all.length > 0 ? { [CLAIMS_KEY]: all.join(' ') } : {};
}

/** What the target records about where it came from; no dates, so that the same input gives the same bytes. */
function provenance(model: ModelFile, map: LayerMap | null, hashes: Readonly<Record<string, string>> = {}): Record<string, string> {
  const facts: Record<string, string> = {
    'weighbridge.version': VERSION,
    'weighbridge.source.format': model.format,
    'weighbridge.source.files': model.files.join(' '),
  };
  if (model.producer !== null) facts['weighbridge.source.producer'] = model.producer;
  if (map?.architecture) facts['weighbridge.architecture'] = map.architecture.name;
  if (map?.architecture?.labels) facts['weighbridge.labels.origin'] = map.architecture.labels;
  for (const [file, hash] of Object.entries(hashes)) facts[`weighbridge.source.sha256.${file}`] = hash;
  return facts;
}
