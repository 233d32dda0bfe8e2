/** Faults at a net's two ends: what is done to its inputs before it reads them, and to what it gives. */
import { onnx as schema } from 'onnx-proto';
import type { LayerMap } from '../../../src/model/layer-map.js';
import type { AnyFault } from './any-net.js';
import { beforeOutput, behindInput, constant, type Edit, type Graph, integers, nodeOf, type OnnxNode } from './onnx-edit.js';

const { INT, INTS } = schema.AttributeProto.AttributeType;

/** Between the net's first input and what reads it, and behind what makes its first output. */
export function* aroundNet(map: LayerMap): Iterable<AnyFault> {
  const [port] = map.inputs;
  const reader = map.layers.find((layer) => layer.inputs.includes(port!.value));
  const maker = map.layers.find((layer) => layer.outputs[0] === map.outputs[0]!.value);
  if (!port || !reader || !maker) return;
  yield* ofInput(map, reader.name);
  yield* ofOutput(map, maker.name, maker.op);
}

/** What nodes make of a value; further nodes may be put before the last one. */
type Made = (graph: Graph, input: string, output: string) => Partial<OnnxNode>[];

function* ofInput({ inputs }: LayerMap, layer: string): Iterable<AnyFault> {
  const { shape, layout } = inputs[0]!;
  const axis = layout === 'nhwc' ? shape.length - 1 : 1;
  const channels = Number(shape[axis]);
  const through = (kind: string, causes: readonly string[], made: Made): AnyFault => ({
    kind,
    causes,
    layer,
    edit: (graph) => behindInput(graph, (input, output) => made(graph, input, output)),
  });
  const simple = (kind: string, causes: readonly string[], op: string, ...numbers: readonly number[]) =>
    through(kind, causes, (graph, input, output) => [node(op, [input, ...numbers.map((value, i) => constant(graph, `fault.${i}`, [value]))], output)]);
  yield simple('input divided by 255', ['input-scale', 'scaled', 'scaled-and-shifted'], 'Mul', 1 / 255);
  yield simple('input shifted', ['input-scale', 'input-mean', 'shifted-value', 'channel-bias'], 'Sub', 0.5);
  yield simple('input clipped at 10', ['input-scale'], 'Clip', -10, 10);
  yield simple('input clipped at 0 and 255', ['input-scale'], 'Clip', 0, 255);
  yield simple('input rounded to whole numbers', ['input-scale'], 'Round');
  yield through('pixels read as signed bytes', ['input-scale'], (graph, input, output) => [
    node('Greater', [input, constant(graph, 'fault.0', [127])], 'fault.high'),
    node('Sub', [input, constant(graph, 'fault.1', [256])], 'fault.less'),
    node('Where', ['fault.high', 'fault.less', input], output),
  ]);
  yield through('no number where the input is zero', ['not-a-number'], (_, input, output) => [
    node('Abs', [input], 'fault.size'),
    node('ReduceMax', ['fault.size'], 'fault.most'),
    node('Div', [input, 'fault.most'], 'fault.unit'),
    node('Mul', ['fault.unit', 'fault.most'], output),
  ]);
  if (typeof shape[0] === 'string')
    yield through('rows of a batch reversed', ['batch'], (graph, input, output) => [
      node(
        'Slice',
        [
          input,
          integers(graph, 'fault.from', [-1]),
          integers(graph, 'fault.to', [-(2 ** 31)]),
          integers(graph, 'fault.axis', [0]),
          integers(graph, 'fault.step', [-1]),
        ],
        output,
      ),
    ]);
  if (shape.length !== 4) return;
  const [height, width] = layout === 'nhwc' ? [1, 2] : [2, 3];
  if (channels > 1)
    yield through('channels of the input reversed', ['input-bgr', 'reads-reversed', 'channels-reversed'], (graph, input, output) => {
      const order = Array.from({ length: channels }, (_, i) => channels - 1 - i);
      return [node('Gather', [input, integers(graph, 'fault.order', order)], output, { axis })];
    });
  if (shape[height] === shape[width]) {
    const perm = [0, 1, 2, 3].map((place) => (place === height ? width : place === width ? height : place));
    yield through('height and width of the input exchanged', ['reads-transposed', 'kernel-transposed'], (_, input, output) => [
      node('Transpose', [input], output, { perm }),
    ]);
  }
}

function* ofOutput({ outputs }: LayerMap, layer: string, op: string): Iterable<AnyFault> {
  yield {
    kind: 'output scaled',
    causes: ['scaled', 'operand-doubled', 'doubled', 'scaled-and-shifted'],
    layer,
    edit: (graph) => beforeOutput(graph, (input, output) => [node('Mul', [input, constant(graph, 'fault.two', [2])], output)]),
  };
  yield {
    kind: 'output rounded to float16',
    causes: ['narrower-value'],
    layer,
    edit: (graph) => beforeOutput(graph, (input, output) => [node('Cast', [input], 'fault.half', { to: 10 }), node('Cast', ['fault.half'], output, { to: 1 })]),
  };
  if (!NEVER_NEGATIVE.has(op)) yield { kind: 'ReLU behind the output', causes: ['activation-more'], layer, edit: behind(layer, 'Relu') };
  const twin = outputs.findIndex(({ shape }, i) => i > 0 && `${shape}` === `${outputs[0]!.shape}`);
  if (twin > 0) yield { kind: 'two outputs exchanged', causes: ['outputs-exchanged'], layer, edit: exchangeOutputs(twin) };
}

/** What a ReLU behind them would leave as it is. */
const NEVER_NEGATIVE: ReadonlySet<string> = new Set(['Softmax', 'Sigmoid', 'Relu', 'Clip', 'HardSigmoid']);

function node(opType: string, input: readonly string[], output: string, attributes: Readonly<Record<string, number | number[]>> = {}): Partial<OnnxNode> {
  const attribute = Object.entries(attributes).map(([name, value]) =>
    schema.AttributeProto.create(Array.isArray(value) ? { name, type: INTS, ints: value } : { name, type: INT, i: value }),
  );
  return schema.NodeProto.create({ opType, name: `${output}.fault`, input: [...input], output: [output], attribute }) as never;
}

function exchangeOutputs(other: number): Edit {
  return (graph) => {
    const [a, b] = [graph.output![0]!.name!, graph.output![other]!.name!];
    const renamed = (name: string) => (name === a ? b : name === b ? a : name);
    for (const each of graph.node!) [each.input, each.output] = [each.input!.map(renamed), each.output!.map(renamed)];
  };
}

/** Puts a node behind another. */
function behind(name: string, op: string): Edit {
  return (graph) => {
    const owner = nodeOf(graph, name);
    const output = owner.output![0]!;
    const index = graph.node!.indexOf(owner);
    owner.output![0] = `${output}.plain`;
    graph.node!.splice(index + 1, 0, node(op, [`${output}.plain`], output) as never);
  };
}
