/** ONNX and Caffe files of many small fields, many numbers in one field, and many things of one kind. */
import { strToU8 } from 'fflate';
import { joined, repeated } from '../hdf5-image.js';
import type { CostlyFile } from './cost-hdf5.js';

type Bytes = Uint8Array;

export function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
}
export const number = (field: number, value: number): Bytes => Uint8Array.from([...varint(field * 8), ...varint(value)]);
export const message = (field: number, ...parts: readonly Bytes[]): Bytes => {
  const content = joined(...parts);
  return joined(Uint8Array.from([...varint(field * 8 + 2), ...varint(content.byteLength)]), content);
};
export const text = (field: number, value: string): Bytes => message(field, strToU8(value));
export const many = (count: number, make: (i: number) => Bytes): Bytes => joined(...Array.from({ length: count }, (_, i) => make(i)));

const port = (field: number, name: string): Bytes => message(field, text(1, name), message(2, message(1, number(1, 1), message(2, message(1, number(1, 4))))));
/** ModelProto around a graph's contents: an input x and an output y. */
const onnx = (...graph: readonly Bytes[]): Bytes => joined(number(1, 8), message(8, number(2, 17)), message(7, port(11, 'x'), port(12, 'y'), ...graph));
const node = (op: string, inputs: Bytes, outputs: Bytes, ...attributes: readonly Bytes[]): Bytes => message(1, inputs, outputs, text(4, op), ...attributes);
const relu = (from: string, to: string): Bytes => node('Relu', text(1, from), text(2, to));
const attribute = (name: string, ...value: readonly Bytes[]): Bytes => message(5, text(1, name), ...value);
const tensor = (field: number, name: string, dims: Bytes, ...rest: readonly Bytes[]): Bytes => message(field, dims, number(2, 1), text(8, name), ...rest);

const layer = (name: string, ...parts: readonly Bytes[]): Bytes => message(100, text(1, name), text(2, 'ReLU'), text(3, 'data'), text(4, 'data'), ...parts);
const caffe = (...parts: readonly Bytes[]): Bytes =>
  joined(
    text(1, 'net'),
    text(3, 'data'),
    many(4, () => number(4, 1)),
    ...parts,
  );

