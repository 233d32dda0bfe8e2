/**
 * What the table of docs/shrink.md has: trained nets, and ways to make them smaller. All of the demo, of `trained` and of the corpus's cases of kind `net` are here or are left out with the
 * reason. Cases of kind `weights` have no wiring; of them those are here that are recognised as a known net.
 */

/** MNIST's pictures for nets that take them so. */
const digits = (title, name, prepare, layout = 'nchw', rest = {}) => ({ title, corpus: name, pictures: 'mnist-cnn', prepare, layout, ...rest });
const recorded = (title, name, own = {}) => ({ title, corpus: name, own });
export const NETS = [
  { title: 'digits (demo)', model: 'demo/digits/digits.h5', golden: 'demo/digits/keras.npz' },
  { title: 'CNN for MNIST', trained: 'mnist-cnn/mnist_cnn.h5', pictures: 'mnist-cnn', prepare: (x) => x / 255, layout: 'nhwc' },
  { title: 'ResNet-8, CIFAR-10', trained: 'resnet8-cifar10/pretrainedResnet.h5', pictures: 'resnet8-cifar10', prepare: (x) => x },
  { title: 'MobileNet v2 0.35', trained: 'mobilenetv2-waste/keras_model.h5', pictures: 'mobilenetv2-waste', prepare: (x) => x / 127.5 - 1 },
  { title: 'ESRGAN slim x2', trained: 'esrgan-slim-x2/model.json', pictures: 'esrgan-slim-x2', prepare: (x) => x / 255, rows: 12 },
  digits('LeNet (Caffe)', 'caffe-lenet', (x) => x / 256),
  digits('LeNet-5 (ONNX)', 'onnx-lenet-simple', (x) => x / 255),
  digits('MLP for MNIST (ONNX)', 'onnx-mlp-custom', (x) => x / 255),
  digits('CNTK MNIST (ONNX)', 'onnx-cntk-mnist-op7', (x) => x),
  digits('digits CNN (Keras 3)', 'keras3-digits-cnn', (x) => x / 255, 'nhwc'),
  recorded('CIFAR-10 quick (Caffe)', 'caffe-cifar10-quick-v1'),
  recorded('CIFAR-10 full (Caffe)', 'caffe-cifar10-full-hdf5'),
  recorded('mini XCEPTION, FER2013', 'keras2-fer2013-mini-xception'),
  recorded('wake word (Keras)', 'tfkeras-tiny-streaming-wakeword'),
  recorded('key words DS-CNN (TFLite)', 'tflite-kws-dscnn'),
  recorded('tiny VGG (TensorFlow.js)', 'tfjs-tinyvgg-poloclub'),
  recorded('UltraFace slim (ONNX)', 'onnx-ultraface-slim-320'),
  recorded('YuNet (ONNX)', 'onnx-yunet-dynamic'),
  recorded('BlazeFace (ONNX)', 'onnx-blazeface-front-tf2onnx'),
  recorded('PP-OCR direction (ONNX)', 'onnx-ppocr-cls-constants'),
  recorded('SqueezeNet (ONNX, float16)', 'onnx-squeezenet-fp16'),
  recorded('waifu2x (Caffe)', 'caffe-waifu2x-y'),
  recorded('FSRCNN x3 (TensorFlow)', 'tf-frozen-fsrcnn-x3', { inputShape: [1, 32, 32, 1] }),
  recorded('UltraFace RFB (Caffe)', 'caffe-ultraface-rfb320'),
  recorded('mini XCEPTION, gender (TensorFlow.js)', 'tfjs-graph-gender'),
  recorded('ResNet-20, CIFAR-10 (PyTorch)', 'pytorch-resnet20-cifar'),
  digits('CNN for MNIST (Keras 1)', 'keras1-keras2cpp-theano-json', (x) => x / 255),
  recorded('tiny VGG (Keras)', 'tfkeras-tinyvgg-ntang-vgg-best'),
  recorded('abalone (TensorFlow.js)', 'tfjs-abalone'),
  recorded('super-resolution (ONNX, 2017)', 'onnx-superres-ir1'),
  recorded('NSFW MobileNet v2 (TensorFlow.js, uint8)', 'tfjs-mobilenetv2-uint8'),
  recorded('BlazeFace (TensorFlow.js)', 'tfjs-graph-blazeface-front'),
  recorded('light inception (ONNX)', 'onnx-light-inception-v1'),
  recorded('prefetch (TensorFlow.js)', 'tfjs-graph-prefetch'),
  recorded('CNN for MNIST, two outputs (ONNX)', 'onnx-cnn-mnist-two-outputs'),
  recorded('WGAN, discriminator (Keras)', 'keras2-wgan-discriminator'),
  recorded('MLP of tf2onnx (ONNX)', 'onnx-tf2onnx-mlp'),
  recorded('iris MLP (ONNX)', 'onnx-winml-mlp'),
  recorded('DemoNet (TorchScript)', 'torchscript-demonet', { inputShape: [1, 3, 28, 28] }),
  recorded('tiny VGG, another epoch (Keras)', 'tfkeras-tinyvgg-ntang-tiny-vgg'),
  digits('LeNet, five hidden units (Caffe)', 'caffe-lenet-small', (x) => x / 256),
  recorded('UltraFace slim (Caffe)', 'caffe-ultraface-slim-noproto'),
  recorded('LSTM (Keras 1)', 'keras-simple-lstm-tf-k1'),
  recorded('SimpleRNN (Keras)', 'keras-simple-rnn-tf-k2'),
  recorded('policy MLP (Keras 1)', 'keras1-tfscope'),
];

