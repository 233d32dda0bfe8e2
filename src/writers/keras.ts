/**
 * Writes Keras models: `.h5`, which Keras 2 and 3 load, and `.keras`, the archive of Keras 3. Both are wired as a TensorFlow.js layers
 * model is, and their configuration is that of Keras 2, which Keras 3 takes in either file.
 *
 * @see https://github.com/keras-team/keras/blob/master/keras/src/legacy/saving/legacy_h5_format.py for the one,
 *   src/saving/saving_lib.py and src/models/functional.py (functional_from_config, the legacy case) for the other
 */
import { encodeHdf5, type Hdf5Group, MAX_ATTRIBUTE_BYTES } from '../containers/hdf5/write.js';
import { type Piece, writePieces } from '../containers/protobuf-writer.js';
import { crc32Of, type StoredMember, writeZip } from '../containers/zip-writer.js';
import { ModelError } from '../errors.js';
import type { LayerMap, Notice } from '../model/layer-map.js';
import { type Tensor, tensorByteLength } from '../model/tensor.js';
import { castWeights } from './cast-weights.js';
import { KERAS_OPS, KerasTarget } from './keras-target.js';
import { byteProgress } from './progress.js';
import { KERAS_H5, KERAS_V3 } from './targets.js';
import { layersRule } from './tfjs/layers-rules.js';
import { type Lowered, lower } from './tfjs/lower.js';
import type { WriteOptions, Writer } from './writer.js';

/** The last release of Keras 2, and the release of Keras 3 whose archive is followed. */
const KERAS_2 = '2.15.0';
const KERAS_3 = '3.0.0';
const WEIGHTS_NAME = '.weights.h5';

export const kerasH5: Writer = {
  carries: 'model',
  ...KERAS_H5,
  hasOperator: async ({ op }) => KERAS_OPS.has(op),
  check: async (map, options) => check(map, options),

  async write(map, sink, name, options) {
    const { target, warnings } = build(map, options);
    const { store, total, notices } = storage(target, options);
    const whole = legacyFile(target, map, store, await options.metadata());
    // A file of this name is to Keras 3 one of weights as it saves them, and load_weights looks for them where it does.
    const both = name.endsWith(WEIGHTS_NAME) ? new Map([...whole.children, ...weightsTree(target, store).children]) : whole.children;
    const file = await sink.create(name);
    await writePieces(encodeHdf5({ ...whole, children: both }), file, byteProgress(total, options));
    await file.close();
    return { warnings: [...warnings, ...notices(), ...ofKeras3(target)] };
  },
};

export const kerasV3: Writer = {
  carries: 'model',
  ...KERAS_V3,
  hasOperator: async ({ op }) => KERAS_OPS.has(op),
  check: async (map, options) => check(map, options),

  async write(map, sink, name, options) {
    const { target, warnings } = build(map, options);
    const { store, total, notices } = storage(target, options);
    // The pass for the checksum must not count losses too.
    const uncounted = storage(target, options).store;
    const file = await sink.create(name);
    const metadata = { keras_version: KERAS_3, weighbridge: await options.metadata() };
    const members = [
      textMember('metadata.json', metadata),
      textMember('config.json', archiveConfig(target, map)),
      member('model.weights.h5', encodeHdf5(weightsTree(target, store)), encodeHdf5(weightsTree(target, uncounted))),
    ];
    await writeZip(members, file, byteProgress(total, options));
    await file.close();
    return { warnings: [...warnings, ...notices(), ...ofKeras3(target)] };
  },
};

/** Operations in an HDF5 file name their modules, which Keras 3 heeds there too; Keras itself leaves them out, and cannot load what it saved. */
function ofKeras3(target: KerasTarget): readonly Notice[] {
  if (!target.hasOperations) return [];
  return [{ code: 'keras-3-only', message: 'operations that are no layers (keras.ops) stand in the file: Keras 3 loads it, Keras 2 does not' }];
}

function check(map: LayerMap, options: WriteOptions): ModelError[] {
  const target = new KerasTarget();
  const errors = [...lower(map, target, options, layersRule(target)).obstacles];
  if (options.dtype !== 'source' && !KERAS_H5.dtypes.includes(options.dtype))
    errors.push(new ModelError('usage', `Keras files are not written in ${options.dtype}. Possible: ${KERAS_H5.dtypes.join(', ')}.`));
  return errors;
}

/** @throws ModelError the first obstacle; `check` lists them all */
function build(map: LayerMap, options: WriteOptions): { target: KerasTarget } & Pick<Lowered, 'warnings'> {
  const target = new KerasTarget();
  const { obstacles, warnings } = lower(map, target, options, layersRule(target));
  if (obstacles[0]) throw obstacles[0];
  return { target, warnings };
}

