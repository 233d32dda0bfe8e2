/** Opens a model: finds the one reader that recognises it. */
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import type { ModelFile } from '../model/layer-map.js';
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
  return reader.read(files, options);
}

/** @throws ModelError 'unknown-format' saying what the content looks like and which formats are known */
export async function recognise(files: FileSet): Promise<Reader> {
  const probe = await probeFiles(files);
  for (const reader of readers) {
    if (await reader.match(probe)) return reader;
  }
  throw new ModelError('unknown-format', `${describeContent(probe)}. Known formats: ${readers.map((reader) => reader.title).join(', ')}.`, {
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

/** Names well-known content that is no model, so that the user sees at once what went wrong. */
function describeContent({ name, source, head }: Probe): string {
  if (name === null) return 'no model was recognised in this folder';
  if (source?.byteLength === 0) return 'the file is empty. Was a download interrupted?';
  const text = new TextDecoder('latin1').decode(head.subarray(0, 256));
  if (text.startsWith('version https://git-lfs')) return 'this is a Git LFS pointer, not the file itself: run "git lfs pull"';
  if (/^\s*<(!doctype|html)/i.test(text)) return 'this is a web page, not a model: the download link probably needs a login';
  const signatures: readonly (readonly [string, string])[] = [
    ['\x1f\x8b', 'a gzip archive: unpack it first'],
    ['PK', 'a zip archive that holds no model known here'],
    ['7z\xbc\xaf', 'a 7-Zip archive: unpack it first'],
    ['\x89HDF', 'an HDF5 file, but it holds neither Keras nor Caffe weights'],
    ['\x80', 'perhaps a pickle, but not one that PyTorch writes'],
    ['{', 'JSON text, which holds no weights'],
  ];
  const known = signatures.find(([signature]) => text.startsWith(signature));
  return known ? `this is ${known[1]}` : 'the content is of no format known here';
}
