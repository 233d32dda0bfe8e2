/** ConvMixer: Trockman & Kolter, "Patches Are All You Need?", 2022, figure 3. Names are timm's. */
import { residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Activation, ConvOptions, Value } from './net.js';

interface Size {
  readonly width: number;
  readonly depth: number;
  readonly kernel: number;
  readonly patch: number;
}

export const convmixer = family<Size>({
  name: 'convmixer',
  title: 'ConvMixer',
  source: 'Trockman & Kolter, 2022, https://arxiv.org/abs/2201.09792, figure 3',
  sizes: {
    convmixer_1536_20: { width: 1536, depth: 20, kernel: 9, patch: 7 },
    convmixer_768_32: { width: 768, depth: 32, kernel: 7, patch: 7 },
    convmixer_1024_20_ks9_p14: { width: 1024, depth: 20, kernel: 9, patch: 14 },
  },
  stem: 'stem.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [width, , patch] = names.shape('stem.0');
    const kernel = names.shape('blocks.0.0.fn.0')[2];
    if (!width || !patch || !kernel) return null;
    return { width, depth: names.count('blocks.{n}.0.fn.0'), kernel, patch };
  },

  build(net, input, { width, depth, kernel, patch }) {
    // Of the published nets one has ReLU.
    const act: Activation = width === 768 ? 'relu' : 'gelu';
    const conv = (y: Value, at: string, first: number, options: ConvOptions) =>
      net.norm(net.activation(net.conv(y, `${at}${first}`, { ...options, bias: true }), act), `${at}${first + 2}`);
    let x = conv(input, 'stem.', 0, { out: width, kernel: patch, stride: patch, pad: 0 });
    for (let i = 0; i < depth; i++) {
      x = residual(net, x, (y) => conv(y, `blocks.${i}.0.fn.`, 0, { kernel, depthwise: true }));
      x = conv(x, `blocks.${i}.`, 1, { out: width });
    }
    return pooledHead(net, x, 'head');
  },
});
