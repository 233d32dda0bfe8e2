/**
 * Writes TensorFlow.js models, as a layers model (`tf.loadLayersModel`) or as a graph model (`tf.loadGraphModel`): a folder with
 * model.json and the shards of the weights beside it.
 *
 * @see https://github.com/tensorflow/tfjs/tree/master/tfjs-converter, whose conventions are followed
 */
import type { ByteSink } from '../../bytes/byte-sink.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { VERSION } from '../../version.js';
import { TFJS, TFJS_GRAPH } from '../targets.js';
import type { WriteOptions, WriteResult, Writer } from '../writer.js';
import { graphRule } from './graph-rules.js';
import { GraphTarget } from './graph-target.js';
import { LAYERS_OPS, layersRule } from './layers-rules.js';
import { LayersTarget, type NamedWeight } from './layers-target.js';
import { type Lowered, layoutMetadata, lower, type RuleFinder } from './lower.js';
import { SHARD_BYTES, writeShards } from './shards.js';
import type { Target } from './target.js';
import { storeWeights, weightObstacles } from './weights.js';

/** What the configurations follow. */
const KERAS_VERSION = '2.15.0';

/** What a graph says in fewer nodes than the patterns that become these; the others it would take apart again. */
const OWN: ReadonlySet<string> = new Set(['ChannelShuffle', 'DepthToSpace', 'SpaceToDepth']);

export const tfjs: Writer = {
  carries: 'model',
  ...TFJS,
  hasOperator: async ({ op }) => LAYERS_OPS.has(op),
  check: async (map, options) => LAYERS.check(map, options),
  async write(map, sink, name, options) {
    const { target, ...lowered } = LAYERS.take(map, options);
    return writeModel(map, target.weights(), lowered, sink, name, options, {
      format: 'layers-model',
      modelTopology: { keras_version: KERAS_VERSION, backend: 'tensorflow', model_config: target.config(map.name || 'model') },
    });
  },
};

export const tfjsGraph: Writer = {
  carries: 'model',
  ...TFJS_GRAPH,
  hasOperator: async ({ op }) => OWN.has(op),
  check: async (map, options) => GRAPHS.check(map, options),
  async write(map, sink, name, options) {
    const { target, ...lowered } = GRAPHS.take(map, options);
    return writeModel(map, target.weights(), lowered, sink, name, options, {
      format: 'graph-model',
      signature: target.signature(),
      modelTopology: target.topology(),
    });
  },
};

interface Built<T> extends Lowered {
  readonly target: T;
  readonly layout: WriteOptions['layout'];
}

/** Models of one form: what was built to see whether it can be is what is written. */
class Form<T extends Target> {
  readonly #built = new WeakMap<LayerMap, Built<T>>();

  constructor(
    readonly make: () => T,
    readonly ruleFor: (target: T) => RuleFinder,
  ) {}

  check(map: LayerMap, options: WriteOptions): ModelError[] {
    const built = this.#build(map, options);
    if (built.obstacles.length === 0) this.#built.set(map, built);
    const errors = [...weightObstacles(map), ...built.obstacles];
    if (options.dtype !== 'source' && !TFJS.dtypes.includes(options.dtype))
      errors.push(new ModelError('usage', `TensorFlow.js files are not written in ${options.dtype}. Possible: ${TFJS.dtypes.join(', ')}.`));
    return errors;
  }

  /** @throws ModelError the first obstacle; `check` lists them all */
  take(map: LayerMap, options: WriteOptions): Built<T> {
    const there = this.#built.get(map);
    this.#built.delete(map);
    const built = there?.layout === options.layout ? there : this.#build(map, options);
    if (built.obstacles[0]) throw built.obstacles[0];
    return built;
  }

  #build(map: LayerMap, options: WriteOptions): Built<T> {
    const target = this.make();
    return { ...lower(map, target, options, this.ruleFor(target)), target, layout: options.layout };
  }
}

const LAYERS = new Form(() => new LayersTarget(), layersRule);
const GRAPHS = new Form(() => new GraphTarget(), graphRule);

/**
 * @param name of the folder, or of the JSON file itself
 * @param topology what the two forms have apart
 */
async function writeModel(
  map: LayerMap,
  named: readonly NamedWeight[],
  { notes, warnings }: Pick<Lowered, 'notes' | 'warnings'>,
  sink: ByteSink,
  name: string,
  options: WriteOptions,
  { format, ...topology }: { readonly format: string; readonly modelTopology: unknown; readonly signature?: unknown },
): Promise<WriteResult> {
  const isFile = name.toLowerCase().endsWith('.json');
  const folder = isFile ? '' : `${name}/`;
  const { weights, notices } = await storeWeights(named, options);
  // Created first, so that it gets its final name last: whoever sees it finds all shards.
  const json = await sink.create(isFile ? name : `${folder}model.json`);
  const paths = await writeShards(weights, sink, folder, options.shardBytes ?? SHARD_BYTES, options.onProgress);
  const document = {
    format,
    generatedBy: map.producer ?? map.format,
    convertedBy: `weighbridge ${VERSION}`,
    ...topology,
    weightsManifest: [{ paths, weights: weights.map(({ entry }) => entry) }],
    userDefinedMetadata: { ...(await options.metadata()), ...layoutMetadata(map, options), 'weighbridge.layers': notes },
  };
  await json.write(new TextEncoder().encode(JSON.stringify(document)));
  await json.close();
  return { warnings: [...warnings, ...notices()] };
}
