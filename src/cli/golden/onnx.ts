/** Records in ONNX Runtime. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, RECORD, SAVE, settings } from './script.js';

const DTYPES = '{"float": "float32", "double": "float64"}.get(port.type[7:-1], port.type[7:-1])';

export const onnx: GoldenScript = {
  framework: 'onnx',
  needsShape: false,
  givesOutputsAlone: true,
  write: (options) => `#!/usr/bin/env python3
"""Records what an ONNX model predicts, for Weighbridge's verify --golden.

  python record.py model.onnx recorded.npz

Needs onnxruntime.
${MADE_BY}
"""
import argparse

import numpy as np
import onnxruntime

${settings(options, 'as the model states it, 32 where it leaves a size free')}


${MAKE_INPUT}


${RECORD}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    args = parser.parse_args()
    net = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    ports = net.get_inputs()
    shapes = [[size if isinstance(size, int) else -1 for size in port.shape] for port in ports]
    dtypes = [np.dtype(${DTYPES}) for port in ports]

    def run(arrays):
        return [(port.name, array) for port, array in zip(net.get_outputs(), net.run(None, dict(zip([p.name for p in ports], arrays))))]

    arrays = record(list(zip([port.name for port in ports], shapes, dtypes)), run, 1)
    ${SAVE}


main()
`,
};
