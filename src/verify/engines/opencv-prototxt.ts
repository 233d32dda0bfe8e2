/**
 * What OpenCV does not tell about a Caffe network: the names of its inputs and outputs, and which layers belong to training.
 *
 * A small parser of protobuf's text format, shared with no reader, so that the witness stays independent of them.
 *
 * @see https://protobuf.dev/reference/protobuf/textformat-spec/ and Caffe's src/caffe/util/upgrade_proto.cpp
 */
import { ModelError } from '../../errors.js';
import { KINDS, LAYER_FIELDS } from './opencv-layers.js';

export interface CaffeInput {
  readonly name: string;
  /** As declared, batch first; empty where the prototxt leaves it open. */
  readonly shape: readonly number[];
}

export interface CaffeOutput {
  /** The blob's name. */
  readonly name: string;
  /** The layer that makes it last; OpenCV asks for outputs by layer. */
  readonly layer: string;
}

export interface CaffeWiring {
  /** The prototxt without the layers that Caffe leaves out when it tests, in the spelling that OpenCV knows. */
  readonly text: string;
  readonly inputs: readonly CaffeInput[];
  readonly outputs: readonly CaffeOutput[];
  /** Names of the layers that compute something, in the order of the text. */
  readonly layers: readonly string[];
}

/** A message of the text format, and where it stands, from its field's name to its closing brace. */
interface Message {
  readonly fields: Map<string, (string | Message)[]>;
  /** Where each field stands: from its name to the end of its value. */
  readonly places: Map<string, { readonly start: number; readonly nameEnd: number; readonly end: number }[]>;
  start: number;
  end: number;
}

/** Layers that read data sets: a network that still has them when it tests is not one to deploy. */
const DATA_LAYERS = new Set(['data', 'imagedata', 'memorydata', 'hdf5data', 'windowdata', 'dummydata']);

/** Caffe's messages nest six deep. */
const MAX_DEPTH = 32;

/**
 * @throws ModelError 'engine' when the text cannot be parsed or the network is one for training
 */
export function caffeWiring(text: string, file: string): CaffeWiring {
  const decline = (problem: string) => new ModelError('engine', `OpenCV is no witness here: ${problem}`, { file });
  const net = parseMessage(tokenize(text), decline);
  const all = [...messages(net, 'layer'), ...messages(net, 'layers')];
  const layers = all.filter(isTested);
  const inputs: CaffeInput[] = declaredInputs(net);
  const producers = new Map<string, { layer: string; index: number; used: boolean }>();
  const names = new Set<string>();
  const changes: Change[] = [];
  for (const layer of layers) {
    const name = word(layer, 'name') ?? '';
    const type = (word(layer, 'type') ?? '').toLowerCase().replaceAll('_', '');
    const tops = words(layer, 'top');
    if (DATA_LAYERS.has(type)) throw decline(`the prototxt reads a data set (layer "${name}"), so it is one for training. Give the one for deployment.`);
    if (type === 'input') {
      const shapes = messages(messages(layer, 'input_param')[0], 'shape');
      for (const [i, top] of tops.entries()) inputs.push({ name: top, shape: words(shapes[i] ?? shapes[0], 'dim').map(Number) });
      continue;
    }
    changes.push(...respell(layer, name, type, decline));
    // OpenCV renames a second layer of the same name, and its outputs could then not be asked for.
    if (names.has(name)) throw decline(`two layers are named "${name}"`);
    names.add(name);
    for (const bottom of words(layer, 'bottom')) {
      const producer = producers.get(bottom);
      if (producer) producer.used = true;
    }
    for (const [index, top] of tops.entries()) {
      producers.delete(top);
      producers.set(top, { layer: name, index, used: false });
    }
  }
  const open = [...producers].filter(([, { used }]) => !used);
  const second = open.find(([, { index }]) => index > 0);
  if (second) throw decline(`the output "${second[0]}" is not the first of its layer, and OpenCV shows only that`);
  if (inputs.length === 0 || open.length === 0) throw decline('the prototxt declares no inputs or no outputs');
  const outputs = open.map(([name, { layer }]) => ({ name, layer }));
  return {
    text: rewritten(text, [
      ...changes,
      ...all.filter((layer) => !isTested(layer)).map(({ start, end }) => ({ start, end, text: '' })),
      ...layers.map((layer) => ({ start: layer.end, end: layer.end, text: watchers(layer, messages(net, 'layers').includes(layer)) })),
    ]),
    inputs,
    outputs,
    layers: [...names],
  };
}

