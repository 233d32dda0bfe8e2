/** Reads TensorFlow Lite models (`.tflite`). */

import type { ByteSource } from '../bytes/byte-source.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import type { LiteModel, LiteSubgraph } from '../containers/tflite.js';
import { openZip } from '../containers/zip.js';
import { ModelError } from '../errors.js';
import { type Labels, parseLabels } from '../model/labels.js';
import type { Notice } from '../model/layer-map.js';
import type { Reader, ReadOptions } from './reader.js';

/** A FlatBuffer's identifier stands behind the place of its root. */
const IDENTIFIER_AT = 4;

export const tflite: Reader = {
  name: 'tflite',
  title: 'TensorFlow Lite',
  extensions: ['.tflite'],
  options: ['assume', 'inputShape'],

  async match({ source, head }) {
    return source !== null && decodeLatin1(head.subarray(IDENTIFIER_AT, IDENTIFIER_AT + 4)) === 'TFL3';
  },

  async read(files, options) {
    const name = files.main!;
    const source = await files.open(name);
    const { readLiteModel } = await import('../containers/tflite.js');
    const model = await readLiteModel(source);
    const labels = await packedLabels(source);
    const main = chosenGraph(model, options, source.name);
    const graph = model.graphs[main]!;
    const counts = new Map<string, number>();
    for (const { op } of graph.operators) counts.set(op, (counts.get(op) ?? 0) + 1);
    const stored = new Set(graph.tensors.flatMap(({ data }) => (data ? [data.dtype] : [])));
    return {
      format: 'tflite',
      producer: model.description || null,
      tensors: graph.tensors.flatMap(({ data }) => (data && data.shape.length > 0 ? [{ tensor: data, layer: null }] : [])),
      details: {
        version: String(model.version),
        operators: [...counts].map(([op, count]) => (count === 1 ? op : `${op} (${count})`)).join(', '),
        stored: [...stored].join(', '),
        inputs: ports(graph, graph.inputs),
        outputs: ports(graph, graph.outputs),
      },
      warnings: model.graphs.length > 1 ? [graphsNotice(model, main)] : [],
      ...(labels ? { labels } : {}),
      files: [name],
      map: async () => {
        const { liteToTensorflow } = await import('../dialects/tensorflow/lite.js');
        const { buildTensorflowMap } = await import('../dialects/tensorflow/graph.js');
        const dynamicRange = options.assume?.dynamic_range ?? 'rounded';
        if (dynamicRange !== 'rounded' && dynamicRange !== 'float')
          throw new ModelError('unsupported', `dynamic_range is rounded or float, not ${JSON.stringify(dynamicRange)}`, { file: source.name });
        const { dynamic, unrounded, changed, ...graph } = await liteToTensorflow(model, { file: source.name, dynamicRange }, main);
        return buildTensorflowMap({
          ...graph,
          weight: () => undefined,
          file: source.name,
          format: 'tflite',
          producer: model.description || null,
          inputShape: options.inputShape,
          warnings: [
            ...(dynamic.length > 0 ? [dynamicNotice(dynamic, dynamicRange)] : []),
            ...(unrounded.length > 0 ? [recurrentNotice(unrounded)] : []),
            ...(changed.length > 0 ? [stateNotice(changed)] : []),
          ],
        });
      },
    };
  },
};

/** The graph of the signature that is asked for; else the first. */
function chosenGraph({ signatures }: LiteModel, { assume }: ReadOptions, file: string): number {
  const wanted = assume?.signature;
  if (wanted === undefined) return 0;
  const found = signatures.find(({ name }) => name === wanted);
  if (found) return found.graph;
  const names = signatures.map(({ name }) => name).join(', ') || 'none';
  throw new ModelError('usage', `there is no signature ${JSON.stringify(wanted)}; the file has ${names}`, { file });
}

function graphsNotice({ graphs, signatures }: LiteModel, main: number): Notice {
  const others = signatures.filter(({ graph }) => graph !== main).map(({ name }) => name);
  const how = others.length > 0 ? `; --assume signature=NAME takes that of another signature (${others.join(', ')})` : '';
  const which = main === 0 ? 'the first' : `graph ${main}`;
  return {
    code: 'several-graphs',
    message: `${which} of ${graphs.length} graphs is the model's own; the others are looked at where its branches and loops call them${how}`,
  };
}

function ports({ tensors }: LiteSubgraph, indices: readonly number[]): string {
  return indices.map((i) => `${tensors[i]!.name} [${tensors[i]!.shape}] ${tensors[i]!.dtype}`).join(', ');
}

function stateNotice(changed: readonly string[]): Notice {
  const what = changed.length === 1 ? `the variable "${changed[0]}"` : `${changed.length} variables ("${changed[0]}" and others)`;
  return { code: 'assumed', message: `each call changes ${what} for the next one: the net is read as it is called for the first time, and keeps nothing` };
}

function recurrentNotice(unrounded: readonly string[]): Notice {
  const what = `${unrounded.length === 1 ? 'a recurrent operator has' : `${unrounded.length} recurrent operators have`} int8 weights where floats flow`;
  const how = 'the weights were taken as the numbers that they stand for, where TensorFlow Lite rounds what flows to 8 bits at each step';
  return { code: 'assumed', message: `${what}: ${how}`, layer: unrounded[0]! };
}

/** A zip archive's end, without a comment. */
const ZIP_END_BYTES = 22;
const MAX_LABEL_BYTES = 2 ** 22;

/**
 * Names of classes in a file that TensorFlow Lite's metadata writer packed into the model, which makes it a zip archive as well.
 *
 * @see https://www.tensorflow.org/lite/models/convert/metadata
 * @returns null where there is none, or several
 */
async function packedLabels(source: ByteSource): Promise<Labels | null> {
  if (source.byteLength < ZIP_END_BYTES) return null;
  const end = await source.read(source.byteLength - ZIP_END_BYTES, source.byteLength);
  if (decodeLatin1(end.subarray(0, 4)) !== 'PK\x05\x06') return null;
  const texts = (await openZip(source)).entries.filter(({ name }) => name.endsWith('.txt') && !/vocab/i.test(name));
  const named = texts.filter(({ name }) => /label|class/i.test(name));
  const [entry, ...more] = named.length > 0 ? named : texts;
  if (!entry || more.length > 0) return null;
  if (entry.byteLength > MAX_LABEL_BYTES) return null;
  const file = await entry.source();
  const names = parseLabels(new TextDecoder().decode(await file.read(0, file.byteLength)));
  return names ? { names, from: `${entry.name} in ${source.name}` } : null;
}

/** How "dynamic range" quantisation was read: what runtimes of other versions and processors do differs by about a thousandth. */
function dynamicNotice(dynamic: readonly string[], read: 'rounded' | 'float'): Notice {
  const what = `${dynamic.length === 1 ? 'an operator has' : `${dynamic.length} operators have`} int8 weights where floats flow ("dynamic range" quantisation)`;
  const how =
    read === 'float'
      ? 'the weights were taken as the numbers that they stand for and nothing was rounded, where TensorFlow Lite rounds what flows to 8 bits, by about 1e-3 of what it predicts'
      : 'what flows into them is rounded to 8 bits of its own range, as TensorFlow Lite with XNNPACK does; other versions and processors round otherwise, by about 1e-3 of what they predict. --assume dynamic_range=float rounds nothing';
  return { code: 'assumed', message: `${what}: ${how}`, layer: dynamic[0]! };
}
