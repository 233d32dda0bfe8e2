/** Each operator of the layer map as PyTorch computes it: a module that holds its weights, and the expression that calls it. */
import { type DType, isFloatDType } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { beyondPlain } from '../../model/ops/index.js';
import { hasOwnShape } from '../../model/tensor.js';
import { partsOf } from './derived.js';
import { argument, type Expression, number, numbers, truth, unary } from './expression.js';
import { folding, GRAPH_EXPRESSIONS, torchDType } from './graph-expressions.js';
import { pythonNumber, pythonText, pythonTuple } from './python.js';

/** What a Slice takes of each axis. */
const slicedAxes = (layer: Layer) =>
  (numbers(layer, 'axes') ?? numbers(layer, 'starts').map((_, axis) => axis)).map((axis, i) => ({
    axis,
    start: numbers(layer, 'starts')[i]!,
    end: numbers(layer, 'ends')[i]!,
    step: numbers(layer, 'steps')?.[i] ?? 1,
  }));

/** Whether Python's own brackets say it: places are written down, axes counted from the front, and backwards goes over all of an axis. */
function isWritten(layer: Layer): boolean {
  if (!layer.attributes.starts || layer.inputs.length > 1) return false;
  return slicedAxes(layer).every(({ axis, start, end, step }) => axis >= 0 && (step > 0 || (start === -1 && end <= -(2 ** 31))));
}

/** Whole numbers have no infinity that they could be held to. */
function clamped(layer: Layer, x: string, dtype: DType | null | undefined): string {
  if (!dtype || isFloatDType(dtype)) return `torch.clamp(${x}, ${argument(layer, 'min')}, ${argument(layer, 'max')})`;
  const bounds = ['min', 'max'].filter((name) => Number.isFinite(number(layer, name)));
  return bounds.length === 0 ? x : `torch.clamp(${[x, ...bounds.map((name) => `${name}=${argument(layer, name)}`)].join(', ')})`;
}

/** Two operands, of which the second may be a weight. */
const binary = (symbol: string): Expression => ({
  call: (_, { inputs: [a], slots }) => `${a} ${symbol} ${slots.operand}`,
});

const fold = (name: string): Expression => ({
  call: (_, { inputs }) => inputs.slice(1).reduce((a, b) => `${name}(${a}, ${b})`, inputs[0]!),
});

const reduce = (call: string) => folding((x, axes, keepdim) => `torch.${call}(${x}, dim=${axes}, keepdim=${keepdim})`);

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

const spatial = (layer: Layer) => numbers(layer, 'kernel_shape').length;

const padsOf = (layer: Layer) => (layer.attributes.auto_pad === 'VALID' ? numbers(layer, 'pads').map(() => 0) : numbers(layer, 'pads'));

/** nn.Module's own weights have one shape; a state dict that keeps this one in another, or what it is worked out from, has it as a parameter. */
const hasOwnForm = (layer: Layer) => Object.values(layer.weights).some((tensor) => hasOwnShape(tensor) || partsOf(tensor) !== null);

/** So has a layer whose kernel or bias is what another layer makes. */
const isFunctional = (layer: Layer) => !layer.weights.kernel || layer.inputs.length > 1 || hasOwnForm(layer);

const conv: Expression = {
  module(layer) {
    if (isFunctional(layer)) return null;
    const [out, groupIn] = layer.weights.kernel!.shape as [number, number];
    const group = number(layer, 'group');
    const pads = padsOf(layer);
    const padding = isEven(pads) ? pythonTuple(pads.slice(0, pads.length / 2)) : '0';
    const window = `${pythonTuple(numbers(layer, 'kernel_shape'))}, stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}`;
    return `nn.Conv${spatial(layer)}d(${groupIn * group}, ${out}, ${window}, dilation=${pythonTuple(numbers(layer, 'dilations'))}, groups=${group}, bias=${hasBias(layer)})`;
  },
  call(layer, { inputs: [x], self, slots: { kernel, bias = 'None' } }) {
    const pads = padsOf(layer);
    const from = isEven(pads) ? x : pad(x!, pads);
    if (self !== null) return `${self}(${from})`;
    const padding = isEven(pads) ? pythonTuple(pads.slice(0, pads.length / 2)) : '0';
    const window = `stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}, dilation=${pythonTuple(numbers(layer, 'dilations'))}`;
    return `F.conv${spatial(layer)}d(${from}, ${kernel}, ${bias}, ${window}, groups=${number(layer, 'group')})`;
  },
  obstacle: explicit,
  isGeneral: true,
};

