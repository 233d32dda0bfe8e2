/** Opens a model: finds the one reader that recognises it. */

import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { lookAt, unfinishedHint } from '../bytes/leftover.js';
import { isHdf5 } from '../containers/hdf5/signature.js';
import { looksLikeTar } from '../containers/tar.js';
import { isModelError, ModelError } from '../errors.js';
import type { ModelFile } from '../model/layer-map.js';
import { didYouMean } from '../model/nearest.js';
import { checkPorts } from '../model/net-size.js';
import { tensorByteLength } from '../model/tensor.js';
import { listed } from '../words.js';
import { type Asked, checkSourceOptions, keptAccount } from './asked.js';
import { readers } from './index.js';
import { findLabels } from './labels.js';
import { PROBE_BYTES, type Probe, type Reader, type ReadOptions, type SourceName } from './reader.js';

export interface OpenOptions extends ReadOptions {
  /** Name of a reader, where recognition by content is to be overridden. */
  readonly from?: SourceName | (string & {});
  /** Names of the classes, instead of those that the file or its folder has. */
  readonly labels?: readonly string[];
}

/**
 * Recognises a model by content and reads its headers and wiring.
 *
 * @throws ModelError 'unknown-format' when no reader says yes, else what the reader throws
 */
export async function openModel(files: FileSet, options: OpenOptions = {}): Promise<ModelFile> {
  try {
    return await readModel(files, options);
  } catch (error) {
    if (!isModelError(error)) throw error;
    const other = options.from === undefined || error.kind === 'usage' ? null : await otherFormat(files, options.from).catch(() => null);
    if (other !== null) throw new ModelError('usage', other, { file: files.label }, error);
    if (error.kind !== 'malformed' || files.main === null) throw error;
    const hint = unfinishedHint(await lookAt(await files.open(files.main), files.main, PROBE_BYTES));
    throw hint === null ? error : new ModelError(error.kind, `${ended(error.problem)} ${hint}`, error.place, error);
  }
}

/** With what ends a sentence. */
function ended(problem: string): string {
  return /[.?!]$/.test(problem) ? problem : `${problem}.`;
}

async function readModel(files: FileSet, options: OpenOptions): Promise<ModelFile> {
  const reader = options.from === undefined ? await recognise(files) : namedReader(options.from);
  if (options.weightsKey === '')
    throw new ModelError('usage', 'a weights key is the names that lead to a set of weights; it was given empty', { file: files.label });
  checkSourceOptions(reader, options, readers, files.label);
  const account = keptAccount(options);
  const model = accounted(await reader.read(files, account.options), account, files.label);
  await checkClaims(files, model);
  const labels = options.labels ? { names: options.labels, from: '--labels' } : await findLabels(files, model);
  return labels ? { ...model, labels, map: async () => ({ ...(await model.map()), classes: labels.names }) } : model;
}

/** The model, whose wiring is refused where the caller says what it has no use for. */
function accounted(model: ModelFile, account: Asked, file: string): ModelFile {
  return {
    ...model,
    map: async () => {
      const map = await model.map();
      checkPorts(map, file);
      account.check(file);
      return map;
    },
  };
}

/** What a file is that cannot be read as the format that the caller named: of another one, or none. Null where it looks like what was named. */
async function otherFormat(files: FileSet, from: string): Promise<string | null> {
  const probe = await probeFiles(files);
  const named = namedReader(from);
  if (await named.match(probe)) return null;
  const found = await matching(probe);
  if (found) return `its content is ${found.title}, and cannot be read as ${named.title}: leave --from ${from} out, or say --from ${found.name}.`;
  return `it cannot be read as ${named.title}, which --from ${from} asks for: ${await describe(probe)}`;
}

/** What any file may claim, and how many times its size: weights shrink little, and few are shared. */
const CLAIM_BYTES = 2 ** 26;
const MAX_CLAIM_RATIO = 50;

