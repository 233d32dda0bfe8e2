/** Functions of single values, those that Caffe has no layer for in several steps. */
import type { Layer } from '../../model/layer-map.js';
import { type CaffeLayer, eltwiseOf, type NetBuilder, number, plain, powerOf, type Rule } from './net.js';

type Step = readonly [type: string, settings: CaffeLayer['settings']];

/** One step behind the other; the last is the layer itself. */
const chain =
  (steps: (layer: Layer) => readonly Step[]): Rule =>
  (layer, net) => {
    const all = steps(layer);
    const last = all.at(-1)!;
    return net.add(layer, ...last, [], [through(layer, net, all.slice(0, -1), net.blob(layer.inputs[0]!))]);
  };

function through(layer: Layer, net: NetBuilder, steps: readonly Step[], from: string): string {
  return steps.reduce((bottom, [type, settings]) => net.before(layer, type.toLowerCase(), type, settings, [], [bottom]), from);
}

/** What flows in, times what the steps make of it. */
const gated =
  (steps: (layer: Layer) => readonly Step[]): Rule =>
  (layer, net) => {
    const x = net.blob(layer.inputs[0]!);
    return net.add(layer, 'Eltwise', eltwiseOf('PROD'), [], [x, through(layer, net, steps(layer), x)]);
  };

const power = (settings: Parameters<typeof powerOf>[0]): Rule => plain('Power', () => powerOf(settings));

/** The largest and smallest of float32, which bound nothing: Clip wants two bounds. */
const MOST = 3.4028234663852886e38;
const UNIT: Step = ['Clip', { clip_param: { min: 0, max: 1 } }];

export const activations: Readonly<Record<string, Rule>> = {
  Relu: plain('ReLU'),
  LeakyRelu: plain('ReLU', (layer) => ({ relu_param: { negative_slope: number(layer, 'alpha') } })),
  Elu: plain('ELU', (layer) => ({ elu_param: { alpha: number(layer, 'alpha') } })),
  Selu: chain((layer) => [
    ['ELU', { elu_param: { alpha: number(layer, 'alpha') } }],
    ['Power', powerOf({ scale: number(layer, 'gamma') })],
  ]),
  Sigmoid: plain('Sigmoid'),
  Tanh: plain('TanH'),
  Softplus: plain('BNLL'),
  Exp: plain('Exp'),
  Log: plain('Log'),
  Abs: plain('AbsVal'),
  Neg: power({ scale: -1 }),
  Sqrt: power({ power: 0.5 }),
  Reciprocal: power({ power: -1 }),
  Identity: plain('Split'),
  Clip: (layer, net) => {
    const max = number(layer, 'max');
    // Where the bounds cross, ONNX lets the upper one stand, and Caffe the lower.
    const min = Math.min(number(layer, 'min'), max);
    if (layer.inputs.length > 1) return 'a Clip whose bounds flow in';
    if (min === 0 && max === Number.POSITIVE_INFINITY) return net.add(layer, 'ReLU', {});
    return net.add(layer, 'Clip', { clip_param: { min: Math.max(min, -MOST), max: Math.min(max, MOST) } });
  },
  HardSigmoid: chain((layer) => [['Power', powerOf({ scale: number(layer, 'alpha'), shift: number(layer, 'beta') })], UNIT]),
  HardSwish: gated(() => [['Power', powerOf({ scale: 1 / 6, shift: 0.5 })], UNIT]),
  Swish: gated((layer) => {
    const alpha = number(layer, 'alpha');
    return [...(alpha === 1 ? [] : [['Power', powerOf({ scale: alpha })] as const]), ['Sigmoid', {}]];
  }),
  Mish: gated(() => [
    ['BNLL', {}],
    ['TanH', {}],
  ]),
  Softsign: gated(() => [
    ['AbsVal', {}],
    ['Power', powerOf({ shift: 1, power: -1 })],
  ]),
  ThresholdedRelu: gated((layer) => [['Threshold', { threshold_param: { threshold: number(layer, 'alpha') } }]]),
  Gelu: (layer, net) => {
    if (layer.attributes.approximate !== 'tanh') return 'Gelu with erf, a function that no layer of Caffe has';
    const x = net.blob(layer.inputs[0]!);
    // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    const cube = net.before(layer, 'cube', 'Power', powerOf({ power: 3 }), [], [x]);
    const sum = net.before(layer, 'sum', 'Eltwise', eltwiseOf('SUM', [Math.sqrt(2 / Math.PI), 0.044715 * Math.sqrt(2 / Math.PI)]), [], [x, cube]);
    const half = net.before(layer, 'half', 'Power', powerOf({ scale: 0.5, shift: 0.5 }), [], [net.before(layer, 'tanh', 'TanH', {}, [], [sum])]);
    return net.add(layer, 'Eltwise', eltwiseOf('PROD'), [], [x, half]);
  },
};
