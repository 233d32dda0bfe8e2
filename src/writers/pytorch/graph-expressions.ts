/** What graphs of other frameworks' exporters are made of beside layers: arithmetic, comparisons, choices, and sizes that flow. */
import type { Layer } from '../../model/layer-map.js';
import { argument, type Expression, number, numbers, type Operands, truth, unary } from './expression.js';
import { pythonNumber, pythonText, pythonTuple } from './python.js';

/** Names of dtypes in torch; those that it has not in every version since 1.13 are left out. */
const DTYPES: Readonly<Record<string, string>> = {
  float64: 'torch.float64',
  float32: 'torch.float32',
  float16: 'torch.float16',
  bfloat16: 'torch.bfloat16',
  int64: 'torch.int64',
  int32: 'torch.int32',
  int16: 'torch.int16',
  int8: 'torch.int8',
  uint8: 'torch.uint8',
  bool: 'torch.bool',
};

export function torchDType(dtype: string): string | null {
  return DTYPES[dtype] ?? null;
}

const torchCall = (name: string) => unary((x) => `torch.${name}(${x})`);

const infix = (symbol: string): Expression => ({ call: (_, { inputs: [a, b] }) => `${a} ${symbol} ${b}` });
const torchBinary = (name: string): Expression => ({ call: (_, { inputs: [a, b] }) => `torch.${name}(${a}, ${b})` });

const isAll = (layer: Layer) => (numbers(layer, 'axes') ?? []).length === 0;

/** A fold along axes, all of them where none are named. */
export function folding(call: (x: string, axes: string, keepdim: string) => string, helpers: readonly string[] = []): Expression {
  const axesOf = (layer: Layer, x: string, flowing: string | undefined) => {
    if (flowing !== undefined) return `whole(${flowing}) or all_axes(${x})`;
    return isAll(layer) ? `all_axes(${x})` : pythonTuple(numbers(layer, 'axes'));
  };
  return {
    call: (layer, { inputs: [x], slots }) => call(x!, axesOf(layer, x!, slots.axes), truth(number(layer, 'keepdims'))),
    helpers: (layer) => [...(layer.inputs.length > 1 ? ['whole'] : []), ...(isAll(layer) ? ['all_axes'] : []), ...helpers],
    isGeneral: true,
    obstacle: (layer) => (isAll(layer) && number(layer, 'noop_with_empty_axes') !== 0 ? `${layer.op} that folds nothing where no axes are named` : null),
  };
}

const along = (x: string, axes: string, keepdim: string) => `${x}, dim=${axes}, keepdim=${keepdim}`;

const argumentOf = (name: 'argmax' | 'argmin'): Expression => ({
  call(layer, { inputs: [x] }) {
    const [axis, keepdim] = [argument(layer, 'axis'), truth(number(layer, 'keepdims'))];
    return isLast(layer) ? `last_place(torch.${name}, ${x}, ${axis}, ${keepdim})` : `torch.${name}(${along(x!, axis, keepdim)})`;
  },
  helpers: (layer) => (isLast(layer) ? ['last_place'] : []),
});
const isLast = (layer: Layer) => number(layer, 'select_last_index') !== 0;

const REDUCTIONS: Readonly<Record<string, string>> = { add: 'sum', mul: 'prod', max: 'amax', min: 'amin' };

/** Axes are inserted, or taken out, one after the other, in an order in which those that are left keep their numbers. */
function oneByOne(method: 'squeeze' | 'unsqueeze'): Expression {
  return {
    call(layer, { inputs: [x], slots }) {
      const axes = numbers(layer, 'axes');
      if (slots.axes !== undefined) return `${method}d(${x}, ${slots.axes})`;
      if (!axes) return `${x}.squeeze()`;
      // Counted from the front the last goes first, and comes last; from the back it is the other way round.
      const isRising = axes.every((axis) => axis < 0) === (method === 'squeeze');
      const order = axes.toSorted((a, b) => (isRising ? a - b : b - a));
      return order.reduce((made, axis) => `${made}.${method}(${axis})`, x!);
    },
    helpers: (layer) => (layer.inputs.length > 1 ? [`${method}d`] : []),
    isGeneral: true,
    obstacle(layer) {
      const axes = numbers(layer, 'axes') ?? [];
      return axes.some((axis) => axis < 0) && axes.some((axis) => axis >= 0) ? `${layer.op} with axes counted from both ends` : null;
    },
  };
}

