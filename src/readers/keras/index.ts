/** Reads Keras HDF5: Keras 0 to 2, tf.keras and Keras 3's legacy form; full models, and weights with their configuration. */
import type { FileSet } from '../../bytes/file-set.js';
import { type Hdf5Group, isHdf5, openHdf5 } from '../../containers/hdf5/index.js';
import { ModelError } from '../../errors.js';
import type { LayerMap, Notice } from '../../model/layer-map.js';
import { nameVgg } from '../../model/vgg.js';
import type { Reader, ReadOptions } from '../reader.js';
import { parseModelConfig } from './config.js';
import type { Dialect } from './config-view.js';
import { buildGraph } from './graph.js';
import { wireVggWeights } from './vgg-weights.js';
import { assignWeights, type LayerWeights, readLayerWeights } from './weights.js';

export const kerasH5: Reader = {
  name: 'keras-h5',
  title: 'Keras HDF5',
  extensions: ['.h5', '.hdf5', '.keras'],

  async match({ source }) {
    if (!source || !(await isHdf5(source))) return false;
    return isKeras(await openHdf5(source));
  },

  async read(files, options) {
    const file = files.main!;
    const root = await openHdf5(await files.open(file));
    if (!(await isKeras(root))) throw new ModelError('malformed', 'this HDF5 file is no Keras model: it has neither a model_config nor layer_names', { file });
    const nested = await root.get('model_weights');
    const holder = nested?.kind === 'group' ? nested : root;
    const attributes = new Map([...(await root.attributes()), ...(await holder.attributes())]);
    const saved = await readLayerWeights(holder, file);
    const config = await findConfig(files, attributes.get('model_config'), options);
    const text = (name: string) => (typeof attributes.get(name) === 'string' ? (attributes.get(name) as string) : null);
    const dialect = readDialect(text('keras_version'), text('backend'), saved);
    const version = text('keras_version') ?? (attributes.has('nb_layers') ? '0' : null);
    const producer = `Keras ${version ?? '(version not said)'}${text('backend') ? ` (${text('backend')})` : ''}`;
    const warnings: Notice[] = [];
    if (dialect.theano && hasConvolution(saved)) {
      const reason = text('backend') ? 'the file says so' : 'weight names without ":0" tell so';
      warnings.push({ code: 'theano-kernels', message: `saved under the Theano backend (${reason}), whose convolutions rotate their kernels by 180 degrees; they are turned back` });
    }
    return {
      format: 'keras-h5',
      producer,
      tensors: saved.flatMap(({ layer, tensors }) => tensors.map((tensor) => ({ tensor, layer }))),
      details: { content: config ? (config.name ? `weights, with ${config.name}` : 'full model') : 'weights only' },
      warnings,
      files: config?.name ? [file, config.name] : [file],
      map: async () => buildMap(file, config?.text ?? null, saved, dialect, producer, options),
    };
  },
};

function buildMap(file: string, config: string | null, saved: readonly LayerWeights[], dialect: Dialect, producer: string, options: ReadOptions): LayerMap {
  if (config === null) return wireVggWeights(saved, { file, producer, dialect, options });
  const model = parseModelConfig(config, file);
  const graph = buildGraph(model, assignWeights(model, saved, file), { file, dialect, inputShape: options.inputShape });
  return nameVgg({ name: model.name, format: 'keras-h5', producer, architecture: null, ...graph });
}

async function isKeras(root: Hdf5Group): Promise<boolean> {
  const attributes = await root.attributes();
  const marks = ['model_config', 'layer_names', 'layer_names0', 'nb_layers'];
  if (marks.some((mark) => attributes.has(mark))) return true;
  const weights = await root.get('model_weights');
  return weights?.kind === 'group' && (await weights.attributes()).has('layer_names');
}

/** The configuration in the file, the one that the user named, or a JSON of the same name beside the weights. */
async function findConfig(files: FileSet, stored: unknown, options: ReadOptions): Promise<{ text: string; name: string | null } | null> {
  if (options.config !== undefined) return { text: await readText(files, options.config), name: options.config };
  if (typeof stored === 'string') return { text: stored, name: null };
  const beside = `${files.main!.replace(/(\.weights)?\.[^.]*$/, '')}.json`;
  return (await files.has(beside)) ? { text: await readText(files, beside), name: beside } : null;
}

async function readText(files: FileSet, name: string): Promise<string> {
  const source = await files.open(name);
  return new TextDecoder().decode(await source.read(0, source.byteLength));
}

/** Keras 1 does not name its backend, but only TensorFlow gives weights a ":0". */
function readDialect(version: string | null, backend: string | null, saved: readonly LayerWeights[]): Dialect {
  const match = /^(\d+)\.(\d+)/.exec(version ?? '');
  const names = saved.flatMap(({ tensors }) => tensors.map(({ name }) => name));
  const isOld = version === null || Number(match?.[1] ?? 0) < 2;
  const theano = backend === null ? isOld && names.length > 0 && !names.some((name) => name.endsWith(':0')) : backend === 'theano';
  return { version: match ? [Number(match[1]), Number(match[2])] : null, theano };
}

function hasConvolution(saved: readonly LayerWeights[]): boolean {
  return saved.some(({ tensors }) => tensors.some(({ shape }) => shape.length >= 3));
}
