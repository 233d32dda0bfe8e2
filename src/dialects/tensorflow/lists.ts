/**
 * TensorArrays and TensorLists: lists of values that loops fill and read, which exist while a graph is read and not in the layer map. Places in
 * them have to be known then; what is stacked in the end is one Concat.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/raw_ops/TensorListReserve and TensorArrayV3
 */
import type { Value } from '../../model/builder.js';
import type { TfOperation } from './node.js';

/** An element that was put in, one of a tensor along its first axis, or one that was never set. */
type Item = Value | { readonly from: Value; readonly at: number } | null;

export class TensorList {
  constructor(readonly items: readonly Item[]) {}
}

export type Listed = Value | TensorList;
/** What one node makes of lists and values; `operation` has the values in the places of its inputs. */
type ListRule = (operation: TfOperation, inputs: readonly Listed[]) => readonly Listed[];

/** Loops whose steps become layers fill no longer ones. */
const MAX_ITEMS = 10_000;

function listOf(operation: TfOperation, inputs: readonly Listed[], index: number): TensorList {
  const list = inputs[index];
  if (!(list instanceof TensorList)) throw operation.decline(`its input ${index} is no list of values`);
  return list;
}

function placeOf(operation: TfOperation, index: number): number {
  const [at] = operation.known(index, 'place in the list');
  if (at === undefined || !(at >= 0 && at < MAX_ITEMS)) throw operation.decline(`its place ${at} in the list is none`);
  return at;
}

function empty(operation: TfOperation, index: number): TensorList {
  const [count] = operation.known(index, 'count');
  if (count === undefined || !(count >= 0 && count <= MAX_ITEMS)) throw operation.decline(`a list of ${count} values`);
  return new TensorList(new Array<Item>(count).fill(null));
}

function withItem(operation: TfOperation, list: TensorList, at: number, item: Item): TensorList {
  if (at >= MAX_ITEMS) throw operation.decline(`a list of more than ${MAX_ITEMS} values`);
  const items = [...list.items];
  while (items.length < at) items.push(null);
  items[at] = item;
  return new TensorList(items);
}

/** The elements of a tensor along its first axis. */
function unstacked(operation: TfOperation, from: Value): Item[] {
  const size = operation.sizes(from)[0];
  if (typeof size !== 'number')
    throw operation.decline('how many values its list has is known only when the model runs; give the sizes of the input with --input-shape');
  if (size > MAX_ITEMS) throw operation.decline(`a list of ${size} values; up to ${MAX_ITEMS} are read`);
  return Array.from({ length: size }, (_, at) => ({ from, at }));
}

/** @param shape input that holds the shape of an element; -1 for none */
function itemOf(operation: TfOperation, { items }: TensorList, at: number, shape: number, name = operation.name): Value {
  const item = items[at];
  if (item === undefined) throw operation.decline(`place ${at} is none of a list of ${items.length}`);
  if (item === null)
    return operation.add('Expand', [operation.build.numbers('float32', 0), operation.integers(elementShape(operation, items, shape))], {}, name);
  if ('name' in item) return item;
  return operation.add('Gather', [item.from, operation.build.numbers('int64', item.at)], { axis: 0 }, name);
}

/** Of an element that was never set, which is zeros. */
function elementShape(operation: TfOperation, items: readonly Item[], index: number): readonly number[] {
  const said = index < 0 ? undefined : operation.input(index).elements;
  const other = items.find((item): item is Value => item !== null && 'name' in item);
  const shape = [said, other?.shape].find((sizes) => sizes?.every((size) => typeof size === 'number' && size >= 0));
  if (!shape) throw operation.decline('it reads a place of a list that nothing was put into');
  return shape as readonly number[];
}

function stacked(operation: TfOperation, list: TensorList, shape: number): Value {
  const { items } = list;
  if (items.length === 0) throw operation.decline('it stacks a list of no values');
  const [first] = items;
  const from = first && 'from' in first ? first.from : null;
  const isWhole =
    from !== null && from.shape?.[0] === items.length && items.every((item, i) => item !== null && 'from' in item && item.from === from && item.at === i);
  if (isWhole) return from;
  const rows = items.map((_, at) => operation.before('Unsqueeze', [itemOf(operation, list, at, shape, `${operation.name}/item`)], { axes: [0] }));
  return operation.add('Concat', rows, { axis: 0 });
}

function joined(operation: TfOperation, list: TensorList): readonly Value[] {
  const parts = list.items.map((_, at) => itemOf(operation, list, at, -1, `${operation.name}/item`));
  const lengths = parts.map((part) => operation.sizes(part)[0]);
  const made = operation.add('Concat', parts, { axis: 0 });
  return lengths.every((length) => typeof length === 'number') ? [made, operation.build.numbers('int64', lengths as number[])] : [made];
}

function picked(operation: TfOperation, list: TensorList, index: number, shape: number): Value {
  const places = operation.known(index, 'places in the list');
  return stacked(
    operation,
    new TensorList(
      places.map((place) => {
        const item = list.items[place];
        if (item === undefined) throw operation.decline(`place ${place} is none of a list of ${list.items.length}`);
        return item;
      }),
    ),
    shape,
  );
}

