/** Graphs in TensorFlow.js topologies: what is none is one error, and names are no places to hide in. */
import { describe, expect, it } from 'vitest';
import { parseGraphJson } from '../../src/containers/tf-graph-json.js';

const graph = (topology: object) => parseGraphJson(topology as Parameters<typeof parseGraphJson>[0], 'model.json');
const constant = (tensor: object) => graph({ node: [{ name: 'c', op: 'Const', attr: { value: { tensor } } }] });
const nested = (depth: number): object => (depth === 0 ? { i: ['1'] } : { list: [nested(depth - 1)] });

it('nodes, their inputs and attributes', () => {
  const { nodes } = graph({ node: [{ name: 'y', op: 'Relu', input: ['x:1', '^z'], attr: { T: { type: 'DT_FLOAT' }, k: { i: '7' }, s: { s: 'YWI=' } } }] });
  expect(nodes[0]).toMatchObject({ name: 'y', op: 'Relu', inputs: [{ node: 'x', output: 1 }] });
  expect([...nodes[0]!.attributes]).toEqual([
    ['T', { kind: 'type', value: 'float32' }],
    ['k', { kind: 'int', value: 7 }],
    ['s', { kind: 'string', value: 'ab' }],
  ]);
});

describe('what is no graph', () => {
  it.each<[what: string, make: () => unknown, kind: string, says: RegExp]>([
    ['a node without a name', () => graph({ node: [{ op: 'Relu' }] }), 'malformed', /node 0 .*no name/],
    ['a node that is nothing', () => graph({ node: [null] }), 'malformed', /node 0/],
    ['inputs that are no list', () => graph({ node: [{ name: 'y', op: 'Relu', input: 'x' }] }), 'malformed', /node 0/],
    ['attributes that are a list', () => graph({ node: [{ name: 'y', op: 'Relu', attr: [] }] }), 'malformed', /node 0/],
    ['a function without a name', () => graph({ node: [], library: { function: [{ signature: {} }] } }), 'malformed', /function of the library has no name/],
    ['attributes within attributes', () => graph({ node: [{ name: 'y', op: 'Relu', attr: { a: { list: nested(200) } } }] }), 'malformed', /nested/],
    ['more nodes than any graph has', () => graph({ node: new Array(2_000_000).fill(null) }), 'unsafe', /more than \d+ nodes/],
    ['a constant of a negative size', () => constant({ dtype: 'DT_FLOAT', tensorShape: { dim: [{ size: '-2' }] } }), 'malformed', /shape \[-2\]/],
    ['a constant of unknown rank', () => constant({ dtype: 'DT_FLOAT', tensorShape: { unknownRank: true } }), 'malformed', /shape \[\?\]/],
    ['a constant of complex numbers in digits', () => constant({ dtype: 'DT_COMPLEX64', tensorShape: {}, scomplexVal: [1, 2] }), 'unsupported', /complex/],
  ])('%s', (_, make, kind, says) => {
    expect(make).toThrow(expect.objectContaining({ name: 'ModelError', kind, message: expect.stringMatching(says) }));
  });
});