export const PROTOBUF_FILES: Readonly<Record<string, CostlyFile>> = {
  'five million fields of two bytes': { name: 'x.onnx', bytes: () => onnx(repeated(number(15, 1), 5_000_000)), says: /fields/ },
  'a million fields of two bytes in a node': {
    name: 'x.onnx',
    bytes: () => onnx(message(1, repeated(number(9, 1), 1_000_000), text(4, 'Relu'))),
    says: /Relu lacks its x/,
  },
  'a million fields of two bytes in an attribute': {
    name: 'x.onnx',
    bytes: () => onnx(node('Relu', text(1, 'x'), text(2, 'y'), attribute('a', repeated(number(8, 1), 1_000_000)))),
  },
  'two million numbers in an attribute': {
    name: 'x.onnx',
    bytes: () => onnx(node('Relu', text(1, 'x'), text(2, 'y'), attribute('a', message(8, new Uint8Array(2_000_000))))),
  },
  'a tensor of a million axes': {
    name: 'x.onnx',
    bytes: () => onnx(tensor(5, 'w', message(1, new Uint8Array(1_000_000).fill(1)), message(9, new Uint8Array(4))), relu('x', 'y')),
    says: /axes/,
  },
  'two million small numbers for large ones': {
    name: 'x.onnx',
    bytes: () =>
      onnx(message(5, message(1, Uint8Array.from(varint(2_000_000))), number(2, 7), text(8, 'w'), message(7, new Uint8Array(2_000_000))), relu('x', 'y')),
  },
  'a node of 200,000 inputs': {
    name: 'x.onnx',
    bytes: () => onnx(node('Concat', repeated(text(1, 'x'), 200_000), text(2, 'y'))),
    says: /Concat lacks its axis/,
  },
  'a chain of 40,000 nodes': {
    name: 'x.onnx',
    bytes: () =>
      onnx(
        relu('x', 'v0'),
        many(40_000, (i) => relu(`v${i}`, `v${i + 1}`)),
        relu('v40000', 'y'),
      ),
  },
  '60,000 tensors of nothing': {
    name: 'x.onnx',
    bytes: () =>
      onnx(
        many(60_000, (i) => tensor(5, `w${i}`, number(1, 0), message(9))),
        relu('x', 'y'),
      ),
  },
  'the same external bytes as 20,000 tensors': {
    name: 'x.onnx',
    bytes: () =>
      onnx(
        many(20_000, (i) =>
          tensor(
            5,
            `w${i}`,
            number(1, 250_000),
            message(13, text(1, 'location'), text(2, 'x.onnx')),
            message(13, text(1, 'length'), text(2, '1000000')),
            number(14, 1),
          ),
        ),
        relu('x', 'y'),
      ),
    says: /claim/,
  },
  'graphs in attributes of graphs, 3000 deep': {
    name: 'x.onnx',
    bytes: () => {
      let graph = message(6, relu('x', 'y'));
      for (let i = 0; i < 3000; i++) graph = message(6, node('If', text(1, 'x'), text(2, 'y'), message(5, text(1, 'then_branch'), graph)));
      return onnx(node('If', text(1, 'x'), text(2, 'y'), message(5, text(1, 'then_branch'), graph)));
    },
    says: /nested deeper/,
  },
  '30,000 layers of one name': { name: 'x.caffemodel', bytes: () => caffe(many(30_000, () => layer('r'))), says: /layers/ },
  'two million sizes of an input': { name: 'x.caffemodel', bytes: () => caffe(message(4, new Uint8Array(2_000_000)), layer('r')), says: /bytes|fields|input/ },
  '300,000 tops of a layer': { name: 'x.caffemodel', bytes: () => caffe(layer('r', repeated(text(4, 'a'), 300_000))), says: /fields/ },
  'a sum of 200,000 blobs': {
    name: 'x.caffemodel',
    bytes: () => caffe(message(100, text(1, 'e'), text(2, 'Eltwise'), repeated(text(3, 'data'), 200_000), text(4, 'e'))),
    says: /operators, or/,
    flags: ['--input-shape', '1,1,1,1'],
  },
  'a layer of 100,000 bottoms and as many tops': {
    name: 'x.caffemodel',
    bytes: () =>
      caffe(
        message(
          100,
          text(1, 's'),
          text(2, 'Split'),
          many(100_000, (i) => text(3, `b${i}`)),
          many(100_000, (i) => text(4, `t${i}`)),
        ),
      ),
    says: /Split with 100000 bottoms/,
  },
  '60,000 inputs': {
    name: 'x.caffemodel',
    bytes: () =>
      joined(
        text(1, 'net'),
        message(
          100,
          text(1, 'in'),
          text(2, 'Input'),
          many(60_000, (i) => text(4, `i${i}`)),
          message(143, message(1, number(1, 1))),
        ),
        message(100, text(1, 'r'), text(2, 'ReLU'), text(3, 'i0'), text(4, 'r')),
      ),
    says: /60000 inputs, more than any net has/,
  },
  'an input of 100,000 axes': {
    name: 'x.caffemodel',
    bytes: () =>
      joined(
        text(3, 'data'),
        many(5000, (i) => layer(`r${i}`)),
        message(8, repeated(number(1, 1), 100_000)),
      ),
    says: /100000 axes; Caffe allows 32/,
  },
  '300,000 values one by one': {
    name: 'x.caffemodel',
    bytes: () =>
      caffe(layer('r', message(7, message(7, message(1, Uint8Array.from(varint(300_000)))), repeated(Uint8Array.from([0x2d, 0, 0, 0, 0]), 300_000)))),
    says: /no use for blob/,
  },
};
