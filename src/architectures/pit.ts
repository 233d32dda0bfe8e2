/** PiT: Heo et al., "Rethinking Spatial Dimensions of Vision Transformers", 2021, table 1. Between its stages a convolution makes pictures smaller. */
import { blockNames, encoderBlock, layerNorm } from './attention.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, sizeOf } from './net.js';
import { asPicture, inRows } from './pyramid.js';
import { prefixRows } from './vit.js';

interface Size {
  readonly patch: number;
  /** Places of the first stage along each side. */
  readonly side: number;
  readonly depths: readonly number[];
  readonly features: readonly number[];
  /** How much wider the dense layers of a block are. */
  readonly ratio: number;
  readonly distilled?: true;
}

const size = (features: number, more: Partial<Size> = {}): Size => ({
  patch: 16,
  side: 27,
  depths: [2, 6, 4],
  features: [features, 2 * features, 4 * features],
  ratio: 4,
  ...more,
});
const BASE: Partial<Size> = { patch: 14, side: 31, depths: [3, 6, 4] };
const SIZES = { ti: size(64), xs: size(96), s: size(144), b: size(256, BASE) };

/** Of the first stage, by its features. */
const HEADS: Readonly<Record<number, number>> = { 64: 2, 96: 2, 144: 3, 256: 4 };

export const pit = family<Size>({
  name: 'pit',
  title: 'PiT',
  source: 'Heo et al., 2021, https://arxiv.org/abs/2103.16302, table 1',
  sizes: Object.fromEntries(
    Object.entries(SIZES).flatMap(([name, own]) => [
      [`pit_${name}_224`, own],
      [`pit_${name}_distilled_224`, { ...own, distilled: true as const }],
    ]),
  ),
  stem: 'patch_embed.conv',
  side: ({ side, patch }) => (side - 1) * (patch / 2) + patch,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    // The authors' files have what lies between stages apart.
    { ecosystem: 'timm', spell: (path) => path.replace(/^transformers\.(\d+)\.pool\./, (_, stage) => `pools.${Number(stage) - 1}.`) },
  ],

  measure(names) {
    const [first, , patch] = names.shape('patch_embed.conv');
    const [, , side] = names.shape('pos_embed');
    const [wide] = names.shape('transformers.0.blocks.0.mlp.fc1');
    if (!first || !patch || !side || !wide) return null;
    const stages = Array.from({ length: names.count('transformers.{n}.blocks.0.norm1') }, (_, s) => `transformers.${s}.blocks`);
    return {
      patch,
      side,
      depths: stages.map((at) => names.count(`${at}.{n}.norm1`)),
      features: stages.map((at) => names.shape(`${at}.0.norm1`, 'scale')[0] ?? 0),
      ratio: wide / first,
      ...(names.shape('cls_token').at(-2) === 2 ? { distilled: true as const } : {}),
    };
  },

  build(net, input, { patch, side, depths, features, ratio, distilled }) {
    const [first] = features as [number];
    const usual = HEADS[first] ?? Math.max(1, Math.round(first / 48));
    const heads = net.setting('heads', usual, 'attention of the first stage has {} heads, and as many more as a stage is wider');
    const count = distilled ? 2 : 1;
    let picture = net.conv(input, 'patch_embed.conv', { out: first, kernel: patch, stride: patch / 2, pad: 0, bias: true });
    const positions = net.store.takeParameter('pos_embed', [1, first, side, side]);
    const places = picture.shape.slice(1).join();
    if (positions?.shape.slice(1).join() !== places) throw new Departure('pos_embed', `is of shape [${positions?.shape}], but the picture of [${places}]`);
    picture = net.constantOp('Add', picture, positions, net.store.sourceName('pos_embed'));
    let classes = prefixRows(net, inRows(net, picture), { path: 'cls_token', count });
    depths.forEach((depth, s) => {
      const at = `transformers.${s}`;
      const width = features[s]!;
      if (s > 0) {
        picture = net.conv(picture, `${at}.pool.conv`, { out: width, kernel: 3, stride: 2, groups: sizeOf(picture, 1), bias: true });
        classes = net.dense(classes, `${at}.pool.fc`, { out: width });
      }
      let x = net.concat([classes, inRows(net, picture)], 1);
      const [, , height, breadth] = picture.shape as readonly [unknown, unknown, number, number];
      for (let b = 0; b < depth; b++) {
        x = encoderBlock(net, x, blockNames(`${at}.blocks.${b}`), { heads: (heads * width) / first, epsilon: 1e-6, wide: width * ratio });
      }
      classes = net.slice(x, 1, 0, count);
      const rows = net.slice(x, 1, count, count + height * breadth);
      picture = s === depths.length - 1 ? picture : asPicture(net, rows, [height, breadth]);
    });
    const normal = layerNorm(net, classes, 'norm', 1e-6);
    const token = (i: number) => net.reshape(net.slice(normal, 1, i, i + 1), [0, features.at(-1)!]);
    const scores = head(net, token(0), 'head');
    if (!distilled || !net.endsInClasses || !net.has('head_dist', true)) return scores;
    return net.constantOp('Mul', net.add(scores, net.dense(token(1), 'head_dist', { out: sizeOf(scores, 1) })), 0.5, 'head.mean');
  },
});
