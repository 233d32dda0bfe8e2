/**
 * Reads Keras models: HDF5 of Keras 0 to 2, tf.keras and Keras 3 (full models, and weights with or without their
 * configuration), and the zip archive of Keras 3.
 */

import { nameVgg } from '../../architectures/vgg-names.js';
import { inTurns } from '../../bytes/breath.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { sliceSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { type Hdf5Group, openHdf5 } from '../../containers/hdf5/index.js';
import { openZip, type ZipArchive } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, ModelFile, Notice } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { partNotices } from '../shards.js';
import { ARCHIVE_CONFIG, ARCHIVE_WEIGHTS, SHARD_INDEX } from './archive.js';
import { type ConfigText, checkedLength, configOrigin, decodeConfig, findConfigBeside } from './companions.js';
import { type KerasLayer, type KerasModel, parseModelConfig } from './config.js';
import { type Dialect, isKeras3 } from './config-view.js';
import { fusingOf } from './fused.js';
import { buildGraph } from './graph.js';
import { object, parseJson, text } from './json.js';
import { withoutIdleMasks } from './masks.js';
import { withOperations } from './operations/index.js';
import { assignTreeWeights, isWeightTree, readTreeLayers, type TreeLayer } from './tree-weights.js';
import { assignWeights, type LayerWeights, readLayerWeights } from './weights.js';

const ARCHIVE_METADATA = 'metadata.json';
/** One file of several, as Keras 3 numbers them from 0. */
const SHARD_NAME = /_(\d{5})\.weights\.h5$/;

/** Reads an HDF5 file. */
export async function readHdf5(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const file = files.main!;
  if (file.endsWith(SHARD_INDEX)) return readSharded(files, options);
  const root = await openHdf5(await files.open(file));
  if (!(await isKeras(root))) throw new ModelError('malformed', 'this HDF5 file is no Keras model: it has neither a model_config nor layer_names', { file });
  const own = await root.attributes();
  // A whole model may have its weights once more where Keras 3 looks for them.
  if (!own.has('model_config') && (await isWeightTree(root))) {
    const saved = await readTree(root, file);
    const model = describeModel(saved, await findConfigBeside(files, options), {}, { file, format: 'keras-h5', container: 'HDF5', options });
    const part = SHARD_NAME.exec(file)?.[1];
    return part === undefined ? model : { ...model, warnings: [...model.warnings, ...partNotices(`part ${Number(part) + 1} of several`)] };
  }
  const nested = await root.get('model_weights');
  const holder = nested?.kind === 'group' ? nested : root;
  const attributes = new Map([...own, ...(await holder.attributes())]);
  const text = (name: string) => (typeof attributes.get(name) === 'string' ? (attributes.get(name) as string) : null);
  const layers = await readLayerWeights(holder, file);
  const saved: Saved = { layers, assign: (model) => assignWeights(model, layers, file) };
  const stored = text('model_config');
  const named = options.config !== undefined || stored === null ? await findConfigBeside(files, options) : null;
  const config = named ?? (stored === null ? null : { text: stored, name: null });
  const version = text('keras_version') ?? (attributes.has('nb_layers') ? '0' : null);
  return describeModel(saved, config, { version, backend: text('backend') }, { file, format: 'keras-h5', container: 'HDF5', options });
}

/** Reads weights that Keras 3 cut into several files, by their index. */
async function readSharded(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const file = files.main!;
  const source = await files.open(file);
  const index = parseJson(decodeConfig(await source.read(0, checkedLength(source.byteLength, file))), 'the index of the shards', file);
  const map = object(object(index, 'the index of the shards', file).weight_map, 'its weight_map', file);
  const shards = [...new Set(Object.values(map).flat())].map((name) => text(name, 'a shard of the weight_map', file)).sort();
  if (shards.length === 0) throw new ModelError('malformed', 'the index names no shard', { file });
  const layers = new Map<string, TreeLayer>();
  for (const shard of shards) {
    for (const layer of await readTreeLayers(await openHdf5(await files.open(shard)), shard)) {
      const begun = layers.get(layer.path);
      // A layer may begin in one file and end in the next.
      layers.set(layer.path, begun ? { ...begun, tensors: [...begun.tensors, ...layer.tensors] } : layer);
    }
  }
  const model = describeModel(
    savedTree([...layers.values()], file),
    await findConfigBeside(files, options),
    {},
    { file, format: 'keras-h5', container: 'HDF5', options },
  );
  return { ...model, details: { ...model.details, shards: String(shards.length) }, files: [...model.files, ...shards] };
}

/** Reads the zip archive of Keras 3. */
export async function readArchive(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const file = files.main!;
  const archive = await openZip(await files.open(file));
  const weights = archive.get(ARCHIVE_WEIGHTS);
  if (!weights) throw new ModelError('malformed', `there is no ${ARCHIVE_WEIGHTS} in the archive`, { file });
  const source = await weights.source();
  const root = await openHdf5(sliceSource(source, 0, source.byteLength, `${file}:${ARCHIVE_WEIGHTS}`));
  const config = await readMember(archive, ARCHIVE_CONFIG, file);
  if (config === null) throw new ModelError('malformed', `there is no ${ARCHIVE_CONFIG} in the archive`, { file });
  const { version } = configOrigin((await readMember(archive, ARCHIVE_METADATA, file)) ?? '{}');
  const model = await describeModel(
    await readTree(root, file),
    { text: config, name: null },
    { version },
    { file, format: 'keras-v3', container: 'zip', options },
  );
  return { ...model, check: () => weights.check() };
}

