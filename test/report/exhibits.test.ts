/** What a report shows beside numbers: pictures, rankings, histograms, filters. */
import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { countValues } from '../../src/model/histogram.js';
import type { LayerMap, Port } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, permute } from '../../src/model/tensor.js';
import { firstFilters } from '../../src/report/filters.js';
import { histogramPair } from '../../src/report/histogram.js';
import { pictureOf } from '../../src/report/picture.js';
import { encodePng } from '../../src/report/png.js';
import { collectSamples } from '../../src/report/samples.js';
import type { NdArray } from '../../src/verify/engine.js';

const ORIGIN = { file: 'test' };

/** Pixels of a PNG whose rows are not filtered, as ours are. */
function decode(png: Uint8Array): { width: number; height: number; colourType: number; bytes: number[] } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const [width, height, colourType] = [view.getUint32(16), view.getUint32(20), png[25]!];
  const channels = { 0: 1, 2: 3, 6: 4 }[colourType]!;
  const rows = inflateSync(png.subarray(41, 41 + view.getUint32(33)));
  const bytes: number[] = [];
  for (let y = 0; y < height; y++) {
    const row = rows.subarray(y * (width * channels + 1), (y + 1) * (width * channels + 1));
    expect(row[0]).toBe(0);
    bytes.push(...row.subarray(1));
  }
  return { width, height, colourType, bytes };
}

describe('encodePng', () => {
  it('gives the bytes that the standard asks for, checksums included', () => {
    const png = encodePng({ width: 1, height: 1, channels: 1, bytes: Uint8Array.of(7) });
    // Of the header chunk of a grey 1 x 1 picture, as other encoders write it.
    expect(Buffer.from(png.subarray(29, 33)).toString('hex')).toBe('3a7e9b55');
    expect(Buffer.from(png.subarray(-4)).toString('hex')).toBe('ae426082');
    expect(decode(png)).toEqual({ width: 1, height: 1, colourType: 0, bytes: [7] });
  });
});

describe('pictureOf', () => {
  it('stretches from black to white over all channels, whatever the layout', () => {
    // Two by two pixels: red grows to the right, green downwards, blue is flat.
    const nhwc = Float32Array.of(0, 0, 1, 2, 0, 1, 0, 2, 1, 2, 2, 1);
    const nchw = Float32Array.of(0, 2, 0, 2, 0, 0, 2, 2, 1, 1, 1, 1);
    const wanted = [0, 0, 128, 255, 0, 128, 0, 255, 128, 255, 255, 128];
    expect(decode(pictureOf({ shape: [1, 2, 2, 3], data: nhwc }, 'nhwc')!.png).bytes).toEqual(wanted);
    expect(decode(pictureOf({ shape: [1, 3, 2, 2], data: nchw }, 'nchw')!.png).bytes).toEqual(wanted);
  });

  it('takes one row of a batch', () => {
    const array = { shape: [2, 1, 2, 2], data: Float32Array.of(0, 0, 0, 0, 1, 2, 3, 4) };
    expect(decode(pictureOf(array, 'nchw', 1)!.png).bytes).toEqual([0, 85, 170, 255]);
  });

  it('makes large pictures smaller', () => {
    const picture = pictureOf({ shape: [1, 1, 320, 640], data: new Float32Array(320 * 640) }, 'nchw')!;
    expect([picture.width, picture.height]).toEqual([160, 80]);
  });

  it('is nothing for what is no picture', () => {
    expect(pictureOf({ shape: [1, 4, 8, 8], data: new Float32Array(256) }, 'nchw')).toBeNull();
    expect(pictureOf({ shape: [1, 10], data: new Float32Array(10) }, 'other')).toBeNull();
  });

  it('withstands values that are not finite', () => {
    const array = { shape: [1, 1, 2, 2], data: Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, 0, 1) };
    expect(decode(pictureOf(array, 'nchw')!.png).bytes).toEqual([0, 255, 0, 255]);
  });
});

