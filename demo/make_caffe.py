#!/usr/bin/env python3
"""Records what OpenCV's own Caffe importer predicts for digits/digits.caffemodel; run after make.py (see there)."""
from pathlib import Path

import cv2
import numpy as np

OUT = Path(__file__).parent / 'digits'
net = cv2.dnn.readNetFromCaffe(str(OUT / 'digits.prototxt'), str(OUT / 'digits.caffemodel'))
x = np.load(OUT / 'torch.npz')['input']
outputs = []
for image in x:
    net.setInput(image[None])
    outputs.append(net.forward().copy())
np.savez_compressed(OUT / 'caffe.npz', input=x, output=np.concatenate(outputs))
print('opencv', cv2.__version__, 'largest difference to Keras', np.abs(np.concatenate(outputs) - np.load(OUT / 'keras.npz')['output']).max())
