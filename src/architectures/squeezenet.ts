/** SqueezeNet 1.0 and 1.1: Iandola et al., "SqueezeNet", 2016, table 1. */
import { branches } from './blocks.js';
import { FEATURES_ALONE, family, TORCHVISION } from './family.js';
import { CLASSES, pooledHead } from './head.js';
import type { Value } from './net.js';

interface Size {
  readonly stem: readonly [out: number, kernel: number];
  /** Widths of the fire modules (what they squeeze to, what each half expands to); a zero stands for pooling. */
  readonly fires: readonly (readonly [squeeze: number, expand: number] | 0)[];
}

/** Of the modules before the fire modules: convolution, ReLU, pooling. */
const FIRST = 3;

export const squeezenet = family<Size>({
  name: 'squeezenet',
  title: 'SqueezeNet',
  source: 'Iandola et al., 2016, https://arxiv.org/abs/1602.07360, table 1',
  sizes: {
    squeezenet1_0: { stem: [96, 7], fires: [[16, 64], [16, 64], [32, 128], 0, [32, 128], [48, 192], [48, 192], [64, 256], 0, [64, 256]] },
    squeezenet1_1: { stem: [64, 3], fires: [[16, 64], [16, 64], 0, [32, 128], [32, 128], 0, [48, 192], [48, 192], [64, 256], [64, 256]] },
  },
  stem: 'features.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }, FEATURES_ALONE],

  measure(names) {
    const [out, , kernel] = names.shape('features.0');
    if (!out || !kernel || !names.has(`features.${FIRST}.squeeze`)) return null;
    const fires: Size['fires'][number][] = [];
    // Pooling leaves gaps in the numbers.
    const fireAt = (i: number) => names.has(`features.${FIRST + i}.squeeze`);
    for (let i = 0; fireAt(i) || fireAt(i + 1); i++) {
      fires.push(fireAt(i) ? [names.shape(`features.${FIRST + i}.squeeze`)[0]!, names.shape(`features.${FIRST + i}.expand1x1`)[0]!] : 0);
    }
    return { stem: [out, kernel], fires };
  },

  build(net, input, { stem, fires }) {
    const pool = (y: Value) => net.maxPool(y, { kernel: 3, stride: 2, ceil: true });
    const conv = (y: Value, path: string, out: number, kernel: number, pad = (kernel - 1) / 2) =>
      net.activation(net.conv(y, path, { out, kernel, pad, bias: true }), 'relu');
    let x = pool(net.activation(net.conv(input, 'features.0', { out: stem[0], kernel: stem[1], stride: 2, pad: 0, bias: true }), 'relu'));
    fires.forEach((fire, i) => {
      const at = `features.${FIRST + i}`;
      if (fire === 0) x = pool(x);
      else {
        const [squeeze, expand] = fire;
        x = branches(
          net,
          conv(x, `${at}.squeeze`, squeeze, 1),
          (y) => conv(y, `${at}.expand1x1`, expand, 1),
          (y) => conv(y, `${at}.expand3x3`, expand, 3),
        );
      }
    });
    if (!net.has('classifier.1', true)) return pooledHead(net, x, 'classifier', { features: 'picture' });
    net.endsInClasses = true;
    return net.globalPool(conv(x, 'classifier.1', CLASSES, 1));
  },
});