/** Each weight as it is stored. */
function storage(target: KerasTarget, { dtype }: WriteOptions) {
  const weights = target.layers().flatMap((layer) => layer.weights.map(([, { tensor }]) => tensor));
  // HDF5 has no bfloat16, and what Keras computes in is float32.
  const { tensors, notices } = castWeights(weights, dtype, (own) => own !== 'bfloat16');
  const stored = new Map(weights.map((tensor, i) => [tensor, tensors[i]!]));
  return { store: (tensor: Tensor) => stored.get(tensor)!, total: [...new Set(tensors)].reduce((sum, tensor) => sum + tensorByteLength(tensor), 0), notices };
}

function legacyFile(target: KerasTarget, map: LayerMap, store: (tensor: Tensor) => Tensor, metadata: Readonly<Record<string, string>>): Hdf5Group {
  const version = { keras_version: KERAS_2, backend: 'tensorflow' };
  const layers = target.layers();
  const groups = layers.map((layer): [string, Hdf5Group] => {
    const names = layer.weights.map(([role]) => `${layer.name}/${role}:0`);
    const datasets = layer.weights.map(([, { tensor }], i): [string, Tensor] => [names[i]!, store(tensor)]);
    return [layer.name, { attributes: namesAttribute('weight_names', names), children: nested(datasets) }];
  });
  // A layer's name with slashes is a path of groups, as h5py makes it.
  const weights: Hdf5Group = {
    attributes: {
      ...version,
      ...namesAttribute(
        'layer_names',
        layers.map(({ name }) => name),
      ),
    },
    children: nested(groups),
  };
  const config = JSON.stringify(target.config(modelName(map)));
  return { attributes: { ...version, model_config: config, ...metadata }, children: new Map([['model_weights', weights]]) };
}

/** Long lists of names are cut into several attributes, as Keras cuts them. */
function namesAttribute(name: string, names: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const width = Math.max(1, ...names.map((one) => new TextEncoder().encode(one).byteLength));
  const most = Math.max(1, Math.floor(MAX_ATTRIBUTE_BYTES / width));
  if (names.length <= most) return { [name]: names };
  const parts = Array.from({ length: Math.ceil(names.length / most) }, (_, i) => names.slice(i * most, (i + 1) * most));
  return Object.fromEntries(parts.map((part, i) => [`${name}${i}`, part]));
}

/** The weights as Keras 3 finds them: by the class of their layer, its number among its like, and their own number. */
function weightsTree(target: KerasTarget, store: (tensor: Tensor) => Tensor): Hdf5Group {
  const counts = new Map<string, number>();
  const datasets: [string, Tensor][] = [];
  for (const { className, weights } of target.layers()) {
    const base = snakeCase(className);
    const number = counts.get(base) ?? 0;
    counts.set(base, number + 1);
    weights.forEach(([, { tensor }], i) => {
      datasets.push([`layers/${number === 0 ? base : `${base}_${number}`}/vars/${i}`, store(tensor)]);
    });
  }
  return { attributes: {}, children: nested(datasets) };
}

/** @see https://github.com/keras-team/keras/blob/master/keras/src/utils/naming.py, to_snake_case */
function snakeCase(className: string): string {
  return className
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

/** Groups within groups, from names that are paths. */
function nested(entries: readonly (readonly [string, Tensor | Hdf5Group])[]): Map<string, Tensor | Hdf5Group> {
  const children = new Map<string, Tensor | Hdf5Group>();
  const inner = new Map<string, [string, Tensor | Hdf5Group][]>();
  for (const [path, child] of entries) {
    const slash = path.indexOf('/');
    if (slash < 0) children.set(path, child);
    else {
      const parts = inner.get(path.slice(0, slash)) ?? [];
      parts.push([path.slice(slash + 1), child]);
      inner.set(path.slice(0, slash), parts);
    }
  }
  for (const [name, parts] of inner) {
    const known = children.get(name);
    const merged = nested(parts);
    children.set(name, known && !('dtype' in known) ? { ...known, children: new Map([...known.children, ...merged]) } : { attributes: {}, children: merged });
  }
  return children;
}

/** Keras 3 takes no slash in a model's name either. */
const modelName = ({ name }: LayerMap): string => name.replaceAll('/', '_') || 'model';

function archiveConfig(target: KerasTarget, map: LayerMap) {
  const { config } = target.config(modelName(map)) as { config: object };
  return { module: 'keras.src.models.functional', class_name: 'Functional', config, registered_name: 'Functional', compile_config: null };
}

function textMember(name: string, document: unknown): StoredMember {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return member(name, [bytes], [bytes]);
}

/** @param again the same pieces, for the pass that works out the checksum */
function member(name: string, pieces: readonly Piece[], again: readonly Piece[]): StoredMember {
  return { name, pieces, crc32: () => crc32Of(again) };
}
