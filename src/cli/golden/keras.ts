/** Records in Keras, of its own or inside TensorFlow. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, SAVE, settings } from './script.js';

export const keras: GoldenScript = {
  framework: 'keras',
  needsShape: false,
  write: (options) => `#!/usr/bin/env python3
"""Records what a Keras model predicts, for Weighbridge's verify --golden.

  python record.py model.h5 recorded.npz
  python record.py weights.h5 recorded.npz --config model.json

--config is the JSON of model.to_json(), for a file that holds weights only.
${MADE_BY}
"""
import argparse

import numpy as np

try:
    import keras
except ImportError:
    from tensorflow import keras

${settings(options, 'as the model states it')}


${MAKE_INPUT}


def load(path, config):
    if config is None:
        return keras.models.load_model(path, compile=False)
    with open(config) as file:
        model = keras.models.model_from_json(file.read())
    model.load_weights(path)
    return model


def name_all(word, tensors, given):
    """One array is 'input'; of several, each has its key behind it where they are a dictionary, else its layer's name."""
    names = sorted(given) if isinstance(given, dict) else [tensor.name.split("/")[0].split(":")[0] for tensor in tensors]
    return [word] if len(tensors) == 1 else [f"{word}:{name}" for name in names]

${
  options.layers
    ? `
def value_of(model, layer):
    """What the layer makes where the model uses it first; it may be part of other models, too."""
    for i, node in enumerate(layer._inbound_nodes):
        value = layer.get_output_at(i) if hasattr(layer, "get_output_at") else node.output_tensors[0]
        try:
            keras.Model(model.inputs, value)
            return value
        except ValueError:
            continue

`
    : ''
}
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--config")
    args = parser.parse_args()
    model = load(args.model, args.config)
    channels_last = keras.backend.image_data_format() == "channels_last"
    arrays = {}
    given = getattr(model, "_inputs_struct", None) or getattr(model, "_nested_inputs", None)
    for i, (name, tensor) in enumerate(zip(name_all("input", model.inputs, given), model.inputs)):
        shape = SHAPE or tuple(size or 32 for size in tensor.shape[1:])
        arrays[name] = make_input(shape, -1 if channels_last else 1, SEED + i)
    inputs = list(arrays.values())

    def run(network, names):
        found = network.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
        if isinstance(found, dict):
            names = [f"output:{key}" for key in found] if len(found) > 1 else names
        found = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
        arrays.update({name: np.asarray(array, dtype=np.float32) for name, array in zip(names, found)})

    outputs = getattr(model, "output_names", None) or []
    run(model, ["output"] if len(model.outputs) == 1 else [f"output:{name}" for name in outputs])
${
  options.layers
    ? `    # A layer that is a model itself is recorded as a whole.
    inner = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    values = {"layer:" + layer.name: value_of(model, layer) for layer in inner}
    values = {name: value for name, value in values.items() if value is not None}
    run(keras.Model(model.inputs, list(values.values())), values)
`
    : ''
}    ${SAVE}


main()
`,
};
