/**
 * A net of one's own in a few lines: the combinators of the built-in families as words. `docs/architectures.md` describes it.
 *
 * Each line takes what the line before it made (or `from` a name) and makes one value (`as` a name). Weights are named as in the file;
 * their sizes are the file's.
 */
import { isModelError, ModelError } from '../errors.js';
import { reshape, type Tensor } from '../model/tensor.js';
import { adaptivePool } from './adaptive.js';
import { layerNorm, layerScale, selfAttention } from './attention.js';
import { channelShuffle, groupNorm, instanceNorm, mirrored, pixelShuffle, prelu, repeated, squeezeExcite, transposedConv } from './blocks.js';
import { type Family, family, TORCHVISION } from './family.js';
import { ACTIVATIONS, type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { classToken } from './vit.js';

/** More lines than any net that is written by hand. */
const MAX_LINES = 10_000;
/** Words that stand alone. */
const FLAGS: ReadonlySet<string> = new Set(['depthwise', 'ceil', 'same', 'count-padding', 'bilinear', 'align-corners', ...ACTIVATIONS]);
/** Words that a value follows. */
const KEYS: ReadonlySet<string> = new Set([
  'stride',
  'pad',
  'dilation',
  'epsilon',
  'bn',
  'from',
  'as',
  'axis',
  'slope',
  'more',
  'groups',
  'heads',
  'alpha',
  'beta',
  'k',
]);

/** What each line takes: so many names or numbers, and which other words. Any may end in an activation, and say `from` and `as`. */
const TAKES: Readonly<Record<string, readonly [most: number, words: string]>> = {
  conv: [1, 'stride pad dilation same depthwise bn epsilon'],
  deconv: [1, 'stride pad more bn epsilon'],
  dense: [1, 'bn epsilon'],
  bn: [1, 'epsilon'],
  'layer-norm': [1, 'epsilon axis'],
  'group-norm': [1, 'groups epsilon'],
  'instance-norm': [1, 'epsilon'],
  lrn: [1, 'alpha beta k'],
  prelu: [1, ''],
  scale: [1, ''],
  maxpool: [1, 'stride pad ceil same'],
  avgpool: [1, 'stride pad ceil same count-padding'],
  globalpool: [0, ''],
  globalmaxpool: [0, ''],
  adaptivepool: [2, ''],
  flatten: [0, ''],
  reshape: [Number.POSITIVE_INFINITY, ''],
  upsample: [1, 'bilinear align-corners'],
  pixelshuffle: [1, ''],
  'mirror-pad': [1, ''],
  slice: [2, ''],
  softmax: [0, ''],
  // How much it drops is of training.
  dropout: [1, ''],
  add: [1, ''],
  multiply: [1, ''],
  tokens: [0, ''],
  'class-token': [1, ''],
  positions: [1, ''],
  attention: [2, 'heads'],
  token: [1, ''],
  'mean-token': [0, ''],
  concat: [Number.POSITIVE_INFINITY, ''],
  shuffle: [1, ''],
  'squeeze-excite': [2, ''],
};
/** Words that say nothing without another one. */
const NEEDS: Readonly<Record<string, string>> = { slope: 'leaky-relu', 'align-corners': 'bilinear' };
/** Words of which a line has one, or the other. */
const EITHER: readonly (readonly [string, string])[] = [['same', 'pad']];
/** Where 0 says nothing. */
const FROM_ONE: ReadonlySet<string> = new Set(['stride', 'dilation', 'groups', 'heads']);
/** Lines whose activations stand elsewhere than at the end. */
const OWN_ACTIVATIONS: Readonly<Record<string, number>> = { 'squeeze-excite': 2 };

interface Line {
  readonly number: number;
  readonly word: string;
  /** What stands there by place. */
  readonly plain: readonly string[];
  readonly flags: ReadonlySet<string>;
  readonly keys: ReadonlyMap<string, string>;
}

/** What a line may ask for. */
interface Step {
  readonly net: Net;
  readonly x: Value;
  readonly line: Line;
  /** A value by its name. */
  value(name: string): Value;
  whole(key: string): number | undefined;
}

const activationOf = ({ flags }: Line): Activation => ([...flags].find((flag) => ACTIVATIONS.has(flag)) as Activation | undefined) ?? 'none';

/** The activation at the end of a line. */
function activated({ net, line }: Step, x: Value): Value {
  return Object.hasOwn(OWN_ACTIVATIONS, line.word) ? x : net.activation(x, activationOf(line), undefined, numberOf(line, 'slope'));
}

/** Normalised where the line says so. */
function normed({ net, line }: Step, x: Value): Value {
  const norm = line.keys.get('bn');
  return norm === undefined ? x : net.norm(x, norm, numberOf(line, 'epsilon'));
}

/** The whole number that stands there by place. */
function countOf({ word, plain, number }: Line, what: string, i = 0): number {
  const count = Number(plain[i]);
  if (!Number.isInteger(count) || count < 1) throw wrong(number, `"${word}" needs ${what}`);
  return count;
}

/** The module that a line names. */
function path({ word, plain, number }: Line, i = 0, what = 'name of a module of the weights'): string {
  const given = plain[i];
  if (given === undefined) throw wrong(number, `"${word}" needs the ${what}`);
  return given;
}

/** The same, where the first is 0. */
function placeOf({ word, plain, number }: Line, what: string): number {
  if (!/^\d+$/.test(plain[0] ?? '')) throw wrong(number, `"${word}" needs ${what}`);
  return Number(plain[0]);
}

const pool =
  (kind: 'maxPool' | 'averagePool') =>
  ({ net, x, line, whole }: Step) => {
    const kernel = countOf(line, 'the size of its window');
    const [stride, pad] = [whole('stride'), whole('pad')];
    const { flags } = line;
    return net[kind](x, {
      kernel,
      ...(stride === undefined ? {} : { stride }),
      ...(pad === undefined ? {} : { pad }),
      ceil: flags.has('ceil'),
      same: flags.has('same'),
      countPadding: flags.has('count-padding'),
    });
  };

const merge =
  (op: 'Add' | 'Mul') =>
  ({ net, x, line, value }: Step) =>
    net.op(op, [x, value(path(line, 0, 'name of a value above'))]);

const WORDS: Readonly<Record<string, (step: Step) => Value>> = {
  conv(step) {
    const { net, x, line, whole } = step;
    const [stride, pad, dilation] = [whole('stride'), whole('pad'), whole('dilation')];
    // Padding is what the line says, whatever the kernel.
    const [, , height = 1, width = 1] = net.store.shape(path(line)) ?? [];
    const y = net.conv(x, path(line), {
      kernel: [height, width],
      ...(stride === undefined ? {} : { stride }),
      ...(line.flags.has('same') ? {} : { pad: pad ?? 0 }),
      ...(dilation === undefined ? {} : { dilation }),
      depthwise: line.flags.has('depthwise'),
    });
    return normed(step, y);
  },
  deconv(step) {
    const { net, x, line, whole } = step;
    const options = { out: 1, kernel: 1, stride: whole('stride') ?? 1, pad: whole('pad') ?? 0, more: whole('more') ?? 0 };
    return normed(step, transposedConv(net, x, path(line), options));
  },
  dense: (step) => normed(step, step.net.dense(step.x, path(step.line))),
  bn: ({ net, x, line }) => net.norm(x, path(line), numberOf(line, 'epsilon')),
  'layer-norm': ({ net, x, line, whole }) => layerNorm(net, x, path(line), numberOf(line, 'epsilon') ?? 1e-5, whole('axis')),
  'group-norm': ({ net, x, line, whole }) => groupNorm(net, x, path(line), whole('groups') ?? 32, numberOf(line, 'epsilon')),
  // Without a module: neither scale nor shift, as nn.InstanceNorm2d is unless told.
  'instance-norm': ({ net, x, line }) => instanceNorm(net, x, line.plain[0] ?? NO_MODULE, numberOf(line, 'epsilon')),
  lrn: ({ net, x, line }) =>
    net.op('LRN', [x], {
      size: countOf(line, 'how many channels it looks at'),
      alpha: numberOf(line, 'alpha') ?? 1e-4,
      beta: numberOf(line, 'beta') ?? 0.75,
      bias: numberOf(line, 'k') ?? 1,
    }),
  prelu: ({ net, x, line }) => prelu(net, x, path(line)),
  scale: ({ net, x, line }) => layerScale(net, x, there(net, line)),
  maxpool: pool('maxPool'),
  avgpool: pool('averagePool'),
  globalpool: ({ net, x }) => net.globalPool(x),
  globalmaxpool: ({ net, x }) => net.flatten(net.op('GlobalMaxPool', [x])),
  adaptivepool: ({ net, x, line }) => {
    const what = 'how many rows and columns come out';
    return adaptivePool(net, x, countOf(line, what), countOf(line, what, line.plain.length - 1));
  },
  flatten: ({ net, x }) => net.flatten(x),
  reshape: ({ net, x, line }) => net.reshape(x, [0, ...sizesOf(line)]),
  upsample: ({ net, x, line }) => {
    const by = countOf(line, 'how many times larger the picture becomes');
    if (!line.flags.has('bilinear')) return repeated(net, x, by);
    const mode = line.flags.has('align-corners') ? 'align_corners' : 'half_pixel';
    return net.op('Resize', [x], { scales: [1, 1, by, by], mode: 'linear', coordinate_transformation_mode: mode });
  },
  pixelshuffle: ({ net, x, line }) => pixelShuffle(net, x, countOf(line, 'the side of the squares that channels become')),
  'mirror-pad': ({ net, x, line }) => mirrored(net, x, countOf(line, 'how many pixels are mirrored on each side')),
  slice: ({ net, x, line }) =>
    net.slice(x, 1, placeOf(line, 'the first channel, and the first that is not taken'), countOf(line, 'the first channel that is not taken', 1)),
  softmax: ({ net, x }) => net.op('Softmax', [x], { axis: x.shape.length === 4 ? 1 : -1 }),
  dropout: ({ x }) => x,
  add: merge('Add'),
  multiply: merge('Mul'),
  tokens: ({ net, x }) => net.transpose(net.reshape(x, [0, sizeOf(x, 1), sizeOf(x, 2) * sizeOf(x, 3)]), [0, 2, 1]),
  'class-token': ({ net, x, line }) => net.concat([classToken(net, x, there(net, line)), x], 1),
  positions: ({ net, x, line }) => net.constantOp('Add', x, parameter(net, line, [1, sizeOf(x, 1), sizeOf(x, 2)]), path(line)),
  attention: ({ net, x, line, whole }) => {
    const heads = whole('heads');
    if (heads === undefined) throw wrong(line.number, '"attention" needs "heads" and how many');
    return net.dense(selfAttention(net, net.dense(x, path(line)), { heads }), path(line, 1));
  },
  token: ({ net, x, line }) => {
    const at = line.plain.length === 0 ? 0 : placeOf(line, 'the place of one, the first being 0');
    return net.reshape(net.slice(x, 1, at, at + 1), [0, sizeOf(x, 2)]);
  },
  'mean-token': ({ net, x }) => net.op('ReduceMean', [x], { axes: [1], keepdims: 0 }),
  concat: ({ net, x, line, value }) => net.concat([x, value(path(line, 0, 'name of a value above')), ...line.plain.slice(1).map(value)]),
  shuffle: ({ net, x, line }) => channelShuffle(net, x, countOf(line, 'between how many groups')),
  'squeeze-excite': ({ net, x, line }) => {
    const [act, gate] = [...[...line.flags].filter((flag) => ACTIVATIONS.has(flag)), 'relu', 'sigmoid'] as Activation[];
    return squeezeExcite(net, x, { reduce: path(line), expand: path(line, 1), width: 1, act: act!, gate: line.flags.size > 1 ? gate! : 'sigmoid' });
  },
};

/** All that a line may begin with or say. */
export const WORDS_OF_TEXT: readonly string[] = [...Object.keys(WORDS), ...FLAGS, ...KEYS];

/** No file has a module of this name. */
const NO_MODULE = '\0';

function numberOf({ keys, number }: Line, key: string): number | undefined {
  const given = keys.get(key);
  if (given === undefined) return undefined;
  const value = Number(given);
  if (!(value >= 0)) throw wrong(number, `${key} ${given}: a number is expected`);
  return value;
}

/** channels x height x width, or as many sizes as there are. */
function sizesOf({ plain, number }: Line): readonly number[] {
  const sizes = plain
    .join(' ')
    .split(/[\sx,]+/)
    .map(Number);
  if (!sizes.every((size) => Number.isInteger(size) && size > 0)) throw wrong(number, 'sizes are expected, such as 64 x 7 x 7');
  return sizes;
}

/** The name of a tensor of its own, which must be there. */
function there(net: Net, line: Line): string {
  const name = path(line);
  if (!net.has(name, true)) throw new Departure(name, 'is missing');
  return name;
}

function parameter(net: Net, line: Line, shape: readonly number[]): Tensor {
  const tensor = net.store.takeParameter(path(line), shape);
  if (!tensor) throw new Departure(path(line), 'is missing');
  const own = tensor.shape.length === shape.length - 1 ? reshape(tensor, [1, ...tensor.shape]) : tensor;
  if (own.shape.join() !== shape.join()) throw new Departure(path(line), `is of shape [${tensor.shape}], but [${shape}] flows in`);
  return own;
}

/**
 * A family of one net.
 *
 * @throws ModelError 'malformed' naming the line
 */
export function parseArchitecture(text: string, file: string): Family {
  const lines = readLines(text);
  const [first, ...rest] = lines;
  if (first?.word !== 'input') throw wrong(first?.number ?? 1, 'the first line says what flows in: "input 3 x 224 x 224" (channels, height, width)');
  const input = sizesOf(first);
  if (input.length !== 3) throw wrong(first.number, 'three sizes are expected: channels, height, width');
  const [beside] = [...first.flags, ...first.keys.keys()];
  if (beside !== undefined) throw wrong(first.number, `"input" takes no "${beside}"`);
  for (const line of rest) checkLine(line);
  checkNames(rest);
  return family<object>({
    name: file.replace(/\.\w+$/, ''),
    title: file,
    source: file,
    sizes: {},
    stem: '',
    input: input as unknown as [number, number, number],
    side: 0,
    preprocessing: () => TORCHVISION,
    spellings: (['torchvision', 'keras'] as const).map((ecosystem) => ({ ecosystem, spell: (name) => name })),
    measure: () => ({}),
    build: (net, x) => runLines(net, x, rest),
  });
}

/** Each word of a line is one that the line has a use for: what nobody asks for would be left out in silence. */
function checkLine({ word, plain, flags, keys, number }: Line): void {
  if (KEYS.has(word) && !Object.hasOwn(WORDS, word)) throw wrong(number, `"${word}" stands at the end of a line`);
  if (!Object.hasOwn(WORDS, word) && !ACTIVATIONS.has(word)) {
    throw wrong(number, `"${word}" is no word of architectures. Known: ${[...Object.keys(WORDS), ...ACTIVATIONS].join(', ')}`);
  }
  const [most, words] = TAKES[word] ?? [0, ''];
  const own = words.split(' ').filter(Boolean);
  const known = [...own, 'from', 'as', 'slope', ...ACTIVATIONS];
  const takes = `"${word}" takes ${most === 0 ? 'no name or number' : most === 1 ? 'one name or number' : most === Number.POSITIVE_INFINITY ? 'names or numbers' : 'two names or numbers'}${own.length > 0 ? `, ${own.join(', ')}` : ''}${ACTIVATIONS.has(word) ? '' : ', an activation'}, from, as`;
  if (plain.length > most) throw wrong(number, `"${plain[most]}" is not understood: ${takes}`);
  const given = [...flags, ...keys.keys()];
  const unknown = given.find((one) => !known.includes(one) || (ACTIVATIONS.has(word) && ACTIVATIONS.has(one)));
  if (unknown !== undefined) throw wrong(number, `"${unknown}" is not understood: ${takes}`);
  const activations = [...flags].filter((flag) => ACTIVATIONS.has(flag));
  if (activations.length > (OWN_ACTIVATIONS[word] ?? 1)) throw wrong(number, `"${activations.join(' ')}": a line has one activation`);
  const alone = given.find((one) => NEEDS[one] !== undefined && ![word, ...given].includes(NEEDS[one]!));
  if (alone !== undefined) throw wrong(number, `"${alone}" says nothing without "${NEEDS[alone]}"`);
  if (own.includes('bn') && keys.has('epsilon') && !keys.has('bn')) throw wrong(number, '"epsilon" says nothing without "bn"');
  const both = EITHER.find((pair) => pair.every((one) => given.includes(one)));
  if (both) throw wrong(number, `"${both[0]}" and "${both[1]}" say the same in two ways`);
}

/** A value that was named for later is taken later: what goes around a block leaves no trace in weights. */
function checkNames(lines: readonly Line[]): void {
  const taken = new Set(lines.flatMap(({ word, plain, keys }) => [keys.get('from'), ...(OF_VALUES.has(word) ? plain : [])]));
  const idle = lines.find(({ keys }) => keys.has('as') && !taken.has(keys.get('as')));
  if (idle) throw wrong(idle.number, `no line takes "${idle.keys.get('as')}", which is named here`);
}
const OF_VALUES: ReadonlySet<string> = new Set(['add', 'multiply', 'concat']);

function runLines(net: Net, input: Value, lines: readonly Line[]): Value {
  const named = new Map([['input', input]]);
  let last = input;
  for (const line of lines) {
    const value = (name: string) => {
      const found = named.get(name);
      if (!found) throw wrong(line.number, `nothing above is named "${name}"`);
      return found;
    };
    const from = line.keys.get('from');
    const x = from === undefined ? last : value(from);
    const whole = (key: string) => {
      const given = line.keys.get(key);
      if (given === undefined) return undefined;
      if (!/^\d+$/.test(given) || (FROM_ONE.has(key) && Number(given) === 0)) throw wrong(line.number, `${key} ${given}: a whole number is expected`);
      return Number(given);
    };
    const step = { net, x, line, value, whole };
    try {
      last = ACTIVATIONS.has(line.word)
        ? net.activation(x, line.word as Activation, undefined, numberOf(line, 'slope'))
        : activated(step, WORDS[line.word]!(step));
    } catch (error) {
      throw atLine(error, line);
    }
    const as = line.keys.get('as');
    if (as !== undefined) named.set(as, last);
  }
  return last;
}

/** What was wrong with a net, and at which of its lines. */
function atLine(error: unknown, { number }: Line): unknown {
  if (error instanceof Departure) return new Departure(error.path, `${error.problem} (line ${number})`);
  if (!isModelError(error) || /^line \d/.test(error.problem)) return error;
  return new ModelError(error.kind, `line ${number}: ${error.problem}`, error.place, error);
}

function readLines(text: string): Line[] {
  const rows = text.split(/\r?\n/);
  if (rows.length > MAX_LINES) throw wrong(MAX_LINES, 'more lines than a net has');
  return rows.flatMap((row, i) => {
    const tokens = row.replace(/#.*/, '').trim().split(/\s+/).filter(Boolean);
    const [word, ...others] = tokens;
    return word === undefined ? [] : [readLine(word, others, i + 1)];
  });
}

function readLine(word: string, tokens: readonly string[], number: number): Line {
  const plain: string[] = [];
  const flags = new Set<string>();
  const keys = new Map<string, string>();
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    if (KEYS.has(token)) {
      const given = tokens[++i];
      if (given === undefined) throw wrong(number, `"${token}" needs a value after it`);
      keys.set(token, given);
    } else if (FLAGS.has(token)) flags.add(token);
    else plain.push(token);
  }
  return { number, word, plain, flags, keys };
}

function wrong(line: number, problem: string): ModelError {
  return new ModelError('malformed', `line ${line}: ${problem}`);
}
