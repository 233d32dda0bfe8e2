/** What each target format is called and can hold: all that is known of it before its writer is loaded. */
import type { Target } from './writer.js';

export const ONNX: Target = {
  name: 'onnx',
  title: 'ONNX',
  extensions: ['.onnx'],
  dtypes: ['float32', 'float16', 'bfloat16', 'int8'],
  packed: ['int4', 'uint4'],
  options: ['layout', 'opset', 'externalData', 'float16Compute'],
  keepsMetadata: true,
};

export const TFJS_GRAPH: Target = {
  name: 'tfjs-graph',
  title: 'TensorFlow.js graph model',
  extensions: [],
  dtypes: ['float32', 'float16', 'uint8', 'uint16'],
  options: ['layout', 'shardBytes'],
  keepsMetadata: true,
};

export const TFJS: Target = { ...TFJS_GRAPH, name: 'tfjs', title: 'TensorFlow.js layers model', extensions: ['model.json'], wider: 'tfjs-graph' };

export const KERAS_H5: Target = {
  name: 'keras-h5',
  title: 'Keras HDF5',
  extensions: ['.h5', '.hdf5'],
  dtypes: ['float32', 'float16', 'float64'],
  options: [],
};

export const KERAS_V3: Target = { ...KERAS_H5, name: 'keras-v3', title: 'Keras 3 archive', extensions: ['.keras'] };

export const PYTORCH: Target = {
  name: 'pytorch',
  title: 'PyTorch',
  extensions: ['.pth', '.pt'],
  beside: '.py',
  dtypes: ['float32', 'float16', 'bfloat16', 'float64'],
  options: ['names'],
  hasNoFacts: true,
};

export const CAFFE: Target = { name: 'caffe', title: 'Caffe', extensions: ['.caffemodel'], beside: '.prototxt', dtypes: ['float32', 'float64'], options: [] };

export const SAFETENSORS: Target = {
  name: 'safetensors',
  title: 'safetensors',
  extensions: ['.safetensors'],
  dtypes: ['float32', 'float16', 'bfloat16', 'float64'],
  options: ['names', 'shardBytes'],
  keepsMetadata: true,
};

export const NPZ: Target = {
  name: 'npz',
  title: 'NumPy npz',
  extensions: ['.npz'],
  dtypes: ['float32', 'float16', 'float64'],
  options: ['names'],
  hasNoFacts: true,
};