const convTranspose: Expression = {
  module(layer) {
    if (isFunctional(layer)) return null;
    const [channels, groupOut] = layer.weights.kernel!.shape as [number, number];
    const group = number(layer, 'group');
    const window = `${pythonTuple(numbers(layer, 'kernel_shape'))}, stride=${pythonTuple(numbers(layer, 'strides'))}`;
    return `nn.ConvTranspose${spatial(layer)}d(${channels}, ${groupOut * group}, ${window}, ${transposedPadding(layer)}, groups=${group}, bias=${hasBias(layer)}, dilation=${pythonTuple(numbers(layer, 'dilations'))})`;
  },
  call(layer, { inputs: [x], self, slots: { kernel, bias = 'None' } }) {
    const window = `stride=${pythonTuple(numbers(layer, 'strides'))}, ${transposedPadding(layer)}`;
    const settings = `groups=${number(layer, 'group')}, dilation=${pythonTuple(numbers(layer, 'dilations'))}`;
    const made = self === null ? `F.conv_transpose${spatial(layer)}d(${x}, ${kernel}, ${bias}, ${window}, ${settings})` : `${self}(${x})`;
    const pads = padsOf(layer);
    // PyTorch cuts off as much on either side: more on one of them is cut off behind.
    return isEven(pads)
      ? made
      : pad(
          made,
          pads.map((amount) => 0 - amount),
        );
  },
  obstacle: explicit,
  isGeneral: true,
};

const transposedPadding = (layer: Layer) => {
  const pads = padsOf(layer);
  const cut = pads.slice(0, pads.length / 2).map((amount) => (isEven(pads) ? amount : 0));
  return `padding=${pythonTuple(cut)}, output_padding=${pythonTuple(numbers(layer, 'output_padding'))}`;
};

const hasBias = (layer: Layer) => truth(layer.weights.bias);

/** Padding in front of a pooling: MaxPool pads with what never wins, AvgPool counts zeros. */
const maxPool: Expression = {
  call(layer, { inputs: [x] }) {
    const pads = padsOf(layer);
    const window = numbers(layer, 'kernel_shape');
    const direct = isEven(pads) && pads.slice(0, window.length).every((amount, i) => 2 * amount <= window[i]!);
    const from = direct ? x : pad(x!, pads, 'constant', Number.NEGATIVE_INFINITY);
    const padding = direct ? pythonTuple(pads.slice(0, window.length)) : '0';
    return `F.max_pool${window.length}d(${from}, ${pythonTuple(window)}, stride=${pythonTuple(numbers(layer, 'strides'))}, padding=${padding}, dilation=${pythonTuple(numbers(layer, 'dilations'))}, ceil_mode=${truth(number(layer, 'ceil_mode'))})`;
  },
  obstacle: explicit,
};

