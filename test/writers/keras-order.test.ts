import { describe, expect, it } from 'vitest';
import { type Call, kerasOrder } from '../../src/writers/keras-order.js';

interface Named {
  readonly name: string;
  readonly calls: Call[][];
}

const layer = (name: string, ...calls: Call[][]): Named => ({ name, calls });
const first = (node: Named, call = 0): Call => ({ node, call });
const names = (inputs: readonly Named[], ...outputs: Call[]) =>
  kerasOrder<Named>(
    inputs.map((input) => first(input)),
    outputs,
  ).map(({ name }) => name);

describe('the order of layers in Keras', () => {
  it('has the longer branch of a residual first, and what joins them last', () => {
    const input = layer('input', []);
    const short = layer('short', [first(input)]);
    const long1 = layer('long1', [first(input)]);
    const long2 = layer('long2', [first(long1)]);
    const add = layer('add', [first(short), first(long2)]);
    expect(names([input], first(add))).toEqual(['input', 'long1', 'short', 'long2', 'add']);
    const turned = layer('add', [first(long2), first(short)]);
    expect(names([input], first(turned))).toEqual(['input', 'long1', 'long2', 'short', 'add']);
  });

  it('has a layer that is called twice where its farther call is, and what comes before it farther still', () => {
    const input = layer('input', []);
    const side = layer('side', [first(input)]);
    const shared = layer('shared', [first(input)], []);
    const relu = layer('relu', [first(shared)]);
    shared.calls[1] = [first(relu)];
    const add = layer('add', [first(shared, 1), first(side)]);
    expect(names([input], first(add))).toEqual(['input', 'shared', 'relu', 'side', 'add']);
  });

  it('leaves out what no output needs, but for inputs', () => {
    const used = layer('used', []);
    const unused = layer('unused', []);
    layer('dead', [first(used)]);
    const head = layer('head', [first(used)]);
    expect(names([used, unused], first(head))).toEqual(['used', 'unused', 'head']);
  });

  it('follows a chain that is deeper than calls may nest', () => {
    const chain = [layer('0', [])];
    for (let i = 1; i < 50_000; i++) chain.push(layer(String(i), [first(chain.at(-1)!)]));
    expect(names([chain[0]!], first(chain.at(-1)!))).toHaveLength(50_000);
  });
});
