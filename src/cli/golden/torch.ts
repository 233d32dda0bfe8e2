/** Records in PyTorch. */
import { type GoldenScript, MADE_BY, MAKE_INPUT, SAVE, settings } from './script.js';

export const torch: GoldenScript = {
  framework: 'torch',
  needsShape: true,
  write: (options) => `#!/usr/bin/env python3
"""Records what a PyTorch model predicts, for Weighbridge's verify --golden.

  python record.py weights.pth recorded.npz --build torchvision.models:vgg16
  python record.py whole_model.pt recorded.npz
  python record.py torchscript.pt recorded.npz
  python record.py exported.pt2 recorded.npz

Weights alone do not say how the layers are wired: --build names a function without arguments that makes the network,
in a module that Python can import (your own file in this folder will do). Without it the file must hold the network,
as TorchScript, as a program of torch.export, or as the whole module; loading the latter runs code in the file, so do
it only with files that you trust. Needs PyTorch 1.13 or newer.
${MADE_BY}
"""
import argparse
import importlib
import sys
import zipfile

import numpy as np
import torch

${settings(options, '')}


${MAKE_INPUT}


def is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def load(path, build):
    if build is None and path.endswith(".pt2"):
        return torch.export.load(path).module()
    if build is None and is_torchscript(path):
        return torch.jit.load(path, map_location="cpu").eval()
    if build is None:
        model = torch.load(path, map_location="cpu", weights_only=False)
        if not isinstance(model, torch.nn.Module):
            sys.exit("this file holds weights without their wiring: name what makes the network with --build")
        return model.float().eval()
    module, _, name = build.partition(":")
    sys.path.insert(0, ".")
    model = getattr(importlib.import_module(module), name)()
    state = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model_state_dict", "model"):
        state = state[wrapper] if isinstance(state.get(wrapper), dict) else state
    model.load_state_dict({key[7:] if key.startswith("module.") else key: value for key, value in state.items()})
    return model.float().eval()


def run(model, x):
    try:
        return model(x)
    except AssertionError:
        # A program that was exported with a batch of one takes no other.
        rows = [model(sample) for sample in x.split(1)]
    if isinstance(rows[0], torch.Tensor):
        return torch.cat(rows)
    return [torch.cat(parts) for parts in zip(*(row.values() if isinstance(row, dict) else row for row in rows))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--build", help="module:function that makes the network")
    args = parser.parse_args()
    model = load(args.model, args.build)
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
        outputs = run(model, torch.from_numpy(arrays["input"]))
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
