/**
 * A TensorFlow.js model's files for TensorFlow.js's own loader: `model.json` and the shards beside it go through its HTTP loader, as
 * in a page, with a `fetch` that reads our files. Manifest, shards, byte order and dequantisation are the loader's business.
 */
import type { io } from '@tensorflow/tfjs-core';
import { checkRelativeName, type FileSet } from '../../bytes/file-set.js';
import { ModelError } from '../../errors.js';

const ROOT = 'weighbridge://model/';
/** MobileNet's topology takes 130 kB, a graph of a hundred thousand nodes 50 MB. */
const MAX_JSON_BYTES = 256e6;

/** `keras` where the files hold no TensorFlow.js model but an original Keras one. */
export type TfjsKind = 'layers' | 'graph' | 'keras';

/** A node of a graph model's topology, as far as it is looked at. */
export interface TopologyNode {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: Readonly<Record<string, { readonly s?: string; readonly list?: { readonly i?: readonly (string | number)[] } } | undefined>>;
}

export interface TfjsFiles {
  readonly kind: TfjsKind;
  /** Nodes of a graph model. */
  readonly nodes: readonly TopologyNode[];
  /** What `loadLayersModel` and `loadGraphModel` take. */
  handler(core: typeof import('@tensorflow/tfjs-core')): io.IOHandler;
}

/**
 * Looks at a model's main file, or at `model.json` in a folder.
 *
 * @throws ModelError 'engine' where it is JSON but no model
 */
export async function tfjsFiles(files: FileSet): Promise<TfjsFiles> {
  const main = files.main ?? 'model.json';
  const source = await files.open(main);
  const [first] = await source.read(0, Math.min(1, source.byteLength));
  if (first !== '{'.charCodeAt(0) && !main.endsWith('.json')) return { kind: 'keras', nodes: [], handler: noHandler };
  if (source.byteLength > MAX_JSON_BYTES) throw new ModelError('engine', `a topology of ${source.byteLength} bytes is not loaded`, { file: files.label });
  const bytes = await source.read(0, source.byteLength);
  const topology = topologyOf(bytes, files.label);
  const nodes = Array.isArray(topology.node) ? (topology.node as TopologyNode[]) : null;
  const fetchFunc = async (url: RequestInfo | URL) => {
    const name = checkRelativeName(String(url).slice(ROOT.length), files.label);
    const file = name === main ? source : await files.open(name);
    // A copy: what a source gives may be its own buffer, and a response wants one of its own.
    const content = name === main ? bytes : await file.read(0, file.byteLength);
    return new Response(content.slice() as Uint8Array<ArrayBuffer>, {
      headers: { 'Content-Type': main === name ? 'application/json' : 'application/octet-stream' },
    });
  };
  return { kind: nodes ? 'graph' : 'layers', nodes: nodes ?? [], handler: ({ io }) => io.http(`${ROOT}${main}`, { fetchFunc }) };
}

function topologyOf(bytes: Uint8Array, file: string): { readonly node?: unknown } {
  let model: { readonly modelTopology?: unknown } | null;
  try {
    model = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new ModelError('engine', 'TensorFlow.js does not load it: model.json is no JSON', { file }, error);
  }
  const topology = model?.modelTopology;
  if (typeof topology !== 'object' || topology === null)
    throw new ModelError('engine', 'TensorFlow.js does not load it: it has no modelTopology, only weights', { file });
  return topology;
}

function noHandler(): never {
  throw new Error('an original Keras file has no handler');
}