/**
 * Checks what a layer is set to, and what to change so that OpenCV reads it as Caffe does.
 *
 * @throws ModelError 'engine' naming the layer that OpenCV would compute differently
 */
function respell(layer: Message, name: string, type: string, decline: (problem: string) => ModelError): Change[] {
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (!kind) throw decline(`that it computes layers of type ${word(layer, 'type')} as Caffe does ("${name}") is not known`);
  const stray = [...layer.fields.keys()].find((field) => field !== kind.block && !LAYER_FIELDS.has(field));
  if (stray !== undefined) throw decline(`layer "${name}" has "${stray}", which is not known to be without effect`);
  if (kind.tops !== undefined && words(layer, 'top').length > kind.tops) throw decline(`layer "${name}" makes more than OpenCV shows`);
  const changes: Change[] = [];
  if (kind.type !== undefined) {
    const { start, end } = layer.places.get('type')!.at(-1)!;
    changes.push({ start, end, text: kind.type });
  }
  const blocks = kind.block === null ? [] : messages(layer, kind.block);
  if (blocks.length > 1) throw decline(`layer "${name}" has two blocks "${kind.block}"`);
  const [block] = blocks;
  const settings = new Map([...(block?.fields ?? [])].map(([field, values]) => [field, values.filter((value) => typeof value === 'string')]));
  for (const [field, values] of settings) {
    const known = Object.keys(kind.fields).find((key) => key.split(' -> ')[0] === field);
    if (known === undefined) throw decline(`layer "${name}" has "${field}", which is not known to mean the same to it`);
    const check = kind.fields[known]!;
    const problem = check === true ? null : values.map(check).find((found) => found !== null);
    if (problem) throw decline(`layer "${name}" ${problem}`);
    const spelling = known.split(' -> ')[1];
    for (const { start, nameEnd } of spelling === undefined ? [] : block!.places.get(field)!) changes.push({ start, end: nameEnd, text: spelling! });
  }
  const problem = kind.check?.(settings);
  if (problem) throw decline(`layer "${name}" ${problem}`);
  if (type === 'pooling') changes.push(...roundMode(block));
  return changes;
}

/** Caffe's `round_mode` is newer than OpenCV's importer, which has a fork's `ceil_mode` instead. */
function roundMode(block: Message | undefined): Change[] {
  return (block?.places.get('round_mode') ?? []).map(({ start, end }, i) => {
    const value = words(block, 'round_mode')[i];
    return { start, end, text: `ceil_mode: ${value === 'CEIL' || value === '0'}` };
  });
}

/** `input` with `input_dim` (four each) or `input_shape` at the top of the network. */
function declaredInputs(net: Message): CaffeInput[] {
  const dims = words(net, 'input_dim').map(Number);
  const shapes = messages(net, 'input_shape');
  return words(net, 'input').map((name, i) => ({ name, shape: shapes[i] ? words(shapes[i], 'dim').map(Number) : dims.slice(4 * i, 4 * i + 4) }));
}

/** Whether Caffe keeps a layer in its TEST phase, at level 0 and without stages. */
function isTested(layer: Message): boolean {
  const met = (rule: Message) =>
    (word(rule, 'phase') ?? 'TEST') === 'TEST' &&
    words(rule, 'stage').length === 0 &&
    Number(word(rule, 'min_level') ?? 0) <= 0 &&
    Number(word(rule, 'max_level') ?? 0) >= 0;
  const include = messages(layer, 'include');
  return include.length > 0 ? include.some(met) : !messages(layer, 'exclude').some(met);
}