/** Weights as a file keeps them, and how they go to a model's layers. */
interface Saved {
  readonly layers: readonly LayerWeights[];
  assign(model: KerasModel): Map<KerasLayer, readonly Tensor[]>;
}

const readTree = async (root: Hdf5Group, file: string): Promise<Saved> => savedTree(await readTreeLayers(root, file), file);

function savedTree(tree: readonly TreeLayer[], file: string): Saved {
  return {
    layers: tree.map(({ path, name, tensors }) => ({ layer: name ?? path, tensors })),
    assign: (model) => assignTreeWeights(model, tree, file),
  };
}

interface Origin {
  readonly version?: string | null;
  readonly backend?: string | null;
}

interface Context {
  readonly file: string;
  readonly format: string;
  readonly container: string;
  readonly options: ReadOptions;
}

/** What is known once all names and the configuration have been read. */
function describeModel(saved: Saved, config: ConfigText | null, stored: Origin, { file, format, container, options }: Context): ModelFile {
  // The text is parsed for it, so only where the file itself does not say both.
  const said = config && !(stored.version && stored.backend) ? configOrigin(config.text) : null;
  const version = stored.version ?? said?.version ?? null;
  const backend = stored.backend ?? said?.backend ?? null;
  const dialect = readDialect(version, backend, saved.layers);
  const producer = `Keras ${version ?? '(version not said)'}${backend === null ? '' : ` (${backend})`}`;
  const beside: Notice[] =
    config?.name && config.name !== options.config
      ? [{ code: 'assumed', message: `the wiring was read from ${config.name}, which lies beside the weights` }]
      : [];
  return {
    format,
    producer,
    tensors: saved.layers.flatMap(({ layer, tensors }) => tensors.map((tensor) => ({ tensor, layer }))),
    details: { container, content: config === null ? 'weights only' : config.name === null ? 'full model' : `weights, with ${config.name}` },
    warnings: [...beside, ...theanoNotices(dialect, backend, saved.layers)],
    files: config?.name ? [file, config.name] : [file],
    map: async (): Promise<LayerMap> => {
      if (config === null) return (await import('./wire.js')).wireKerasWeights(saved.layers, dialect.theano, { file, format, producer, options });
      const parsed = parseModelConfig(config.text, config.name ?? file);
      const model = withoutIdleMasks(isKeras3(dialect) && format === 'keras-h5' ? withOperations(parsed) : parsed);
      const how = { file, dialect, inputShape: options.inputShape, recordedShape: options.recordedShape };
      const graph = await inTurns(buildGraph(model, () => saved.assign(model), how));
      return nameVgg({ name: model.name, format, producer, architecture: null, ...graph });
    },
  };
}

/** Whether an HDF5 file is Keras's. */
export async function isKerasHdf5(source: ByteSource): Promise<boolean> {
  return isKeras(await openHdf5(source));
}

async function isKeras(root: Hdf5Group): Promise<boolean> {
  const attributes = await root.attributes();
  const marks = ['model_config', 'layer_names', 'layer_names0', 'nb_layers'];
  if (marks.some((mark) => attributes.has(mark)) || (await isWeightTree(root))) return true;
  const weights = await root.get('model_weights');
  return weights?.kind === 'group' && (await weights.attributes()).has('layer_names');
}

async function readMember(archive: ZipArchive, name: string, file: string): Promise<string | null> {
  const entry = archive.get(name);
  if (!entry) return null;
  const length = checkedLength(entry.byteLength, file);
  return decodeConfig(await (await entry.source()).read(0, length));
}

/** Keras 1 does not name its backend, but only TensorFlow gives weights a ":0". */
function readDialect(version: string | null, backend: string | null, layers: readonly LayerWeights[]): Dialect {
  const match = /^(\d+)\.(\d+)/.exec(version ?? '');
  const numbers = match ? ([Number(match[1]), Number(match[2])] as const) : null;
  const names = layers.flatMap(({ tensors }) => tensors.map(({ name }) => name));
  const unmarked = names.length > 0 && !names.some((name) => /:\d+$|(^|\/)vars\/\d+$/.test(name));
  const mayBeOld = numbers === null || numbers[0] < 2;
  const theano = backend === null ? mayBeOld && unmarked : backend === 'theano';
  return { version: numbers, theano, fusing: theano ? null : fusingOf(version, backend) };
}

function theanoNotices({ theano }: Dialect, backend: string | null, layers: readonly LayerWeights[]): Notice[] {
  const hasKernel = layers.some(({ tensors }) => tensors.some(({ shape }) => shape.length >= 3));
  if (!theano || !hasKernel) return [];
  const reason = backend === null ? 'weight names without ":0" tell so, the file does not say' : 'the file says so';
  const message = `saved under the Theano backend (${reason}), whose convolutions turn their kernels by 180 degrees; they are turned back`;
  return [{ code: backend === null ? 'assumed' : 'theano-kernels', message }];
}
