/** Reads Caffe models: finds the files that belong together, and what each of them says. */
import type { FileSet } from '../../bytes/file-set.js';
import { isHdf5 } from '../../containers/hdf5/signature.js';
import { WireReader } from '../../containers/protobuf.js';
import { parsePrototext, type TextMessage } from '../../containers/prototext.js';
import { ModelError } from '../../errors.js';
import type { ModelFile, Notice } from '../../model/layer-map.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { readCaffemodel } from './blobs.js';
import { looksLikeCaffemodel, looksLikePrototxt, snapshotGroup } from './recognise.js';
import { type CaffeNet, readTopology } from './topology.js';

/** The longest published prototxt has some hundred kilobytes. */
const MAX_PROTOTXT_BYTES = 2 ** 22;

/** Headers and wiring; see `Reader.read`. */
export async function readCaffe(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const main = files.main!;
  const head = await readHead(files, main);
  const mainIsText = !looksLikeCaffemodel(head) && looksLikePrototxt(head);
  const weightsName = mainIsText ? await findWeights(files, main) : main;
  const textName = mainIsText ? main : await findPrototxt(files, weightsName, options);
  const weights = await readWeights(files, weightsName);
  const text = textName === null ? null : parsePrototext(await readText(files, textName), textName);
  const description = text ?? weights.net;
  if (weights.blobs.size === 0)
    throw new ModelError('malformed', 'the file describes a net but holds no weights. Was the caffemodel meant?', { file: weightsName });
  const tensors = [...weights.blobs].flatMap(([layer, list]) => list.map((tensor) => ({ tensor, layer })));
  const warnings: Notice[] = [];
  if (textName !== null && textName !== main && options.prototxt === undefined)
    warnings.push({ code: 'companion', message: `the net's wiring was read from ${textName}` });
  return {
    format: 'caffe',
    producer: 'Caffe',
    tensors,
    details: { wiring: textName ?? 'from the caffemodel itself', weights: weightsName, syntax: syntaxOf(description) },
    warnings,
    files: [...new Set([main, weightsName, ...(textName === null ? [] : [textName])])],
    map: async () => {
      if (!description) throw noWiring(weightsName);
      const { buildCaffeMap } = await import('./net.js');
      const net = readNet(description, textName ?? weightsName);
      const bare = text ? null : (await import('./bare-vgg.js')).wireBareVgg(net, weights.blobs, weightsName, options);
      return bare ?? buildCaffeMap(net, weights.blobs, textName ?? weightsName, options);
    },
  };
}

/** The net that a prototxt describes, without weights. */
export function parseCaffeNet(text: string, file: string): CaffeNet {
  return readTopology(parsePrototext(text, file), file);
}

function readNet(description: TextMessage, file: string): CaffeNet {
  const net = readTopology(description, file);
  if (net.layers.length === 0) throw noWiring(file);
  return net;
}

function noWiring(file: string): ModelError {
  return new ModelError('unsupported', 'the wiring of the net is not in this file. Give the prototxt with --prototxt, or put it beside the weights.', { file });
}

function syntaxOf(description: TextMessage | null): string {
  return description?.fields.some(({ name }) => name === 'layers') ? 'V1 (layers)' : 'layer';
}

async function readHead(files: FileSet, name: string): Promise<Uint8Array> {
  const source = await files.open(name);
  return source.read(0, Math.min(4096, source.byteLength));
}

async function readText(files: FileSet, name: string): Promise<string> {
  const source = await files.open(name);
  if (source.byteLength > MAX_PROTOTXT_BYTES) throw new ModelError('unsafe', `a prototxt of ${source.byteLength} bytes describes no net`, { file: name });
  return new TextDecoder().decode(await source.read(0, source.byteLength));
}

async function readWeights(files: FileSet, name: string): Promise<{ net: TextMessage | null; blobs: ReadonlyMap<string, readonly Tensor[]> }> {
  const source = await files.open(name);
  if (!(await isHdf5(source))) return readCaffemodel(new WireReader(source));
  const data = await snapshotGroup(source);
  if (!data) throw new ModelError('malformed', 'this HDF5 file is no Caffe snapshot: it has no data/<layer>/<number>', { file: name });
  const blobs = new Map<string, readonly Tensor[]>();
  for (const layer of await data.keys()) {
    const group = await data.get(layer);
    if (group?.kind !== 'group') continue;
    const tensors: Tensor[] = [];
    for (const key of [...(await group.keys())].sort((a, b) => Number(a) - Number(b))) {
      const dataset = await group.get(key);
      if (dataset?.kind !== 'dataset' || dataset.dtype === null)
        throw new ModelError('malformed', `data/${layer}/${key} holds no numbers`, { file: name, layer });
      const { dtype, shape, source: bytes, bigEndian, fileOffset } = dataset;
      const label = `${layer}/${key}`;
      tensors.push(
        storedTensor({
          name: label,
          dtype,
          shape,
          source: bytes,
          bigEndian,
          origin: { file: name, name: label, ...(fileOffset === null ? {} : { offset: fileOffset }) },
        }),
      );
    }
    if (tensors.length > 0) blobs.set(layer, tensors);
  }
  return { net: null, blobs };
}

/** The prototxt that the user named, one of the same stem, deploy.prototxt, or the only one there is. */
async function findPrototxt(files: FileSet, weights: string, options: ReadOptions): Promise<string | null> {
  if (options.prototxt !== undefined) return options.prototxt;
  const names = (await files.list()).filter((name) => name.endsWith('.prototxt'));
  const stem = stemOf(weights);
  const same = [`${stem}.prototxt`, `${stem}.deploy.prototxt`, `${stem}_deploy.prototxt`].find((name) => names.includes(name));
  if (same) return same;
  return names.length === 1 ? names[0]! : names.includes('deploy.prototxt') ? 'deploy.prototxt' : null;
}

async function findWeights(files: FileSet, prototxt: string): Promise<string> {
  const names = (await files.list()).filter((name) => name.endsWith('.caffemodel') || name.endsWith('.caffemodel.h5'));
  const stem = stemOf(prototxt);
  const same = names.find((name) => stemOf(name) === stem);
  if (same) return same;
  if (names.length === 1) return names[0]!;
  const problem = names.length === 0 ? 'there is no .caffemodel beside it' : `there are several caffemodels beside it (${names.join(', ')})`;
  throw new ModelError(
    'malformed',
    `this is a net's description without weights, and ${problem}. Name the caffemodel instead, and the prototxt with --prototxt.`,
    { file: prototxt },
  );
}

function stemOf(name: string): string {
  return name.replace(/(\.caffemodel(\.h5)?|(\.|_)?deploy\.prototxt|\.prototxt)$/, '');
}
