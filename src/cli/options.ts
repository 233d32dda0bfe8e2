/** Options that several commands share, and how their texts become values. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Dim } from '../model/layer-map.js';
import type { Framing, GivenPreparation, Preparation } from '../model/preparation.js';
import type { SourceFileOptions } from '../node/open-files.js';
import { ofOther, type RemoteFileOptions } from '../node/source.js';
import type { SourceName } from '../readers/reader.js';
import { byteCount } from '../report/numbers.js';

export interface CommonFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** Of the files, the paths alone: what the command is given is text. */
export interface SourceFlags extends SourceFileOptions {
  readonly golden?: string;
  readonly labels?: string;
}

/** The models that names stand for: a Caffe net may be named as Caffe's own tools take it, by its description and its weights. */
export function modelsNamed<Flags extends SourceFlags>(names: readonly string[], flags: Flags): { readonly models: readonly string[]; readonly flags: Flags } {
  const prototxt = names.find((name) => /\.prototxt$/i.test(name));
  const weights = names.find((name) => /\.caffemodel(\.h5)?$/i.test(name));
  if (names.length !== 2 || prototxt === undefined || weights === undefined || flags.prototxt !== undefined) return { models: names, flags };
  return { models: [weights], flags: { ...flags, prototxt } };
}

/** What the second of two files may not say about itself; the options of the first, with a word before them. */
export function addOtherOptions(command: Command): Command {
  return command
    .optionsGroup('What the second file does not say about itself:')
    .addOption(new Option('--other-from <format>', 'the same of the second file'))
    .addOption(new Option('--other-prototxt <file>', 'the same of the second file'))
    .addOption(new Option('--other-config <file>', 'the same of the second file'))
    .addOption(new Option('--other-arch <name|file>', 'the same of the second file'))
    .addOption(new Option('--other-weights-key <path.to.dict>', 'the same of the second file'));
}

export interface OtherFlags {
  readonly otherFrom?: SourceName;
  readonly otherPrototxt?: string;
  readonly otherConfig?: string;
  readonly otherArch?: string;
  readonly otherWeightsKey?: string;
}

/** What was said of the second file, as if it were the only one. */
export function otherFlags(flags: OtherFlags & RemoteFileOptions): SourceFlags {
  const { otherFrom, otherPrototxt, otherConfig, otherArch, otherWeightsKey } = flags;
  return { ...ofOther(flags), from: otherFrom, prototxt: otherPrototxt, config: otherConfig, arch: otherArch, weightsKey: otherWeightsKey };
}

/** Models that are somewhere else. */
export function addRemoteOptions(command: Command): Command {
  return command
    .optionsGroup('Models on servers, and their hashes:')
    .addOption(new Option('--sha256 <hash>', 'refuse the (first) model where its file has another SHA-256').argParser(parseSha256))
    .addOption(new Option('--max-download <size>', 'most that is fetched of a file, or taken from stdin; 20GB when left out').argParser(parseBytes))
    .addOption(new Option('--timeout <seconds>', 'how long a server may say nothing; 30 when left out').argParser(parseSeconds))
    .addOption(new Option('--token-env <variable>', 'environment variable with a token for the server of the URL (hf:// takes HF_TOKEN)'))
    .addOption(new Option('--allow-http', 'also fetch without encryption'))
    .addOption(new Option('--allow-private', 'also fetch from this machine and from networks that are not public'));
}

function parseSha256(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('64 hexadecimal digits are expected.');
  return text.toLowerCase();
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0) || seconds > 86_400) throw new InvalidArgumentError('a number of seconds is expected.');
  return seconds;
}

/** What the file may not say about itself. */
export function addSourceOptions(command: Command): Command {
  return addRemoteOptions(command)
    .optionsGroup('What the file does not say about itself:')
    .addOption(new Option('--from <format>', 'format of the model, where recognition by content is to be overridden'))
    .addOption(new Option('--prototxt <file>', 'Caffe net description, where it does not lie beside the weights'))
    .addOption(new Option('--config <file>', 'Keras model configuration (JSON) for a weights-only file'))
    .addOption(
      new Option(
        '--arch <name|file>',
        'architecture of bare weights: a name (weighbridge arch lists them), a description of your own, or a Keras configuration',
      ),
    )
    .addOption(new Option('--assume <name=value...>', 'what weights leave open, instead of what is usual, such as epsilon=1e-3').argParser(collectAssumption))
    .addOption(
      new Option('--weights-key <path.to.dict>', 'which dictionary of a checkpoint is the model (params_ema, model.state_dict), where another was chosen'),
    )
    .addOption(new Option('--inference', 'have layers that the file puts in training mode (Dropout, BatchNormalization) act as in inference'))
    .addOption(new Option('--input-shape <sizes>', "input shape in the model's own layout, such as 1,3,224,224; N for a free batch").argParser(parseShape));
}

export function parseShape(text: string): Dim[] {
  return text.split(/[,x]/).map((part) => {
    const size = Number(part);
    if (part === 'N' || part === 'None' || part === '-1') return 'N';
    if (!Number.isInteger(size) || size < 1) throw new InvalidArgumentError('sizes are whole numbers with commas between them, such as 1,3,224,224.');
    return size;
  });
}

