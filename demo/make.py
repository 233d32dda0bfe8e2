#!/usr/bin/env python3
"""Makes the demo: a small VGG-style net for handwritten digits, in three dialects, with recorded predictions.

The net (three blocks of two 3x3 convolutions, three fully connected layers, about 54,000 parameters) reads 32x32 RGB
pictures of digits in coloured ink on coloured paper, so that a mix-up of channels shows. It is trained on pen strokes
that this script draws (skeletons below, bent, slanted and inked at random) together with the 1,797 real handwritten
digits that scikit-learn carries, recoloured. Only what this script draws itself is shipped.

Writes into digits/: digits.h5 (Keras 3 legacy HDF5), digits.pth (PyTorch zip), digits.prototxt + digits.caffemodel,
images/<n>.png with labels.json, and for each framework <framework>.npz with `input` and `output` in the framework's
own layout. Keras and PyTorch predict with themselves; Caffe is no longer packaged, so its file is run by OpenCV's own
Caffe importer.

Made with Python 3.11, torch 2.13.0 (CPU), keras 3.15.1 on tensorflow 2.21.0, scikit-learn 1.9.1, and for the Caffe
predictions Debian's python3-opencv 4.6.0 through `make_caffe.py`; seed 20.

  python make.py && /usr/bin/python3 make_caffe.py
"""
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np

os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
OUT = Path(__file__).parent / 'digits'
SEED, SIDE, CLASSES = 20, 32, 10
BLOCKS, HIDDEN = (12, 24, 32), 48

# Pen strokes per digit and variant, as control points in a unit square, x right and y down.
STROKES = {
    0: [[[(.5, .1), (.25, .25), (.2, .55), (.3, .85), (.55, .9), (.78, .7), (.78, .35), (.62, .12), (.46, .1)]]],
    1: [[[(.5, .1), (.5, .5), (.5, .9)]], [[(.32, .3), (.45, .2), (.55, .1), (.55, .5), (.54, .9)]],
        [[(.35, .28), (.53, .1), (.53, .9)], [(.33, .9), (.72, .9)]]],
    2: [[[(.25, .3), (.35, .13), (.55, .1), (.72, .22), (.7, .42), (.5, .62), (.25, .88)], [(.25, .88), (.5, .88), (.78, .87)]],
        [[(.25, .28), (.45, .1), (.7, .2), (.66, .48), (.35, .8), (.25, .85), (.3, .74), (.45, .8), (.78, .88)]]],
    3: [[[(.26, .18), (.45, .1), (.68, .18), (.67, .38), (.45, .48)], [(.45, .48), (.7, .55), (.74, .76), (.52, .9), (.25, .82)]],
        [[(.25, .12), (.72, .12)], [(.72, .12), (.48, .42), (.7, .52), (.74, .74), (.52, .9), (.26, .84)]]],
    4: [[[(.4, .1), (.32, .35), (.22, .6)], [(.22, .6), (.5, .6), (.8, .58)], [(.62, .35), (.62, .6), (.6, .92)]],
        [[(.62, .1), (.4, .36), (.2, .64)], [(.2, .64), (.5, .64), (.82, .64)], [(.62, .1), (.62, .5), (.62, .92)]]],
    5: [[[(.72, .12), (.5, .12), (.32, .13)], [(.32, .13), (.3, .3), (.28, .45)], [(.28, .45), (.5, .38), (.72, .52), (.72, .75), (.5, .9), (.25, .83)]]],
    6: [[[(.65, .1), (.45, .25), (.3, .5), (.27, .75), (.45, .92), (.68, .82), (.7, .62), (.52, .5), (.33, .6)]]],
    7: [[[(.22, .15), (.5, .13), (.76, .13)], [(.76, .13), (.6, .42), (.48, .65), (.42, .92)]],
        [[(.22, .15), (.5, .13), (.76, .13)], [(.76, .13), (.6, .45), (.42, .92)], [(.38, .52), (.68, .5)]]],
    8: [[[(.5, .48), (.3, .35), (.32, .16), (.52, .1), (.7, .2), (.66, .38), (.48, .5), (.28, .66), (.32, .86), (.54, .92), (.73, .8), (.7, .6), (.5, .48)]]],
    9: [[[(.7, .35), (.58, .5), (.38, .5), (.27, .35), (.35, .15), (.55, .1), (.7, .22), (.71, .4)], [(.71, .36), (.69, .6), (.62, .92)]],
        [[(.68, .25), (.5, .1), (.32, .2), (.3, .4), (.48, .52), (.68, .4), (.7, .25)], [(.7, .25), (.7, .6), (.55, .85), (.35, .9)]]],
}


