/** Swin Transformer: Liu et al., 2021, table 7; version 2: Liu et al., 2022 (cosine attention, positions from a small net, norms after). */
import { ModelError } from '../errors.js';
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
import { layerNorm, mlp, selfAttention, unitLength } from './attention.js';
import { residual } from './blocks.js';
import { family, type Names, namesOf, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { byPlace, spelling } from './spelling.js';
import { fromWindows, intoWindows, pairBias, rolled, rollMask } from './windows.js';

interface Size {
  readonly version: 1 | 2;
  readonly patch: number;
  readonly features: number;
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  /** Side of each stage's windows. */
  readonly windows: readonly number[];
}

/** Of version 2, where the weights do not tell. */
const USUAL_WINDOW = 8;

const of = (version: 1 | 2, features: number, third: number, heads: number): Size => ({
  version,
  patch: 4,
  features,
  depths: [2, 2, third, 2],
  heads: [1, 2, 4, 8].map((factor) => factor * heads),
  windows: new Array<number>(4).fill(version === 1 ? 7 : USUAL_WINDOW),
});

const EPSILON = 1e-5;
/** More than any net has. */
const MAX_STAGES = 8;

const TIMM = {
  stem: 'patch_embed.proj',
  norm: 'patch_embed.norm',
  head: 'head.fc|head',
  last: 'norm',
  at: 'layers.{s}.blocks.{b}',
  parts: { norm1: 'norm1', norm2: 'norm2', 'attn.proj': 'attn.proj', 'mlp.0': 'mlp.fc1', 'mlp.3': 'mlp.fc2', 'attn.{*}': 'attn.{*}' },
};
const TRANSFORMERS = {
  stem: 'embeddings.patch_embeddings.projection',
  norm: 'embeddings.norm',
  head: null,
  last: 'layernorm',
  at: 'encoder.layers.{s}.blocks.{b}',
  parts: {
    norm1: 'layernorm_before',
    norm2: 'layernorm_after',
    'attn.qkv': 'attention.self.query+attention.self.key+attention.self.value',
    'attn.proj': 'attention.output.dense',
    'attn.q_bias': 'attention.self.query.bias',
    'attn.v_bias': 'attention.self.value.bias',
    'attn.cpb_mlp.{i}': 'attention.self.continuous_position_bias_mlp.{i}',
    'mlp.0': 'intermediate.dense',
    'mlp.3': 'output.dense',
    'attn.{*}': 'attention.self.{*}',
  },
};

/** What a state dict of transformers 5 has in memory; its files keep the older names. */
const TRANSFORMERS_5 = {
  ...TRANSFORMERS,
  parts: {
    norm1: 'layernorm_before',
    norm2: 'layernorm_after',
    'attn.qkv': 'attention.q_proj+attention.k_proj+attention.v_proj',
    'attn.proj': 'attention.o_proj',
    'mlp.0': 'mlp.fc1',
    'mlp.3': 'mlp.fc2',
    'attn.relative_position_bias_table': 'attention.relative_position_bias.relative_position_bias_table',
  },
};

/** torchvision counts stages and what merges patches between them through: 1, 2, 3, ... */
function stagesOf(merge: string, { stem, norm, head, last, at, parts }: typeof TRANSFORMERS | typeof TRANSFORMERS_5 | typeof TIMM): Record<string, string> {
  const table: Record<string, string> = { 'features.0.0': stem, 'features.0.2': norm, norm: last, ...(head === null ? {} : { head }) };
  for (let s = 0; s < MAX_STAGES; s++) {
    const placed = (name: string) => name.replace('{s}', String(s)).replace('{s+1}', String(s + 1));
    for (const [part, own] of Object.entries(parts)) {
      table[`features.${2 * s + 1}.{b}.${part}`] = own
        .split('+')
        .map((one) => `${placed(at)}.${one}`)
        .join('+');
    }
    for (const part of ['reduction', 'norm']) table[`features.${2 * s + 2}.${part}`] = `${placed(merge)}.${part}`;
  }
  return table;
}

export const swin = family<Size>({
  name: 'swin',
  title: 'Swin Transformer',
  source: 'Liu et al., 2021, https://arxiv.org/abs/2103.14030, table 7; 2022, https://arxiv.org/abs/2111.09883',
  sizes: {
    swin_t: of(1, 96, 6, 3),
    swin_s: of(1, 96, 18, 3),
    swin_b: of(1, 128, 18, 4),
    swin_v2_t: of(2, 96, 6, 3),
    swin_v2_s: of(2, 96, 18, 3),
    swin_v2_b: of(2, 128, 18, 4),
  },
  stem: 'features.0.0',
  side: ({ version }) => (version === 1 ? 224 : 256),
  preprocessing: () => TORCHVISION,
  // Worked out from the size of the windows.
  training: /(\.relative_(position_index|coords_table)|attn_mask)$/,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace('features norm') },
    // timm, and the authors before it; newer files have what merges patches at the beginning of the next stage.
    { ecosystem: 'timm', spell: spelling(stagesOf('layers.{s}.downsample', TIMM)) },
    { ecosystem: 'timm', spell: spelling(stagesOf('layers.{s+1}.downsample', TIMM)) },
    { ecosystem: 'transformers', spell: spelling(stagesOf('encoder.layers.{s}.downsample', TRANSFORMERS)) },
    { ecosystem: 'transformers', spell: spelling(stagesOf('encoder.layers.{s}.downsample', TRANSFORMERS_5)) },
  ],

  measure(names) {
    const [features, , patch] = names.shape('features.0.0');
    if (!features || !patch || !names.has('features.1.0.attn.qkv')) return null;
    const version = names.has('features.1.0.attn.logit_scale') ? 2 : 1;
    const stages = Array.from({ length: MAX_STAGES }, (_, i) => 2 * i + 1).filter((i) => names.has(`features.${i}.0.attn.qkv`));
    const headsOf = (i: number) =>
      version === 2 ? names.shape(`features.${i}.0.attn.logit_scale`)[0]! : names.shape(`features.${i}.0.attn.relative_position_bias_table`)[1]!;
    const windows = stages.map((i) => windowOf(names, `features.${i}.0.attn`) || USUAL_WINDOW);
    return { version, patch, features, depths: stages.map((i) => names.count(`features.${i}.{n}.attn.qkv`)), heads: stages.map(headsOf), windows };
  },

  build(net, input, { version, patch, features, depths, heads, windows }) {
    const isTold = net.store.has('features.1') === undefined || windowOf(namesOf(net.store), 'features.1.0.attn') > 0;
    const anyWindow = isTold ? null : net.setting('window', USUAL_WINDOW, 'windows have sides of {} places');
    let x = net.conv(input, 'features.0.0', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    x = layerNorm(net, net.transpose(x, [0, 2, 3, 1]), 'features.0.2', EPSILON);
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) {
        const at = `features.${2 * s + 1}.${b}`;
        const window = anyWindow === null ? windows[s]! : windowWithin(net, x, anyWindow);
        const attention = { heads: heads[s]!, window, shift: b % 2 === 0 ? 0 : Math.floor(window / 2), version, stage: s };
        const attend = (y: Value) => windowAttention(net, y, `${at}.attn`, attention);
        const blend = (y: Value) => mlp(net, y, `${at}.mlp.0`, `${at}.mlp.3`, 4 * features * 2 ** s);
        const norm = (y: Value, i: number) => layerNorm(net, y, `${at}.norm${i}`, EPSILON);
        x = residual(net, x, (y) => (version === 1 ? attend(norm(y, 1)) : norm(attend(y), 1)));
        x = residual(net, x, (y) => (version === 1 ? blend(norm(y, 2)) : norm(blend(y), 2)));
      }
      if (s < depths.length - 1) x = merge(net, x, `features.${2 * s + 2}`, version);
    });
    x = layerNorm(net, x, 'norm', EPSILON);
    return head(net, net.op('ReduceMean', [x], { axes: [1, 2], keepdims: 0 }), 'head');
  },
});

