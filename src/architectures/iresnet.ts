/** IResNet of ArcFace: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2018, section 3; names are InsightFace's. */
import { prelu, residual } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import type { Value } from './net.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  readonly embedding: number;
  /** Places of the last picture, which the dense layer fixes. */
  readonly places: number;
}

const WIDTHS = [64, 128, 256, 512];
const size = (...depths: number[]): Size => ({ depths, widths: WIDTHS, embedding: 512, places: 49 });

export const iresnet = family<Size>({
  name: 'iresnet',
  title: 'IResNet (ArcFace)',
  source: 'Deng et al., 2018, https://arxiv.org/abs/1801.07698, section 3',
  sizes: {
    iresnet18: size(2, 2, 2, 2),
    iresnet34: size(3, 4, 6, 3),
    iresnet50: size(3, 4, 14, 3),
    iresnet100: size(3, 13, 30, 3),
    iresnet200: size(6, 26, 60, 6),
  },
  stem: 'conv1',
  // Four strides of two.
  side: ({ places }) => Math.round(Math.sqrt(places)) * 16,
  output: 'embedding',
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    if (!names.has('prelu') || !names.has('layer1.0.prelu') || !names.has('layer1.0.bn3') || !names.has('features')) return null;
    const stages = Array.from({ length: names.count('layer{n}.0.conv1', 1) }, (_, s) => s + 1);
    const widths = stages.map((s) => names.shape(`layer${s}.0.conv1`)[0]!);
    const [embedding = 0, features = 0] = names.shape('fc');
    return { depths: stages.map((s) => names.count(`layer${s}.{n}.conv1`)), widths, embedding, places: features / widths.at(-1)! };
  },

  build(net, input, { depths, widths, embedding }) {
    let x = prelu(net, net.norm(net.conv(input, 'conv1', { out: widths[0], kernel: 3 }), 'bn1'), 'prelu');
    depths.forEach((depth, s) => {
      const out = widths[s]!;
      for (let b = 0; b < depth; b++) {
        const at = `layer${s + 1}.${b}`;
        const stride = b === 0 ? 2 : 1;
        const branch = (y: Value) => {
          const first = net.norm(net.conv(net.norm(y, `${at}.bn1`), `${at}.conv1`, { out, kernel: 3 }), `${at}.bn2`);
          return net.norm(net.conv(prelu(net, first, `${at}.prelu`), `${at}.conv2`, { out, kernel: 3, stride }), `${at}.bn3`);
        };
        const around = (y: Value) => (b === 0 ? net.norm(net.conv(y, `${at}.downsample.0`, { out, stride, pad: 0 }), `${at}.downsample.1`) : y);
        x = residual(net, x, branch, around);
      }
    });
    return net.norm(net.dense(net.flatten(net.norm(x, 'bn2')), 'fc', { out: embedding }), 'features');
  },
});
