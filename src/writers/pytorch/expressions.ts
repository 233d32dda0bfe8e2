/** Each operator of the layer map as PyTorch computes it: a module that holds its weights, and the expression that calls it. */
import type { Layer } from '../../model/layer-map.js';
import { hasOwnShape } from '../../model/tensor.js';
import { partsOf } from './derived.js';
import { pythonNumber, pythonText, pythonTuple } from './python.js';

export interface Operands {
  /** Expressions of the activations. */
  readonly inputs: readonly string[];
  /** The expression of the layer's module, where it has one. */
  readonly self: string | null;
  /** Expressions of its weights by role, where it has none. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface Expression {
  /** The constructor of the module that holds the layer's weights. */
  module?(layer: Layer): string | null;
  call(layer: Layer, operands: Operands): string;
  /** Why this layer cannot be said, or null. */
  obstacle?(layer: Layer): string | null;
  /** A function that the module needs once. */
  readonly helper?: string;
}

const number = (layer: Layer, name: string) => layer.attributes[name] as number;
const numbers = (layer: Layer, name: string) => layer.attributes[name] as readonly number[];
/** What a Slice takes of each axis. */
const slicedAxes = (layer: Layer) =>
  numbers(layer, 'axes').map((axis, i) => ({
    axis,
    start: numbers(layer, 'starts')[i]!,
    end: numbers(layer, 'ends')[i]!,
    step: numbers(layer, 'steps')?.[i] ?? 1,
  }));

const argument = (layer: Layer, name: string) => pythonNumber(number(layer, name));

const unary = (call: (x: string, layer: Layer) => string): Expression => ({ call: (layer, { inputs: [x] }) => call(x!, layer) });

/** Two operands, of which the second may be a weight. */
const binary = (symbol: string): Expression => ({
  call: (_, { inputs: [a, b], parameters }) => `${a} ${symbol} ${b ?? parameters.operand}`,
});

const fold = (name: string): Expression => ({
  call: (_, { inputs }) => inputs.slice(1).reduce((a, b) => `${name}(${a}, ${b})`, inputs[0]!),
});

const reduce = (call: string): Expression => ({
  call: (layer, { inputs: [x] }) => `torch.${call}(${x}, dim=${pythonTuple(numbers(layer, 'axes'))}, keepdim=${number(layer, 'keepdims') ? 'True' : 'False'})`,
});

/** F.pad wants [before, after] from the last axis on. */
function pad(x: string, pads: readonly number[], mode = 'constant', value = 0): string {
  const rank = pads.length / 2;
  const pairs = Array.from({ length: rank }, (_, i) => [pads[rank - 1 - i]!, pads[2 * rank - 1 - i]!]).flat();
  return `F.pad(${x}, ${pythonTuple(pairs)}, mode=${pythonText(mode)}${mode === 'constant' ? `, value=${pythonNumber(value)}` : ''})`;
}

const isEven = (pads: readonly number[]) => pads.slice(0, pads.length / 2).every((amount, i) => amount === pads[i + pads.length / 2]);

const explicit = (layer: Layer): string | null =>
  String(layer.attributes.auto_pad).startsWith('SAME')
    ? `${layer.op} with auto_pad ${layer.attributes.auto_pad} over sizes that are free: what it pads depends on them; --input-shape gives them`
    : null;

const spatial = (layer: Layer) => layer.weights.kernel!.shape.length - 2;

const padsOf = (layer: Layer) => (layer.attributes.auto_pad === 'VALID' ? numbers(layer, 'pads').map(() => 0) : numbers(layer, 'pads'));

/** nn.Module's own weights have one shape; a state dict that keeps this one in another, or what it is worked out from, has it as a parameter. */
const hasOwnForm = (layer: Layer) => Object.values(layer.weights).some((tensor) => hasOwnShape(tensor) || partsOf(tensor) !== null);

