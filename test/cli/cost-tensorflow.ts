/** TensorFlow's graphs, SavedModels, bundles and checkpoints: tables whose keys and blocks repeat, functions that call each other, giant counts. */
import { joined, repeated } from '../hdf5-image.js';
import { bundleOf, rawTable } from '../tf-bundles.js';
import type { CostlyFile } from './cost-hdf5.js';
import { many, message, number, text } from './cost-protobuf.js';

type Bytes = Uint8Array;

const attr = (name: string, value: Bytes): Bytes => message(5, text(1, name), message(2, value));
const type = (code = 1): Bytes => attr('dtype', number(6, code));
const node = (name: string, op: string, inputs: readonly string[] = [], ...attributes: readonly Bytes[]): Bytes =>
  joined(text(1, name), text(2, op), ...inputs.map((input) => text(3, input)), ...attributes);
const shape = (...sizes: readonly number[]): Bytes => message(7, ...sizes.map((size) => message(2, number(1, size))));
const placeholder = message(1, node('x', 'Placeholder', [], type(), attr('shape', shape(1, 4))));
const relu = (from: string, to: string): Bytes => message(1, node(to, 'Relu', [from], attr('T', number(6, 1))));
/** A frozen GraphDef: an input x and what follows. */
const graph = (...parts: readonly Bytes[]): Bytes => joined(placeholder, ...parts, message(4, number(1, 1087)));
const constant = (name: string, code: number, sizes: readonly number[], ...values: readonly Bytes[]): Bytes =>
  message(
    1,
    node(name, 'Const', [], type(code), attr('value', message(8, number(1, code), message(2, ...sizes.map((size) => message(2, number(1, size)))), ...values))),
  );
const int = (name: string, ...values: readonly number[]): Bytes =>
  constant(name, 3, values.length === 1 ? [] : [values.length], ...values.map((value) => number(7, value)));

/** A function f(x): its nodes, and what it gives. */
const fn = (name: string, nodes: readonly Bytes[], result: string): Bytes =>
  message(
    1,
    message(1, text(1, name), message(2, text(1, 'x'), number(3, 1)), message(3, text(1, 'y'), number(3, 1))),
    ...nodes,
    message(4, text(1, 'y'), text(2, result)),
  );
const call = (name: string, target: string, input: string): Bytes =>
  node(
    name,
    'PartitionedCall',
    [input],
    attr('f', message(10, text(1, target))),
    attr('Tin', message(1, number(6, 1))),
    attr('Tout', message(1, number(6, 1))),
  );
const inFunction = (bytes: Bytes): Bytes => message(3, bytes);
const inGraph = (bytes: Bytes): Bytes => message(1, bytes);

const names = (count: number, make: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => make(i));