/** What stands as an attribute, or flows in. */
const orFlowing = (layer: Layer, slots: Operands['slots'], name: string) => {
  const fixed = numbers(layer, name);
  return fixed ? pythonTuple(fixed) : (slots[name] ?? 'None');
};

const dtypeObstacle = (layer: Layer, name: string) => {
  const dtype = layer.attributes[name];
  return dtype === undefined || torchDType(String(dtype)) ? null : `${layer.op} to ${dtype}, which PyTorch computes with in no version`;
};

const CODES: ReadonlySet<string> = new Set(['uint8', 'int8', 'int16', 'int32']);
const quantised: Pick<Expression, 'obstacle'> = {
  obstacle(layer) {
    if (number(layer, 'block_size') !== 0) return `${layer.op} in blocks`;
    if (layer.attributes.precision !== undefined) return `${layer.op} that divides in another precision`;
    const dtype = layer.attributes.output_dtype;
    const isKnown = dtype === undefined || (layer.op === 'QuantizeLinear' ? CODES.has(String(dtype)) : dtype === 'float32');
    return isKnown ? null : `${layer.op} to ${dtype}`;
  },
};

export const GRAPH_EXPRESSIONS: Readonly<Record<string, Expression>> = {
  Acos: torchCall('acos'),
  Acosh: torchCall('acosh'),
  Asin: torchCall('asin'),
  Asinh: torchCall('asinh'),
  Atan: torchCall('atan'),
  Atanh: torchCall('atanh'),
  Ceil: torchCall('ceil'),
  Cos: torchCall('cos'),
  Cosh: torchCall('cosh'),
  Floor: torchCall('floor'),
  Reciprocal: torchCall('reciprocal'),
  Round: torchCall('round'),
  Sign: torchCall('sign'),
  Sin: torchCall('sin'),
  Sinh: torchCall('sinh'),
  Tan: torchCall('tan'),
  IsNaN: torchCall('isnan'),
  Not: torchCall('logical_not'),
  BitwiseNot: torchCall('bitwise_not'),
  Det: torchCall('linalg.det'),
  Size: unary((x) => `torch.tensor(${x}.numel(), device=${x}.device)`),
  Celu: unary((x, layer) => `F.celu(${x}, ${argument(layer, 'alpha')})`),
  Hardmax: unary((x, layer) => `torch.zeros_like(${x}).scatter(${argument(layer, 'axis')}, ${x}.argmax(${argument(layer, 'axis')}, keepdim=True), 1)`),
  IsInf: unary((x, layer) => {
    const asked = [
      ...(number(layer, 'detect_negative') ? [`torch.isneginf(${x})`] : []),
      ...(number(layer, 'detect_positive') ? [`torch.isposinf(${x})`] : []),
    ];
    return asked.join(' | ') || `torch.zeros_like(${x}, dtype=torch.bool)`;
  }),
  Shrink: unary((x, layer) => {
    const [bias, lambd] = [argument(layer, 'bias'), argument(layer, 'lambd')];
    return `torch.where(${x} < -${lambd}, ${x} + ${bias}, torch.where(${x} > ${lambd}, ${x} - ${bias}, torch.zeros_like(${x})))`;
  }),
  Equal: infix('=='),
  Greater: infix('>'),
  GreaterOrEqual: infix('>='),
  Less: infix('<'),
  LessOrEqual: infix('<='),
  And: torchBinary('logical_and'),
  Or: torchBinary('logical_or'),
  Xor: torchBinary('logical_xor'),
  BitwiseAnd: torchBinary('bitwise_and'),
  BitwiseOr: torchBinary('bitwise_or'),
  BitwiseXor: torchBinary('bitwise_xor'),
  BitShift: {
    call: (layer, { inputs: [a, b] }) => `torch.bitwise_${layer.attributes.direction === 'LEFT' ? 'left' : 'right'}_shift(${a}, ${b})`,
  },
  Mod: {
    call: (layer, { inputs: [a, b] }) => `torch.${number(layer, 'fmod') ? 'fmod' : 'remainder'}(${a}, ${b})`,
  },
  Where: { call: (_, { inputs: [condition, x, y] }) => `torch.where(${condition}, ${x}, ${y})` },
  Mean: { call: (_, { inputs }) => `(${inputs.join(' + ')}) / ${inputs.length}` },
  Cast: {
    ...unary((x, layer) => `${x}.to(${torchDType(String(layer.attributes.to))})`),
    obstacle: (layer) => dtypeObstacle(layer, 'to'),
  },
  Constant: { call: (_, { slots }) => slots.value! },
  ConstantOfShape: {
    call: (layer, { inputs: [shape] }) => `torch.full(whole(${shape}), ${fillOf(layer)}, dtype=${torchDType(String(layer.attributes.dtype))})`,
    helpers: () => ['whole'],
    obstacle: (layer) => dtypeObstacle(layer, 'dtype'),
  },
  Shape: unary((x, layer) => {
    const [start, end] = [number(layer, 'start'), layer.attributes.end];
    return `torch.tensor(${x}.shape[${start === 0 ? '' : start}:${end ?? ''}], dtype=torch.int64, device=${x}.device)`;
  }),
  Range: {
    call: (_, { inputs: [start, limit, delta] }) =>
      `torch.arange(${start}.item(), ${limit}.item(), ${delta}.item(), dtype=${start}.dtype, device=${start}.device)`,
  },
  Einsum: { call: (layer, { inputs }) => `torch.einsum(${pythonText(String(layer.attributes.equation))}, ${inputs.join(', ')})` },
  Expand: {
    call: (layer, { inputs: [x], slots }) => `expanded(${x}, ${orFlowing(layer, slots, 'shape')})`,
    helpers: () => ['expanded'],
    isGeneral: true,
  },
  EyeLike: {
    ...unary(
      (x, layer) => `eye_like(${x}, ${number(layer, 'k')}, ${layer.attributes.dtype === undefined ? 'None' : torchDType(String(layer.attributes.dtype))})`,
    ),
    helpers: () => ['eye_like'],
    obstacle: (layer) => dtypeObstacle(layer, 'dtype'),
  },
  Squeeze: oneByOne('squeeze'),
  Unsqueeze: oneByOne('unsqueeze'),
  Tile: {
    call: (layer, { inputs: [x], slots }) => `${x}.repeat(${numbers(layer, 'repeats') ? orFlowing(layer, slots, 'repeats') : `whole(${slots.repeats})`})`,
    helpers: (layer) => (numbers(layer, 'repeats') ? [] : ['whole']),
    isGeneral: true,
  },
  Split: {
    call(layer, { inputs: [x], slots }) {
      const axis = argument(layer, 'axis');
      const parts = numbers(layer, 'split');
      // In equal parts, of which the last may be smaller.
      const sizes = parts ? `[${parts.join(', ')}]` : slots.split ? `list(whole(${slots.split}))` : `-(-${x}.shape[${axis}] // ${layer.outputs.length})`;
      return `torch.split(${x}, ${sizes}, ${axis})`;
    },
    helpers: (layer) => (layer.inputs.length > 1 ? ['whole'] : []),
    isGeneral: true,
    isTuple: true,
  },
  TopK: {
    call(layer, { inputs: [x], slots }) {
      return `largest(${x}, ${layer.attributes.k ?? slots.k}, ${argument(layer, 'axis')}, ${truth(number(layer, 'largest'))})`;
    },
    helpers: () => ['largest'],
    isGeneral: true,
    isTuple: true,
  },
  ArgMax: argumentOf('argmax'),
  ArgMin: argumentOf('argmin'),
  CumSum: {
    call: (layer, { inputs: [x], slots }) =>
      `summed_up(${x}, ${layer.attributes.axis ?? slots.axis}, ${truth(number(layer, 'exclusive'))}, ${truth(number(layer, 'reverse'))})`,
    helpers: () => ['summed_up'],
    isGeneral: true,
  },
  ReduceMin: folding((...parts) => `torch.amin(${along(...parts)})`),
  ReduceL1: folding((x, ...rest) => `torch.sum(${along(`torch.abs(${x})`, ...rest)})`),
  ReduceL2: folding((x, ...rest) => `torch.sqrt(torch.sum(${along(`${x} * ${x}`, ...rest)}))`),
  ReduceSumSquare: folding((x, ...rest) => `torch.sum(${along(`${x} * ${x}`, ...rest)})`),
  ReduceLogSum: folding((...parts) => `torch.log(torch.sum(${along(...parts)}))`),
  ReduceLogSumExp: folding((...parts) => `torch.logsumexp(${along(...parts)})`),
  ReduceProd: folding((x, axes, keepdim) => `product(${x}, ${axes}, ${keepdim})`, ['product']),
  GatherElements: {
    call: (layer, { inputs: [x, indices] }) => `gathered_elements(${x}, ${indices}, ${argument(layer, 'axis')})`,
    helpers: () => ['gathered_elements'],
  },
  GatherND: {
    call: (layer, { inputs: [x, indices] }) => `gathered_nd(${x}, ${indices}, ${argument(layer, 'batch_dims')})`,
    helpers: () => ['gathered_nd'],
  },
  ScatterElements: {
    call(layer, { inputs: [x, indices, updates] }) {
      const reduce = REDUCTIONS[String(layer.attributes.reduction)];
      return `scattered(${x}, ${indices}, ${updates}, ${argument(layer, 'axis')}, ${reduce ? pythonText(reduce) : 'None'})`;
    },
    helpers: () => ['scattered'],
  },
  ScatterND: {
    call: (layer, { inputs: [x, indices, updates] }) => `scattered_nd(${x}, ${indices}, ${updates}, ${truth(layer.attributes.reduction === 'add')})`,
    helpers: () => ['scattered_nd'],
    obstacle: ({ op, attributes: { reduction } }) => (reduction === 'none' || reduction === 'add' ? null : `${op} that keeps the ${reduction}`),
  },
  GridSample: {
    call(layer, { inputs: [x, grid] }) {
      const mode = { linear: 'bilinear', nearest: 'nearest', cubic: 'bicubic' }[String(layer.attributes.mode)]!;
      const padding = pythonText(String(layer.attributes.padding_mode));
      return `F.grid_sample(${x}, ${grid}, mode=${pythonText(mode)}, padding_mode=${padding}, align_corners=${truth(number(layer, 'align_corners'))})`;
    },
  },
  AffineGrid: {
    call: (layer, { inputs: [theta], slots }) =>
      `F.affine_grid(${theta}, ${numbers(layer, 'size') ? orFlowing(layer, slots, 'size') : `whole(${slots.size})`}, align_corners=${truth(number(layer, 'align_corners'))})`,
    helpers: (layer) => (numbers(layer, 'size') ? [] : ['whole']),
    isGeneral: true,
  },
  Trilu: {
    call: (layer, { inputs: [x], slots }) => `torch.tri${number(layer, 'upper') ? 'u' : 'l'}(${x}, ${slots.k ? `int(${slots.k})` : argument(layer, 'k')})`,
    isGeneral: true,
  },
  OneHot: {
    call: (layer, { inputs: [indices, depth, values] }) => `one_hot(${indices}, ${depth}, ${values}, ${argument(layer, 'axis')})`,
    helpers: () => ['one_hot'],
  },
  NonZero: unary((x) => `torch.nonzero(${x}).t()`),
  Compress: {
    call(layer, { inputs: [x, condition] }) {
      const { axis } = layer.attributes;
      return axis === undefined
        ? `${x}.flatten().index_select(0, ${condition}.nonzero().flatten())`
        : `${x}.index_select(${axis}, ${condition}.nonzero().flatten())`;
    },
  },
  MeanVarianceNormalization: unary((x, layer) => {
    const axes = pythonTuple(numbers(layer, 'axes'));
    return `(${x} - ${x}.mean(dim=${axes}, keepdim=True)) / torch.sqrt(${x}.var(dim=${axes}, unbiased=False, keepdim=True) + 1e-18)`;
  }),
  LpNormalization: unary((x, layer) => `F.normalize(${x}, p=${number(layer, 'p')}, dim=${argument(layer, 'axis')}, eps=1e-45)`),
  GlobalLpPool: unary(
    (x, layer) => `${x}.abs().pow(${number(layer, 'p')}).sum(dim=tuple(range(2, ${x}.dim())), keepdim=True).pow(${pythonNumber(1 / number(layer, 'p'))})`,
  ),
  QuantizeLinear: {
    call(layer, { inputs: [x, scale, zero] }) {
      const dtype = zero ? `${zero}.dtype` : torchDType(String(layer.attributes.output_dtype ?? 'uint8'));
      return `quantised(${x}, ${scale}, ${zero ?? 'None'}, ${argument(layer, 'axis')}, ${dtype})`;
    },
    helpers: () => ['quantised'],
    ...quantised,
  },
  DequantizeLinear: {
    call: (layer, { inputs: [codes, scale, zero] }) => `dequantised(${codes}, ${scale}, ${zero ?? 'None'}, ${argument(layer, 'axis')})`,
    helpers: () => ['dequantised'],
    ...quantised,
  },
};

function fillOf(layer: Layer): string {
  const value = number(layer, 'value');
  return layer.attributes.dtype === 'bool' ? truth(value) : pythonNumber(value);
}
