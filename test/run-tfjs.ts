/** Loads a written TensorFlow.js model with its own loader, as if from a web server, and runs it on the CPU. */
import '@tensorflow/tfjs-backend-cpu';
import { type GraphModel, loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';
import type { Run } from './run-onnx.js';

export type TfjsForm = 'tfjs' | 'tfjs-graph';

/** @param files by name, model.json among them */
export function tfjsHandler(files: ReadonlyMap<string, Uint8Array>, folder = ''): tf.io.IOHandler {
  return tf.io.http(`http://model.test/${folder}model.json`, {
    fetchFunc: (async (url: string | URL | Request) => {
      const name = new URL(String(url)).pathname.slice(1);
      const bytes = files.get(name);
      return bytes
        ? new Response(bytes.slice(), { headers: { 'content-type': name.endsWith('.json') ? 'application/json' : 'application/octet-stream' } })
        : new Response(null, { status: 404 });
    }) as typeof fetch,
  });
}

/** Feeds arrays by position; gives the outputs in the model's order. */
export async function runTfjs(form: TfjsForm, files: ReadonlyMap<string, Uint8Array>, inputs: readonly Run[], folder = ''): Promise<Run[]> {
  await tf.setBackend('cpu');
  tf.engine().startScope();
  const handler = tfjsHandler(files, folder);
  let model: LayersModel | GraphModel | undefined;
  try {
    model = form === 'tfjs' ? await loadLayersModel(handler) : await loadGraphModel(handler);
    const types = model.inputs.map(({ dtype }) => dtype);
    const feeds = inputs.map(({ shape, data }, i) =>
      tf.tensor(types[i] === 'int32' ? Int32Array.from(data) : data, [...shape], types[i] === 'int32' ? 'int32' : 'float32'),
    );
    const named = Object.fromEntries(feeds.map((feed, i) => [model!.inputs[i]!.name, feed]));
    const made = 'executeAsync' in model ? await predicted(model, named) : model.predict(feeds.length === 1 ? feeds[0]! : feeds);
    const outputs = (Array.isArray(made) ? made : [made]) as tf.Tensor[];
    return await Promise.all(outputs.map(async (output) => ({ shape: output.shape, data: Float32Array.from(await output.data()) })));
  } finally {
    model?.dispose();
    tf.engine().endScope();
  }
}

/** Graphs that find elements or suppress boxes say that only `executeAsync` runs them. */
async function predicted(model: GraphModel, named: tf.NamedTensorMap): Promise<tf.Tensor | tf.Tensor[]> {
  try {
    return model.predict(named) as tf.Tensor | tf.Tensor[];
  } catch (error) {
    if (!String(error).includes('executeAsync')) throw error;
    return model.executeAsync(named);
  }
}
