/** A Caffe net's wiring: old and new syntax made one, layers of the TEST phase only. */
import type { TextMessage } from '../../containers/prototext.js';
import { ModelError } from '../../errors.js';
import { messagesOf, textsOf } from './message.js';
import { V1_TYPES } from './schema.js';

export interface CaffeLayer {
  readonly name: string;
  /** String type, also where the file has an old enumeration. */
  readonly type: string;
  readonly bottoms: readonly string[];
  readonly tops: readonly string[];
  readonly message: TextMessage;
}

export interface CaffeNet {
  readonly name: string;
  /** Inputs declared by the net itself, outside any layer. */
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] | null }[];
  readonly layers: readonly CaffeLayer[];
  /** Layers that exist in training only. */
  readonly trainOnly: readonly CaffeLayer[];
}

/** The deepest published nets have about two thousand. */
const MAX_LAYERS = 20_000;

/** @throws ModelError 'malformed' where a layer has no name or type, 'unsafe' where there are more than any net has */
export function readTopology(net: TextMessage, file: string): CaffeNet {
  const all = net.fields.flatMap((field): CaffeLayer[] => {
    if (field.value.kind !== 'message' || (field.name !== 'layer' && field.name !== 'layers')) return [];
    return [readLayer(field.value, field.name === 'layers', file, field.line)];
  });
  if (all.length > MAX_LAYERS) throw new ModelError('unsafe', `${all.length} layers are more than any net has`, { file });
  const stages = messagesOf(net, 'state').flatMap((state) => textsOf(state, 'stage'));
  const included = new Set(all.filter((layer) => isIncluded(layer.message, stages)));
  const dims = textsOf(net, 'input_dim').map(Number);
  const shapes = messagesOf(net, 'input_shape').map((shape) => textsOf(shape, 'dim').map(Number));
  const inputs = textsOf(net, 'input').map((name, i) => ({ name, shape: shapes[i] ?? (dims.length >= 4 * (i + 1) ? dims.slice(4 * i, 4 * i + 4) : null) }));
  return { name: textsOf(net, 'name')[0] ?? '', inputs, layers: [...included], trainOnly: all.filter((layer) => !included.has(layer)) };
}

function readLayer(message: TextMessage, isOld: boolean, file: string, line: number): CaffeLayer {
  const name = textsOf(message, 'name')[0] ?? '';
  const written = textsOf(message, 'type')[0];
  const place = { file, ...(name === '' ? {} : { layer: name }) };
  if (written === undefined) throw new ModelError('malformed', `${line > 0 ? `line ${line}: ` : ''}the layer has no type`, place);
  const type = isOld ? (V1_TYPES[written] ?? written) : written;
  return { name, type, bottoms: textsOf(message, 'bottom'), tops: textsOf(message, 'top'), message };
}

/** Caffe's rule (a layer's own `phase` field, which snapshots carry, plays no part): with include rules, one of them must hold; with exclude rules, none may. */
function isIncluded(message: TextMessage, stages: readonly string[]): boolean {
  const holds = (rule: TextMessage) => {
    const phase = textsOf(rule, 'phase')[0];
    const wanted = textsOf(rule, 'stage');
    const unwanted = textsOf(rule, 'not_stage');
    return (phase === undefined || phase === 'TEST') && wanted.every((stage) => stages.includes(stage)) && !unwanted.some((stage) => stages.includes(stage));
  };
  const include = messagesOf(message, 'include');
  const exclude = messagesOf(message, 'exclude');
  return include.length > 0 ? include.some(holds) : !exclude.some(holds);
}