/**
 * The side of a stage's windows: there are (2 side - 1)^2 differences of places, and side^4 pairs of places.
 *
 * @returns 0 where the weights do not tell, and a fraction where they are of no square window
 */
function windowOf(names: Names, path: string): number {
  const [differences] = names.shape(`${path}.relative_position_bias_table`);
  if (differences !== undefined) return (Math.sqrt(differences) + 1) / 2;
  const pairs = names.shape(`${path}.relative_position_index`).reduce((product, size) => product * size, 1);
  const [, side] = names.shape(`${path}.relative_coords_table`);
  return side !== undefined ? (side + 1) / 2 : pairs > 1 ? pairs ** 0.25 : 0;
}

/** All but torchvision make windows no larger than the picture. */
function windowWithin(net: Net, x: Value, window: number): number {
  return net.ecosystem === 'torchvision' ? window : Math.min(window, sizeOf(x, 1), sizeOf(x, 2));
}

/** Four neighbours become one place of twice the features. */
function merge(net: Net, picture: Value, path: string, version: 1 | 2): Value {
  const [height, width, features] = [sizeOf(picture, 1), sizeOf(picture, 2), sizeOf(picture, 3)];
  const odd = [height % 2, width % 2];
  const x = odd.some((more) => more > 0) ? net.op('Pad', [picture], { pads: [0, 0, 0, 0, 0, ...odd, 0] }) : picture;
  const [rows, columns] = [(height + odd[0]!) / 2, (width + odd[1]!) / 2];
  const apart = net.reshape(x, [0, rows, 2, columns, 2, features]);
  // Column by column: below each other first.
  const joined = net.reshape(net.transpose(apart, [0, 1, 3, 4, 2, 5]), [0, rows, columns, 4 * features]);
  const reduce = (y: Value) => net.dense(y, `${path}.reduction`, { out: 2 * features, bias: false });
  const norm = (y: Value) => layerNorm(net, y, `${path}.norm`, EPSILON);
  return version === 1 ? reduce(norm(joined)) : norm(reduce(joined));
}

