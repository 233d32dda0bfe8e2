/** Nets that timm publishes, in their full size: recognised from names and shapes, their convolutions do what timm's own modules do. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { listArchitectures } from '../../src/architectures/index.js';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import type { Layer } from '../../src/model/layer-map.js';
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
    expect(Object.keys(recorded).length).toBe(22);
  });

  it.each(Object.entries(recorded))('%s stride, pad and share channels where timm does', (name, { shapes, convs }) => {
    const { map, unknown } = recogniseStateDict(blank(shapes), options);
    expect(unknown).toBeUndefined();
    if (listed.has(name) && !name.startsWith('vgg')) expect(map!.architecture!.name).toContain(`(${name})`);
    const layers = new Map(map!.layers.map((layer) => [layer.name, layer]));
    const done = Object.keys(convs).map((module) => [module, layers.has(module) ? doneBy(layers.get(module)!) : null]);
    expect(Object.fromEntries(done)).toEqual(convs);
  });
});