/** Puts the elements of a tensor at given places. */
function scattered(operation: TfOperation, list: TensorList, index: number, from: Value): TensorList {
  const items = unstacked(operation, from);
  return operation.known(index, 'places in the list').reduce((made, place, i) => {
    if (!(place >= 0)) throw operation.decline(`its place ${place} in the list is none`);
    return withItem(operation, made, place, items[i] ?? null);
  }, list);
}

/** Parts of given lengths along the first axis. */
function cut(operation: TfOperation, from: Value, index: number): TensorList {
  let start = 0;
  const lengths = operation.known(index, 'lengths');
  if (lengths.length > MAX_ITEMS) throw operation.decline(`a list of ${lengths.length} values`);
  return new TensorList(
    lengths.map((length) => {
      const part = operation.before('Slice', [from], { starts: [start], ends: [start + length], axes: [0] });
      start += length;
      return part;
    }),
  );
}

/** How elements are laid out, which the values themselves say. */
const AT_REST = [
  'element_dtype',
  'shape_type',
  'num_elements',
  'element_shape',
  'element_shape_except0',
  'dynamic_size',
  'clear_after_read',
  'tensor_array_name',
  'identical_element_shapes',
];

const rule =
  (run: ListRule): ListRule =>
  (operation, inputs) => {
    for (const name of AT_REST) operation.passOver(name);
    return run(operation, inputs);
  };

const RULES: Readonly<Record<string, ListRule>> = {
  TensorListReserve: (operation) => [empty(operation, 1)],
  EmptyTensorList: () => [new TensorList([])],
  TensorListFromTensor: (operation) => [new TensorList(unstacked(operation, operation.input(0)))],
  TensorListSetItem: (operation, inputs) => {
    operation.flag('resize_if_index_out_of_bounds');
    return [withItem(operation, listOf(operation, inputs, 0), placeOf(operation, 1), operation.input(2))];
  },
  TensorListGetItem: (operation, inputs) => [itemOf(operation, listOf(operation, inputs, 0), placeOf(operation, 1), 2)],
  TensorListStack: (operation, inputs) => [stacked(operation, listOf(operation, inputs, 0), 1)],
  TensorListGather: (operation, inputs) => [picked(operation, listOf(operation, inputs, 0), 1, 2)],
  TensorListScatter: (operation) => [scattered(operation, new TensorList([]), 1, operation.input(0))],
  TensorListScatterV2: (operation) => {
    const [count] = operation.known(3, 'count');
    return [scattered(operation, count === -1 ? new TensorList([]) : empty(operation, 3), 1, operation.input(0))];
  },
  TensorListScatterIntoExistingList: (operation, inputs) => [scattered(operation, listOf(operation, inputs, 0), 2, operation.input(1))],
  TensorListSplit: (operation) => [cut(operation, operation.input(0), 2)],
  TensorListConcat: (operation, inputs) => joined(operation, listOf(operation, inputs, 0)),
  TensorListConcatV2: (operation, inputs) => joined(operation, listOf(operation, inputs, 0)),
  TensorListPushBack: (operation, inputs) => {
    const list = listOf(operation, inputs, 0);
    return [withItem(operation, list, list.items.length, operation.input(1))];
  },
  TensorListPopBack: (operation, inputs) => {
    const list = listOf(operation, inputs, 0);
    return [new TensorList(list.items.slice(0, -1)), itemOf(operation, list, list.items.length - 1, 1)];
  },
  TensorListLength: (operation, inputs) => [operation.build.numbers('int32', listOf(operation, inputs, 0).items.length)],
  TensorListResize: (operation, inputs) => {
    const { items } = listOf(operation, inputs, 0);
    return [new TensorList(empty(operation, 1).items.map((_, i) => items[i] ?? null))];
  },
  // The list goes along with the flow; the handle of an array is its name.
  TensorArrayV3: (operation) => [empty(operation, 0), empty(operation, 0)],
  TensorArrayWriteV3: (operation, inputs) => [withItem(operation, listOf(operation, inputs, 3), placeOf(operation, 1), operation.input(2))],
  TensorArrayReadV3: (operation, inputs) => [itemOf(operation, listOf(operation, inputs, 2), placeOf(operation, 1), -1)],
  TensorArrayGatherV3: (operation, inputs) => [picked(operation, listOf(operation, inputs, 2), 1, -1)],
  TensorArrayScatterV3: (operation, inputs) => [scattered(operation, listOf(operation, inputs, 3), 1, operation.input(2))],
  TensorArraySplitV3: (operation) => [cut(operation, operation.input(1), 2)],
  TensorArrayConcatV3: (operation, inputs) => joined(operation, listOf(operation, inputs, 1)),
  TensorArraySizeV3: (operation, inputs) => [operation.build.numbers('int32', listOf(operation, inputs, 1).items.length)],
};

export const LIST_RULES: Readonly<Record<string, ListRule>> = Object.fromEntries(Object.entries(RULES).map(([op, run]) => [op, rule(run)]));