/** Of fewer values a file is mostly names, and the corpus has one layer, to try how it is read. */
export const FEWEST = 600;

/** Nets of the corpus that have no rows though they are larger: those whose weights the rows of a net have, by its title, */
export const SAME_WEIGHTS = {
  'onnx-cntk-mnist-op1': 'CNTK MNIST (ONNX)',
  'tfjs-esrgan-slim-x2': 'ESRGAN slim x2',
  'tfjs-tinyvgg-ntang': 'tiny VGG (Keras)',
  'tfkeras-tiny-resnet8-cifar10': 'ResNet-8, CIFAR-10',
};
const AS_MADE = 'never trained: its biases are zero, and its kernels lie evenly between the bounds that Keras draws from';
/** and those that nobody trained, with how that shows. */
export const UNTRAINED = {
  'keras1-batchnorm-conv-tf': AS_MADE,
  'keras2-batchnorm-conv-tf': AS_MADE,
  'keras2-batchnorm-conv-theano': AS_MADE,
  'keras1-conv2d-reshape-tf': AS_MADE,
  'keras2-conv2d-reshape-tf': AS_MADE,
  'keras2-optimizer-adam': AS_MADE,
  'keras2-flatten-3d': AS_MADE,
  'tfkeras-batchnormerror2': AS_MADE,
  'tfkeras-cnn3d-16': AS_MADE,
  'onnx-sparse-conv': 'one convolution with random numbers',
  'onnx-qdq-conv': 'one convolution of ones, whose input is among the weights',
};

export const SEARCH = 'search, agreement 0.97';
/** Where an output is no list of classes: within a third of what float16 takes. */
export const SEARCH_BY_SIZE = 'search, a third of float16';
export const WAYS = [
  { title: 'float16', options: { dtype: 'float16' } },
  { title: 'int8', options: { dtype: 'int8' } },
  { title: 'int4', options: { dtype: 'int4' } },
  { title: 'int4, method best', options: { dtype: 'int4', method: 'best' } },
  { title: 'palette of 16', options: { palette: 16 } },
  { title: 'rank by 90 % energy', options: { svd: 0.9 } },
  ...[0.1, 0.3, 0.5, 0.7].map((step) => ({ title: `steps of ${step}`, options: { step } })),
  ...[0.3, 0.7].map((step) => ({ title: `steps of ${step}, method best`, options: { step, method: 'best' } })),
  { title: 'method best', options: { method: 'best' } },
  { title: 'computing in 8 bits', options: { activations: 'uint8' } },
  { title: SEARCH, options: { minAgreement: 0.97 } },
];
