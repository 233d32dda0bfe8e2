/**
 * XCiT: El-Nouby et al., "XCiT: Cross-Covariance Image Transformers", 2021, table 1: channels ask each other, and a class asks places at the end. Names
 * are timm's.
 */
import { layerNorm, layerScale, mlp } from './attention.js';
import { convBlock } from './blocks.js';
import { classAttention } from './cait.js';
import { crossCovariance, placesOf } from './cross-covariance.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';
import { asPicture, inRows } from './pyramid.js';
import { classToken } from './vit.js';

interface Size {
  /** Convolutions that halve the picture at the beginning. */
  readonly stem: number;
  readonly features: number;
  readonly heads: number;
  /** Blocks of places, and those in which the class asks them. */
  readonly depths: readonly [places: number, classes: number];
  readonly wide: number;
}

const EPSILON = 1e-6;
const NORM = 'in the last blocks the second normalisation is of {} (all tokens; class: of the class alone, as in xcit_nano_12)';
const size = (features: number, heads: number, depth: number, patch: 8 | 16): Size => ({
  stem: Math.log2(patch),
  features,
  heads,
  depths: [depth, 2],
  wide: 4 * features,
});
const NANO = [128, 4, 12] as const;
const TINY = [192, 4, 12] as const;
const TINY_DEEP = [192, 4, 24] as const;
const SMALL = [384, 8, 12] as const;
const SMALL_DEEP = [384, 8, 24] as const;
const MEDIUM = [512, 8, 24] as const;
const LARGE = [768, 16, 24] as const;

export const xcit = family<Size>({
  name: 'xcit',
  title: 'XCiT',
  source: 'El-Nouby et al., 2021, https://arxiv.org/abs/2106.09681, table 1',
  sizes: {
    xcit_nano_12_p16_224: size(...NANO, 16),
    xcit_tiny_12_p16_224: size(...TINY, 16),
    xcit_small_12_p16_224: size(...SMALL, 16),
    xcit_tiny_24_p16_224: size(...TINY_DEEP, 16),
    xcit_small_24_p16_224: size(...SMALL_DEEP, 16),
    xcit_medium_24_p16_224: size(...MEDIUM, 16),
    xcit_large_24_p16_224: size(...LARGE, 16),
    xcit_nano_12_p8_224: size(...NANO, 8),
    xcit_tiny_12_p8_224: size(...TINY, 8),
    xcit_small_12_p8_224: size(...SMALL, 8),
    xcit_tiny_24_p8_224: size(...TINY_DEEP, 8),
    xcit_small_24_p8_224: size(...SMALL_DEEP, 8),
    xcit_medium_24_p8_224: size(...MEDIUM, 8),
    xcit_large_24_p8_224: size(...LARGE, 8),
  },
  stem: 'patch_embed.proj.0.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [features] = names.shape('blocks.0.attn.proj');
    const [heads] = names.shape('blocks.0.attn.temperature');
    const [wide] = names.shape('blocks.0.mlp.fc1');
    // Activations stand between the convolutions of the stem.
    const stem = [0, 2, 4, 6].filter((i) => names.has(`patch_embed.proj.${i}.0`)).length;
    if (!features || !heads || !wide || stem === 0) return null;
    return { stem, features, heads, depths: [names.count('blocks.{n}.norm3'), names.count('cls_attn_blocks.{n}.norm1')], wide };
  },

  build(net, input, { stem, features, heads, depths, wide }) {
    const usual = features === 128 ? 'class' : 'all';
    const normsAll = net.setting<string>('tokens_norm', usual, NORM) === 'all';
    let picture = input;
    for (let i = 0; i < stem; i++) {
      const options = { out: features / 2 ** (stem - 1 - i), kernel: 3, stride: 2 };
      picture = convBlock(net, picture, `patch_embed.proj.${2 * i}`, i < stem - 1 ? 'gelu' : 'none', options);
    }
    const size = [sizeOf(picture, 2), sizeOf(picture, 3)] as const;
    const projection = 'pos_embed.token_projection';
    if (net.has(projection, true)) picture = net.constantOp('Add', picture, placesOf(net, projection, features, ...size), net.store.sourceName('pos_embed'));
    let x = inRows(net, picture);
    for (let i = 0; i < depths[0]; i++) {
      const at = `blocks.${i}`;
      const normal = (y: Value, k: number) => layerNorm(net, y, `${at}.norm${k}`, EPSILON);
      const sum = (y: Value, branch: Value, k: number) => net.add(y, layerScale(net, branch, `${at}.gamma${k}`));
      x = sum(x, crossCovariance(net, normal(x, 1), `${at}.attn`, heads), 1);
      x = sum(x, inRows(net, around(net, asPicture(net, normal(x, 3), size), `${at}.local_mp`)), 3);
      x = sum(x, mlp(net, normal(x, 2), `${at}.mlp.fc1`, `${at}.mlp.fc2`, wide), 2);
    }
    x = net.concat([classToken(net, x, 'cls_token'), x], 1);
    for (let i = 0; i < depths[1]; i++) x = classBlock(net, x, `cls_attn_blocks.${i}`, { heads, wide, normsAll });
    const token = net.reshape(net.slice(x, 1, 0, 1), [0, features]);
    return head(net, layerNorm(net, token, 'norm', EPSILON), 'head');
  },
});

/** What lies around each place, twice. */
function around(net: Net, x: Value, at: string): Value {
  const options = { kernel: 3, depthwise: true, bias: true };
  return net.conv(net.norm(net.activation(net.conv(x, `${at}.conv1`, options), 'gelu'), `${at}.bn`), `${at}.conv2`, options);
}

interface ClassBlock {
  readonly heads: number;
  readonly wide: number;
  readonly normsAll: boolean;
}

/** The class asks all tokens and is blended; the others are added to themselves, normalised. */
function classBlock(net: Net, x: Value, at: string, { heads, wide, normsAll }: ClassBlock): Value {
  const tokens = sizeOf(x, 1);
  const first = (y: Value) => net.slice(y, 1, 0, 1);
  const others = (y: Value) => net.slice(y, 1, 1, tokens);
  const normal = layerNorm(net, x, `${at}.norm1`, EPSILON);
  const asked = net.concat([classAttention(net, normal, `${at}.attn`, heads), others(normal)], 1);
  const sum = net.add(x, layerScale(net, asked, `${at}.gamma1`));
  const taken = normsAll ? layerNorm(net, sum, `${at}.norm2`, EPSILON) : net.concat([layerNorm(net, first(sum), `${at}.norm2`, EPSILON), others(sum)], 1);
  const blended = layerScale(net, mlp(net, first(taken), `${at}.mlp.fc1`, `${at}.mlp.fc2`, wide), `${at}.gamma2`);
  return net.add(taken, net.concat([blended, others(taken)], 1));
}
