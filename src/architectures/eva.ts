/**
 * EVA: Fang et al., "EVA: Exploring the Limits of Masked Visual Representation Learning at Scale", 2022; EVA-02: Fang et al., 2023, table 2,
 * whose queries and keys are turned by where they stand, and whose dense layers are gated. Names are timm's.
 */
import { numbersTensor } from '../model/numbers.js';
import { layerNorm, layerScale } from './attention.js';
import { CLIP, family } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { placedTokens } from './vit.js';

interface Size {
  readonly patch: number;
  readonly features: number;
  readonly depth: number;
  readonly wide: number;
  /** Patches; there is a class token before them. */
  readonly tokens: number;
  /** Queries, keys and values come from one dense layer, and so do the gate and what it lets through. */
  readonly fused: boolean;
  readonly gated: boolean;
  /** What the class says is the answer, rather than the mean of all patches. */
  readonly byClass?: true;
}

const eva02 = (features: number, depth: number, side: number, more: Partial<Size> = {}): Size => ({
  patch: 14,
  features,
  depth,
  wide: Math.floor((features * 8) / 3),
  tokens: side * side,
  fused: features < 768,
  gated: true,
  ...more,
});

const EPSILON = 1e-6;
/** Of two published nets; others have 64 features for each. */
const HEADS: Readonly<Record<number, number>> = { 1408: 16, 1792: 16 };
const TURNS = 'queries and keys are turned by where they stand, as if the picture had {} patches on each side';

export const eva = family<Size>({
  name: 'eva',
  title: 'EVA',
  source: 'Fang et al., 2023, https://arxiv.org/abs/2303.11331, table 2',
  sizes: {
    eva02_tiny_patch14_224: eva02(192, 12, 16),
    eva02_tiny_patch14_336: eva02(192, 12, 24),
    eva02_small_patch14_224: eva02(384, 12, 16),
    eva02_small_patch14_336: eva02(384, 12, 24),
    eva02_base_patch14_224: eva02(768, 12, 16),
    eva02_base_patch14_448: eva02(768, 12, 32),
    eva02_large_patch14_224: eva02(1024, 24, 16),
    eva02_large_patch14_448: eva02(1024, 24, 32),
    eva_giant_patch14_224: eva02(1408, 40, 16, { wide: 6144, fused: true, gated: false }),
  },
  stem: 'patch_embed.proj',
  side: ({ patch, tokens }) => patch * Math.sqrt(tokens),
  preprocessing: () => CLIP,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [features, , patch] = names.shape('patch_embed.proj');
    const [, places = 0] = names.shape('pos_embed');
    const first = 'blocks.0';
    const fused = names.has(`${first}.attn.qkv`);
    const apart = names.has(`${first}.mlp.fc1_g`);
    const [, wide = 0] = names.shape(`${first}.mlp.fc2`);
    const [out = 0] = names.shape(`${first}.mlp.fc1`);
    // With biases of queries and values, and none of keys.
    const isEva = fused ? names.has(`${first}.attn.q_bias`) : names.has(`${first}.attn.q_proj`) && apart;
    if (!features || !patch || places === 0 || wide === 0 || !isEva || names.has(`${first}.attn.relative_position_bias_table`)) return null;
    return {
      patch,
      features,
      depth: names.count('blocks.{n}.norm1'),
      wide,
      tokens: places - 1,
      fused,
      gated: apart || out === 2 * wide,
      ...(names.has('fc_norm') || !names.has('norm') ? {} : { byClass: true as const }),
    };
  },

  build(net, input, { patch, features, depth, wide, tokens, fused, gated, byClass }) {
    const heads = net.setting('heads', HEADS[features] ?? Math.max(1, Math.round(features / 64)), 'attention has {} heads');
    const patches = net.conv(input, 'patch_embed.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const [height, width] = [sizeOf(patches, 2), sizeOf(patches, 3)];
    const side = gated ? net.setting('rope_side', 16, TURNS) : 0;
    const turned = gated ? turn(height, width, features / heads, side) : null;
    let x = placedTokens(net, patches, { before: [{ path: 'cls_token', count: 1 }], positions: 'pos_embed', tokens });
    for (let i = 0; i < depth; i++) {
      const at = `blocks.${i}`;
      const attended = attention(net, layerNorm(net, x, `${at}.norm1`, EPSILON), `${at}.attn`, { heads, fused, turned });
      x = net.add(layerScale(net, attended, `${at}.gamma_1`), x);
      const blended = blend(net, layerNorm(net, x, `${at}.norm2`, EPSILON), `${at}.mlp`, { wide, fused, gated });
      x = net.add(layerScale(net, blended, `${at}.gamma_2`), x);
    }
    if (byClass) return head(net, net.reshape(net.slice(layerNorm(net, x, 'norm', EPSILON), 1, 0, 1), [0, features]), 'head');
    const mean = net.op('ReduceMean', [net.slice(x, 1, 1, tokens + 1)], { axes: [1], keepdims: 0 });
    return head(net, net.has('fc_norm', true) ? layerNorm(net, mean, 'fc_norm', EPSILON) : mean, 'head');
  },
});

