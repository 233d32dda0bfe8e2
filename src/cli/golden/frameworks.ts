/** Which framework's files a format is of. Of TensorFlow.js the verifier runs models itself. */
const FRAMEWORKS: Readonly<Record<string, string>> = {
  'keras-h5': 'keras',
  'keras-v3': 'keras',
  pytorch: 'torch',
  caffe: 'caffe',
  tensorflow: 'tensorflow',
  tflite: 'tensorflow',
  onnx: 'onnx',
};

/** @returns undefined where no script records what files of the format predict */
export const frameworkOf = (format: string): string | undefined => FRAMEWORKS[format];
