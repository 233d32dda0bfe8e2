/** The sweep of neighbouring operators: that it has all of them, that it sees a fault, and a part of it. `npm run pairs` runs them all. */
import { describe, expect, it } from 'vitest';
import { OPS, operatorOf } from '../../src/model/ops/index.js';
import type { Engine } from '../../src/verify/engine.js';
import { ALONE, NEIGHBOURS } from './neighbours.js';
import { findings, pairs, STOCK, singles, type Trial } from './pairs.js';

it('every operator has neighbours, or a reason why not', () => {
  const tried = new Set(singles('nchw').map(({ drafts }) => drafts[0]!.op));
  expect(Object.keys(OPS).filter((op) => !tried.has(op) && !(op in ALONE))).toEqual([]);
  expect(Object.keys(ALONE).filter((op) => tried.has(op) || !operatorOf(op))).toEqual([]);
  // Each setting is taken by one of the values that nets start with.
  expect(singles('nchw')).toHaveLength(NEIGHBOURS.length);
});

const named = (name: string) => STOCK.filter((stock) => stock.name === name);

describe.each(['onnx in ort-cpu', 'tfjs-graph in tfjs-cpu', 'tfjs in tfjs-cpu'])('%s', (name) => {
  it('computes what is written for a part of the pairs', async () => {
    const { tried, found } = await findings(named(name), pairs('nhwc', { sample: 401 }));
    expect(tried.get(name)).toBeGreaterThan(5);
    expect(found.filter(({ why }) => why === undefined)).toEqual([]);
  });
});

it('what a layer of TensorFlow.js reads twice is still there for those that read it later', async () => {
  // A Gelu by tanh multiplies a value by itself, and by what comes of that at last.
  const net = first(pairs('nhwc'), ({ title }) => title.endsWith('> Gelu by tanh'));
  const { tried, found } = await findings(named('tfjs in tfjs-cpu'), [net]);
  expect([...tried.values()]).toEqual([1]);
  expect(found).toEqual([]);
});

function first(nets: Iterable<Trial>, isIt: (net: Trial) => boolean): Trial {
  for (const net of nets) if (isIt(net)) return net;
  throw new Error('there is no such net');
}

it('finds the pair that a runtime has wrong, and a file that it refuses, among all in one file', async () => {
  const [stock] = named('onnx in ort-cpu');
  const wrong = (op: string, change: (data: number[]) => void): Engine => ({
    ...stock!.engine,
    async open(model) {
      const source = await model.files.open(model.files.main!);
      const text = new TextDecoder('latin1').decode(await source.read(0, source.byteLength));
      const session = await stock!.engine.open(model);
      if (!text.includes(op)) return session;
      return {
        ...session,
        async run(feeds, wanted) {
          const made = await session.run(feeds, wanted);
          for (const [output, { shape, data }] of made) {
            const values = Array.from(data, Number);
            if (session.outputs.length === 1 || output === session.outputs[3]!.name) change(values);
            made.set(output, { shape, data: Float64Array.from(values) });
          }
          return made;
        },
      };
    },
  });
  const all = pairs('nchw');
  const nets = Array.from({ length: 6 }, () => all.next().value as Trial);
  const engine = wrong('Conv', (data) => {
    data[0] = data[0]! + Math.max(...data.map(Math.abs)) / 1000;
  });
  const { found } = await findings([{ ...stock!, engine }], nets);
  expect(found.map(({ net }) => net)).toEqual([nets[3]!.title]);

  const refusing: Engine = {
    ...stock!.engine,
    async open(model) {
      const session = await stock!.engine.open(model);
      if (session.outputs.some(({ shape }) => shape[1] === 4)) {
        await session.close();
        throw new Error('no such thing');
      }
      return session;
    },
  };
  const refused = await findings([{ ...stock!, engine: refusing }], nets);
  expect(refused.found.length).toBeGreaterThan(0);
  expect(refused.found.length).toBeLessThan(nets.length);
  expect(refused.found.every(({ apart }) => apart === 'no such thing')).toBe(true);
});
