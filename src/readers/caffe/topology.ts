/** A Caffe net's wiring: the syntaxes of all years made one, layers of the TEST phase only. */
import { ModelError, throwAll } from '../../errors.js';
import { listed } from '../../words.js';
import { V1_TYPES } from './enums.js';
import { type Message, messagesOf, numbersOf, textsOf } from './message.js';
import { notKnown, Params, unknownIn } from './params.js';
import { isV0, upgradeV0 } from './v0.js';

export interface CaffeLayer {
  readonly name: string;
  /** String type, also where the file has an old enumeration. */
  readonly type: string;
  readonly bottoms: readonly string[];
  readonly tops: readonly string[];
  /** Names that its weights, in order, are shared under; empty strings where they are not. */
  readonly sharedNames: readonly string[];
  readonly message: Message;
}

export interface CaffeNet {
  readonly name: string;
  /** Inputs declared by the net itself, outside any layer. */
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] | null }[];
  readonly layers: readonly CaffeLayer[];
  /** Layers that exist in training only, or in a stage that is not looked at. */
  readonly leftOut: readonly CaffeLayer[];
  /** The stage that was taken although the net does not state it. */
  readonly assumedStage: string | null;
}

/** The deepest published nets have about two thousand. */
const MAX_LAYERS = 20_000;
/** Nets that are described for training, testing and deployment at once call the last of them so. */
const DEPLOY_STAGE = 'deploy';

/** @throws ModelError 'malformed' where a layer has no type or contradicts itself, 'unsupported' where the net has fields of unknown meaning */
export function readTopology(net: Message, file: string): CaffeNet {
  const written = upgradeV0(net, file).fields.filter(({ name, value }) => typeof value === 'object' && (name === 'layer' || name === 'layers'));
  if (written.length > MAX_LAYERS) throw new ModelError('unsafe', `${written.length} layers are more than any net has`, { file });
  if (new Set(written.map(({ name }) => name)).size > 1)
    throw new ModelError('malformed', 'the net has "layer" and the older "layers" side by side, of which Caffe would drop the first', { file });
  const errors: ModelError[] = [];
  const all = written.map(({ value, line }) => readLayer(value as Message, file, line, errors));
  const params = new Params(net);
  const inputs = readInputs(params, file, errors);
  const state = params.child('state');
  const stated = { level: state.number('level', 0), stages: state.words('stage') };
  ['name', 'layer', 'layers'].forEach((name) => void params.has(name));
  const unknown = params.unaccounted();
  if (unknown.length > 0) errors.push(new ModelError('unsupported', `the net has ${notKnown(unknown)}`, { file }));
  for (const layer of all) {
    const rules = ['include', 'exclude'].filter((name) => messagesOf(layer.message, name).length > 0);
    const place = { file, layer: layer.name };
    if (rules.length > 1)
      errors.push(new ModelError('malformed', 'the layer has rules to include and rules to exclude it; Caffe takes one or the other', place));
    const odd = rules.flatMap((name) => messagesOf(layer.message, name).flatMap((rule) => unknownIn(rule, name)));
    if (odd.length > 0) errors.push(new ModelError('unsupported', `the rules of the layer have fields that are not known: ${listed(odd)}`, place));
  }
  if (errors.length > 0) throwAll(errors, `${file}: this net cannot be read:`);
  const layersAt = (stages: readonly string[]) => all.filter(({ message }) => isIncluded(message, { ...stated, stages }));
  let layers = layersAt(stated.stages);
  let assumedStage: string | null = null;
  if (stated.stages.length === 0 && inputs.length === 0 && !layers.some(({ bottoms }) => bottoms.length === 0)) {
    const deployed = layersAt([DEPLOY_STAGE]);
    if (deployed.length > layers.length) [layers, assumedStage] = [deployed, DEPLOY_STAGE];
  }
  const included = new Set(layers);
  return { name: textsOf(net, 'name')[0] ?? '', inputs, layers, leftOut: all.filter((layer) => !included.has(layer)), assumedStage };
}

/** Whether the net is written in a syntax of before 2014, and in which. */
export function syntaxOf(net: Message | null): string {
  if (!net?.fields.some(({ name }) => name === 'layers')) return 'layer';
  return isV0(net) ? 'V0 (layers { layer })' : 'V1 (layers)';
}

function readLayer(message: Message, file: string, line: number, errors: ModelError[]): CaffeLayer {
  const name = textsOf(message, 'name')[0] ?? '';
  const written = textsOf(message, 'type')[0];
  const place = { file, ...(name === '' ? {} : { layer: name }) };
  if (written === undefined) errors.push(new ModelError('malformed', `${line > 0 ? `line ${line}: ` : ''}the layer has no type`, place));
  const isOld = message.type === 'V1Layer';
  const type = isOld ? (V1_TYPES[written ?? ''] ?? written) : written;
  const sharedNames = isOld ? textsOf(message, 'param') : messagesOf(message, 'param').map((param) => textsOf(param, 'name')[0] ?? '');
  const tops = textsOf(message, 'top');
  // Layers without weights need no name, and some have none.
  return { name: name || tops[0] || written || '', type: type ?? '', bottoms: textsOf(message, 'bottom'), tops, sharedNames, message };
}

function readInputs(params: Params, file: string, errors: ModelError[]): CaffeNet['inputs'] {
  const dims = params.numbers('input_dim');
  const shapes = params.children('input_shape').map((shape) => shape.numbers('dim'));
  const names = params.words('input');
  const fail = (problem: string) => void errors.push(new ModelError('malformed', problem, { file }));
  if (dims.length > 0 && shapes.length > 0) fail('the net has input_dim and input_shape; Caffe takes one or the other');
  else if (dims.length > 0 && dims.length !== 4 * names.length)
    fail(`input_dim stands ${dims.length} times for ${names.length} inputs, of which each has four`);
  else if (shapes.length > 0 && shapes.length !== names.length) fail(`input_shape stands ${shapes.length} times for ${names.length} inputs`);
  return names.map((name, i) => ({ name, shape: shapes[i] ?? (dims.length > 0 ? dims.slice(4 * i, 4 * i + 4) : null) }));
}

/** Caffe's rule for the TEST phase (a layer's own `phase` field, which snapshots carry, plays no part): one of the include rules must hold, or no exclude rule. */
function isIncluded(message: Message, { level, stages }: { readonly level: number; readonly stages: readonly string[] }): boolean {
  const holds = (rule: Message) => {
    const phase = textsOf(rule, 'phase')[0];
    return (
      (phase === undefined || phase === 'TEST') &&
      numbersOf(rule, 'min_level').every((least) => level >= least) &&
      numbersOf(rule, 'max_level').every((most) => level <= most) &&
      textsOf(rule, 'stage').every((stage) => stages.includes(stage)) &&
      !textsOf(rule, 'not_stage').some((stage) => stages.includes(stage))
    );
  };
  const include = messagesOf(message, 'include');
  return include.length > 0 ? include.some(holds) : !messagesOf(message, 'exclude').some(holds);
}
