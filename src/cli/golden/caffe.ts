/** Records in Caffe or, where pycaffe is not to be had, in OpenCV, whose importer shares no code with Caffe or with this tool. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, SAVE, settings } from './script.js';

export const caffe: GoldenScript = {
  framework: 'caffe',
  needsShape: false,
  write: (options) => `#!/usr/bin/env python3
"""Records what a Caffe model predicts, for Weighbridge's verify --golden.

  python record.py net.prototxt net.caffemodel recorded.npz

Runs pycaffe where it is installed, else OpenCV's importer (Debian: apt-get install python3-opencv).
${MADE_BY}
"""
import argparse
import re

import numpy as np

try:
    import caffe
except ImportError:
    caffe = None
    import cv2

${settings(options, 'as the prototxt states it')}


${MAKE_INPUT}


def shape_of(prototxt):
    """The first sizes in a deployment net are its input's: batch, channels, height, width."""
    with open(prototxt) as file:
        text = re.sub(r"#.*", "", file.read())
    return tuple(int(size) for size in re.findall(r"\\b(?:input_dim|dim)\\s*:\\s*(\\d+)", text)[1:4])


def run_caffe(args, x):
    net = caffe.Net(args.prototxt, args.model, caffe.TEST)
    name = net.inputs[0]
    net.blobs[name].reshape(*x.shape)
    net.blobs[name].data[...] = x
    net.reshape()
    layers = {}
    # Layer by layer: one that works in place overwrites what was before it.
    for i, layer in enumerate(net._layer_names):
        net._forward(i, i)
        for top in net.top_names[layer][:1]:
            layers[layer] = net.blobs[top].data.copy()
    return {name: net.blobs[name].data.copy() for name in net.outputs}, layers


def run_opencv(args, x):
    net = cv2.dnn.readNetFromCaffe(args.prototxt, args.model)
    net.enableFusion(False)
    outputs, layers = list(net.getUnconnectedOutLayersNames()), ${options.layers ? 'list(net.getLayerNames())' : '[]'}
    found = {name: [] for name in outputs + layers}
    for i in range(len(x)):
        net.setInput(x[i : i + 1])
        for name, array in zip(found, net.forward(list(found))):
            found[name].append(array.copy())
    joined = {name: np.concatenate(arrays) for name, arrays in found.items()}
    return {name: joined[name] for name in outputs}, {name: joined[name] for name in layers}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("prototxt")
    parser.add_argument("model")
    parser.add_argument("out")
    args = parser.parse_args()
    arrays = {"input": make_input(SHAPE or shape_of(args.prototxt), 1, SEED)}
    outputs, layers = (run_caffe if caffe else run_opencv)(args, arrays["input"])
    print("recorded by", "pycaffe" if caffe else f"OpenCV {cv2.__version__}")
    for name, array in outputs.items():
        arrays["output" if len(outputs) == 1 else f"output:{name}"] = array
${options.layers ? '    arrays.update({f"layer:{name}": array for name, array in layers.items() if len(array) == SAMPLES})\n' : ''}    ${SAVE}


main()
`,
};