export const GRAPH_FILES: Readonly<Record<string, CostlyFile>> = {
  'a chain of 60,000 nodes': {
    name: 'x.pb',
    bytes: () =>
      graph(
        relu('x', 'v0'),
        many(60_000, (i) => relu(`v${i}`, `v${i + 1}`)),
      ),
    says: /40000 nodes/,
  },
  'a node of 60,000 inputs': {
    name: 'x.pb',
    bytes: () =>
      graph(
        message(
          1,
          node(
            'y',
            'AddN',
            names(60_000, () => 'x'),
          ),
        ),
      ),
  },
  '60,000 nodes of one name': { name: 'x.pb', bytes: () => graph(many(60_000, () => relu('x', 'y'))), says: /./ },
  'two million nodes of nothing': { name: 'x.pb', bytes: () => graph(repeated(message(1), 2_000_000)), says: /./ },
  'a node of 60,000 attributes': {
    name: 'x.pb',
    bytes: () =>
      graph(
        message(
          1,
          node(
            'y',
            'Relu',
            ['x'],
            many(60_000, (i) => attr(`a${i}`, number(3, 1))),
          ),
        ),
      ),
  },
  'an attribute that is a list of two million numbers': {
    name: 'x.pb',
    bytes: () => graph(message(1, node('y', 'Relu', ['x'], attr('a', message(1, message(3, new Uint8Array(2_000_000))))))),
    says: /./,
  },
  'a shape of 5000 axes': {
    name: 'x.pb',
    bytes: () => joined(message(1, node('x', 'Placeholder', [], type(), attr('shape', shape(...new Array<number>(5000).fill(1)))))),
    says: /more than 64 axes/,
  },
  'a constant of one value that stands for 10^12': {
    name: 'x.pb',
    bytes: () =>
      graph(constant('w', 1, [1_000_000, 1_000_000], message(5, new Uint8Array(4))), message(1, node('y', 'Mul', ['x', 'w'], attr('T', number(6, 1))))),
    says: /./,
  },
  'an attribute of attributes 3000 deep': {
    name: 'x.pb',
    bytes: () => {
      let value = number(3, 1);
      for (let i = 0; i < 3000; i++) value = message(10, text(1, 'f'), message(2, text(1, 'a'), message(2, value)));
      return graph(message(1, node('y', 'Relu', ['x'], attr('a', value))));
    },
  },
  'functions that call each other twice': {
    name: 'x.pb',
    bytes: () =>
      graph(
        inGraph(call('y', 'f0', 'x')),
        message(
          2,
          ...names(60, () => '').map((_, i) =>
            fn(`f${i}`, [inFunction(call('a', `f${i + 1}`, 'x')), inFunction(call('b', `f${i + 1}`, 'a:output:0'))], 'b:output:0'),
          ),
          fn('f60', [inFunction(node('r', 'Relu', ['x'], attr('T', number(6, 1))))], 'r:activations:0'),
        ),
      ),
    says: /./,
  },
  'a function that calls itself': {
    name: 'x.pb',
    bytes: () => graph(inGraph(call('y', 'f', 'x')), message(2, fn('f', [inFunction(call('a', 'f', 'x'))], 'a:output:0'))),
    says: /./,
  },
  '30,000 calls of a function of 30,000 nodes': {
    name: 'x.pb',
    bytes: () =>
      graph(
        many(30_000, (i) => inGraph(call(`y${i}`, 'f', 'x'))),
        message(
          2,
          fn(
            'f',
            names(30_000, (i) => `n${i}`).map((name) => inFunction(node(name, 'Relu', ['x'], attr('T', number(6, 1))))),
            'n0:activations:0',
          ),
        ),
      ),
    says: /./,
  },
  '100,000 functions': {
    name: 'x.pb',
    bytes: () =>
      graph(
        relu('x', 'y'),
        message(
          2,
          many(100_000, (i) => fn(`f${i}`, [], 'x')),
        ),
      ),
  },
  'nodes in a circle': {
    name: 'x.pb',
    bytes: () => graph(relu('b', 'a'), relu('a', 'b'), message(1, node('y', 'Add', ['x', 'a'], attr('T', number(6, 1))))),
  },
  'a range of 10^9 numbers': {
    name: 'x.pb',
    bytes: () =>
      graph(
        int('a', 0),
        int('b', 1_000_000_000),
        int('c', 1),
        message(1, node('r', 'Range', ['a', 'b', 'c'], attr('Tidx', number(6, 3)))),
        message(1, node('f', 'Cast', ['r'], attr('SrcT', number(6, 3)), attr('DstT', number(6, 1)))),
        int('axes', 0),
        message(1, node('s', 'Sum', ['f', 'axes'], attr('T', number(6, 1)))),
        message(1, node('y', 'Add', ['x', 's'], attr('T', number(6, 1)))),
      ),
  },
  'a filling of 10^18 places': {
    name: 'x.pb',
    bytes: () =>
      graph(
        int('d', 1_000_000_000, 1_000_000_000),
        int('v', 1),
        message(1, node('r', 'Fill', ['d', 'v'], attr('T', number(6, 3)))),
        message(1, node('f', 'Cast', ['r'], attr('SrcT', number(6, 3)), attr('DstT', number(6, 1)))),
        int('axes', 0, 1),
        message(1, node('s', 'Sum', ['f', 'axes'], attr('T', number(6, 1)))),
        message(1, node('y', 'Add', ['x', 's'], attr('T', number(6, 1)))),
      ),
  },
  'a tiling by 10^9': {
    name: 'x.pb',
    bytes: () => graph(int('t', 1_000_000_000, 1_000_000_000), message(1, node('y', 'Tile', ['x', 't'], attr('T', number(6, 1))))),
  },
  'concatenations that double 60 times': {
    name: 'x.pb',
    bytes: () =>
      graph(
        int('axis', 1),
        ...names(60, (i) => `${i}`).map((i) =>
          message(
            1,
            node(
              `c${i}`,
              'ConcatV2',
              i === '0' ? ['x', 'x', 'axis'] : [`c${Number(i) - 1}`, `c${Number(i) - 1}`, 'axis'],
              attr('T', number(6, 1)),
              attr('N', number(3, 2)),
            ),
          ),
        ),
      ),
    says: /./,
  },
  'brackets 100,000 deep in text': {
    name: 'x.pbtxt',
    bytes: () => new TextEncoder().encode(`node { name: "x" op: "Placeholder" } ${'node { attr { '.repeat(100_000)}`),
    says: /./,
  },
  'a million nodes in text': {
    name: 'x.pbtxt',
    bytes: () => new TextEncoder().encode(`node { name: "x" op: "Placeholder" }\n${'node{}\n'.repeat(1_000_000)}versions { producer: 1087 }`),
    says: /./,
  },
};

/** A SavedModel around a graph; `objects` is its object graph. */
const saved = (graphDef: Bytes, objects?: Bytes): Bytes =>
  joined(number(1, 1), message(2, message(1, text(4, 'serve')), message(2, graphDef), ...(objects ? [message(7, objects)] : [])));
const head = joined(number(1, 1), number(2, 0));

const variable = (name: string, sizes: readonly number[], byteLength: number) => ({ name, shape: sizes, byteLength });

