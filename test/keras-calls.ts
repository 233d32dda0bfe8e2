/** Models of one call of an operation, as tf.keras and Keras 3 write them, and what comes of them. */
import { functional, kerasArchive, legacyH5 } from './keras-files.js';
import { predictFile } from './keras-run.js';
import type { Run } from './run-onnx.js';

export const inputLayer = (name: string, { shape }: Run, dtype = 'float32') => ({
  class_name: 'InputLayer',
  name,
  config: { batch_input_shape: [null, ...shape.slice(1)], dtype, sparse: false, ragged: false, name },
});

const named = (inputs: readonly Run[]) => inputs.map((run, i) => ['xyz'[i]!, run] as const);

/** A call of a TensorFlow function on x, as tf.keras writes it; `kwargs` may hold ["y", 0, 0]. */
export async function tensorflow(
  fn: string,
  kwargs: object,
  inputs: readonly Run[],
  { className = 'TFOpLambda', first = ['x', 0, 0] as readonly unknown[] } = {},
) {
  const layers = [
    ...named(inputs).map(([name, run]) => inputLayer(name, run)),
    { class_name: className, name: 'op', config: { trainable: true, dtype: 'float32', function: fn }, inbound: [[...first, kwargs]] },
  ];
  const bytes = await legacyH5(
    functional(
      layers,
      named(inputs).map(([name]) => [name, 0, 0]),
      [['op', 0, 0]],
    ),
  );
  return (await predictFile('model.h5', bytes, inputs)).results.get('op')!;
}

export const tensor = (name: string, output = 0) => ({
  class_name: '__keras_tensor__',
  config: { shape: [null], dtype: 'float32', keras_history: [name, 0, output] },
});
export const array = (value: unknown) => ({ class_name: '__tensor__', config: { value, dtype: 'float32' } });

/** An operation of Keras 3; its outputs, if they are several, are all of the model's. */
export async function keras(
  className: string,
  args: readonly unknown[],
  inputs: readonly Run[],
  { config = {}, kwargs = {}, outputs = 1, module = 'keras.src.ops.numpy' } = {},
): Promise<Run[]> {
  const model = {
    class_name: 'Functional',
    config: {
      name: 'f',
      layers: [
        ...named(inputs).map(([name, run]) => ({
          module: 'keras.layers',
          class_name: 'InputLayer',
          config: { batch_shape: [null, ...run.shape.slice(1)], dtype: 'float32', sparse: false, ragged: false, optional: false, name },
          registered_name: null,
          name,
          inbound_nodes: [],
        })),
        {
          module,
          class_name: className,
          config: { name: 'op', ...config },
          registered_name: className,
          name: 'op',
          inbound_nodes: [{ args, kwargs }],
        },
      ],
      input_layers: named(inputs).map(([name]) => [name, 0, 0]),
      output_layers: Array.from({ length: outputs }, (_, i) => ['op', 0, i]),
    },
  };
  const { results } = await predictFile('model.keras', await kerasArchive(model), inputs);
  return [...results.values()];
}