const averagePool: Expression = {
  call(layer, { inputs: [x] }) {
    const pads = padsOf(layer);
    const window = numbers(layer, 'kernel_shape');
    const counts = number(layer, 'count_include_pad') !== 0;
    const size = pythonTuple(window);
    const options = `stride=${pythonTuple(numbers(layer, 'strides'))}, ceil_mode=${truth(number(layer, 'ceil_mode'))}`;
    if (pads.every((amount) => amount === 0)) return `F.avg_pool${window.length}d(${x}, ${size}, ${options})`;
    if (isEven(pads) && pads.slice(0, window.length).every((amount, i) => 2 * amount <= window[i]!))
      return `F.avg_pool${window.length}d(${x}, ${size}, ${options}, padding=${pythonTuple(pads.slice(0, window.length))}, count_include_pad=${truth(counts)})`;
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

/** Over the axes from one on. */
const layerNorm: Expression = {
  call(layer, { inputs: [x], slots: { scale, bias = 'None' } }) {
    const axis = number(layer, 'axis');
    return `F.layer_norm(${x}, ${x}.shape[${axis}:], ${scale}, ${bias}, ${argument(layer, 'epsilon')})`;
  },
  isGeneral: true,
};

const rmsNorm: Expression = {
  call(layer, { inputs: [x], slots }) {
    const axis = number(layer, 'axis');
    const axes = axis < 0 ? pythonTuple(Array.from({ length: -axis }, (_, i) => axis + i)) : `tuple(range(${axis}, ${x}.dim()))`;
    return `${x} * torch.rsqrt((${x} * ${x}).mean(dim=${axes}, keepdim=True) + ${argument(layer, 'epsilon')}) * ${slots.scale}`;
  },
  isGeneral: true,
};

/** PyTorch's word for how pictures of a rank are resized. */
function interpolation({ attributes: { mode } }: Layer, rank: number): string {
  if (mode === 'nearest') return 'nearest';
  return mode === 'cubic' ? 'bicubic' : { 3: 'linear', 4: 'bilinear', 5: 'trilinear' }[rank]!;
}

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
  ...GRAPH_EXPRESSIONS,
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: {
    module: (layer) => (isFunctional(layer) ? null : `nn.Linear(${layer.weights.kernel!.shape[1]}, ${layer.weights.kernel!.shape[0]}, bias=${hasBias(layer)})`),
    call: (_, { inputs: [x], self, slots: { kernel, bias = 'None' } }) => (self === null ? `F.linear(${x}, ${kernel}, ${bias})` : `${self}(${x})`),
    isGeneral: true,
  },
  MatMul: { call: (_, { inputs: [a], slots }) => `torch.matmul(${a}, ${slots.kernel})` },
  BatchNormalization: {
    // PyTorch's own differ in the ranks that they take, and put a counter of batches into the state dict that they are given.
    module: (layer) => (layer.inputs.length > 1 ? null : `BatchNorm(${layer.weights.scale!.shape[0]}, eps=${argument(layer, 'epsilon')})`),
    call: (layer, { inputs: [x], self, slots: { scale, bias, mean, variance } }) =>
      self === null ? `F.batch_norm(${x}, ${mean}, ${variance}, ${scale}, ${bias}, False, 0.1, ${argument(layer, 'epsilon')})` : `${self}(${x})`,
    helpers: (layer) => (layer.inputs.length > 1 ? [] : ['BatchNorm']),
    isGeneral: true,
  },
  Gather: {
    module: (layer) => (layer.weights.table ? `nn.Embedding(${layer.weights.table.shape.join(', ')})` : null),
    call: (layer, { inputs: [x, indices], self }) => (self === null ? `gathered(${x}, ${indices}, ${argument(layer, 'axis')})` : `${self}(${x}.long())`),
    helpers: (layer) => (layer.weights.table ? [] : ['gathered']),
    isGeneral: true,
  },
  Relu: unary((x) => `F.relu(${x})`),
  LeakyRelu: unary((x, layer) => `F.leaky_relu(${x}, ${argument(layer, 'alpha')})`),
  PRelu: { call: (_, { inputs: [x], slots: { slope } }) => `torch.where(${x} < 0, ${x} * ${slope}, ${x})`, isGeneral: true },
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
    call: (layer, { inputs: [x], slots: { scale, bias } }) =>
      `F.group_norm(${x}, ${number(layer, 'num_groups')}, ${scale}, ${bias}, ${argument(layer, 'epsilon')})`,
    isGeneral: true,
  },
  InstanceNormalization: {
    call: (layer, { inputs: [x], slots: { scale, bias } }) => `F.instance_norm(${x}, weight=${scale}, bias=${bias}, eps=${argument(layer, 'epsilon')})`,
    isGeneral: true,
  },
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  ChannelShuffle: unary((x, layer) => `torch.channel_shuffle(${x}, ${number(layer, 'groups')})`),
  Clip: {
    call(layer, { inputs: [x], slots: { min, max }, typeOf }) {
      if (layer.inputs.length === 1) return clamped(layer, x!, typeOf(0)?.dtype);
      // Numbers and what flows cannot be bounds of one call.
      const bound = (name: string, flowing: string | undefined) => {
        const by = flowing ?? (Number.isFinite(number(layer, name)) ? argument(layer, name) : null);
        return by === null ? '' : `.clamp(${name}=${by})`;
      };
      return `${x}${bound('min', min)}${bound('max', max)}`;
    },
    isGeneral: true,
  },
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
    call(layer, { inputs: [x], slots }) {
      const sizes = numbers(layer, 'shape');
      if (!sizes) return number(layer, 'allowzero') ? `${x}.reshape(whole(${slots.shape}))` : `reshaped(${x}, ${slots.shape})`;
      const isKept = (size: number) => size === 0 && number(layer, 'allowzero') === 0;
      return `${x}.reshape(${sizes.map((size, axis) => (isKept(size) ? `${x}.shape[${axis}]` : String(size))).join(', ')})`;
    },
    helpers: (layer) => (numbers(layer, 'shape') ? [] : [number(layer, 'allowzero') ? 'whole' : 'reshaped']),
    isGeneral: true,
  },
  Transpose: unary((x, layer) => `${x}.permute(${numbers(layer, 'perm').join(', ')})`),
  Concat: { call: (layer, { inputs }) => `torch.cat([${inputs.join(', ')}], dim=${argument(layer, 'axis')})` },
  Add: binary('+'),
  Sub: binary('-'),
  Mul: binary('*'),
  Div: {
    call: (_, { inputs: [a], slots: { operand }, typeOf }) => {
      const dtype = typeOf(0)?.dtype;
      return dtype && !isFloatDType(dtype) ? `torch.div(${a}, ${operand}, rounding_mode="trunc")` : `${a} / ${operand}`;
    },
  },
  Pow: {
    call: (_, { inputs: [a], slots: { operand }, typeOf }) => {
      const [dtype, other] = [typeOf(0)?.dtype, typeOf(1)?.dtype];
      const power = `${a} ** ${operand}`;
      // PyTorch's is of the wider kind, the source's of the first.
      return dtype && other && dtype !== other ? `(${power}).to(${torchDType(dtype)})` : power;
    },
  },
  Max: fold('torch.maximum'),
  Min: fold('torch.minimum'),
  Sum: { call: (_, { inputs }) => inputs.join(' + ') },
  ReduceMean: reduce('mean'),
  ReduceMax: reduce('amax'),
  ReduceSum: reduce('sum'),
  Pad: {
    call: (layer, { inputs: [x], slots }) => {
      const mode = { constant: 'constant', reflect: 'reflect', edge: 'replicate' }[layer.attributes.mode as string]!;
      const pads = numbers(layer, 'pads');
      if (layer.inputs.length > 1) return `padded(${x}, ${pads ? pythonTuple(pads) : slots.pads}, ${slots.value ?? argument(layer, 'value')})`;
      // Other modes than the constant one pad the trailing axes only.
      const kept = mode === 'constant' ? pads : [...pads.slice(2, pads.length / 2), ...pads.slice(pads.length / 2 + 2)];
      return pad(x!, kept, mode, number(layer, 'value'));
    },
    obstacle(layer) {
      const { mode } = layer.attributes;
      const pads = numbers(layer, 'pads');
      if (layer.inputs.length > 3) return 'Pad along axes that another layer makes';
      if (mode === 'constant') return null;
      if (!pads) return `Pad with mode ${mode}, by amounts that another layer makes`;
      const half = pads.length / 2;
      const isSpatial = [0, 1, half, half + 1].every((i) => pads[i] === 0);
      return (mode === 'reflect' || mode === 'edge') && isSpatial ? null : `Pad with mode ${mode} over these axes`;
    },
    helpers: (layer) => (layer.inputs.length > 1 ? ['padded'] : []),
    isGeneral: true,
  },
  Slice: {
    call(layer, { inputs: [x], slots }) {
      if (!isWritten(layer)) {
        const of = (name: string) => (layer.attributes[name] ? pythonTuple(numbers(layer, name)) : (slots[name] ?? 'None'));
        return `sliced(${x}, ${['starts', 'ends', 'axes', 'steps'].map(of).join(', ')})`;
      }
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
    helpers: (layer) => (isWritten(layer) ? [] : ['sliced']),
    isGeneral: true,
  },
  Resize: {
    call(layer, { inputs: [x], slots, typeOf }) {
      const { mode, coordinate_transformation_mode: coordinates } = layer.attributes;
      const scales = numbers(layer, 'scales');
      const corners = mode === 'nearest' ? '' : `, align_corners=${truth(coordinates === 'align_corners')}`;
      if (scales) return `F.interpolate(${x}, scale_factor=${pythonTuple(scales.slice(2))}, mode=${pythonText(interpolation(layer, scales.length))}${corners})`;
      const sizes = numbers(layer, 'sizes');
      return `resized(${x}, ${sizes ? pythonTuple(sizes) : slots.sizes}, mode=${pythonText(interpolation(layer, sizes?.length ?? typeOf(0)?.shape?.length ?? 4))}${corners})`;
    },
    helpers: (layer) => (layer.attributes.scales ? [] : ['resized']),
    isGeneral: true,
    obstacle(layer) {
      const { mode, coordinate_transformation_mode: coordinates, nearest_mode: rounding, keep_aspect_ratio_policy: policy, roi, ...rest } = layer.attributes;
      const beyond = beyondPlain({
        ...layer,
        inputs: layer.inputs.slice(0, 1),
        attributes: Object.fromEntries(Object.entries(rest).filter(([name]) => name !== 'sizes')),
      });
      if (beyond !== null) return `Resize ${beyond}`;
      const [, region = '', factors = ''] = layer.inputs;
      if (region !== '' || factors !== '') return `Resize whose ${factors === '' ? 'part' : 'scales'} another layer makes`;
      if ((roi as readonly number[] | undefined)?.length && coordinates === 'tf_crop_and_resize') return 'Resize that crops';
      if (policy !== 'stretch') return `Resize that is ${policy}`;
      const scales = numbers(layer, 'scales');
      if (scales && (scales[0] !== 1 || scales[1] !== 1 || scales.length > 5)) return 'Resize of other axes than spatial ones';
      if (mode === 'nearest') {
        // Of pixels that are repeated a whole number of times, the nearest is the same wherever between them is measured.
        const repeats = scales?.every((scale) => scale >= 1 && Number.isInteger(scale)) && coordinates === 'half_pixel' && String(rounding).startsWith('round');
        return repeats || (coordinates === 'asymmetric' && rounding === 'floor') ? null : `Resize nearest with ${coordinates}, ${rounding}`;
      }
      const isKnown = coordinates === 'half_pixel' || coordinates === 'pytorch_half_pixel' || coordinates === 'align_corners';
      // Of a single pixel PyTorch's exporter says another place than PyTorch takes.
      const isLong =
        scales !== undefined ||
        numbers(layer, 'sizes')
          ?.slice(2)
          .every((size) => size > 1);
      if (!isKnown || (coordinates === 'pytorch_half_pixel' && !isLong)) return `Resize ${mode} with ${coordinates}`;
      return mode === 'linear' || (mode === 'cubic' && scales?.length === 4 && coordinates !== 'pytorch_half_pixel')
        ? null
        : `Resize ${mode} with ${coordinates}`;
    },
  },
};