export const BUNDLE_FILES: Readonly<Record<string, CostlyFile>> = {
  'keys that share half a megabyte': {
    name: 'x.index',
    bytes: () =>
      rawTable(
        [
          ['', head],
          ['a'.repeat(500_000), head],
          ...names(2000, (i) => 'a'.repeat(500_000) + String.fromCharCode(97 + (i % 26)) + i)
            .sort()
            .map((key): [string, Bytes] => [key, head]),
        ],
        { shares: true },
      ),
    says: /./,
  },
  'packed blocks of keys that share 100 kB': {
    name: 'x.index',
    bytes: () =>
      rawTable(
        names(60, (i) => `${i}`.padStart(3, '0')).flatMap((name) => [
          [name.padEnd(100_000, 'a'), head] as [string, Bytes],
          ...names(100, (i) => `${i}`.padStart(3, '0')).map((end): [string, Bytes] => [`${name.padEnd(100_000, 'a')}${end}`, head]),
        ]),
        { shares: true, packs: true, perBlock: 101 },
      ),
    says: /./,
  },
  'a block that is named 50,000 times': { name: 'x.index', bytes: () => bundleOf([variable('v', [1], 4)], { named: 50_000 }), says: /./ },
  'a packed block that claims a gigabyte': {
    name: 'x.index',
    bytes: () => bundleOf([variable('v', [1], 4)], { pack: () => [1, [0x80, 0x80, 0x80, 0x80, 0x04, 0x00, 0x61]] }),
    says: /./,
  },
  '60,000 variables of nothing': {
    name: 'x.index',
    beside: { 'x.data-00000-of-00001': () => new Uint8Array(4) },
    bytes: () =>
      rawTable(
        [
          ['', head],
          ...names(60_000, (i) => `v${i}`)
            .sort()
            .map((key): [string, Bytes] => [key, joined(number(1, 1), message(2, message(2, number(1, 0))))]),
        ],
        {},
      ),
  },
  'the same bytes as 30,000 variables': {
    name: 'x.index',
    beside: { 'x.data-00000-of-00001': () => new Uint8Array(1_000_000) },
    bytes: () =>
      rawTable(
        [
          ['', head],
          ...names(30_000, (i) => `v${i}`)
            .sort()
            .map((key): [string, Bytes] => [key, joined(number(1, 1), message(2, message(2, number(1, 250_000))), number(5, 1_000_000))]),
        ],
        {},
      ),
    says: /claim/,
  },
  'a variable of 10^18 values': {
    name: 'x.index',
    beside: { 'x.data-00000-of-00001': () => new Uint8Array(4) },
    bytes: () => bundleOf([variable('v', [1_000_000_000, 1_000_000_000], 4)]),
    says: /./,
  },
  'two thousand million shards': {
    name: 'x.index',
    bytes: () => bundleOf([{ ...variable('v', [1], 4), shard: 1_999_999_999 }], { shards: 2_000_000_000 }),
    says: /./,
  },
  '30,000 functions of an object that are one': {
    name: 'saved_model.pb',
    bytes: () => {
      const graphDef = joined(
        many(30_000, (i) => message(1, node(`n${i}`, 'NoOp'))),
        message(2, fn('f', [inFunction(node('r', 'Relu', ['x'], attr('T', number(6, 1))))], 'r:activations:0')),
      );
      const spec = message(33, text(1, 'x'), message(2, message(2, number(1, 4))), number(3, 1));
      const objects = joined(
        message(
          1,
          many(30_000, (i) => message(1, number(1, 1), text(2, `g${i}`))),
        ),
        message(1, message(8, text(1, 'f'))),
        message(2, text(1, 'f'), message(2, message(3, message(52, message(1, spec))))),
      );
      return saved(graphDef, objects);
    },
    beside: { 'variables/variables.index': () => bundleOf([variable('v', [1], 4)]), 'variables/variables.data-00000-of-00001': () => new Uint8Array(4) },
  },
  'objects in a circle': {
    name: 'saved_model.pb',
    bytes: () =>
      saved(
        graph(relu('x', 'y')),
        joined(message(1, message(1, number(1, 0), text(2, 'a')), message(1, number(1, 1), text(2, 'b'))), message(1, message(1, number(1, 0), text(2, 'a')))),
      ),
    beside: { 'variables/variables.index': () => bundleOf([variable('v', [1], 4)]), 'variables/variables.data-00000-of-00001': () => new Uint8Array(4) },
  },
  'values of a function nested 3000 deep': {
    name: 'saved_model.pb',
    bytes: () => {
      let value: Bytes = message(33, text(1, 'x'), number(3, 1));
      for (let i = 0; i < 3000; i++) value = message(51, message(1, value));
      return saved(
        graph(relu('x', 'y')),
        joined(
          message(1, message(1, number(1, 1), text(2, 'a'))),
          message(1, message(8, text(1, 'f'))),
          message(2, text(1, 'f'), message(2, message(3, value))),
        ),
      );
    },
    beside: { 'variables/variables.index': () => bundleOf([variable('v', [1], 4)]), 'variables/variables.data-00000-of-00001': () => new Uint8Array(4) },
    says: /deep/,
  },
};