const conv: Expression = {
  module(layer) {
    if (hasOwnForm(layer)) return null;
    const [out, groupIn] = layer.weights.kernel!.shape as [number, number];
    const group = number(layer, 'group');
    const pads = padsOf(layer);
    const padding = isEven(pads) ? pythonTuple(pads.slice(0, pads.length / 2)) : '0';
    const window = `${pythonTuple(numbers(layer, 'kernel_shape'))}, stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}`;
    return `nn.Conv${spatial(layer)}d(${groupIn * group}, ${out}, ${window}, dilation=${pythonTuple(numbers(layer, 'dilations'))}, groups=${group}, bias=${hasBias(layer)})`;
  },
  call(layer, { inputs: [x], self, parameters: { kernel, bias = 'None' } }) {
    const pads = padsOf(layer);
    const from = isEven(pads) ? x : pad(x!, pads);
    if (self !== null) return `${self}(${from})`;
    const padding = isEven(pads) ? pythonTuple(pads.slice(0, pads.length / 2)) : '0';
    const window = `stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}, dilation=${pythonTuple(numbers(layer, 'dilations'))}`;
    return `F.conv${spatial(layer)}d(${from}, ${kernel}, ${bias}, ${window}, groups=${number(layer, 'group')})`;
  },
  obstacle: explicit,
};

const convTranspose: Expression = {
  module(layer) {
    const [channels, groupOut] = layer.weights.kernel!.shape as [number, number];
    const group = number(layer, 'group');
    const window = `${pythonTuple(numbers(layer, 'kernel_shape'))}, stride=${pythonTuple(numbers(layer, 'strides'))}`;
    const pads = padsOf(layer);
    const padding = `padding=${pythonTuple(pads.slice(0, pads.length / 2))}, output_padding=${pythonTuple(numbers(layer, 'output_padding'))}`;
    return `nn.ConvTranspose${spatial(layer)}d(${channels}, ${groupOut * group}, ${window}, ${padding}, groups=${group}, bias=${hasBias(layer)}, dilation=${pythonTuple(numbers(layer, 'dilations'))})`;
  },
  call: (_, { inputs: [x], self }) => `${self}(${x})`,
  obstacle: (layer) => explicit(layer) ?? (isEven(padsOf(layer)) ? null : 'ConvTranspose cuts off different amounts on both sides'),
};

const hasBias = (layer: Layer) => (layer.weights.bias ? 'True' : 'False');

/** Padding in front of a pooling: MaxPool pads with what never wins, AvgPool counts zeros. */
const maxPool: Expression = {
  call(layer, { inputs: [x] }) {
    const pads = padsOf(layer);
    const window = numbers(layer, 'kernel_shape');
    const direct = isEven(pads) && pads.slice(0, window.length).every((amount, i) => 2 * amount <= window[i]!);
    const from = direct ? x : pad(x!, pads, 'constant', Number.NEGATIVE_INFINITY);
    const padding = direct ? pythonTuple(pads.slice(0, window.length)) : '0';
    return `F.max_pool${window.length}d(${from}, ${pythonTuple(window)}, stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}, dilation=${pythonTuple(numbers(layer, 'dilations'))}, ceil_mode=${number(layer, 'ceil_mode') ? 'True' : 'False'})`;
  },
  obstacle: explicit,
};

const averagePool: Expression = {
  call(layer, { inputs: [x] }) {
    const pads = padsOf(layer);
    const window = numbers(layer, 'kernel_shape');
    const counts = number(layer, 'count_include_pad') !== 0;
    const size = pythonTuple(window);
    const options = `stride=${pythonTuple(numbers(layer, 'strides'))}, ceil_mode=${number(layer, 'ceil_mode') ? 'True' : 'False'}`;
    if (pads.every((amount) => amount === 0)) return `F.avg_pool${window.length}d(${x}, ${size}, ${options})`;
    if (isEven(pads) && pads.slice(0, window.length).every((amount, i) => 2 * amount <= window[i]!))
      return `F.avg_pool${window.length}d(${x}, ${size}, ${options}, padding=${pythonTuple(pads.slice(0, window.length))}, count_include_pad=${counts ? 'True' : 'False'})`;
    const over = (from: string) => `F.avg_pool${window.length}d(${pad(from, pads)}, ${size}, ${options})`;
    // Of a window at the border, only so much is picture.
    return counts ? over(x!) : `${over(x!)} / ${over(`torch.ones_like(${x}[:1, :1])`)}`;
  },
  obstacle(layer) {
    const pads = padsOf(layer);
    const window = numbers(layer, 'kernel_shape');
    if (explicit(layer)) return explicit(layer);
    const half = pads.slice(0, window.length).every((amount, i) => 2 * amount <= window[i]!);
    if (isEven(pads) && half) return null;
    return number(layer, 'ceil_mode') ? 'AveragePool rounds up and pads more on one side than on the other, which torch.nn has not' : null;
  },
};