/**
 * A few stored bytes can stand for tensors without end: views that share them, chunks that point to one place, values that were never written.
 *
 * @throws ModelError 'unsafe' when the tensors are out of all proportion to the files
 */
async function checkClaims(files: FileSet, model: ModelFile): Promise<void> {
  const claimed = model.tensors.reduce((sum, { tensor }) => sum + tensorByteLength(tensor), 0);
  if (claimed <= CLAIM_BYTES) return;
  let stored = 0;
  for (const name of model.files) {
    const source = await files.open(name);
    stored += source.byteLength;
    await source.close();
  }
  if (claimed <= CLAIM_BYTES + MAX_CLAIM_RATIO * stored) return;
  throw new ModelError('unsafe', `its tensors claim ${claimed} bytes, and all of its files have ${stored}: most of them would be the same bytes again`, {
    file: files.label,
  });
}

/** @throws ModelError 'unknown-format' saying what the content looks like and which formats are known */
export async function recognise(files: FileSet): Promise<Reader> {
  const probe = await probeFiles(files);
  const found = await matching(probe);
  if (found) return found;
  throw new ModelError('unknown-format', await describe(probe), { file: files.label });
}

async function matching(probe: Probe): Promise<Reader | null> {
  for (const reader of readers) {
    if (await reader.match(probe)) return reader;
  }
  return null;
}

/** @throws ModelError 'usage' when there is no reader of that name */
export function namedReader(name: string): Reader {
  const reader = readers.find((candidate) => candidate.name === name);
  const names = readers.map((candidate) => candidate.name);
  if (!reader) throw new ModelError('usage', `there is no source format "${name}".${didYouMean(name, names)} Known: ${names.join(', ')}.`);
  return reader;
}

async function probeFiles(files: FileSet): Promise<Probe> {
  const name = files.main;
  if (name === null) return { files, name, source: null, head: new Uint8Array(), tail: new Uint8Array() };
  const source = await files.open(name);
  const { head, tail } = await lookAt(source, name, PROBE_BYTES);
  return { files, name, source, head, tail };
}

/** As many as one reads. */
const MAX_NAMES = 12;

/** What is in the place of a model that no reader knows; a page loads the words for it when it comes to that. */
async function describe({ files, name, source, head, tail }: Probe): Promise<string> {
  const { describeContent, describeFolder } = await import('./other-content.js');
  if (name === null) {
    const variables = ((await files.below?.()) ?? []).filter((below) => below.startsWith('variables/'));
    return describeFolder([...(await files.list()), ...variables]) ?? (await (await import('./models-in-folder.js')).describeModelsIn(files));
  }
  const look = { name, byteLength: source!.byteLength, head, tail };
  const { archivedNames } = await import('./pytorch/archived.js');
  const packed = await archivedNames(source!).catch(() => []);
  if (packed.length > 1) return `this is an archive of several models (${listed(packed, MAX_NAMES)}): unpack it, and name one.`;
  if (packed.length === 1) return `this is an archive that holds ${packed[0]}: unpack it first.`;
  const known =
    (await describeHdf5(source!)) ??
    describeContent(look) ??
    `the content is of no format known here. Known formats: ${readers.map(({ title }) => title).join(', ')}.`;
  // A tar archive ends in zeros.
  const hint = looksLikeTar(head) ? null : unfinishedHint(look);
  return hint === null ? known : `${known} ${hint}`;
}

/** What an HDF5 file holds that is no model, by its names; null for any other file, and where there is more to say of it. */
async function describeHdf5(source: ByteSource): Promise<string | null> {
  if (!(await isHdf5(source))) return null;
  const { openHdf5 } = await import('../containers/hdf5/index.js');
  try {
    const keys = await (await openHdf5(source)).keys();
    if (keys.length === 0 || keys.includes('learned_net')) return null;
    return `this is an HDF5 file, but it holds neither Keras nor Caffe weights: it has ${listed(keys, MAX_NAMES)}.`;
  } catch (error) {
    if (isModelError(error)) return null;
    throw error;
  }
}
