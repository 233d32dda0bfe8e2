/** Faults that inputs of one kind, in a batch of one, do not show: each is put into a right file, and must be seen. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import type { Report } from '../../src/verify/report.js';
import type { VerifyOptions } from '../../src/verify/verify.js';
import { beforeOutput, behindInput, constant, type Edit, editOnnx, type Graph, integers, nodeOf } from './faults/onnx-edit.js';
import { mapOf, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const IMAGE: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 8, 8], layout: 'nchw' };
const CLASSES: LayerMap['outputs'][0] = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 5], layout: 'other' };

/** How steep the last layer is: with 40 its softmax has one class alone on inputs of ordinary size. */
function pictureNet({
  loud = 1,
  ends = 'softmax',
  activation = 'Clip',
}: {
  loud?: number;
  ends?: 'softmax' | 'logits';
  activation?: 'Clip' | 'Relu';
} = {}): LayerMap {
  const six = activation === 'Clip' ? { attributes: { min: 0, max: 6 } } : {};
  return mapOf(
    [
      {
        name: 'conv1',
        op: 'Conv',
        inputs: ['x'],
        outputs: ['c1'],
        attributes: { pads: [1, 1, 1, 1] },
        weights: { kernel: tensor('k1', [4, 3, 3, 3], spread(108, -0.2, 0.25)), bias: tensor('b1', [4], spread(4, -0.1, 0.3)) },
      },
      { name: 'relu1', op: 'Relu', inputs: ['c1'], outputs: ['r1'] },
      {
        name: 'conv2',
        op: 'Conv',
        inputs: ['r1'],
        outputs: ['c2'],
        attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
        weights: { kernel: tensor('k2', [6, 4, 3, 3], spread(216, -0.2, 0.25)), bias: tensor('b2', [6], spread(6, -0.1, 0.3)) },
      },
      { name: 'act2', op: activation, inputs: ['c2'], outputs: ['r2'], ...six },
      { name: 'gap', op: 'GlobalAveragePool', inputs: ['r2'], outputs: ['g'] },
      { name: 'flat', op: 'Flatten', inputs: ['g'], outputs: ['f'] },
      {
        name: 'fc',
        op: 'Gemm',
        inputs: ['f'],
        outputs: [ends === 'softmax' ? 'l' : 'y'],
        weights: { kernel: tensor('k3', [5, 6], spread(30, -loud, loud)), bias: tensor('b3', [5], spread(5, -loud, loud)) },
      },
      ...(ends === 'softmax' ? [{ name: 'soft', op: 'Softmax', inputs: ['l'], outputs: ['y'], attributes: { axis: -1 } }] : []),
    ],
    [IMAGE],
    [CLASSES],
  );
}

const clip = (name: string, low: number, high: number) => (graph: Graph, input: string, output: string) => ({
  opType: 'Clip',
  name,
  input: [input, constant(graph, `${name} low`, [low]), constant(graph, `${name} high`, [high])],
  output: [output],
  attribute: [],
});

/** Something between a node and what reads it. */
function behindNode(graph: Graph, node: string, make: (graph: Graph, input: string, output: string) => object) {
  const maker = nodeOf(graph, node);
  const value = maker.output![0]!;
  maker.output![0] = `${value} before`;
  graph.node!.splice(graph.node!.indexOf(maker) + 1, 0, make(graph, `${value} before`, value) as never);
}

