/** The pictures' side of CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, table 20. */
import { encoderBlock, layerNorm } from './attention.js';
import { CLIP, family } from './family.js';
import { type Activation, Departure } from './net.js';
import { spelling } from './spelling.js';
import { placedTokens } from './vit.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  readonly tokens: number;
  /** Of the space that it shares with texts; null where the features are given as they are. */
  readonly shared: number | null;
}

const EPSILON = 1e-5;
const ACT = 'between the dense layers stands a {} (quick-gelu: as in those of OpenAI; gelu: in most that others trained)';

/** Within the whole of it; alone it is called as it is in transformers 5. */
const VISION = (...parts: readonly string[]) => `${parts.map((part) => `vision_model.${part}`).join('+')}|${parts.join('+')}`;

export const clip = family<Size>({
  name: 'clip',
  title: 'CLIP (pictures, ViT)',
  source: 'Radford et al., 2021, https://arxiv.org/abs/2103.00020, table 20',
  sizes: {
    clip_vit_b_32: { patch: 32, depth: 12, features: 768, tokens: 49, shared: 512 },
    clip_vit_b_16: { patch: 16, depth: 12, features: 768, tokens: 196, shared: 512 },
    clip_vit_l_14: { patch: 14, depth: 24, features: 1024, tokens: 256, shared: 768 },
  },
  stem: 'conv1',
  side: ({ patch, tokens }) => Math.round(Math.sqrt(tokens) * patch),
  output: 'embedding',
  preprocessing: () => CLIP,
  // The numbers of places, counted.
  training: /position_ids$/,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv1: VISION('embeddings.patch_embedding'),
        class_embedding: VISION('embeddings.class_embedding'),
        positional_embedding: VISION('embeddings.position_embedding.weight'),
        ln_pre: VISION('pre_layrnorm'),
        'transformer.resblocks.{i}.ln_{k}': VISION('encoder.layers.{i}.layer_norm{k}'),
        'transformer.resblocks.{i}.attn.in_proj': VISION(...['q', 'k', 'v'].map((part) => `encoder.layers.{i}.self_attn.${part}_proj`)),
        'transformer.resblocks.{i}.attn.out_proj': VISION('encoder.layers.{i}.self_attn.out_proj'),
        'transformer.resblocks.{i}.mlp.c_fc': VISION('encoder.layers.{i}.mlp.fc1'),
        'transformer.resblocks.{i}.mlp.c_proj': VISION('encoder.layers.{i}.mlp.fc2'),
        ln_post: VISION('post_layernorm'),
        projection: 'visual_projection',
      }),
    },
  ],

  measure(names) {
    const [features, , patch] = names.shape('conv1');
    const [places] = names.shape('positional_embedding');
    if (!features || !patch || !places || !names.has('ln_pre') || !names.has('class_embedding')) return null;
    const shared = names.shape('proj')[1] ?? names.shape('projection')[0] ?? null;
    return { patch, depth: names.count('transformer.resblocks.{n}.ln_1'), features, tokens: places - 1, shared };
  },

  build(net, input, { patch, depth, features, tokens, shared }) {
    const heads = net.setting('heads', Math.max(1, Math.round(features / 64)), 'attention has {} heads');
    const act = net.setting<string>('activation', 'quick-gelu', ACT);
    if (act !== 'quick-gelu' && act !== 'gelu') throw new Departure('activation', `is ${act}, neither gelu nor quick-gelu`);
    const patches = net.conv(input, 'conv1', { out: features, kernel: patch, stride: patch, pad: 0 });
    let x = placedTokens(net, patches, { before: [{ path: 'class_embedding', count: 1 }], positions: 'positional_embedding', tokens });
    x = layerNorm(net, x, 'ln_pre', EPSILON);
    for (let i = 0; i < depth; i++) {
      const at = `transformer.resblocks.${i}`;
      const names = {
        norm1: `${at}.ln_1`,
        qkv: `${at}.attn.in_proj`,
        proj: `${at}.attn.out_proj`,
        norm2: `${at}.ln_2`,
        first: `${at}.mlp.c_fc`,
        second: `${at}.mlp.c_proj`,
      };
      x = encoderBlock(net, x, names, { heads, epsilon: EPSILON, wide: 4 * features, act: act as Activation });
    }
    const token = net.reshape(net.slice(layerNorm(net, x, 'ln_post', EPSILON), 1, 0, 1), [0, features]);
    if (shared === null) return token;
    // OpenAI has the matrix the other way round, as a parameter.
    if (net.has('projection', false)) return net.dense(token, 'projection', { out: shared, bias: false });
    const matrix = net.store.takeParameter('proj', [features, shared]);
    if (matrix?.shape.join() !== `${features},${shared}`) throw new Departure(net.store.sourceName('proj'), `is no matrix of ${features} x ${shared}`);
    return net.op('MatMul', [token], {}, { name: net.store.sourceName('proj'), weights: { kernel: matrix } });
  },
});
