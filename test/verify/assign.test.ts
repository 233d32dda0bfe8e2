/** Ports that neither names nor shapes tell apart are told apart by what they do. */
import { expect, it } from 'vitest';
import { ModelError } from '../../src/errors.js';
import { assignPorts } from '../../src/verify/assign.js';
import type { NdArray, Session } from '../../src/verify/engine.js';
import { type Actual, type Arrays, adaptPorts, type Feeds } from '../../src/verify/side.js';

const TOLERANCE = { atol: 1e-6, rtol: 1e-6, why: '' };
const array = (...data: number[]): NdArray => ({ shape: [1, data.length], data: Float32Array.from(data) });
const named = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

type Net = (inputs: readonly number[]) => readonly (readonly number[])[];

/** A net, and a file of it whose ports lie in other orders under other names. */
function assigned(net: Net, inputs: readonly number[], outputs: readonly number[], { samples = 3, isAsked = true, of = net } = {}) {
  const port = (name: string) => ({ name, value: name, dtype: 'float32' as const, shape: [1, 1], layout: 'other' as const });
  const map = { inputs: named('in', inputs.length).map(port), outputs: named('out', outputs.length).map(port) };
  let runs = 0;
  const shown = (name: string) => ({ name, dtype: 'float32', shape: [1, 1] });
  const session = { inputs: named('x', inputs.length).map(shown), outputs: named('y', outputs.length).map(shown) } as unknown as Session;
  const run = (fed: ReadonlyMap<string, NdArray>) => {
    runs++;
    const given = inputs.map((_, own) => Number(fed.get(`x${inputs.indexOf(own)}`)!.data[0]));
    const made = of(given);
    return new Map(outputs.map((own, place) => [`y${place}`, array(...made[own]!)] as const));
  };
  let adapter = adaptPorts(session, map, () => 'other');
  const { aligned } = adapter;
  let places = { inputs: aligned.inputs.places, outputs: aligned.outputs.places };
  const actual = {
    aligned,
    inputs: session.inputs,
    outputs: session.outputs,
    assign(given: typeof places) {
      places = given;
      adapter = adaptPorts(session, map, () => 'other', { places });
    },
    run: async (feeds: Feeds) => adapter.show(run(adapter.feed(feeds))),
  } as unknown as Actual;
  const feedsOf = (sample: number) => inputs.map((own) => array(Math.fround(Math.sin(1 + own + 10 * sample))));
  const expected = async (feeds: Feeds): Promise<Arrays> => net(feeds.map(({ data }) => Number(data[0]))).map((values) => array(...values));
  return assignPorts(actual, { map, tolerance: TOLERANCE, samples, feedsOf, expected, isAsked }).then((notes) => ({ places, notes, runs }));
}

const turned = (count: number) => Array.from({ length: count }, (_, i) => (i * 7 + 3) % count);

it('of a hundred outputs finds each, in one run', async () => {
  const order = turned(100);
  const { places, notes, runs } = await assigned(([x]) => order.map((_, i) => [x! * (i + 1)]), [0], order);
  expect(places.outputs!.map((place) => order[place!])).toEqual(order.map((_, i) => i));
  expect(runs).toBe(1);
  expect(notes).toEqual([expect.stringMatching(/^names do not say.*"out0" is "y\d+".* and 94 more$/)]);
});

it('of eight inputs finds each by what moves when it alone is another', async () => {
  const order = turned(8);
  const net: Net = (inputs) => [[inputs.reduce((sum, x, i) => sum + (i + 1) * x, 0)], [inputs[3]! * inputs[5]!]];
  const { places, runs } = await assigned(net, order, [1, 0]);
  expect(places.inputs!.map((place) => order[place!])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(places.outputs).toEqual([1, 0]);
  expect(runs).toBeLessThan(12);
});

it('leaves eight inputs in order for a recording, which answers for its own inputs alone', async () => {
  const { places, notes } = await assigned((inputs) => [[inputs.reduce((sum, x, i) => sum + (i + 1) * x, 0)]], turned(8), [0], { isAsked: false });
  expect(places.inputs).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(notes).toEqual([]);
});

it('tries few inputs in every order, and passes over those that the file cannot take', async () => {
  const of: Net = ([a, b]) => {
    if (b! > a!) throw new ModelError('engine', 'no such row');
    return [[a! - 2 * b!]];
  };
  const { places } = await assigned(([a, b]) => [[a! - 2 * b!]], [1, 0], [0], { of });
  expect(places.inputs).toEqual([1, 0]);
});

it('outputs that one input leaves alike are told apart by the next ones, and those that no input tells apart are named', async () => {
  const net: Net = ([x]) => [[Math.sign(x!)], [1], [5 * x!], [1]];
  const { places, notes } = await assigned(net, [0], [2, 3, 1, 0]);
  expect(places.outputs![0]).toBe(3);
  expect(places.outputs![2]).toBe(0);
  expect(notes[1]).toMatch(/have the same values on every input.*"out1", "out3"$/);
});

it('outputs that agree are paired though others do not, which stay to be judged', async () => {
  const { places, notes } = await assigned(([x]) => [[x!], [2 * x!], [3 * x!], [4 * x!], [5 * x!]], [0], [4, 3, 2, 1, 0], {
    of: ([x]) => [[x!], [2 * x!], [3.5 * x!], [4 * x!], [5 * x!]],
  });
  expect(places.outputs).toEqual([4, 3, 2, 1, 0]);
  expect(notes[0]).toContain('4 of 5 outputs agree');
});