const FAULTS: readonly (readonly [string, LayerMap, Edit])[] = [
  ...([1, 40] as const).flatMap((loud): (readonly [string, LayerMap, Edit])[] => {
    const net = pictureNet({ loud });
    const relu = pictureNet({ loud, activation: 'Relu' });
    const is = loud === 1 ? '' : ', behind a steep softmax';
    return [
      [`an input clipped at 10${is}`, relu, (graph) => behindInput(graph, (input, output) => [clip('clip', -10, 10)(graph, input, output) as never])],
      [`activations clipped at 20${is}`, relu, (graph) => behindNode(graph, 'relu1', clip('clip', 0, 20))],
      [`activations clipped at 20 in the second layer${is}`, relu, (graph) => behindNode(graph, 'act2', clip('clip', 0, 20))],
      [`activations clipped at 200${is}`, relu, (graph) => behindNode(graph, 'act2', clip('clip', 0, 200))],
      [`ReLU6 for ReLU${is}`, relu, (graph) => behindNode(graph, 'act2', clip('clip', 0, 6))],
      [
        `ReLU for ReLU6${is}`,
        net,
        (graph) => {
          const node = nodeOf(graph, 'act2');
          node.opType = 'Relu';
          node.input = [node.input![0]!];
          node.attribute = [];
        },
      ],
      [
        `pixels read as signed bytes${is}`,
        relu,
        (graph) =>
          behindInput(graph, (input, output) => [
            { opType: 'Greater', name: 'g', input: [input, constant(graph, 'most', [127])], output: ['beyond'], attribute: [] },
            { opType: 'Sub', name: 's', input: [input, constant(graph, 'turn', [256])], output: ['turned'], attribute: [] },
            { opType: 'Where', name: 'w', input: ['beyond', 'turned', input], output: [output], attribute: [] },
          ]),
      ],
      [
        `reflected for zero padding${is}`,
        relu,
        (graph) => {
          const conv = nodeOf(graph, 'conv2');
          conv.attribute!.find(({ name }) => name === 'pads')!.ints = [0, 0, 0, 0];
          const input = conv.input![0]!;
          conv.input![0] = 'padded';
          graph.node!.splice(graph.node!.indexOf(conv), 0, {
            opType: 'Pad',
            name: 'p',
            input: [input, integers(graph, 'pads', [0, 0, 1, 1, 0, 0, 1, 1])],
            output: ['padded'],
            attribute: [{ name: 'mode', type: 3, s: new TextEncoder().encode('reflect') }],
          } as never);
        },
      ],
      [
        `NaN on a black picture${is}`,
        relu,
        (graph) =>
          beforeOutput(graph, (input, output) => [
            { opType: 'ReduceMax', name: 'm', input: [graph.input![0]!.name!], output: ['most'], attribute: [{ name: 'keepdims', type: 2, i: 0 } as never] },
            { opType: 'Div', name: 'd', input: ['most', 'most'], output: ['one'], attribute: [] },
            { opType: 'Mul', name: 'e', input: [input, 'one'], output: [output], attribute: [] },
          ]),
      ],
      [
        `NaN on a picture of one colour${is}`,
        relu,
        (graph) =>
          beforeOutput(graph, (input, output) => [
            { opType: 'ReduceMax', name: 'm', input: [graph.input![0]!.name!], output: ['most'], attribute: [{ name: 'keepdims', type: 2, i: 0 } as never] },
            { opType: 'ReduceMin', name: 'n', input: [graph.input![0]!.name!], output: ['least'], attribute: [{ name: 'keepdims', type: 2, i: 0 } as never] },
            { opType: 'Sub', name: 's', input: ['most', 'least'], output: ['span'], attribute: [] },
            { opType: 'Div', name: 'd', input: ['span', 'span'], output: ['one'], attribute: [] },
            { opType: 'Mul', name: 'e', input: [input, 'one'], output: [output], attribute: [] },
          ]),
      ],
      [
        `a ReLU more before the first layer${is}`,
        relu,
        (graph) => behindInput(graph, (input, output) => [{ opType: 'Relu', name: 'r', input: [input], output: [output], attribute: [] }]),
      ],
      [
        `a layer missing its ReLU${is}`,
        relu,
        (graph) => {
          nodeOf(graph, 'relu1').opType = 'Identity';
        },
      ],
      [
        `logits that are a hundredth larger${is}`,
        relu,
        (graph) =>
          behindNode(graph, 'fc', (_, input, output) => ({
            opType: 'Mul',
            name: 'm',
            input: [input, constant(graph, 'more', [1.01])],
            output: [output],
            attribute: [],
          })),
      ],
      [
        `a leak of a hundredth${is}`,
        relu,
        (graph) => {
          const node = nodeOf(graph, 'act2');
          node.opType = 'LeakyRelu';
          node.attribute = [{ name: 'alpha', type: 1, f: 0.01 } as never];
        },
      ],
    ];
  }),
];

async function attacked(map: LayerMap, edit: Edit, options: VerifyOptions = {}): Promise<Report> {
  const files = await written(map);
  return verifyWrittenMap(map, { 'net.onnx': editOnnx(files['net.onnx']!, edit) }, options);
}

describe('faults', () => {
  it.each(FAULTS)('%s', async (_, map, edit) => {
    expect((await attacked(map, edit)).verdict).toBe('mismatch');
  });
  it.each(['softmax', 'logits'] as const)('none in a right file (%s)', async (ends) => {
    for (const loud of [1, 40, 400])
      for (const activation of ['Relu', 'Clip'] as const) expect((await attacked(pictureNet({ loud, ends, activation }), () => {})).verdict).toBe('match');
  });
});
