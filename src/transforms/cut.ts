/** Ends a net elsewhere: its outputs become what chosen layers make. What nothing depends on then is left to `dead-ends.ts`. */
import { ModelError, throwAll } from '../errors.js';
import type { Change } from '../model/edited.js';
import { isClosedGroup, layerGroup } from '../model/groups.js';
import type { Layer, LayerMap, Layout, Port } from '../model/layer-map.js';
import { didYouMean } from '../model/nearest.js';
import { inferMap, type ValueType } from '../model/ops/index.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import { listed } from '../words.js';
import { asInSource, flattenedPictures } from './flattened.js';

export interface Cut {
  readonly map: LayerMap;
  readonly change: Change;
  /** The source's values by those that show them in another order of axes. */
  readonly shown: ReadonlyMap<string, string>;
}

/**
 * The net with other outputs, in the order in which they are named. An output of that name stays as it is; any other has the name that
 * it was asked for by, and the layout of the net's pictures where it is one.
 *
 * @param names of outputs, of layers as the source or the paper calls them, or of values
 * @throws ModelError 'usage' naming every one that there is not, with names that are like it
 */
export function cut(map: LayerMap, names: readonly string[]): Cut {
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new ModelError('usage', `the output "${twice}" is named twice`);
  const types = inferMap(map);
  const pictures = picturesOf(map, types);
  const errors: ModelError[] = [];
  const outputs: Port[] = [];
  const layers: string[] = [];
  const more: Layer[] = [];
  const shown = new Map<string, string>();
  const isTurned = map.inputs.some(({ layout }) => isChannelsLast(layout));
  const flattened = isTurned ? flattenedPictures(map, types, pictures) : new Map<string, never>();
  const taken = new Set(map.layers.flatMap((layer) => [layer.name, ...layer.outputs]));
  for (const name of names) {
    try {
      const { port, layer } = portNamed(map, name, types, pictures);
      if (layer) layers.push(layer.name);
      const order = layer && flattened.get(port.value);
      if (!order) outputs.push(port);
      else {
        const added = asInSource(port.value, order, taken);
        const value = added.at(-1)!.outputs[0]!;
        more.push(...added);
        shown.set(value, port.value);
        outputs.push({ ...port, value });
      }
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throwAll(errors, 'The net cannot end there:');
  const others = map.outputs.filter(({ value }) => !outputs.some((output) => output.value === value)).map(({ name }) => `"${name}"`);
  const message = `the net ends in ${outputs.map(({ name, shape }) => `"${name}" [${shape}]`).join(', ')}${others.length > 0 ? `, not in ${others.join(', ')}` : ''}`;
  return { map: { ...map, outputs, layers: [...map.layers, ...more] }, change: { transform: 'cut', message, layers }, shown };
}

function portNamed(map: LayerMap, name: string, types: ReadonlyMap<string, ValueType>, pictures: ReadonlySet<string>): { port: Port; layer: Layer | null } {
  const port = map.outputs.find((output) => output.name === name);
  if (port) return { port, layer: null };
  const { layer, value } = valueNamed(map, name);
  const own = map.outputs.find((output) => output.value === value);
  if (own) return { port: { ...own, name }, layer };
  const { dtype, shape } = types.get(value) ?? { dtype: null, shape: null };
  if (dtype === null || shape === null) throw new ModelError('unsupported', `what shape and dtype it makes is not known, so "${name}" can be no output`);
  const layout = layoutOf(map, shape.length, pictures.has(value));
  const shown = isChannelsLast(layout) ? toChannelsLast(shape.length).map((axis) => shape[axis]!) : shape;
  return { port: { name, value, dtype, valueDType: dtype, shape: shown, layout }, layer };
}

function valueNamed(map: LayerMap, name: string): { readonly layer: Layer; readonly value: string } {
  const group = layerGroup(map, name);
  const exact = map.layers.find((layer) => layer.name === name) ?? map.layers.find(({ canonicalName }) => canonicalName === name);
  const ending = isClosedGroup(group, map) ? group.at(-1)! : exact;
  const maker = map.layers.find(({ outputs }) => outputs.includes(name));
  if (ending && (ending.outputs.length === 1 || !maker)) return { layer: ending, value: ending.outputs.find((value) => value !== '') ?? ending.outputs[0]! };
  if (maker) return { layer: maker, value: name };
  if (group.length > 0) {
    throw new ModelError('usage', `"${name}" is several layers that others read apart: ${listed(group.map(({ name }) => `"${name}"`))}. Name one of them.`);
  }
  // Layers without weights are named after what stands before them, so that the last one of a module may be in front of what comes behind it.
  const inside = map.layers.filter(({ name: own, canonicalName }) => own.startsWith(`${name}.`) || canonicalName?.startsWith(`${name}.`));
  if (inside.length > 0) {
    const last = inside.slice(-MOST_SHOWN).map(({ name, op }) => `"${name}" (${op})`);
    throw new ModelError('usage', `"${name}" is a module of ${inside.length} layers. Name one of them; the last, in running order: ${last.join(', ')}.`);
  }
  const known = [...map.outputs.map((port) => port.name), ...map.layers.flatMap((layer) => [layer.name, layer.canonicalName ?? layer.name, ...layer.outputs])];
  const hint = didYouMean(name, known) || ` weighbridge inspect lists its layers: ${listed(map.layers.map((layer) => `"${layer.name}"`))}.`;
  throw new ModelError('usage', `the net has no layer or output "${name}".${hint}`);
}

/** Enough for what stands behind a block: its normalisation, sum and activation, and the head. */
const MOST_SHOWN = 6;

const PICTURES: Readonly<Record<number, readonly [first: Layout, last: Layout]>> = { 3: ['ncw', 'nwc'], 4: ['nchw', 'nhwc'], 5: ['ncdhw', 'ndhwc'] };

/** As the net's inputs have it: pictures inside of a channels-last net are channels-first in the map, and channels-last to its users. */
function layoutOf(map: LayerMap, rank: number, isPicture: boolean): Layout {
  const layouts = PICTURES[rank];
  if (!isPicture || !layouts) return 'other';
  return layouts[map.inputs.some(({ layout }) => isChannelsLast(layout)) ? 1 : 0];
}

/** Operators that take their axes as they come, and leave an order of their own. */
const ARRANGING: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Transpose', 'Squeeze', 'Unsqueeze', 'MatMul', 'Einsum', 'Gather', 'Constant']);
/** Operators that have their channels second, whatever flows in. */
const SPATIAL: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LRN', 'DepthToSpace']);

/** Values whose second axis is one of channels. */
function picturesOf(map: LayerMap, types: ReadonlyMap<string, ValueType>): Set<string> {
  const pictures = new Set(map.inputs.filter(({ layout }) => layout !== 'other').map(({ value }) => value));
  const rank = (value: string) => types.get(value)?.shape?.length;
  for (const { op, inputs, outputs, attributes } of map.layers) {
    const [first] = outputs;
    const isTurned = op === 'Transpose' && `${attributes.perm}` === `${toChannelsFirst((attributes.perm as readonly number[]).length)}`;
    const goesThrough = !ARRANGING.has(op) && inputs.some((value) => pictures.has(value) && rank(value) === rank(first!));
    if (SPATIAL.has(op) || isTurned || goesThrough) for (const value of outputs) pictures.add(value);
  }
  return pictures;
}