interface WindowOptions {
  readonly heads: number;
  readonly window: number;
  readonly shift: number;
  readonly version: 1 | 2;
  readonly stage: number;
}

/** Attention within windows; every other block has them shifted, and what the shift wraps around masked. */
function windowAttention(net: Net, x: Value, path: string, options: WindowOptions): Value {
  const { heads, window, shift, version } = options;
  if (!Number.isInteger(window)) throw new Departure(net.store.sourceName(path), 'has positions of no square window');
  const [height, width, features] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const more = [height, width].map((size) => (window - (size % window)) % window) as [number, number];
  const sizes = [height + more[0], width + more[1]] as const;
  const shifts = sizes.map((size) => (window >= size ? 0 : shift)) as [number, number];
  const padded = more.some((size) => size > 0) ? net.op('Pad', [x], { pads: [0, 0, 0, 0, 0, ...more, 0] }) : x;
  const moved = rolled(net, rolled(net, padded, 1, shifts[0]), 2, shifts[1]);
  const name = net.store.sourceName(path);
  const windows = intoWindows(net, moved, window);
  const qkv = version === 1 ? net.dense(windows, `${path}.qkv`, { out: 3 * features }) : queries(net, windows, `${path}.qkv`, features);
  const positions = { name: `${name}.relative_position_bias`, tensor: positionBias(net, path, options) };
  const mask = shifts.some((by) => by > 0) ? [{ name: `${name}.mask`, tensor: rollMask(window, sizes, shifts) }] : [];
  const similarity = version === 2 ? (q: Value, k: Value) => cosine(net, q, k, path, heads) : undefined;
  const attended = selfAttention(net, qkv, { heads, biases: [positions, ...mask], ...(similarity ? { similarity } : {}) });
  const mixed = fromWindows(net, net.dense(attended, `${path}.proj`, { out: features }), window, ...sizes);
  const back = rolled(net, rolled(net, mixed, 1, -shifts[0]), 2, -shifts[1]);
  const rows = more[0] > 0 ? net.slice(back, 1, 0, height) : back;
  return more[1] > 0 ? net.slice(rows, 2, 0, width) : rows;
}

