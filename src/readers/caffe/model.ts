/** Reads Caffe models: finds the files that belong together, and what each of them says. */
import type { FileSet } from '../../bytes/file-set.js';
import { isHdf5 } from '../../containers/hdf5/signature.js';
import { WireReader } from '../../containers/protobuf.js';
import { parsePrototext } from '../../containers/prototext.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, ModelFile, Notice } from '../../model/layer-map.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { type Blobs, readCaffemodel } from './blobs.js';
import { describedFeeds, feedPreparation, preparationNotices } from './feeds.js';
import { type Message, typedMessage } from './message.js';
import { looksLikeCaffemodel, looksLikePrototxt, snapshotLayers } from './recognise.js';
import { type CaffeNet, readTopology, syntaxOf } from './topology.js';

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
  const text = textName === null ? null : await readDescription(files, textName);
  const description = text ?? weights.net;
  const tensors = [...weights.blobs].flatMap(([layer, blobs]) => [...blobs.values()].map((tensor) => ({ tensor, layer })));
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
      const map = bare ?? (await buildCaffeMap(net, weights.blobs, textName ?? weightsName, options));
      // The net that was trained is in the caffemodel, with what its pictures went through.
      const trained = weights.net && !map.warnings.some(({ code }) => code === 'preprocessing') ? describedFeeds(weights.net) : [];
      const warnings = [...map.warnings, ...preparationNotices(trained, `the net that ${weightsName} was trained in`)];
      return { ...map, warnings, ...preparationFrom([description, weights.net], map, warnings) };
    },
  };
}

/** What its feeding layers do to pictures; what is usual for the architecture only where none of them says anything. */
function preparationFrom(nets: readonly (Message | null)[], map: LayerMap, warnings: readonly Notice[]): Partial<Pick<LayerMap, 'preparation'>> {
  const [input] = map.inputs;
  for (const net of nets) {
    const found = net && feedPreparation(describedFeeds(net), input?.shape[1]);
    if (found) return { preparation: found };
  }
  return warnings.some(({ code }) => code === 'preprocessing') ? { preparation: undefined } : {};
}

/** The net that a prototxt describes, without weights. */
export function parseCaffeNet(text: string, file: string): CaffeNet {
  return readTopology(typedMessage(parsePrototext(text, file), 'Net', file), file);
}

function readNet(description: Message, file: string): CaffeNet {
  const net = readTopology(description, file);
  if (net.layers.length === 0) throw noWiring(file);
  return net;
}

function noWiring(file: string): ModelError {
  return new ModelError('unsupported', 'the wiring of the net is not in this file. Give the prototxt with --prototxt, or put it beside the weights.', { file });
}

async function readHead(files: FileSet, name: string): Promise<Uint8Array> {
  const source = await files.open(name);
  return source.read(0, Math.min(4096, source.byteLength));
}

/** What only a solver has. */
const SOLVERS_FIELDS = /^(net|net_param|(train|test)_net(_param)?|base_lr|lr_policy|max_iter|solver_(mode|type))$/;

/** A prototxt, or the same in binary. */
async function readDescription(files: FileSet, name: string): Promise<Message> {
  const source = await files.open(name);
  if (looksLikeCaffemodel(await readHead(files, name))) return (await readCaffemodel(new WireReader(source))).net;
  if (source.byteLength > MAX_PROTOTXT_BYTES) throw new ModelError('unsafe', `a prototxt of ${source.byteLength} bytes describes no net`, { file: name });
  const text = parsePrototext(new TextDecoder().decode(await source.read(0, source.byteLength)), name);
  if (text.fields.some((field) => SOLVERS_FIELDS.test(field.name)))
    throw new ModelError('unsupported', 'this is a Caffe solver, how a net was trained: name the prototxt of the net that it trains', { file: name });
  return typedMessage(text, 'Net', name);
}

async function readWeights(files: FileSet, name: string): Promise<{ net: Message | null; blobs: ReadonlyMap<string, Blobs> }> {
  const source = await files.open(name);
  if (!(await isHdf5(source))) return readCaffemodel(new WireReader(source));
  const layers = await snapshotLayers(source);
  if (!layers) throw new ModelError('malformed', 'this HDF5 file is no Caffe snapshot: it has no data/<layer>/<number>', { file: name });
  const blobs = new Map<string, Blobs>();
  for (const [layer, group] of layers) {
    const tensors = new Map<number, Tensor>();
    for (const key of [...(await group.keys())].sort((a, b) => Number(a) - Number(b))) {
      const dataset = await group.get(key);
      if (dataset?.kind !== 'dataset' || dataset.dtype === null)
        throw new ModelError('malformed', `data/${layer}/${key} holds no numbers`, { file: name, layer });
      const { dtype, shape, source: bytes, bigEndian, fileOffset } = dataset;
      const label = `${layer}/${key}`;
      const origin = { file: name, name: label, ...(fileOffset === null ? {} : { offset: fileOffset }) };
      tensors.set(Number(key), storedTensor({ name: label, dtype, shape, source: bytes, bigEndian, origin }));
    }
    if (tensors.size > 0) blobs.set(layer, tensors);
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
  throw new ModelError('malformed', `this is a net's description without weights, and ${problem}. Give both, the prototxt and the caffemodel.`, {
    file: prototxt,
  });
}

function stemOf(name: string): string {
  return name.replace(/(\.caffemodel(\.h5)?|(\.|_)?deploy\.prototxt|\.prototxt)$/, '');
}