export function collectAssumption(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^=\s]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('a name and a value are expected, such as epsilon=1e-3.');
  return { ...before, [name]: value };
}

/** Names with commas between them; a comma inside of a name is written twice. */
export function parseNames(text: string): string[] {
  const names = text.split(/(?<!,),(?!,)/).map((name) => name.trim().replaceAll(',,', ','));
  if (names.includes('')) throw new InvalidArgumentError('names are expected, with commas between them, such as conv1,prob.');
  return names;
}

const PREPARATION_WORDS =
  'settings such as mean=103.939,116.779,123.68,order=bgr or mean=0.485,0.456,0.406,std=0.229,0.224,0.225,range=1,resize=256,filter=bicubic are expected';
const FILTERS = ['nearest', 'bilinear', 'bicubic'] as const;
const FRAMING_NAMES: ReadonlySet<string> = new Set(['resize', 'filter', 'antialias', 'crop']);

/**
 * mean and scale (or std, which is divided by) in the order of the channels that the net reads; `range`: what 255 is for them, 255 itself where it is left out.
 * resize, filter, antialias and crop are about the size of pictures.
 */
export function parsePreparation(text: string): GivenPreparation {
  const given = new Map<string, string>();
  for (const part of text.split(/[,;\s]+(?=[a-z]+=)/i)) {
    const [, name, value] = /^\s*(mean|scale|std|order|range|resize|filter|antialias|crop)=(.+?)\s*$/i.exec(part) ?? [];
    if (name === undefined || value === undefined || given.has(name.toLowerCase())) throw new InvalidArgumentError(`${PREPARATION_WORDS}, not "${part}".`);
    given.set(name.toLowerCase(), value);
  }
  const framing = parseFraming(given);
  return { values: [...given.keys()].every((name) => FRAMING_NAMES.has(name)) ? null : parseValues(given), framing };
}

function parseFraming(given: ReadonlyMap<string, string>): Partial<Framing> {
  const whole = (name: string) => {
    const value = Number(given.get(name));
    if (!Number.isInteger(value) || value < 1 || value > 2 ** 14) throw new InvalidArgumentError(`${name} is a number of pixels, not "${given.get(name)}".`);
    return value;
  };
  const oneOf = <T extends string>(name: string, choices: readonly T[]): T => {
    const value = given.get(name)!.toLowerCase() as T;
    if (!choices.includes(value)) throw new InvalidArgumentError(`${name} is ${choices.join(' or ')}, not "${given.get(name)}".`);
    return value;
  };
  return {
    ...(given.has('resize') ? { resize: given.get('resize') === 'stretch' ? 'stretch' : whole('resize') } : {}),
    ...(given.has('filter') ? { filter: oneOf('filter', FILTERS) } : {}),
    ...(given.has('antialias') ? { antialias: oneOf('antialias', ['yes', 'no']) === 'yes' } : {}),
    ...(given.has('crop') ? { crop: whole('crop') } : {}),
  };
}

function parseValues(given: ReadonlyMap<string, string>): Preparation {
  const numbers = (name: string, usual: number): number[] => {
    const values = (given.get(name) ?? String(usual)).split(/[,\s]+/).map((part) => (part === '' ? Number.NaN : Number(part)));
    const isDivided = name === 'std' || name === 'range';
    if (values.some((value) => !Number.isFinite(value) || (isDivided && value <= 0)))
      throw new InvalidArgumentError(`${name} is no list of numbers that can be used: ${PREPARATION_WORDS}.`);
    return values;
  };
  if (given.has('scale') && given.has('std')) throw new InvalidArgumentError('scale multiplies and std divides: give one of them.');
  const order = (given.get('order') ?? 'rgb').toUpperCase();
  if (order !== 'RGB' && order !== 'BGR')
    throw new InvalidArgumentError(`order is rgb or bgr, the order in which the net reads channels, not "${given.get('order')}".`);
  const unit = numbers('range', 255)[0]! / 255;
  const scale = given.has('std') ? numbers('std', 1).map((value) => unit / value) : numbers('scale', 1).map((value) => value * unit);
  return { order, mean: numbers('mean', 0).map((value) => value / unit), scale, from: '--preprocess' };
}

export function parseWhole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('a whole number of zero or more is expected.');
  return value;
}

export function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value >= 0) || !Number.isFinite(value)) throw new InvalidArgumentError('a number of zero or more is expected.');
  return value;
}

/** '500MB', '60 MiB', '1.5gb' or a plain number of bytes. */
export function parseBytes(text: string): number {
  const value = byteCount(text);
  if (value === null) throw new InvalidArgumentError('a size is expected, such as 500MB, 60MiB or 1GB.');
  return value;
}

export function parseShare(text: string): number {
  const share = Number(text);
  if (text.trim() === '' || !(share >= 0 && share <= 1)) throw new InvalidArgumentError('a share between 0 and 1 is expected, such as 0.99.');
  return share;
}
