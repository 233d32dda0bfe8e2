/** Opens a model: finds the one reader that recognises it. */

import type { FileSet } from '../bytes/file-set.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import type { ModelFile } from '../model/layer-map.js';
import { tensorByteLength } from '../model/tensor.js';
import { readers } from './index.js';
import { PROBE_BYTES, type Probe, type Reader, type ReadOptions } from './reader.js';

export interface OpenOptions extends ReadOptions {
  /** Name of a reader, where recognition by content is to be overridden. */
  readonly from?: string;
}

/**
 * Recognises a model by content and reads its headers and wiring.
 *
 * @throws ModelError 'unknown-format' when no reader says yes, else what the reader throws
 */
export async function openModel(files: FileSet, options: OpenOptions = {}): Promise<ModelFile> {
  const reader = options.from === undefined ? await recognise(files) : namedReader(options.from);
  if (options.weightsKey !== undefined && !reader.hasKeys) {
    const those = readers.filter(({ hasKeys }) => hasKeys).map(({ title }) => title);
    throw new ModelError(
      'usage',
      `a weights key chooses among several sets of weights in one file, which ${reader.title} files have not; ${those.join(', ')} files may.`,
      {
        file: files.label,
      },
    );
  }
  const model = await reader.read(files, options);
  await checkClaims(files, model);
  return model;
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
  for (const reader of readers) {
    if (await reader.match(probe)) return reader;
  }
  const known = describeContent(probe);
  throw new ModelError('unknown-format', known ?? `the content is of no format known here. Known formats: ${readers.map(({ title }) => title).join(', ')}.`, {
    file: files.label,
  });
}

/** @throws ModelError 'usage' when there is no reader of that name */
export function namedReader(name: string): Reader {
  const reader = readers.find((candidate) => candidate.name === name);
  if (!reader) throw new ModelError('usage', `there is no source format "${name}". Known: ${readers.map((candidate) => candidate.name).join(', ')}.`);
  return reader;
}

async function probeFiles(files: FileSet): Promise<Probe> {
  const name = files.main;
  if (name === null) return { files, name, source: null, head: new Uint8Array(), tail: new Uint8Array() };
  const source = await files.open(name);
  const { byteLength } = source;
  const head = await source.read(0, Math.min(PROBE_BYTES, byteLength));
  const tail = await source.read(Math.max(0, byteLength - PROBE_BYTES), byteLength);
  return { files, name, source, head, tail };
}

const A_WEB_PAGE = 'this is a web page, not a model: the download link probably needs a login';
const A_MEAN_IMAGE = 'this is a Caffe mean image (a BlobProto), not a net: the weights are in the .caffemodel';

/** Names well-known content that is no model, so that the user sees at once what went wrong; null for anything else. */
function describeContent({ name, source, head }: Probe): string | null {
  if (name === null) return 'no model was recognised in this folder. Name the model file itself.';
  if (source?.byteLength === 0) return 'the file is empty. Was a download interrupted?';
  const text = decodeLatin1(head);
  const signature = CONTENTS.find(([start, inside]) => text.trimStart().startsWith(start) && text.includes(inside));
  return signature ? `${signature[2]}.` : null;
}

/** How well-known content begins, what else is in its first bytes, and what it is; the more telling signs first. */
const CONTENTS: readonly (readonly [string, string, string])[] = [
  ['version https://git-lfs', '', 'this is a Git LFS pointer, not the file itself: run "git lfs pull"'],
  ['<!doctype', '', A_WEB_PAGE],
  ['<!DOCTYPE', '', A_WEB_PAGE],
  ['<html', '', A_WEB_PAGE],
  ['\x1f\x8b', '', 'this is a gzip archive: unpack it first'],
  ['PK', '', 'this is a zip archive that holds no model known here'],
  ['7z\xbc\xaf', '', 'this is a 7-Zip archive: unpack it first'],
  ['\x89HDF', 'learned_net', 'this is a Caffe solver state, the history of an optimiser: the weights are in the .caffemodel that was saved with it'],
  ['\x89HDF', '', 'this is an HDF5 file, but it holds neither Keras nor Caffe weights'],
  // num: 1, channels: 3 or 1, height, ...; a BlobProto.
  ['\x08\x01\x10\x03\x18', '', A_MEAN_IMAGE],
  ['\x08\x01\x10\x01\x18', '', A_MEAN_IMAGE],
  ['\x80', '', 'this is perhaps a pickle, but not one that PyTorch writes'],
  ['{', '"class_name"', 'this is a Keras configuration, which holds no weights: name the file with the weights (.h5), and this one with --config'],
  ['{', '', 'this is JSON text, which holds no weights'],
];
