/**
 * The JSON of a TensorFlow.js model, made one shape: `model.json` of a layers model or a graph model, or a manifest of weights alone.
 *
 * @see https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts, ModelJSON and WeightsManifestConfig
 */

import type { ByteSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { decodeLatin1 } from '../../bytes/latin1.js';
import { checkJson, isObject, type JsonObject } from '../../containers/json.js';
import { ModelError } from '../../errors.js';
import { OLD_GRAPH } from '../tensorflow.js';

export { isObject, type JsonObject as Json };

export type TfjsKind = 'layers' | 'graph' | 'weights';

export interface ModelJson {
  readonly kind: TfjsKind;
  /** The file that it was read from. */
  readonly file: string;
  /** Null for a manifest alone. */
  readonly topology: JsonObject | null;
  readonly manifest: readonly unknown[];
  /** Everything else at the top, such as `generatedBy`; null for a manifest alone. */
  readonly top: JsonObject;
}

/** The topology of a graph of a hundred thousand nodes takes 50 MB. */
const MAX_JSON_BYTES = 2 ** 28;

const FOLDER_FILE = 'model.json';
/** Of a model that a converter of 2018 wrote. */
export const OLD_MANIFEST = 'weights_manifest.json';
const MANIFEST_SUFFIX = 'weights_manifest.json';

/** The JSON file of a model, which may be given as its folder; null where there is none. */
export async function findModelJson(files: FileSet): Promise<string | null> {
  if (files.main !== null) return files.main;
  if (await files.has(FOLDER_FILE)) return FOLDER_FILE;
  if (await files.has(OLD_GRAPH)) return null;
  const manifests = (await files.list()).filter((name) => name.endsWith(MANIFEST_SUFFIX));
  return manifests.length === 1 ? manifests[0]! : null;
}

/** What kind of TensorFlow.js model a file is; null where it is none. */
export async function recogniseModelJson(files: FileSet, name: string): Promise<TfjsKind | null> {
  const source = await files.open(name);
  if (source.byteLength > MAX_JSON_BYTES) return null;
  const head = decodeLatin1(await source.read(0, Math.min(16, source.byteLength)));
  if (!/^\s*[{[]/.test(head.replace(/^\xef\xbb\xbf/, ''))) return null;
  const text = await readText(source);
  try {
    checkJson(text, name);
    return kindOf(JSON.parse(text));
  } catch {
    // Cut short, say: reading it will tell.
    return /"(weightsManifest|modelTopology)"\s*:/.test(text) ? 'layers' : null;
  }
}

/**
 * @param named which of the files it is; the model's own where left out
 * @throws ModelError 'malformed' where it is no JSON or none of a TensorFlow.js model
 */
export async function readModelJson(files: FileSet, named?: string): Promise<ModelJson> {
  const file = named ?? (await findModelJson(files));
  if (file === null) throw new ModelError('malformed', 'the folder holds no model.json', { file: files.label });
  const source = await files.open(file);
  if (source.byteLength > MAX_JSON_BYTES) throw new ModelError('unsafe', `a topology of ${source.byteLength} bytes is larger than any model's`, { file });
  const text = await readText(source);
  checkJson(text, file);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ModelError('malformed', `is no valid JSON: ${(error as Error).message}. Is it truncated?`, { file }, error);
  }
  const kind = kindOf(json);
  if (kind === null) {
    const found = "this JSON is no TensorFlow.js model: it has neither a weightsManifest nor a topology, and is no list of weights' groups";
    throw new ModelError('malformed', found, { file });
  }
  const top = Array.isArray(json) ? {} : (json as JsonObject);
  const manifest = Array.isArray(json) ? json : (top.weightsManifest ?? []);
  if (!Array.isArray(manifest)) throw new ModelError('malformed', 'the weightsManifest is no list', { file });
  return { kind, file, topology: kind === 'weights' ? null : (top.modelTopology as JsonObject), manifest, top };
}

function kindOf(json: unknown): TfjsKind | null {
  if (Array.isArray(json)) return json.length > 0 && json.every(isGroup) ? 'weights' : null;
  if (!isObject(json)) return null;
  const { modelTopology: topology, weightsManifest: manifest } = json;
  if (isObject(topology)) {
    if (Array.isArray(topology.node)) return 'graph';
    return isObject(topology.model_config) || typeof topology.class_name === 'string' ? 'layers' : null;
  }
  return Array.isArray(manifest) && manifest.every(isGroup) ? 'weights' : null;
}

function isGroup(value: unknown): boolean {
  return isObject(value) && Array.isArray(value.weights) && Array.isArray(value.paths);
}

async function readText(source: ByteSource): Promise<string> {
  return new TextDecoder().decode(await source.read(0, source.byteLength));
}