/**
 * A layer without effect that reads each of a layer's blobs. OpenCV (4.3) joins a layer with the only one that reads it, and does so again
 * whenever another output is asked for; what is joined twice is wrong, and so are a Power behind a power and a Concat of in-place layers.
 */
function watchers(layer: Message, isOld: boolean): string {
  const name = word(layer, 'name') ?? '';
  return words(layer, 'top')
    .map((top, i) => ` ${isOld ? 'layers' : 'layer'} { name: "${name}/watch${i}" type: ${isOld ? 'SILENCE' : '"Silence"'} bottom: "${top}" }`)
    .join('');
}

interface Change {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

function rewritten(text: string, changes: readonly Change[]): string {
  let changed = '';
  let position = 0;
  for (const change of [...changes].sort((a, b) => a.start - b.start)) {
    changed += text.slice(position, change.start) + change.text;
    position = change.end;
  }
  return changed + text.slice(position);
}

function words(message: Message | undefined, field: string): string[] {
  return (message?.fields.get(field) ?? []).filter((value) => typeof value === 'string');
}

function word(message: Message | undefined, field: string): string | undefined {
  return words(message, field).at(-1);
}

function messages(message: Message | undefined, field: string): Message[] {
  return (message?.fields.get(field) ?? []).filter((value) => typeof value !== 'string');
}

interface Token {
  readonly text: string;
  readonly quoted: boolean;
  readonly start: number;
  readonly end: number;
}

/** Strings without their quotes, names and numbers, and single signs; comments are dropped. */
function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(/#[^\n]*|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|[\w.+-]+|\S/g)) {
    if (match[0].startsWith('#')) continue;
    const quoted = match[1] ?? match[2];
    tokens.push({ text: quoted ?? match[0], quoted: quoted !== undefined, start: match.index, end: match.index + match[0].length });
  }
  return tokens;
}

function parseMessage(tokens: readonly Token[], decline: (problem: string) => ModelError): Message {
  let at = 0;
  const sign = (text: string) => tokens[at]?.text === text && !tokens[at]!.quoted && ++at > 0;
  const body = (closing: string | null, depth: number): Message => {
    if (depth > MAX_DEPTH) throw decline('the prototxt nests too deep');
    const message: Message = { fields: new Map(), places: new Map(), start: 0, end: 0 };
    while (closing === null ? at < tokens.length : !sign(closing)) {
      const name = tokens[at++];
      if (!name || name.quoted || !/^\w/.test(name.text)) throw decline(`the prototxt cannot be parsed at ${JSON.stringify(name?.text ?? 'its end')}`);
      const values = message.fields.get(name.text) ?? [];
      message.fields.set(name.text, values);
      const colon = sign(':');
      const list = colon && sign('[');
      do {
        if (list && sign(']')) break;
        values.push(value(name, colon, depth));
      } while (list && (sign(',') || !sign(']')));
      const places = message.places.get(name.text) ?? [];
      message.places.set(name.text, [...places, { start: name.start, nameEnd: name.end, end: tokens[at - 1]!.end }]);
      while (sign(',') || sign(';'));
    }
    return message;
  };
  const value = (name: Token, colon: boolean, depth: number): string | Message => {
    if (sign('{') || sign('<')) {
      const inner = body(tokens[at - 1]!.text === '{' ? '}' : '>', depth + 1);
      inner.start = name.start;
      inner.end = tokens[at - 1]!.end;
      return inner;
    }
    const token = tokens[at++];
    if (!colon || !token || (!token.quoted && !/^[\w.+-]/.test(token.text))) throw decline(`the prototxt cannot be parsed after "${name.text}"`);
    // Neighbouring strings are one string.
    let text = token.text;
    while (token.quoted && tokens[at]?.quoted) text += tokens[at++]!.text;
    return text;
  };
  return body(null, 0);
}
