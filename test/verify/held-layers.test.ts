/** What a witness shows of its layers before it is closed. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { makeLayer } from '../../src/model/ops/index.js';
import { runAhead } from '../../src/verify/ahead.js';
import type { NdArray } from '../../src/verify/engine.js';
import { holdLayers } from '../../src/verify/held-layers.js';
import { PLAIN } from '../../src/verify/inputs.js';
import type { LayerSource } from '../../src/verify/layer-source.js';

const layers = ['a', 'b'].map((name) => makeLayer({ name, op: 'Relu', inputs: ['x'], outputs: [name] }, []));
const feeds = (value: number): NdArray[] => [{ shape: [1], data: Float32Array.of(value) }];

function counting() {
  let visits = 0;
  const source: LayerSource = {
    name: 'counting',
    layers: new Set(layers),
    async visit([array], sample, wanted, see) {
      visits++;
      for (const [i, layer] of wanted.entries()) await see(layer, { shape: [1, 2], data: Float32Array.of(Number(array!.data[0]) + i, sample) });
    },
  };
  const aside: LayerSource = {
    ...source,
    async visitAside([array], folder) {
      visits++;
      writeFileSync(`${folder}/a`, '');
      return new Map(layers.map((layer, i) => [layer, async () => ({ shape: [1, 2], data: Float32Array.of(Number(array!.data[0]) + i, 0) })]));
    },
  };
  return { source, aside, visits: () => visits };
}

const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('weighbridge-layers-') && name.includes(`-${process.pid}-`));

it('is had once, and is what it was', async () => {
  const { source, visits } = counting();
  const held = await holdLayers(source, [feeds(3), feeds(5)]);
  expect(visits()).toBe(2);
  const found: [string, NdArray][] = [];
  for (const sample of [1, 0])
    await held.source.visit([], sample, sample === 1 ? [layers[1]!] : layers, async (layer, value) => void found.push([layer.name, value]));
  expect(found).toEqual([
    ['b', { shape: [1, 2], data: Float32Array.of(6, 1) }],
    ['a', { shape: [1, 2], data: Float32Array.of(3, 0) }],
    ['b', { shape: [1, 2], data: Float32Array.of(4, 0) }],
  ]);
  expect(visits()).toBe(2);
  held.close();
});

it('is left by another process in a folder, which goes when it is closed', async () => {
  const before = folders();
  const held = await holdLayers(counting().aside, [feeds(3)]);
  const [folder] = folders().filter((name) => !before.includes(name));
  expect(existsSync(`${tmpdir()}/${folder}/a`)).toBe(true);
  const found: number[] = [];
  await held.source.visit([], 0, layers, async (_, { data }) => void found.push(Number(data[0])));
  expect(found).toEqual([3, 4]);
  held.close();
  expect(folders()).toEqual(before);
});

it('is asked for of the inputs that will be looked at, before the witness is put to rest', async () => {
  const { source } = counting();
  const order: string[] = [];
  const witness = {
    name: 'counting',
    engine: 'counting',
    witness: { kind: 'runtime', independent: true, detail: '', refused: [] },
    maxSamples: 9,
    run: async () => [],
    hold: async (asked: readonly (readonly NdArray[])[]) => {
      order.push(`hold ${asked.length}`);
      return holdLayers(source, asked);
    },
    rest: async () => void order.push('rest'),
    close: async () => {},
  } as const;
  const planned = feeds(7);
  const ahead = await runAhead(
    witness,
    2,
    (i) => ({ range: PLAIN, feeds: i === 0 ? planned : feeds(8) }),
    {},
    (all) => all.slice(0, 1).map((each) => each.feeds),
  );
  expect(order).toEqual(['hold 1', 'rest']);
  expect(ahead.held?.feeds[0]).toBe(planned);
  ahead.held?.close();
});
