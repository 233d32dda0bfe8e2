/** Nets that timm publishes, in their full size: recognised from names and shapes, their convolutions do what timm's own modules do. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { listArchitectures } from '../../src/architectures/index.js';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import type { Layer } from '../../src/model/layer-map.js';
import { atOnce } from './at-once.js';
import { blank } from './blank.js';

interface Recorded {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Strides, padding and groups of each convolution. */
  readonly convs: Readonly<Record<string, readonly number[]>>;
}
const packed = readFileSync(new URL('../fixtures/architectures/timm-shapes.json.gz', import.meta.url));
const recorded = JSON.parse(gunzipSync(packed).toString()) as Record<string, Recorded>;
const options = { file: 'model.safetensors', format: 'safetensors', producer: null };

/** As recorded; a dense layer is a convolution that strides by 1 and pads nothing. */
function doneBy({ op, attributes }: Layer): readonly number[] {
  const list = (name: string, usual: number) => ((attributes[name] as readonly number[] | undefined) ?? [usual, usual]).slice(0, 2);
  return op === 'Conv' ? [...list('strides', 1), ...list('pads', 0), (attributes.group as number | undefined) ?? 1] : [1, 1, 0, 0, 1];
}

describe("timm's nets", () => {
  const listed = new Set(listArchitectures().flatMap(({ nets }) => nets));

  it('are as many as were recorded', () => {
    expect(Object.keys(recorded).length).toBe(47);
  });

  it.each(Object.entries(recorded))('%s stride, pad and share channels where timm does', (name, { shapes, convs }) => {
    const { map, unknown } = atOnce(recogniseStateDict(blank(shapes), options));
    expect(unknown).toBeUndefined();
    if (listed.has(name) && !name.startsWith('vgg')) expect(map!.architecture!.name).toContain(`(${name})`);
    const layers = new Map(map!.layers.map((layer) => [layer.name, layer]));
    const done = Object.keys(convs).map((module) => [module, layers.has(module) ? doneBy(layers.get(module)!) : null]);
    expect(Object.fromEntries(done)).toEqual(convs);
  });

  /** Dense classifiers of 1000 classes, the only ones of their nets. */
  const classifiers = Object.entries(recorded).flatMap(([name, { shapes }]) => {
    const found = Object.entries(shapes).filter(([path, shape]) => /\.weight$/.test(path) && shape[0] === 1000 && shape.length === 2);
    return found.length === 1 ? [[name, found[0]![0].replace('.weight', ''), found[0]![1][1]!] as const] : [];
  });

  it.each(classifiers)('%s has its classifier, %s, replaced by Sequentials of numbers and of names', (name, at, features) => {
    const { shapes } = recorded[name]!;
    const body = Object.entries(shapes).filter(([path]) => !path.startsWith(`${at}.`));
    const plain = atOnce(recogniseStateDict(blank(shapes), options)).map!;
    const dense = (path: string, out: number, from: number) => ({ [`${at}.${path}.weight`]: [out, from], [`${at}.${path}.bias`]: [out] });
    for (const [first, second] of [
      ['0', '2'],
      ['1', '3.0'],
      ['hidden', 'out'],
    ] as const) {
      const { map, unknown } = atOnce(
        recogniseStateDict(blank({ ...Object.fromEntries(body), ...dense(first, 64, features), ...dense(second, 9, 64) }), options),
      );
      expect(unknown, `${first}, ${second}`).toBeUndefined();
      expect(map!.name).toBe(plain.name);
      expect(map!.outputs[0]!.shape).toEqual(['N', 9]);
      expect(map!.layers.map(({ name: layer }) => layer)).toEqual(expect.arrayContaining([`${at}.${first}`, `${at}.${second}`]));
    }
  });

  it.each([
    ['levit_conv_256', 'HardSigmoid'],
    ['levit_512d', 'Sigmoid'],
  ])('%s has the activation that timm gives it', (name, op) => {
    const { map } = atOnce(recogniseStateDict(blank(recorded[name]!.shapes), options));
    expect(new Set(map!.layers.map((layer) => layer.op).filter((kind) => kind.endsWith('igmoid')))).toEqual(new Set([op]));
  });

  /** Two blocks of 128 features over patches of 16 pixels, whose answer is read by a token that asks all others. */
  const readingVit = (more: Record<string, readonly number[]>, tokens: number) => {
    const dense = (name: string, out: number, from = 128) => ({ [`${name}.weight`]: [out, from], [`${name}.bias`]: [out] });
    const norm = (name: string) => ({ [`${name}.weight`]: [128], [`${name}.bias`]: [128] });
    const mlp = (name: string) => ({ ...dense(`${name}.fc1`, 512), ...dense(`${name}.fc2`, 128, 512) });
    const block = (at: string) => ({
      ...norm(`${at}.norm1`),
      ...dense(`${at}.attn.qkv`, 384),
      ...dense(`${at}.attn.proj`, 128),
      ...norm(`${at}.norm2`),
      ...mlp(`${at}.mlp`),
    });
    const pool = {
      'attn_pool.latent': [1, 1, 128],
      ...dense('attn_pool.q', 128),
      ...dense('attn_pool.kv', 256),
      ...dense('attn_pool.proj', 128),
      ...norm('attn_pool.norm'),
      ...mlp('attn_pool.mlp'),
    };
    const stem = { 'patch_embed.proj.weight': [128, 3, 16, 16], 'patch_embed.proj.bias': [128], pos_embed: [1, tokens, 128] };
    return blank({ ...more, ...stem, ...block('blocks.0'), ...block('blocks.1'), ...norm('norm'), ...pool, ...dense('head', 10) });
  };

  it('ask the patches alone, and not the registers before them, for the answer', () => {
    const { map } = atOnce(recogniseStateDict(readingVit({ reg_token: [1, 4, 128] }, 13), options));
    const asked = map!.layers.filter(({ op, attributes }) => op === 'Slice' && String(attributes.starts) === '4');
    expect(asked.map(({ attributes }) => [attributes.axes, attributes.ends].map(String))).toEqual([['1', '13']]);
  });

  it('are refused where positions are rotary, of which weights have no trace', () => {
    const norm = { 'norm_pre.weight': [128], 'norm_pre.bias': [128] };
    const { map, unknown } = atOnce(recogniseStateDict(readingVit({ cls_token: [1, 1, 128], ...norm }, 10), options));
    expect(map).toBeNull();
    expect(unknown).toMatch(/rotary/);
  });
});