const globalPool = (call: string): Expression => ({
  call: (_, { inputs: [x] }) => `torch.${call}(${x}, dim=tuple(range(2, ${x}.dim())), keepdim=True)`,
});

const NO_FLOWING: Pick<Expression, 'obstacle'> = {
  obstacle: (layer) => (layer.inputs.length === 1 ? null : `${layer.op} whose factors another layer makes`),
};

/** Over the axes from one on. */
const layerNorm: Expression = {
  call(layer, { inputs: [x], parameters }) {
    const axis = number(layer, 'axis');
    return `F.layer_norm(${x}, ${x}.shape[${axis}:], ${parameters.scale}, ${parameters.bias ?? 'None'}, ${argument(layer, 'epsilon')})`;
  },
  ...NO_FLOWING,
};

const rmsNorm: Expression = {
  call(layer, { inputs: [x], parameters }) {
    const axis = number(layer, 'axis');
    const axes = axis < 0 ? pythonTuple(Array.from({ length: -axis }, (_, i) => axis + i)) : `tuple(range(${axis}, ${x}.dim()))`;
    return `${x} * torch.rsqrt((${x} * ${x}).mean(dim=${axes}, keepdim=True) + ${argument(layer, 'epsilon')}) * ${parameters.scale}`;
  },
  ...NO_FLOWING,
};

/** PyTorch's counts its blocks inside of each channel, as CRD does. */
/** PyTorch has the pixels of a channel side by side (CRD); in DCR all channels of a pixel are, and the two change places before or behind. */
const turned = (x: string, sizes: string) => `${x}.unflatten(1, (${sizes})).transpose(1, 2).flatten(1, 2)`;
const depthToSpace = unary((x, layer) => {
  const side = number(layer, 'blocksize');
  return `F.pixel_shuffle(${layer.attributes.mode === 'CRD' ? x : turned(x, `${side ** 2}, -1`)}, ${side})`;
});
const spaceToDepth = unary((x, layer) => {
  const side = number(layer, 'blocksize');
  const made = `F.pixel_unshuffle(${x}, ${side})`;
  return layer.attributes.mode === 'CRD' ? made : turned(made, `-1, ${side ** 2}`);
});

