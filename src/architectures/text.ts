/**
 * A net of one's own in a few lines: the combinators of the built-in families as words. `docs/architectures.md` describes it.
 *
 * Each line takes what the line before it made (or `from` a name) and makes one value (`as` a name). Weights are named as in the file;
 * their sizes are the file's.
 */
import { ModelError } from '../errors.js';
import { adaptivePool } from './adaptive.js';
import { layerNorm } from './attention.js';
import { channelShuffle, squeezeExcite } from './blocks.js';
import { type Family, family, TORCHVISION } from './family.js';
import { ACTIVATIONS, type Activation, type Net, type Value } from './net.js';

/** More lines than any net that is written by hand. */
const MAX_LINES = 10_000;
/** Words that stand alone. */
const FLAGS: ReadonlySet<string> = new Set(['depthwise', 'ceil', 'same', 'count-padding', ...ACTIVATIONS]);
/** Words that a value follows. */
const KEYS: ReadonlySet<string> = new Set(['stride', 'pad', 'dilation', 'epsilon', 'bn', 'from', 'as', 'axis']);

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

/** The module that a line names. */
function path({ word, plain, number }: Line, i = 0): string {
  const given = plain[i];
  if (given === undefined) throw wrong(number, `"${word}" needs the name of a module of the weights`);
  return given;
}

const pool =
  (kind: 'maxPool' | 'averagePool') =>
  ({ net, x, line, whole }: Step) => {
    const kernel = Number(line.plain[0]);
    if (!Number.isInteger(kernel) || kernel < 1) throw wrong(line.number, `"${line.word}" needs the size of its window`);
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
    net.activation(net.op(op, [x, value(path(line))]), activationOf(line));

const WORDS: Readonly<Record<string, (step: Step) => Value>> = {
  conv({ net, x, line, whole }) {
    const [stride, pad, dilation, epsilon] = [whole('stride'), whole('pad'), whole('dilation'), line.keys.get('epsilon')];
    const y = net.conv(x, path(line), {
      ...(stride === undefined ? {} : { stride }),
      ...(line.flags.has('same') ? {} : { pad: pad ?? 0 }),
      ...(dilation === undefined ? {} : { dilation }),
      depthwise: line.flags.has('depthwise'),
    });
    const norm = line.keys.get('bn');
    return net.activation(norm === undefined ? y : net.norm(y, norm, epsilon === undefined ? undefined : Number(epsilon)), activationOf(line));
  },
  dense: ({ net, x, line }) => net.activation(net.dense(x, path(line)), activationOf(line)),
  bn: ({ net, x, line }) => net.activation(net.norm(x, path(line), epsilonOf(line)), activationOf(line)),
  'layer-norm': ({ net, x, line, whole }) => layerNorm(net, x, path(line), epsilonOf(line) ?? 1e-5, whole('axis')),
  maxpool: pool('maxPool'),
  avgpool: pool('averagePool'),
  globalpool: ({ net, x }) => net.globalPool(x),
  adaptivepool: ({ net, x, line }) => adaptivePool(net, x, Number(line.plain[0]), Number(line.plain[1] ?? line.plain[0])),
  flatten: ({ net, x }) => net.flatten(x),
  softmax: ({ net, x }) => net.op('Softmax', [x], { axis: x.shape.length === 4 ? 1 : -1 }),
  dropout: ({ x }) => x,
  add: merge('Add'),
  multiply: merge('Mul'),
  concat: ({ net, x, line, value }) => net.concat([x, ...line.plain.map(value)]),
  shuffle: ({ net, x, line }) => channelShuffle(net, x, Number(line.plain[0])),
  'squeeze-excite': ({ net, x, line }) => {
    const [act, gate] = [...[...line.flags].filter((flag) => ACTIVATIONS.has(flag)), 'relu', 'sigmoid'] as Activation[];
    return squeezeExcite(net, x, { reduce: path(line), expand: path(line, 1), width: 1, act: act!, gate: line.flags.size > 1 ? gate! : 'sigmoid' });
  },
};

/** All that a line may begin with or say. */
export const WORDS_OF_TEXT: readonly string[] = [...Object.keys(WORDS), ...FLAGS, ...KEYS];

function epsilonOf({ keys, number }: Line): number | undefined {
  const given = keys.get('epsilon');
  if (given === undefined) return undefined;
  const epsilon = Number(given);
  if (!(epsilon >= 0)) throw wrong(number, `the epsilon ${given} is no number`);
  return epsilon;
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
  const input = first.plain
    .join(' ')
    .split(/[\sx,]+/)
    .map(Number);
  if (input.length !== 3 || !input.every((size) => Number.isInteger(size) && size > 0)) {
    throw wrong(first.number, 'three sizes are expected: channels, height, width');
  }
  for (const { word, number } of rest) {
    if (!Object.hasOwn(WORDS, word) && !ACTIVATIONS.has(word)) {
      throw wrong(number, `"${word}" is no word of architectures. Known: ${[...Object.keys(WORDS), ...ACTIVATIONS].join(', ')}`);
    }
  }
  return family<object>({
    name: file.replace(/\.\w+$/, ''),
    title: file,
    source: file,
    sizes: {},
    stem: '',
    input: input as [number, number, number],
    side: 0,
    preprocessing: () => TORCHVISION,
    spellings: (['torchvision', 'keras'] as const).map((ecosystem) => ({ ecosystem, spell: (name) => name })),
    measure: () => ({}),
    build: (net, x) => runLines(net, x, rest),
  });
}

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
      if (!/^\d+$/.test(given)) throw wrong(line.number, `${key} ${given}: a whole number is expected`);
      return Number(given);
    };
    last = ACTIVATIONS.has(line.word) ? net.activation(x, line.word as Activation) : WORDS[line.word]!({ net, x, line, value, whole });
    const as = line.keys.get('as');
    if (as !== undefined) named.set(as, last);
  }
  return last;
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
