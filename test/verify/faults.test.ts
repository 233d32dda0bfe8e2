/** Conversion faults, injected into written files one at a time: verification must see each. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx as schema } from 'onnx-proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convert } from '../../src/convert.js';
import { fileSink, nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import type { Report } from '../../src/verify/report.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { DIGITS } from '../cli/run-cli.js';

type Graph = schema.GraphProto;
type Values = { dims: number[]; data: Float32Array };

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-faults-'));
const source = join(DIGITS, 'digits.caffemodel');
const target = join(folder, 'digits.onnx');
let original: Uint8Array;

beforeAll(async () => {
  const files = await nodeFileSet(source);
  await convert(files, await fileSink(target, {}), 'digits.onnx');
  await files.close();
  original = readFileSync(target);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function verifyChanged(change: (graph: Graph) => void): Promise<Report> {
  const model = schema.ModelProto.decode(original);
  change(model.graph as Graph);
  const path = join(folder, 'changed.onnx');
  writeFileSync(path, schema.ModelProto.encode(model).finish());
  const [files, changed] = [await nodeFileSet(source), await nodeFileSet(path)];
  try {
    const opened = await openModel(files);
    return await verifyConversion(
      {
        source: { files, path: source, prototxt: 'digits.prototxt' },
        model: opened,
        map: await opened.map(),
        target: { files: changed, path, format: 'onnx' },
      },
      { samples: 3 },
    );
  } finally {
    await files.close();
    await changed.close();
  }
}

function weight(graph: Graph, node: string, position: number): Values & { put(data: Float32Array): void } {
  const name = graph.node!.find((candidate) => candidate.name === node)!.input![position]!;
  const tensor = graph.initializer!.find((candidate) => candidate.name === name)!;
  const bytes = Uint8Array.from(tensor.rawData as Uint8Array);
  const dims = tensor.dims!.map(Number);
  return {
    dims,
    data: new Float32Array(bytes.buffer),
    put(data) {
      tensor.rawData = new Uint8Array(data.buffer.slice(0));
    },
  };
}

/** Rewrites a weight: value at an index becomes the one at another. */
function rearrange(node: string, position: number, from: (index: number[], dims: number[]) => number[]) {
  return (graph: Graph) => {
    const { dims, data, put } = weight(graph, node, position);
    const moved = Float32Array.from(data, (_, i) => {
      const index: number[] = [];
      let rest = i;
      for (let axis = dims.length - 1; axis >= 0; axis--) {
        index.unshift(rest % dims[axis]!);
        rest = Math.floor(rest / dims[axis]!);
      }
      return data[from(index, dims).reduce((at, place, axis) => at * dims[axis]! + place, 0)]!;
    });
    put(moved);
  };
}

function change(node: string, position: number, edit: (value: number, i: number, data: Float32Array) => number) {
  return (graph: Graph) => {
    const { data, put } = weight(graph, node, position);
    put(data.map((value, i) => edit(value, i, data)));
  };
}

function attribute(node: string, name: string, value: number[]) {
  return (graph: Graph) => {
    const found = graph.node!.find((candidate) => candidate.name === node)!.attribute!.find((candidate) => candidate.name === name)!;
    found.ints = value;
  };
}

function skipNode(node: string) {
  return (graph: Graph) => {
    const removed = graph.node!.find((candidate) => candidate.name === node)!;
    for (const other of graph.node!) other.input = other.input!.map((input) => (input === removed.output![0] ? removed.input![0]! : input));
    graph.node = graph.node!.filter((candidate) => candidate !== removed);
  };
}