/** Two dense layers with a GELU between them, or three: what one gives is weighed by a SiLU of what another gives. */
export function blend(
  net: Net,
  x: Value,
  at: string,
  { wide, fused, gated, normed = !fused }: { wide: number; fused: boolean; gated: boolean; normed?: boolean },
): Value {
  const features = sizeOf(x, 2);
  if (!gated) return net.dense(net.activation(net.dense(x, `${at}.fc1`, { out: wide }), 'gelu'), `${at}.fc2`, { out: features });
  const both = fused ? net.dense(x, `${at}.fc1`, { out: 2 * wide }) : null;
  const gate = both ? net.slice(both, 2, 0, wide) : net.dense(x, `${at}.fc1_g`, { out: wide });
  const through = both ? net.slice(both, 2, wide, 2 * wide) : net.dense(x, `${at}.fc1_x`, { out: wide });
  const weighed = net.multiply(net.activation(gate, 'silu'), through);
  return net.dense(net.has(`${at}.norm`, normed) ? layerNorm(net, weighed, `${at}.norm`, EPSILON) : weighed, `${at}.fc2`, { out: features });
}

interface AttentionOptions {
  readonly heads: number;
  readonly fused: boolean;
  readonly turned: Turn | null;
}

/** Turns queries or keys, [batch, heads, tokens, features of a head]. */
export type Turn = (net: Net, x: Value, name: string) => Value;

export function attention(net: Net, x: Value, at: string, { heads, fused, turned }: AttentionOptions): Value {
  const [tokens, features] = [sizeOf(x, 1), sizeOf(x, 2)];
  const each = features / heads;
  if (!Number.isInteger(each)) throw new Departure(net.store.sourceName(at), `has ${features} features, which ${heads} heads cannot share`);
  const all = fused ? net.dense(x, `${at}.qkv`, { out: 3 * features, bias: false }) : null;
  const part = (i: number, letter: string) => {
    const stored = all ? net.slice(all, 2, i * features, (i + 1) * features) : net.dense(x, `${at}.${letter}_proj`, { out: features, bias: letter !== 'k' });
    const bias = all && letter !== 'k' ? net.store.takeParameter(`${at}.${letter}_bias`, [features]) : null;
    if (bias && bias.shape.join() !== String(features)) throw new Departure(bias.name, `is no bias of ${features} features`);
    const given = bias ? net.constantOp('Add', stored, bias, net.store.sourceName(`${at}.${letter}_bias`)) : stored;
    return net.transpose(net.reshape(given, [0, tokens, heads, each]), [0, 2, 1, 3]);
  };
  const [q, k, v] = [part(0, 'q'), part(1, 'k'), part(2, 'v')];
  const place = (y: Value, letter: string) => (turned ? turned(net, y, `${net.store.sourceName(at)}.${letter}.rope`) : y);
  const scores = net.op('MatMul', [net.constantOp('Mul', place(q, 'q'), each ** -0.5), net.transpose(place(k, 'k'), [0, 1, 3, 2])]);
  const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: -1 }), v]);
  const together = net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, tokens, features]);
  const inner = net.has(`${at}.norm`, false) ? layerNorm(net, together, `${at}.norm`, EPSILON) : together;
  return net.dense(inner, `${at}.proj`, { out: features });
}

/**
 * Rotary positions: pairs of features are turned, the first half of them by a patch's row and the others by its column, each pair slower than the
 * one before it; the class stays as it is.
 */
function turn(height: number, width: number, each: number, side: number): Turn {
  const pairs = each / 4;
  const angles = Array.from({ length: height * width }, (_, i) => {
    const places = [(Math.floor(i / width) / height) * side, ((i % width) / width) * side];
    return places.flatMap((place) => Array.from({ length: pairs }, (__, band) => place / 10_000 ** (band / pairs)));
  });
  const rows = (of: (angle: number) => number, still: number) => [
    ...new Array<number>(each).fill(still),
    ...angles.flat().flatMap((angle) => [of(angle), of(angle)]),
  ];
  const tensor = (name: string, values: number[]) => numbersTensor(name, 'float32', [1 + height * width, each], values, { file: '' });
  const [cosines, sines] = [tensor('rope.cos', rows(Math.cos, 1)), tensor('rope.sin', rows(Math.sin, 0))];
  return (net, x, name) => {
    const [heads, tokens] = [sizeOf(x, 1), sizeOf(x, 2)];
    const apart = net.reshape(x, [0, heads, tokens, each / 2, 2]);
    const crossed = net.concat([net.constantOp('Mul', net.slice(apart, 4, 1, 2), -1), net.slice(apart, 4, 0, 1)], 4);
    const kept = net.constantOp('Mul', x, cosines, `${name}.cos`);
    const moved = net.constantOp('Mul', net.reshape(crossed, [0, heads, tokens, each]), sines, `${name}.sin`);
    return net.add(kept, moved);
  };
}
