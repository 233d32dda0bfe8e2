/** Records in TensorFlow: SavedModels, frozen graphs, and TensorFlow Lite. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, RECORD, SAVE, settings } from './script.js';

export const tensorflow: GoldenScript = {
  framework: 'tensorflow',
  needsShape: false,
  givesOutputsAlone: true,
  write: (options) => `#!/usr/bin/env python3
"""Records what a TensorFlow model predicts, for Weighbridge's verify --golden.

  python record.py saved_model_folder recorded.npz
  python record.py frozen.pb recorded.npz
  python record.py model.tflite recorded.npz

Needs TensorFlow 2; for .tflite alone ai-edge-litert or tflite-runtime will do. Loading a SavedModel runs the graph in it,
which may read and write files: do it only with one that you trust.
${MADE_BY}
"""
import argparse
import os

import numpy as np

${settings(options, 'as the model states it, 32 where it leaves a size free')}


${MAKE_INPUT}


${RECORD}


def open_lite(path):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            import tensorflow as tf

            Interpreter = tf.lite.Interpreter
    net = Interpreter(model_path=path)
    ports = net.get_input_details()
    # A size that is free is 1 until it is set; not every net with a free batch runs with another.
    free = [list(port.get("shape_signature", port["shape"])) for port in ports]
    given = [(port["name"], [1, *shape[1:]] if shape and shape[0] == -1 else shape, port["dtype"]) for port, shape in zip(ports, free)]

    def run(arrays):
        for port, array in zip(ports, arrays):
            net.resize_tensor_input(port["index"], array.shape)
        net.allocate_tensors()
        for port, array in zip(ports, arrays):
            net.set_tensor(port["index"], array)
        net.invoke()
        return [(port["name"], net.get_tensor(port["index"])) for port in net.get_output_details()]

    return given, run


def as_given(tensor, name):
    shape = [1] if tensor.shape.rank is None else [-1 if size is None else int(size) for size in tensor.shape]
    return name, shape, tensor.dtype.as_numpy_dtype


def open_saved(path):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    net = model.signatures["serving_default" if "serving_default" in model.signatures else sorted(model.signatures)[0]]
    ports = sorted(net.structured_input_signature[1].items())

    def run(arrays):
        return sorted(net(**{name: tf.constant(array) for (name, _), array in zip(ports, arrays)}).items())

    net.model = model
    return [as_given(spec, name) for name, spec in ports], run


def open_frozen(path):
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    ops = graph.get_operations()
    ports = [op.outputs[0] for op in ops if op.type == "Placeholder"]
    read = {tensor.op.name for op in ops for tensor in op.inputs}
    ends = [op.outputs[0] for op in ops if op.outputs and op.name not in read and op.type not in ("Const", "Placeholder", "NoOp")]

    def run(arrays):
        with tf.compat.v1.Session(graph=graph) as session:
            return list(zip([end.op.name for end in ends], session.run(ends, dict(zip(ports, arrays)))))

    return [as_given(port, port.op.name) for port in ports], run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    args = parser.parse_args()
    is_saved = os.path.isdir(args.model)
    given, run = (open_saved if is_saved else open_lite if args.model.endswith(".tflite") else open_frozen)(args.model)
    arrays = record(given, run, -1)
    ${SAVE}


main()
`,
};
