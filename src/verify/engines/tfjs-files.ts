/**
 * A TensorFlow.js model's files for TensorFlow.js's own loader: `model.json` and the shards beside it go through its HTTP loader, as
 * in a page, with a `fetch` that reads our files. Manifest, shards, byte order and dequantisation are the loader's business.
 */
import type { io } from '@tensorflow/tfjs-core';
import type { ByteSource } from '../../bytes/byte-source.js';
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
    // A copy: what a source gives may be its own buffer, and a response wants one of its own.
    if (name === main) return new Response(bytes.slice() as Uint8Array<ArrayBuffer>, { headers: { 'Content-Type': 'application/json' } });
    return shardResponse(await files.open(name));
  };
  return { kind: nodes ? 'graph' : 'layers', nodes: nodes ?? [], handler };

  function handler({ io }: typeof import('@tensorflow/tfjs-core')) {
    readStandIns(io);
    return io.http(`${ROOT}${main}`, { fetchFunc });
  }
}

/** Files by the buffers that stand for their bytes, and that nobody has written to: what was not touched takes no memory. */
const standIns = new WeakMap<object, ByteSource>();

/** The loader wants all shards before it takes the first weight out of them, and keeps them for as long as the model lives: it gets stand-ins. */
function shardResponse(file: ByteSource): Response {
  const response = new Response(null, { headers: { 'Content-Type': 'application/octet-stream' } });
  return Object.assign(response, {
    async arrayBuffer() {
      const bytes = new Uint8Array(file.byteLength);
      if (file.readIntoNow) standIns.set(bytes.buffer, file);
      else await file.readInto(0, bytes);
      return bytes.buffer;
    },
  });
}

interface Shards {
  readonly byteLength: number;
  readonly shards: readonly { readonly buffer: ArrayBuffer; readonly start: number; readonly end: number }[];
  slice(start?: number, end?: number): ArrayBuffer;
}

const taught = new WeakSet<object>();

/** Has what cuts weights out of shards read those that are stood in for. */
function readStandIns({ CompositeArrayBuffer }: typeof io): void {
  if (taught.has(CompositeArrayBuffer)) return;
  taught.add(CompositeArrayBuffer);
  const whole = CompositeArrayBuffer.prototype as unknown as Shards;
  const { slice } = whole;
  whole.slice = function (this: Shards, start = 0, end = this.byteLength) {
    if (this.shards.length === 0 || this.shards.some(({ buffer }) => !standIns.has(buffer))) return slice.call(this, start, end);
    const weight = new Uint8Array(Math.max(0, Math.min(end, this.byteLength) - start));
    for (const { buffer, ...shard } of this.shards) {
      const [from, to] = [Math.max(start, shard.start), Math.min(end, shard.end)];
      if (from < to) standIns.get(buffer)!.readIntoNow!(from - shard.start, weight.subarray(from - start, to - start));
    }
    return weight.buffer;
  };
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
