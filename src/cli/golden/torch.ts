/** Records in PyTorch. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, SAVE, settings } from './script.js';

export const torch: GoldenScript = {
  framework: 'torch',
  needsShape: true,
  write: (options) => `#!/usr/bin/env python3
"""Records what a PyTorch model predicts, for Weighbridge's verify --golden.

  python record.py weights.pth recorded.npz --build torchvision.models:vgg16
  python record.py whole_model.pt recorded.npz

Weights alone do not say how the layers are wired: --build names a function without arguments that makes the network,
in a module that Python can import (your own file in this folder will do). Without it the file must hold the whole
module; loading that runs code in the file, so do it only with files that you trust. Needs PyTorch 1.13 or newer.
${MADE_BY}
"""
import argparse
import importlib
import sys

import numpy as np
import torch

${settings(options, '')}


${MAKE_INPUT}


def load(path, build):
    if build is None:
        model = torch.load(path, map_location="cpu", weights_only=False)
        if not isinstance(model, torch.nn.Module):
            sys.exit("this file holds weights without their wiring: name what makes the network with --build")
        return model
    module, _, name = build.partition(":")
    sys.path.insert(0, ".")
    model = getattr(importlib.import_module(module), name)()
    state = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model_state_dict", "model"):
        state = state[wrapper] if isinstance(state.get(wrapper), dict) else state
    model.load_state_dict({key[7:] if key.startswith("module.") else key: value for key, value in state.items()})
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--build", help="module:function that makes the network")
    args = parser.parse_args()
    model = load(args.model, args.build).float().eval()
    arrays = {"input": make_input(SHAPE, 1, SEED)}
${
  options.layers
    ? `
    def keep(name):
        # Copied at once: an in-place ReLU behind it would change it.
        def hook(module, inputs, output):
            if isinstance(output, torch.Tensor):
                arrays.setdefault("layer:" + name, output.numpy().copy())
        return hook

    for name, module in model.named_modules():
        if name and not list(module.children()):
            module.register_forward_hook(keep(name))
`
    : ''
}    with torch.no_grad():
        outputs = model(torch.from_numpy(arrays["input"]))
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, (tuple, list)):
        arrays.update({f"output_{i}": output.numpy() for i, output in enumerate(outputs)})
    else:
        arrays["output"] = outputs.numpy()
    ${SAVE}


main()
`,
};
