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
import { LayersTarget, type NamedWeight } from './layers-target.js';
import { layoutMetadata, lower, plainRule, type RuleFinder } from './lower.js';
import type { LayerNote } from './lowering.js';
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
  hasOperator: async ({ op }) => op === 'ChannelShuffle',
  check: async (map, options) => check(map, new LayersTarget(), options),
  async write(map, sink, name, options) {
    const target = new LayersTarget();
    const notes = build(map, target, options);
    return writeModel(map, target.weights(), notes, sink, name, options, {
      format: 'layers-model',
      modelTopology: { keras_version: KERAS_VERSION, backend: 'tensorflow', model_config: target.config(map.name || 'model') },
    });
  },
};

export const tfjsGraph: Writer = {
  carries: 'model',
  ...TFJS_GRAPH,
  hasOperator: async ({ op }) => OWN.has(op),
  async check(map, options) {
    const target = new GraphTarget();
    return check(map, target, options, graphRule(target));
  },
  async write(map, sink, name, options) {
    const target = new GraphTarget();
    const notes = build(map, target, options, graphRule(target));
    return writeModel(map, target.weights(), notes, sink, name, options, {
      format: 'graph-model',
      signature: target.signature(),
      modelTopology: target.topology(),
    });
  },
};

function check(map: LayerMap, target: Target, options: WriteOptions, ruleFor: RuleFinder = plainRule): ModelError[] {
  const errors = [...weightObstacles(map), ...lower(map, target, options, ruleFor).obstacles];
  if (options.dtype !== 'source' && !TFJS.dtypes.includes(options.dtype))
    errors.push(new ModelError('usage', `TensorFlow.js files are not written in ${options.dtype}. Possible: ${TFJS.dtypes.join(', ')}.`));
  return errors;
}

/** @throws ModelError the first obstacle; `check` lists them all */
function build(map: LayerMap, target: Target, options: WriteOptions, ruleFor: RuleFinder = plainRule): Readonly<Record<string, LayerNote>> {
  const { obstacles, notes } = lower(map, target, options, ruleFor);
  if (obstacles[0]) throw obstacles[0];
  return notes;
}

/**
 * @param name of the folder, or of the JSON file itself
 * @param topology what the two forms have apart
 */
async function writeModel(
  map: LayerMap,
  named: readonly NamedWeight[],
  notes: Readonly<Record<string, LayerNote>>,
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
  return { warnings: notices() };
}