export const EXPRESSIONS: Readonly<Record<string, Expression>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: {
    module: (layer) => (hasOwnForm(layer) ? null : `nn.Linear(${layer.weights.kernel!.shape[1]}, ${layer.weights.kernel!.shape[0]}, bias=${hasBias(layer)})`),
    call: (_, { inputs: [x], self, parameters: { kernel, bias = 'None' } }) => (self === null ? `F.linear(${x}, ${kernel}, ${bias})` : `${self}(${x})`),
  },
  MatMul: { call: (_, { inputs: [a, b], parameters }) => `torch.matmul(${a}, ${b ?? parameters.kernel})` },
  BatchNormalization: {
    // PyTorch's own differ in the ranks that they take, and put a counter of batches into the state dict that they are given.
    module: (layer) => `BatchNorm(${layer.weights.scale!.shape[0]}, eps=${argument(layer, 'epsilon')})`,
    call: (_, { inputs: [x], self }) => `${self}(${x})`,
    helper: [
      'class BatchNorm(nn.Module):',
      '    """Batch normalisation of any number of axes."""',
      '',
      '    def __init__(self, channels, eps):',
      '        super().__init__()',
      '        self.eps = eps',
      '        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))',
      '        self.register_buffer("running_mean", torch.zeros(channels))',
      '        self.register_buffer("running_var", torch.ones(channels))',
      '',
      '    def forward(self, x):',
      '        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)',
    ].join('\n'),
  },
  Gather: {
    module: (layer) => `nn.Embedding(${layer.weights.table!.shape.join(', ')})`,
    call: (_, { inputs: [x], self }) => `${self}(${x}.long())`,
  },
  Relu: unary((x) => `F.relu(${x})`),
  LeakyRelu: unary((x, layer) => `F.leaky_relu(${x}, ${argument(layer, 'alpha')})`),
  PRelu: { call: (_, { inputs: [x], parameters }) => `torch.where(${x} < 0, ${x} * ${parameters.slope}, ${x})` },
  ThresholdedRelu: unary((x, layer) => `torch.where(${x} > ${argument(layer, 'alpha')}, ${x}, torch.zeros_like(${x}))`),
  Elu: unary((x, layer) => `F.elu(${x}, ${argument(layer, 'alpha')})`),
  Selu: unary((x, layer) => `${argument(layer, 'gamma')} * F.elu(${x}, ${argument(layer, 'alpha')})`),
  Sigmoid: unary((x) => `torch.sigmoid(${x})`),
  HardSigmoid: unary((x, layer) => `torch.clamp(${argument(layer, 'alpha')} * ${x} + ${argument(layer, 'beta')}, 0, 1)`),
  Tanh: unary((x) => `torch.tanh(${x})`),
  Softplus: unary((x) => `F.softplus(${x})`),
  Softsign: unary((x) => `F.softsign(${x})`),
  Erf: unary((x) => `torch.erf(${x})`),
  Exp: unary((x) => `torch.exp(${x})`),
  Log: unary((x) => `torch.log(${x})`),
  Abs: unary((x) => `torch.abs(${x})`),
  Neg: unary((x) => `-${x}`),
  Sqrt: unary((x) => `torch.sqrt(${x})`),
  Identity: unary((x) => x),
  Gelu: unary((x, layer) => `F.gelu(${x}, approximate=${pythonText(layer.attributes.approximate as string)})`),
  HardSwish: unary((x) => `F.hardswish(${x})`),
  Mish: unary((x) => `F.mish(${x})`),
  Swish: unary((x, layer) => (number(layer, 'alpha') === 1 ? `F.silu(${x})` : `${x} * torch.sigmoid(${argument(layer, 'alpha')} * ${x})`)),
  LayerNormalization: layerNorm,
  RMSNormalization: rmsNorm,
  GroupNormalization: {
    call: (layer, { inputs: [x], parameters }) =>
      `F.group_norm(${x}, ${number(layer, 'num_groups')}, ${parameters.scale}, ${parameters.bias}, ${argument(layer, 'epsilon')})`,
    ...NO_FLOWING,
  },
  InstanceNormalization: {
    call: (layer, { inputs: [x], parameters }) =>
      `F.instance_norm(${x}, weight=${parameters.scale}, bias=${parameters.bias}, eps=${argument(layer, 'epsilon')})`,
    ...NO_FLOWING,
  },
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  ChannelShuffle: unary((x, layer) => `torch.channel_shuffle(${x}, ${number(layer, 'groups')})`),
  Clip: unary((x, layer) => `torch.clamp(${x}, ${argument(layer, 'min')}, ${argument(layer, 'max')})`),
  Softmax: unary((x, layer) => `torch.softmax(${x}, dim=${argument(layer, 'axis')})`),
  LogSoftmax: unary((x, layer) => `torch.log_softmax(${x}, dim=${argument(layer, 'axis')})`),
  // Both divide alpha by the size; an even size reaches one further before in PyTorch, after in ONNX.
  LRN: {
    ...unary((x, layer) => `F.local_response_norm(${x}, ${['size', 'alpha', 'beta', 'bias'].map((name) => argument(layer, name)).join(', ')})`),
    obstacle: (layer) => (number(layer, 'size') % 2 === 0 ? 'LRN of an even size reaches to the other side in torch.nn' : null),
  },
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool('mean'),
  GlobalMaxPool: globalPool('amax'),
  Flatten: {
    call(layer, { inputs: [x] }) {
      const axis = number(layer, 'axis');
      return axis === 1 ? `torch.flatten(${x}, 1)` : `${x}.reshape(${x}.shape[:${axis}].numel(), -1)`;
    },
  },
  Reshape: {
    call: (layer, { inputs: [x] }) =>
      `${x}.reshape(${numbers(layer, 'shape')
        .map((size, axis) => (size === 0 ? `${x}.shape[${axis}]` : String(size)))
        .join(', ')})`,
  },
  Transpose: unary((x, layer) => `${x}.permute(${numbers(layer, 'perm').join(', ')})`),
  Concat: { call: (layer, { inputs }) => `torch.cat([${inputs.join(', ')}], dim=${argument(layer, 'axis')})` },
  Add: binary('+'),
  Sub: binary('-'),
  Mul: binary('*'),
  Div: binary('/'),
  Pow: binary('**'),
  Max: fold('torch.maximum'),
  Min: fold('torch.minimum'),
  Sum: { call: (_, { inputs }) => inputs.join(' + ') },
  ReduceMean: reduce('mean'),
  ReduceMax: reduce('amax'),
  ReduceSum: reduce('sum'),
  Pad: {
    call: (layer, { inputs: [x] }) => {
      const mode = { constant: 'constant', reflect: 'reflect', edge: 'replicate' }[layer.attributes.mode as string]!;
      const pads = numbers(layer, 'pads');
      // Other modes than the constant one pad the trailing axes only.
      const kept = mode === 'constant' ? pads : [...pads.slice(2, pads.length / 2), ...pads.slice(pads.length / 2 + 2)];
      return pad(x!, kept, mode, number(layer, 'value'));
    },
    obstacle(layer) {
      const { mode } = layer.attributes;
      const pads = numbers(layer, 'pads');
      if (mode === 'constant') return null;
      const half = pads.length / 2;
      const isSpatial = [0, 1, half, half + 1].every((i) => pads[i] === 0);
      return (mode === 'reflect' || mode === 'edge') && isSpatial ? null : `Pad with mode ${mode} over these axes`;
    },
  },
  Slice: {
    call(layer, { inputs: [x] }) {
      const parts = slicedAxes(layer);
      const turned = parts.filter(({ step }) => step < 0).map(({ axis }) => axis);
      const words = Array.from({ length: Math.max(...parts.map(({ axis }) => axis)) + 1 }, (_, at) => {
        const part = parts.find(({ axis }) => axis === at);
        if (!part) return ':';
        const { start, end, step } = part;
        if (step < 0) return step === -1 ? ':' : `::${-step}`;
        return `${start}:${end >= 2 ** 31 - 1 ? '' : end}${step === 1 ? '' : `:${step}`}`;
      });
      // PyTorch has no steps backwards.
      const whole = turned.length > 0 ? `${x}.flip(${pythonTuple(turned)})` : x;
      return words.every((word) => word === ':') ? whole! : `${whole}[${words.join(', ')}]`;
    },
    obstacle(layer) {
      if (!layer.attributes.starts || layer.inputs.length > 1) return 'Slice between places that are worked out';
      const parts = slicedAxes(layer);
      if (parts.some(({ axis }) => axis < 0)) return 'Slice along an axis that is counted from the end';
      return parts.some(({ start, end, step }) => step < 0 && !(start === -1 && end <= -(2 ** 31))) ? 'Slice backwards over a part of an axis' : null;
    },
  },
  Resize: {
    call(layer, { inputs: [x] }) {
      const scales = (layer.attributes.scales as readonly number[]).slice(2);
      const mode = layer.attributes.mode === 'nearest' ? 'nearest' : { 1: 'linear', 2: 'bilinear', 3: 'trilinear' }[scales.length]!;
      const corners = layer.attributes.coordinate_transformation_mode === 'align_corners';
      return `F.interpolate(${x}, scale_factor=${pythonTuple(scales)}, mode=${pythonText(mode)}${mode === 'nearest' ? '' : `, align_corners=${corners ? 'True' : 'False'}`})`;
    },
    obstacle(layer) {
      const { mode, coordinate_transformation_mode: coordinates, nearest_mode: rounding } = layer.attributes;
      const scales = layer.attributes.scales as readonly number[] | undefined;
      if (scales?.[0] !== 1 || scales[1] !== 1 || scales.length > 5) return 'Resize of other axes than spatial ones';
      if (mode === 'nearest') return coordinates === 'asymmetric' && rounding === 'floor' ? null : `Resize nearest with ${coordinates}, ${rounding}`;
      return mode === 'linear' && (coordinates === 'half_pixel' || coordinates === 'pytorch_half_pixel' || coordinates === 'align_corners')
        ? null
        : `Resize ${mode} with ${coordinates}`;
    },
  },
};
