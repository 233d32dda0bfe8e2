/** AlexNet, in the one-tower form of Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014. */
import { adapted } from './adaptive.js';
import { FEATURES_ALONE, family, TORCHVISION } from './family.js';
import { CLASSES, head } from './head.js';
import { spelling } from './spelling.js';

interface Size {
  readonly widths: readonly number[];
}

export const alexnet = family<Size>({
  name: 'alexnet',
  title: 'AlexNet',
  source: 'Krizhevsky, 2014, https://arxiv.org/abs/1404.5997',
  sizes: { alexnet: { widths: [64, 192, 384, 256, 256] } },
  stem: 'features.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  canonical: spelling({
    'features.0': 'conv1',
    'features.3': 'conv2',
    'features.6': 'conv3',
    'features.8': 'conv4',
    'features.10': 'conv5',
    'classifier.1': 'fc6',
    'classifier.4': 'fc7',
    'classifier.6': 'fc8',
  }),
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }, FEATURES_ALONE],

  measure(names) {
    const convolutions = [0, 3, 6, 8, 10].map((i) => names.shape(`features.${i}`));
    if (convolutions.some(({ length }) => length !== 4) || convolutions[0]![2] !== 11 || convolutions[1]![2] !== 5) return null;
    return { widths: convolutions.map(([out]) => out!) };
  },

  build(net, input, { widths }) {
    const conv = (y: typeof input, i: number, place: number, kernel: number, stride: number, pad: number) =>
      net.activation(net.conv(y, `features.${i}`, { out: widths[place], kernel, stride, pad, bias: true }), 'relu');
    const pool = (y: typeof input) => net.maxPool(y, { kernel: 3, stride: 2 });
    let x = pool(conv(input, 0, 0, 11, 4, 2));
    x = pool(conv(x, 3, 1, 5, 1, 2));
    x = conv(x, 6, 2, 3, 1, 1);
    x = conv(x, 8, 3, 3, 1, 1);
    x = pool(conv(x, 10, 4, 3, 1, 1));
    const layers = [['1', 4096] as const, ['4', 4096] as const, ['6', CLASSES] as const];
    return head(net, net.flatten(adapted(net, x, 6, 6)), 'classifier', { layers });
  },
});
