/** The net as an SVG: a box for each layer, with the activation behind it in the same box where nothing else reads what is between. */
import type { LayerDocument, ModelDocument } from '../../../src/inspect.js';
import { html, type Markup } from '../../../src/report/html/markup.js';
import { layOut } from './layout.js';

/** What a box stands for, for its colour. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  weights: ['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'LSTM', 'GRU', 'RNN', 'Einsum', 'Attention', 'DeformConv'],
  pool: ['MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LpPool', 'GlobalLpPool', 'ReduceMean', 'ReduceMax', 'Resize', 'Upsample'],
  norm: ['BatchNormalization', 'LRN', 'LayerNormalization', 'InstanceNormalization', 'GroupNormalization', 'RMSNormalization', 'LpNormalization'],
  merge: ['Add', 'Mul', 'Sub', 'Div', 'Concat', 'Sum', 'Max', 'Min', 'Mean'],
};
const ACTIVATIONS: ReadonlySet<string> = new Set(
  'Relu LeakyRelu PRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Swish Mish Gelu Tanh Softplus Softsign Softmax LogSoftmax Clip ThresholdedRelu'.split(' '),
);

const LINE_HEIGHT = 16;
const PADDING = 9;
const CHARACTER = 6.7;
const MIN_WIDTH = 92;
const MAX_CHARACTERS = 30;
/** More boxes would keep a browser busy for a long time, and nobody reads them. */
export const MAX_BOXES = 4000;

interface Drawn {
  readonly kind: string;
  /** The layer that is meant when the box is clicked; null for an input or output of the net. */
  readonly layer: string | null;
  readonly lines: readonly { readonly text: string; readonly style: string }[];
}

export function graphPicture({ layers, inputs, outputs }: ModelDocument): Markup | null {
  const attached = attachedTo(layers, new Set(outputs.map(({ value }) => value)));
  const heads = layers.filter(({ name }) => !attached.has(name));
  if (heads.length + inputs.length + outputs.length > MAX_BOXES) return null;
  const behind = new Map<string, LayerDocument[]>();
  for (const layer of layers) {
    const head = attached.get(layer.name);
    if (head !== undefined) behind.set(head, [...(behind.get(head) ?? []), layer]);
  }
  const drawn: Drawn[] = [
    ...inputs.map((port) => portBox(port.name, port.shape)),
    ...heads.map((layer) => layerBox(layer, behind.get(layer.name) ?? [])),
    ...outputs.map((port) => portBox(port.name, port.shape)),
  ];
  const makers = new Map(inputs.map(({ value }, i) => [value, i]));
  const boxOf = new Map(heads.map(({ name }, i) => [name, inputs.length + i]));
  for (const layer of layers) for (const value of layer.outputs) if (value !== '') makers.set(value, boxOf.get(attached.get(layer.name) ?? layer.name)!);
  const edges = new Map<string, readonly [number, number]>();
  const connect = (value: string, to: number) => {
    const from = makers.get(value);
    if (from !== undefined && from < to) edges.set(`${from} ${to}`, [from, to]);
  };
  for (const layer of heads) for (const value of layer.inputs) connect(value, boxOf.get(layer.name)!);
  for (const [i, { value }] of outputs.entries()) connect(value, inputs.length + heads.length + i);
  const boxes = drawn.map(({ lines }) => ({
    width: Math.max(MIN_WIDTH, 2 * PADDING + 8 + CHARACTER * Math.max(...lines.map(({ text }) => text.length))),
    height: 2 * PADDING - 4 + LINE_HEIGHT * lines.length,
  }));
  const { width, height, places, lines } = layOut(boxes, [...edges.values()]);
  const round = (value: number) => Math.round(10 * value) / 10;
  const shapes = drawn.map(({ kind, layer, lines: texts }, i) => {
    const [{ x, y }, box] = [places[i]!, boxes[i]!];
    return html`<g class="box ${kind}" ${layer === null ? null : html`data-layer="${layer}"`} transform="translate(${round(x)} ${round(y)})"><rect width="${round(box.width)}" height="${box.height}" rx="5"/><rect class="mark" width="4" height="${box.height}" rx="2"/>${texts.map(
      ({ text, style }, line) => html`<text class="${style}" x="${PADDING + 6}" y="${PADDING + 9 + LINE_HEIGHT * line}">${text}</text>`,
    )}</g>`;
  });
  const paths = lines.map((points) => html`<path d="${pathOf(points.map(([x, y]) => [round(x), round(y)] as const))}"/>`);
  const size = `${Math.ceil(width)} ${Math.ceil(height)}`;
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 ${Math.ceil(width) + 8} ${Math.ceil(height) + 8}" data-size="${size}" role="img" aria-label="the net: ${heads.length} boxes from ${inputs.map(({ name }) => name).join(', ')} to ${outputs.map(({ name }) => name).join(', ')}; the table of layers says the same"><g class="lines">${paths}</g>${shapes}</svg>`;
}

/** Activations that alone read what one layer makes, by name, with that layer's. */
function attachedTo(layers: readonly LayerDocument[], shown: ReadonlySet<string>): Map<string, string> {
  const readers = new Map<string, number>();
  for (const { inputs } of layers) for (const value of inputs) readers.set(value, (readers.get(value) ?? 0) + 1);
  const makers = new Map(layers.flatMap((layer) => layer.outputs.map((value) => [value, layer] as const)));
  const attached = new Map<string, string>();
  for (const layer of layers) {
    const [value, ...others] = layer.inputs;
    const maker = value === undefined ? undefined : makers.get(value);
    if (!maker || others.length > 0 || !ACTIVATIONS.has(layer.op) || readers.get(value!) !== 1 || shown.has(value!)) continue;
    // An activation of an activation stands on its own.
    if (!attached.has(maker.name) && !ACTIVATIONS.has(maker.op)) attached.set(layer.name, maker.name);
  }
  return attached;
}

function layerBox({ name, op, canonicalName, weights, outputShapes }: LayerDocument, behind: readonly LayerDocument[]): Drawn {
  const kernel = weights.kernel?.shape;
  const kind = Object.entries(KINDS).find(([, ops]) => ops.includes(op))?.[0] ?? (ACTIVATIONS.has(op) ? 'activation' : 'other');
  const size = kernel ? kernel.join(' × ') : (outputShapes?.[0]?.slice(1).join(' × ') ?? '');
  return {
    kind,
    layer: name,
    lines: [
      { text: cut(op), style: 'op' },
      { text: cut(canonicalName ?? name), style: 'name' },
      ...(size === '' ? [] : [{ text: cut(size), style: 'size' }]),
      ...behind.map((layer) => ({ text: cut(layer.op), style: 'behind' })),
    ],
  };
}

function portBox(name: string, shape: readonly (number | string)[]): Drawn {
  return {
    kind: 'port',
    layer: null,
    lines: [
      { text: cut(name), style: 'op' },
      { text: cut(shape.join(' × ')), style: 'size' },
    ],
  };
}

function cut(text: string): string {
  return text.length > MAX_CHARACTERS ? `…${text.slice(1 - MAX_CHARACTERS)}` : text;
}

/** Straight along a row, curved between rows. */
function pathOf(points: readonly (readonly [number, number])[]): string {
  return points
    .map(([x, y], i) => {
      if (i === 0) return `M${x} ${y}`;
      const [fromX, fromY] = points[i - 1]!;
      if (fromX === x) return `V${y}`;
      const middle = (fromY + y) / 2;
      return `C${fromX} ${middle} ${x} ${middle} ${x} ${y}`;
    })
    .join('');
}