/** Queries, keys and values, the keys without their biases, whatever the file has there: as version 2 takes them, and BEiT. */
export function queries(net: Net, x: Value, path: string, features: number): Value {
  // The authors, timm and transformers have no biases for keys; torchvision has some that it does not use.
  const [q, v] = ['q_bias', 'v_bias'].map((own) => path.replace(/qkv$/, own));
  if (net.has(q!, false)) {
    const [first, last] = [q!, v!].map((name) => net.store.takeParameter(name, [features]));
    if (!first || !last) throw new Departure(net.store.sourceName(v!), 'is missing');
    const all = derive(`${net.store.sourceName(path)}.bias`, 'query-value-bias', [first, last]);
    return net.constantOp('Add', net.dense(x, path, { out: 3 * features, bias: false }), all, `${net.store.sourceName(path)}.bias`);
  }
  return net.dense(x, path, { out: 3 * features, change: { bias: (bias) => derive(bias.name, 'without-keys', [bias]) } });
}

/** Version 2: cosines, scaled by a learned factor of at most 100 for each head. */
function cosine(net: Net, q: Value, k: Value, path: string, heads: number): Value {
  const logits = net.store.takeParameter(`${path}.logit_scale`, [heads, 1, 1]);
  if (!logits) throw new Departure(`${net.store.sourceName(path)}.logit_scale`, 'is missing');
  const scale = derive(`${logits.name}.factor`, 'from-logarithms', [logits], { limit: Math.log(100) });
  const product = net.op('MatMul', [unitLength(net, q, -1), unitLength(net, k, -2)]);
  return net.constantOp('Mul', product, scale, `${net.store.sourceName(path)}.logit_scale`);
}

/** What each pair of tokens of a window adds, by head: from a table, in version 2 from a small net over the differences of places. */
function positionBias(net: Net, path: string, { heads, window, version, stage }: WindowOptions): Tensor {
  if (version === 1) {
    const table = net.store.takeParameter(`${path}.relative_position_bias_table`, [(2 * window - 1) ** 2, heads]);
    const name = `${net.store.sourceName(path)}.relative_position_bias_table`;
    if (!table) throw new Departure(name, 'is missing');
    if (table.shape[0] !== (2 * window - 1) ** 2) throw new Departure(name, `is of [${table.shape}], but windows of its stage are of ${window} x ${window}`);
    return pairBias(table, window);
  }
  const wide = 512;
  const { kernel: first, bias } = net.weights(`${path}.cpb_mlp.0`, 'dense', { kernel: [wide, 2], bias: [wide] });
  const { kernel: second } = net.weights(`${path}.cpb_mlp.2`, 'dense', { kernel: [heads, wide] });
  if (!bias) throw new Departure(`${net.store.sourceName(path)}.cpb_mlp.0`, 'has no bias');
  const side = 2 * window - 1;
  const stored = net.store.takeParameter(`${path}.relative_coords_table`, [1, side, side, 2]);
  const told = stored?.shape.join() === [1, side, side, 2].join() ? stored : null;
  // Nets that were trained again for larger pictures count differences in windows of the smaller ones.
  const farthest = told ? window : trainedWindow(net, stage, window);
  const parts = [first!, bias, second!, ...(told ? [told] : [])];
  return derive(`${net.store.sourceName(path)}.relative_position_bias`, 'learned-pair-bias', parts, { window, farthest });
}

/**
 * The side of the windows in which positions were learned, where the file has no table of them.
 *
 * @throws ModelError 'usage' for what is no list of whole numbers
 */
function trainedWindow(net: Net, stage: number, window: number): number {
  const meaning = 'positions were learned in windows of {} (own: those of the net; else a number for each stage, as 12,12,12,6)';
  const taken = net.setting<string>('pretrained_window', 'own', meaning);
  if (taken === 'own') return window;
  const each = taken.split(',').map(Number);
  const side = each[stage] ?? each.at(-1)!;
  if (!each.every((one) => Number.isInteger(one) && one >= 0)) throw new ModelError('usage', `--assume pretrained_window=${taken} is no list of whole numbers`);
  return side === 0 ? window : side;
}