describe('collectSamples', () => {
  const input: Port = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 1, 2, 2], layout: 'nchw' };
  const output: Port = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 6], layout: 'other' };
  const feeds = (batch = 1): NdArray[] => [{ shape: [batch, 1, 2, 2], data: new Float32Array(batch * 4) }];
  const says = (...values: number[]): NdArray[] => [{ shape: [values.length / 6, 6], data: Float32Array.from(values) }];

  it('ranks five classes, the smaller number first among equals, NaN last', () => {
    const collector = collectSamples([input], [output], ['ant', 'bee']);
    collector.add(feeds(), says(0, 3, 1, 1, Number.NaN, 2), says(9, 1, 1, 1, 1, 1));
    const [ranking] = collector.samples[0]!.rankings;
    expect(ranking!.expected.map(({ index }) => index)).toEqual([1, 5, 2, 3, 0]);
    expect(ranking!.actual.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(ranking!.actual[0]!.label).toBe('ant');
    expect(ranking!.actual[2]!.label).toBeNull();
  });

  it('keeps eight inputs, and beyond them those on which the sides disagree', () => {
    const collector = collectSamples([input], [output]);
    const [a, b] = [says(1, 0, 0, 0, 0, 0), says(0, 1, 0, 0, 0, 0)];
    for (let i = 0; i < 20; i++) collector.add(feeds(), a, i === 15 ? b : a);
    expect(collector.samples.map(({ sample }) => sample)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 15]);
  });

  it('takes a fixed batch apart', () => {
    const collector = collectSamples([input], [output]);
    const both = says(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    collector.add(feeds(2), both, both);
    expect(collector.samples.map(({ rankings }) => rankings[0]!.expected[0]!.index)).toEqual([0, 5]);
  });
});

describe('histograms', () => {
  it('count every value once, in its place, whatever order they are stored in', async () => {
    const values = Float32Array.from({ length: 1024 }, (_, i) => i / 1024);
    const tensor = permute(float32Tensor('w', [32, 32], values, ORIGIN), [1, 0]);
    const { counts, outside, nonFinite } = await countValues(tensor, { min: 0, max: 1023 / 1024 });
    expect(counts).toHaveLength(48);
    expect(counts.reduce((a, b) => a + b)).toBe(1024);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    expect([outside, nonFinite]).toEqual([0, 0]);
  });

  it('show what a conversion moved out of range or made infinite', async () => {
    const source = float32Tensor('w', [4], [-1, 0, 0.5, 1], ORIGIN);
    const written = float32Tensor('w', [4], [-1, 0, 7, Number.POSITIVE_INFINITY], ORIGIN);
    const pair = await histogramPair({ layer: 'a', role: 'kernel', source, written, writtenDType: 'float32' });
    expect([pair.min, pair.max]).toEqual([-1, 1]);
    expect(pair.source.counts.reduce((a, b) => a + b)).toBe(4);
    expect(pair.written).toMatchObject({ outside: 1, nonFinite: 1 });
  });

  it('hold a tensor of one value, and one without finite values', async () => {
    for (const value of [3, Number.NaN]) {
      const source = float32Tensor('w', [4], [value, value, value, value], ORIGIN);
      const pair = await histogramPair({ layer: 'a', role: 'kernel', source, written: null, writtenDType: null });
      expect(pair.source.counts.reduce((a, b) => a + b) + pair.source.nonFinite).toBe(4);
    }
  });
});

describe('firstFilters', () => {
  const kernel = float32Tensor(
    'k',
    [2, 3, 2, 2],
    Float32Array.from({ length: 24 }, (_, i) => (i % 12) - 6),
    ORIGIN,
  );
  const conv = makeLayer({ name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['y'], attributes: { kernel_shape: [2, 2] }, weights: { kernel } });
  const map = { layers: [conv] } as unknown as LayerMap;

  it('draws the source and what was written to the same scale', async () => {
    const half = {
      ...float32Tensor(
        'k',
        [2, 3, 2, 2],
        Float32Array.from({ length: 24 }, (_, i) => ((i % 12) - 6) / 2),
        ORIGIN,
      ),
    };
    const found = (await firstFilters(map, () => ({ tensor: half })))!;
    const [source, written] = [decode(found.source.png), decode(found.written!.png)];
    expect([source.width, source.height, source.colourType]).toEqual([5, 2, 6]);
    // -6 of at most 6 is black; half of it half way to grey.
    expect(source.bytes[0]).toBe(1);
    expect(written.bytes[0]).toBe(65);
    // Between two filters there is nothing.
    expect(source.bytes.slice(8, 12)).toEqual([0, 0, 0, 0]);
  });

  it('shows the source alone where the file has no such kernel, and nothing where no kernel sees a picture', async () => {
    expect((await firstFilters(map, () => undefined))!.written).toBeNull();
    expect(await firstFilters({ layers: [] } as unknown as LayerMap, () => undefined)).toBeNull();
  });
});