const FAULTS: Readonly<Record<string, (graph: Graph) => void>> = {
  'kernel transposed': rearrange('conv1_2', 1, ([o, i, h, w]) => [o!, i!, w!, h!]),
  'kernel rotated by 180 degrees': rearrange('conv2_1', 1, ([o, i, h, w], [, , H, W]) => [o!, i!, H! - 1 - h!, W! - 1 - w!]),
  'input and output channels exchanged': rearrange('conv1_2', 1, ([o, i, h, w]) => [i!, o!, h!, w!]),
  'two channels swapped': rearrange('conv3_1', 1, ([o, i, h, w]) => [o === 0 ? 1 : o === 1 ? 0 : o!, i!, h!, w!]),
  'channels reversed': rearrange('conv2_2', 1, ([o, i, h, w], [O]) => [O! - 1 - o!, i!, h!, w!]),
  'BGR input': rearrange('conv1_1', 1, ([o, i, h, w]) => [o!, 2 - i!, h!, w!]),
  'channel zeroed': change('conv1_1', 1, (value, i) => (i < 27 ? 0 : value)),
  'bias dropped': change('conv2_1', 2, () => 0),
  'bias of one channel dropped': change('fc7', 2, (value, i) => (i === 3 ? 0 : value)),
  'flatten order': rearrange('fc6', 1, ([o, i]) => [o!, (i! % 16) * 32 + Math.floor(i! / 16)]),
  'dense matrix transposed': rearrange('fc7', 1, ([o, i]) => [i!, o!]),
  'padding on the other side': attribute('conv1_1', 'pads', [2, 2, 0, 0]),
  'stride and padding': (graph) => {
    attribute('pool1', 'strides', [2, 1])(graph);
    attribute('pool1', 'kernel_shape', [2, 17])(graph);
  },
  'average for max pooling': (graph) => {
    const node = graph.node!.find(({ name }) => name === 'pool2')!;
    node.opType = 'AveragePool';
    node.attribute = node.attribute!.filter(({ name }) => !['dilations', 'storage_order'].includes(name!));
  },
  'ReLU missing': skipNode('relu2_1'),
  'softmax missing': (graph) => {
    const node = graph.node!.find(({ name }) => name === 'prob')!;
    node.opType = 'Identity';
    node.attribute = [];
  },
  'softmax doubled': (graph) => {
    const node = graph.node!.find(({ name }) => name === 'prob')!;
    const again = schema.NodeProto.create({ ...node, name: 'again', input: ['first'], output: [...node.output!] });
    node.output = ['first'];
    graph.node!.push(again);
  },
  'weights of another layer': (graph) => {
    const nodes = ['conv2_2', 'conv2_1'].map((name) => graph.node!.find((node) => node.name === name)!);
    nodes[0]!.input![2] = nodes[1]!.input![2]!;
  },
  'byte order': (graph) => {
    const { data, put } = weight(graph, 'fc8', 2);
    new Uint8Array(data.buffer).forEach((_, i, bytes) => {
      if (i % 4 === 0) bytes.subarray(i, i + 4).reverse();
    });
    put(data);
  },
  'off-by-one span': change('conv3_2', 1, (_, i, data) => data[i + 1] ?? 0),
  'dtype truncated': (graph) => {
    const { data, put } = weight(graph, 'fc6', 1);
    const bits = new Uint32Array(data.buffer);
    bits.forEach((word, i) => {
      bits[i] = word & 0xffff0000;
    });
    put(data);
  },
  'one value changed in its last bit': (graph) => {
    const { data, put } = weight(graph, 'fc8', 1);
    new Uint32Array(data.buffer)[77]! ^= 1;
    put(data);
  },
};

describe('verification', () => {
  it('finds the untouched file equal, by a witness that shares no code with the reader', async () => {
    const report = await verifyChanged(() => {});
    expect(report.verdict).toBe('match');
    expect(report.witness.independent).toBe(true);
    expect(report.weights).toMatchObject({ compared: 18, equal: 18, mismatches: [] });
  });

  it('is tried on at least 20 kinds of fault', () => {
    expect(Object.keys(FAULTS).length).toBeGreaterThanOrEqual(20);
  });

  it.each(Object.entries(FAULTS))('sees: %s', async (_, fault) => {
    const report = await verifyChanged(fault);
    expect(report.verdict).toBe('mismatch');
    expect(report.firstDifference).not.toBeNull();
  });
});