def spline(points, steps=12):
    """Catmull-Rom curve through the points; [n, 2]."""
    p = np.array([points[0], *points, points[-1]], dtype=np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:]):
        pieces.append(.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, p[-1:]])


def draw(digit, rng):
    """Ink coverage [SIDE, SIDE] in 0..1 of one digit in a random hand."""
    variant = STROKES[digit][rng.integers(len(STROKES[digit]))]
    angle, shear = rng.normal(0, .12), rng.normal(.05, .18)
    scale = rng.uniform(.72, .98, 2) * np.array([rng.uniform(.75, 1), 1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array([[1, -shear], [0, 1]]) * scale
    shift, width = rng.normal(0, .04, 2), rng.uniform(.9, 1.9)
    yy, xx = np.mgrid[0:SIDE, 0:SIDE] + .5
    ink = np.zeros((SIDE, SIDE))
    for stroke in variant:
        points = np.array(stroke) + rng.normal(0, .028, (len(stroke), 2))
        curve = ((spline(points) - .5) @ turn.T + .5 + shift) * SIDE
        for (x0, y0), (x1, y1) in zip(curve, curve[1:]):
            dx, dy = x1 - x0, y1 - y0
            along = np.clip(((xx - x0) * dx + (yy - y0) * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
            distance = np.hypot(xx - x0 - along * dx, yy - y0 - along * dy)
            ink = np.maximum(ink, np.clip(width + .5 - distance, 0, 1))
    return ink


def colour(ink, rng):
    """[SIDE, SIDE] coverage to a uint8 RGB picture [SIDE, SIDE, 3]: dark cool ink on warm paper."""
    paper = np.array([rng.uniform(215, 255), rng.uniform(195, 240), rng.uniform(140, 205)])
    pen = np.array([rng.uniform(0, 60), rng.uniform(10, 80), rng.uniform(60, 170)])
    picture = paper + (pen - paper) * ink[..., None] + rng.normal(0, 5, (SIDE, SIDE, 3))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def real_digits(rng):
    """scikit-learn's digits (8x8, 0..16), enlarged and coloured like ours, split into training and test."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    data = load_digits()
    pictures = []
    for image in data.images:
        ink = np.clip(zoom(image / 16, 3, order=1), 0, 1)
        pictures.append(colour(np.pad(ink, 4), rng))
    order = rng.permutation(len(pictures))
    pictures, labels = np.stack(pictures)[order], data.target[order]
    return (pictures[:1400], labels[:1400]), (pictures[1400:], labels[1400:])


def train(pictures, labels):
    import torch
    from torch import nn
    torch.manual_seed(SEED)
    layers, channels = [], 3
    for width in BLOCKS:
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    side = SIDE >> len(BLOCKS)

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(nn.Linear(channels * side * side, HIDDEN), nn.ReLU(), nn.Dropout(.3),
                                            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(.3), nn.Linear(HIDDEN, CLASSES))

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    net = Digits()
    epochs, batch = 14, 128
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * (len(labels) // batch))
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
    y = torch.from_numpy(labels)
    for epoch in range(epochs):
        order = torch.randperm(len(y))
        for i in range(len(y) // batch):
            rows = order[i * batch:(i + 1) * batch]
            loss = nn.functional.cross_entropy(net(x[rows].float() / 255), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f'epoch {epoch}: loss {loss.item():.4f}', flush=True)
    return net.eval()


def write_torch(net, x):
    import torch
    torch.save(net.state_dict(), OUT / 'digits.pth')
    with torch.no_grad():
        np.savez_compressed(OUT / 'torch.npz', input=x, output=net(torch.from_numpy(x)).numpy())


def write_keras(net, x):
    import keras
    from keras import layers
    rows = [layers.Input((SIDE, SIDE, 3), name='input')]
    for b, width in enumerate(BLOCKS, 1):
        rows += [layers.Conv2D(width, 3, padding='same', activation='relu', name=f'block{b}_conv{c}') for c in (1, 2)]
        rows.append(layers.MaxPooling2D(2, name=f'block{b}_pool'))
    rows += [layers.Flatten(name='flatten'), layers.Dense(HIDDEN, activation='relu', name='fc1'), layers.Dropout(.3, name='dropout1'),
             layers.Dense(HIDDEN, activation='relu', name='fc2'), layers.Dropout(.3, name='dropout2'),
             layers.Dense(CLASSES, activation='softmax', name='predictions')]
    model = keras.Sequential(rows, name='digits')
    side = SIDE >> len(BLOCKS)
    weighted = [layer for layer in model.layers if layer.weights]
    tensors = [t.numpy() for t in net.state_dict().values()]
    for layer, weight, bias in zip(weighted, tensors[::2], tensors[1::2], strict=True):
        if weight.ndim == 4:
            kernel = weight.transpose(2, 3, 1, 0)
        elif layer.name == 'fc1':  # columns in (channel, row, column) order to rows in (row, column, channel) order
            kernel = weight.reshape(HIDDEN, -1, side, side).transpose(2, 3, 1, 0).reshape(-1, HIDDEN)
        else:
            kernel = weight.T
        layer.set_weights([kernel, bias])
    model.save(OUT / 'digits.h5')
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.savez_compressed(OUT / 'keras.npz', input=nhwc, output=model.predict(nhwc, verbose=0))


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number, payload):
    """A length-delimited protobuf field."""
    payload = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def write_caffe(net):
    tensors = [t.numpy() for t in net.state_dict().values()]
    blobs = list(zip(tensors[::2], tensors[1::2]))
    rows, top = [], 'data'
    for b, width in enumerate(BLOCKS, 1):
        for c in (1, 2):
            name = f'conv{b}_{c}'
            rows += [(name, 'Convolution', top, name, f'convolution_param {{ num_output: {width} pad: 1 kernel_size: 3 }}', blobs.pop(0)),
                     (f'relu{b}_{c}', 'ReLU', name, name, '', ())]
            top = name
        rows.append((f'pool{b}', 'Pooling', top, f'pool{b}', 'pooling_param { pool: MAX kernel_size: 2 stride: 2 }', ()))
        top = f'pool{b}'
    for name, units in (('fc6', HIDDEN), ('fc7', HIDDEN), ('fc8', CLASSES)):
        rows.append((name, 'InnerProduct', top, name, f'inner_product_param {{ num_output: {units} }}', blobs.pop(0)))
        top = name
        if name != 'fc8':
            rows += [(f'relu{name[-1]}', 'ReLU', name, name, '', ()),
                     (f'drop{name[-1]}', 'Dropout', name, name, 'dropout_param { dropout_ratio: 0.3 }', ())]
    rows.append(('prob', 'Softmax', 'fc8', 'prob', '', ()))
    text = ['name: "digits"', f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {SIDE} dim: {SIDE} }} }} }}']
    binary = field(1, 'digits')
    for name, kind, bottom, top, params, weights in rows:
        text.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {params}}}')
        shaped = [field(7, field(7, field(1, b''.join(map(varint, w.shape)))) + field(5, w.astype('<f4').tobytes())) for w in weights]
        binary += field(100, field(1, name) + field(2, kind) + field(3, bottom) + field(4, top) + b''.join(shaped))
    (OUT / 'digits.prototxt').write_text('\n'.join(text) + '\n')
    (OUT / 'digits.caffemodel').write_bytes(binary)


def write_png(path, picture):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    height, width, _ = picture.shape
    rows = b''.join(b'\0' + picture[y].tobytes() for y in range(height))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows, 9)) + chunk(b'IEND', b''))


def main():
    rng = np.random.default_rng(SEED)
    (OUT / 'images').mkdir(parents=True, exist_ok=True)

    def drawn(count):
        labels = rng.integers(0, CLASSES, count)
        return np.stack([colour(draw(d, rng), rng) for d in labels]), labels

    ours, real, real_test = drawn(12000), *real_digits(rng)
    pictures = np.concatenate([ours[0], np.repeat(real[0], 3, axis=0)])
    net = train(pictures, np.concatenate([ours[1], np.repeat(real[1], 3)]))

    import torch

    def accuracy(pictures, labels):
        with torch.no_grad():
            logits = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() / 255)
        return float((logits.argmax(1).numpy() == labels).mean())

    scores = {'drawn': accuracy(*drawn(2000)), 'real': accuracy(*real_test), 'drawnCount': 2000, 'realCount': len(real_test[1])}
    print(scores)
    labels = [d for d in range(CLASSES) for _ in range(2)]
    shipped = np.stack([colour(draw(d, rng), rng) for d in labels])
    for i, picture in enumerate(shipped):
        write_png(OUT / 'images' / f'{i:02d}.png', picture)
    (OUT / 'labels.json').write_text(json.dumps({'labels': labels, 'accuracy': scores}) + '\n')
    x = np.ascontiguousarray(shipped.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
    write_torch(net, x)
    write_keras(net, x)
    write_caffe(net)


if __name__ == '__main__':
    main()
