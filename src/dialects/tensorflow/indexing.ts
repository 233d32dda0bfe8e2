/** Nodes that take or put elements by their places, and those that look for places. */
import type { Value } from '../../model/builder.js';
import { axisOf, FAR } from './arrangement.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

const argument =
  (op: 'ArgMax' | 'ArgMin'): TfRule =>
  (operation) => {
    const to = operation.dtype('output_type') ?? 'int64';
    const axis = axisOf(operation, 1, operation.rank(operation.input(0)));
    if (to === 'int64') return operation.add(op, [operation.input(0)], { axis, keepdims: 0 });
    return operation.add('Cast', [operation.before(op, [operation.input(0)], { axis, keepdims: 0 })], { to });
  };

const gather: TfRule = (operation) => {
  const [x, indices] = [operation.input(0), operation.input(1)];
  const axis = operation.inputs.length > 2 ? axisOf(operation, 2, operation.rank(x)) : 0;
  const said = operation.number('batch_dims', 0);
  if (said === 0) return operation.add('Gather', [x, indices], { axis });
  const [rank, places] = [operation.rank(x), operation.rank(indices)];
  const shared = said < 0 ? said + places : said;
  if (axis < shared || shared < 0) throw operation.decline(`batch_dims is ${said}, with the axis ${axis}`);
  // Rows of each sample by its own indices: as GatherND has it where the axis is the first behind those that are shared.
  const order = [...Array(rank).keys()].toSpliced(axis, 1).toSpliced(shared, 0, axis);
  const turned = axis === shared ? x : operation.before('Transpose', [x], { perm: order });
  const rows = [turned, operation.before('Unsqueeze', [operation.int64(1)], { axes: [places] })];
  if (axis === shared) return operation.add('GatherND', rows, { batch_dims: shared });
  // What stood between the shared axes and this one comes before what the indices make.
  const [between, made] = [axis - shared, places - shared];
  const perm = [...Array(rank - 1 + made).keys()];
  perm.splice(shared, made + between, ...perm.slice(shared + made, shared + made + between), ...perm.slice(shared, shared + made));
  return operation.add('Transpose', [operation.before('GatherND', rows, { batch_dims: shared })], { perm });
};

/** Places that are none are errors on a CPU, which is what '' says as well; only where they are passed over do they mean something. */
function checkPlaces(operation: TfOperation): void {
  const policy = operation.text('bad_indices_policy');
  if (!['', 'DEFAULT', 'ERROR'].includes(policy)) throw operation.decline(`bad_indices_policy is ${policy}`);
}

const gatherNd: TfRule = (operation) => {
  checkPlaces(operation);
  return operation.add('GatherND', [operation.input(0), operation.int64(1)]);
};

/** What several indices name is added up; of zeros to begin with. */
const scatter: TfRule = (operation) => {
  checkPlaces(operation);
  const updates = operation.input(1);
  const zeros = operation.before('Expand', [operation.scalar(0, updates), operation.int64(2)]);
  return operation.add('ScatterND', [zeros, operation.int64(0), updates], { reduction: 'add' });
};

/** New values at places of a tensor that is there. */
const update =
  (reduction: 'none' | 'add' | 'max' | 'min'): TfRule =>
  (operation) => {
    checkPlaces(operation);
    return operation.add('ScatterND', [operation.input(0), operation.int64(1), operation.input(2)], { reduction });
  };

/** inputs: sorted rows, and values of each: how many of its row lie before a value. */
const bound =
  (op: 'Less' | 'LessOrEqual'): TfRule =>
  (operation) => {
    const sorted = operation.before('Unsqueeze', [operation.input(0)], { axes: [1] });
    const values = operation.before('Unsqueeze', [operation.input(1)], { axes: [2] });
    const before = operation.before('Cast', [operation.before(op, [sorted, values])], { to: 'int64' });
    const counts = operation.before('ReduceSum', [before], { axes: [2], keepdims: 0 });
    return operation.add('Cast', [counts], { to: operation.dtype('out_type') ?? 'int32' });
  };

/** New values taken off: added with the other sign. */
const subtraction: TfRule = (operation) => {
  const [x, places, values] = [operation.input(0), operation.input(1), operation.input(2)];
  return update('add')(operation.reading([x, places, operation.before('Neg', [values])]));
};

/** inputs: places, shape, values, the value of all other places. */
const sparseToDense: TfRule = (operation) => {
  const places = operation.int64(0);
  const rank = operation.rank(operation.input(0));
  const count = operation.sizes(operation.input(0))[0] ?? 1;
  // A vector of places is of one axis, a number is one place.
  const rows = rank === 2 ? places : operation.before('Reshape', [places], { shape: rank === 0 ? [1, 1] : [-1, 1] });
  const values = operation.input(2);
  const each = operation.rank(values) === 1 ? values : operation.before('Expand', [values, operation.integers([Number(count)])]);
  if (typeof count !== 'number') throw operation.decline('how many places it fills is known only when the model runs');
  return operation.add('ScatterND', [operation.before('Expand', [operation.input(3), operation.int64(1)]), rows, each]);
};

const reverseSequence: TfRule = (operation) =>
  operation.add('ReverseSequence', [operation.input(0), operation.int64(1)], {
    time_axis: operation.number('seq_dim', 0),
    batch_axis: operation.number('batch_dim', 0),
  });

/** What leaves an axis behind its end comes in before its beginning. */
const roll: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const shifts = operation.known(1, 'shift');
  const axes = operation.known(2, 'axes').map((axis) => (axis < 0 ? axis + rank : axis));
  return axes.reduce((made, axis, i) => {
    const size = operation.sizes(x)[axis];
    if (typeof size !== 'number') throw operation.decline('it rolls an axis whose size is known only when the model runs');
    const shift = ((shifts[i]! % size) + size) % size;
    if (shift === 0) return made;
    const back = operation.before('Slice', [made], { starts: [size - shift], ends: [FAR], axes: [axis] });
    const front = operation.before('Slice', [made], { starts: [0], ends: [size - shift], axes: [axis] });
    return i === axes.length - 1 ? operation.add('Concat', [back, front], { axis }) : operation.before('Concat', [back, front], { axis });
  }, x);
};

/** The diagonals from so many below the middle one to so many above it; all of a side where the number is below zero. */
const matrixBand: TfRule = (operation) => {
  const [[lower], [upper]] = [operation.known(1, 'lower diagonals'), operation.known(2, 'upper diagonals')] as [readonly number[], readonly number[]];
  const x = operation.input(0);
  const above = lower! < 0 ? x : operation.before('Trilu', [x], { k: -lower!, upper: 1 });
  return upper! < 0 ? operation.add('Identity', [above]) : operation.add('Trilu', [above], { k: upper!, upper: 0 });
};

/** Which elements of [rows, columns] are on the middle diagonal. */
function diagonal(operation: TfOperation, rows: number, columns: number): Value {
  const flags = Array.from({ length: rows * columns }, (_, at) => (Math.floor(at / columns) === at % columns ? 1 : 0));
  return operation.build.numbers('bool', flags, [rows, columns]);
}

/** The middle diagonal is meant; the others are named. */
function checkDiagonal(operation: TfOperation, at: number): void {
  operation.passOver('align');
  if (operation.inputs.length > at && operation.known(at, 'diagonal').some((k) => k !== 0))
    throw operation.decline('it is about another diagonal than the middle one');
}

/** A matrix with the elements of a vector on its diagonal. */
const matrixOf: TfRule = (operation) => {
  const x = operation.input(0);
  const size = operation.sizes(x).at(-1);
  if (typeof size !== 'number' || size > MAX_DIAGONAL) throw operation.decline(`its diagonal has the length ${size}`);
  checkDiagonal(operation, 1);
  const sizes = [2, 3].flatMap((at) => (operation.inputs.length > at ? operation.known(at, 'size') : []));
  if (sizes.some((one) => one !== -1 && one !== size)) throw operation.decline(`it makes [${sizes}] of a diagonal of ${size}`);
  const rest = operation.inputs.length > 4 ? operation.known(4, 'padding')[0]! : 0;
  return operation.add('Where', [
    diagonal(operation, size, size),
    operation.before('Unsqueeze', [x], { axes: [operation.rank(x)] }),
    operation.scalar(rest, x),
  ]);
};

/** Rows and columns of the matrices that flow in. */
function matrixSizes(operation: TfOperation): readonly [number, number] {
  const [rows, columns] = operation.sizes(operation.input(0)).slice(-2);
  if (typeof rows !== 'number' || typeof columns !== 'number' || rows > MAX_DIAGONAL || columns > MAX_DIAGONAL)
    throw operation.decline(`it is about matrices of ${rows} x ${columns}`);
  return [rows, columns];
}

/** The diagonal of a matrix: the sum of each row when all else is nothing. */
const diagonalOf: TfRule = (operation) => {
  const x = operation.input(0);
  const [rows, columns] = matrixSizes(operation);
  checkDiagonal(operation, 1);
  operation.passOver('padding_value');
  const rank = operation.rank(x);
  const kept = operation.before('Where', [diagonal(operation, rows, columns), x, operation.scalar(0, x)]);
  if (rows <= columns) return operation.add('ReduceSum', [kept], { axes: [rank - 1], keepdims: 0 });
  return operation.add('ReduceSum', [kept], { axes: [rank - 2], keepdims: 0 });
};

/** Another diagonal in the place of a matrix's own. */
const withDiagonal: TfRule = (operation) => {
  const x = operation.input(0);
  const [rows, columns] = matrixSizes(operation);
  checkDiagonal(operation, 2);
  const rank = operation.rank(x);
  const put = operation.before('Unsqueeze', [operation.input(1)], { axes: [rows <= columns ? rank - 1 : rank - 2] });
  return operation.add('Where', [diagonal(operation, rows, columns), put, x]);
};

/** Elements of the first list that are not in the second, and where they stood: of lists that are known. */
const listDiff: TfRule = (operation) => {
  const [all, without] = [operation.known(0, 'list'), new Set(operation.known(1, 'list'))];
  operation.dtype('out_idx');
  const places = [...all.keys()].filter((i) => !without.has(all[i]!));
  const { dtype } = operation.input(0);
  return [
    operation.build.numbers(
      dtype ?? 'int32',
      places.map((i) => all[i]!),
    ),
    operation.build.numbers('int32', places),
  ];
};

const invertPermutation: TfRule = (operation) => {
  const order = operation.known(0, 'order');
  const places = new Array<number>(order.length).fill(0);
  for (const [i, place] of order.entries()) places[place] = i;
  return operation.build.numbers(operation.input(0).dtype ?? 'int32', places);
};

/** Of larger matrices the diagonal's places would be a large constant. */
const MAX_DIAGONAL = 4096;

/** Far more words than any vocabulary has. */
const MAX_DEPTH = 1_000_000;

/** Places that are compared one by one: an index below zero is none, where ONNX would count it from the end. */
const oneHot: TfRule = (operation) => {
  const rank = operation.rank(operation.input(0));
  const axis = operation.number('axis', -1);
  if (axis < -1 || axis > rank) throw operation.decline(`its axis ${axis} is none of ${rank + 1}`);
  const [depth] = operation.known(1, 'depth');
  // TensorFlow.js passes over the axis.
  const at = axis < 0 || operation.runtime === 'tfjs' ? rank : axis;
  if (!(depth! >= 0 && depth! <= MAX_DEPTH)) throw operation.decline(`its depth is ${depth}`);
  const shape = [depth!, ...new Array<number>(rank - at).fill(1)];
  const places = operation.build.numbers('int64', [...Array(depth!).keys()], shape);
  const isThere = operation.before('Equal', [operation.before('Unsqueeze', [operation.int64(0)], { axes: [at] }), places]);
  return operation.add('Where', [isThere, operation.input(2), operation.input(3)]);
};

function selected(operation: TfOperation, hasLeast: boolean): Value {
  const boxes = operation.before('Unsqueeze', [operation.input(0)], { axes: [0] });
  const scores = operation.before('Unsqueeze', [operation.input(1)], { axes: [0, 1] });
  const most = operation.before('Reshape', [operation.int64(2)], { shape: [1] });
  const number = (index: number, what: string) => operation.build.numbers('float32', [operation.known(index, what)[0]!]);
  const overlap = operation.inputs.length > 3 ? number(3, 'overlap') : operation.build.numbers('float32', [operation.number('iou_threshold', 0.5)]);
  const least = hasLeast && operation.inputs.length > 4 ? number(4, 'least score') : null;
  const rows = operation.before('NonMaxSuppression', [boxes, scores, most, overlap, least]);
  const column = operation.before('Squeeze', [operation.before('Slice', [rows], { starts: [2], ends: [3], axes: [1] })], { axes: [1] });
  return operation.add('Cast', [column], { to: 'int32' });
}

function countOf(operation: TfOperation, chosen: Value): Value {
  return operation.add('Cast', [operation.before('Squeeze', [operation.before('Shape', [chosen])], { axes: [0] })], { to: 'int32' }, `${operation.name}/count`);
}

/** As long as the most that could have been chosen, with zeros behind what was, where the node says so. */
function padded(operation: TfOperation, list: Value, name: string): Value {
  if (!operation.flag('pad_to_max_output_size')) return list;
  const [most] = operation.known(2, 'largest number of boxes');
  operation.checkCount(most!);
  const longer = operation.before('Concat', [list, operation.build.numbers(list.dtype ?? 'int32', new Array<number>(most!).fill(0))], { axis: 0 });
  return operation.add('Slice', [longer], { starts: [0], ends: [most!], axes: [0] }, name);
}

const suppression4: TfRule = (operation) => {
  const chosen = selected(operation.named(`${operation.name}/chosen`), true);
  return [padded(operation, chosen, operation.name), countOf(operation, chosen)];
};

const suppression5: TfRule = (operation) => {
  if (operation.inputs.length > 5 && operation.known(5, 'sigma')[0] !== 0)
    throw operation.decline('it lowers the scores of boxes that overlap (soft_nms_sigma)');
  const chosen = selected(operation.named(`${operation.name}/chosen`), true);
  const scores = operation.add('Gather', [operation.input(1), chosen], { axis: 0 }, `${operation.name}/chosen scores`);
  return [padded(operation, chosen, operation.name), padded(operation, scores, `${operation.name}/scores`), countOf(operation, chosen)];
};

function largest(operation: TfOperation, count: readonly number[]): readonly Value[] {
  operation.flag('sorted', true);
  const [values, places] = operation.many('TopK', [operation.input(0), operation.integers(count)], { axis: -1 }, 2);
  return [values!, operation.add('Cast', [places!], { to: 'int32' }, `${operation.name}/indices`)];
}

/** What there is of each kind, in the order of the first ones, and of which kind each element is. */
const kinds =
  (isCounted: boolean): TfRule =>
  (operation) => {
    const dtype = operation.dtype('out_idx') ?? 'int32';
    const along = operation.node.op.endsWith('V2') ? operation.known(1, 'axis') : [];
    const axis = along[0] === undefined ? {} : { axis: along[0] };
    const [values, , places, counts] = operation.many('Unique', [operation.input(0)], { sorted: 0, ...axis }, 4);
    const cast = (value: Value, what: string) => operation.add('Cast', [value], { to: dtype }, `${operation.name}/${what}`);
    return [values!, cast(places!, 'idx'), ...(isCounted ? [cast(counts!, 'count')] : [])];
  };

/** Below every score. */
const LEAST_SCORE = -3.4e38;

/**
 * Of one picture: the best boxes of each class, and the best of those, with zeros behind them.
 *
 * inputs: boxes [1, places, 1, 4], scores [1, places, classes], how many of a class, how many of all, the overlap and the least score.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/image/combined_non_max_suppression
 */
const combinedSuppression: TfRule = (operation) => {
  const step = (op: string, inputs: readonly (Value | null)[], attributes = {}) => operation.before(op, inputs, attributes);
  const [batch, , own] = operation.sizes(operation.input(0));
  const classes = operation.sizes(operation.input(1))[2];
  if (batch !== 1 || own !== 1) throw operation.decline(`it looks for boxes in ${batch} pictures, of ${own} kinds; it is read for one (--input-shape 1,...)`);
  const number = (index: number, what: string) => operation.known(index, what)[0]!;
  const [each, all] = [number(2, 'largest number of a class'), number(3, 'largest number')];
  const most = operation.flag('pad_per_class') && typeof classes === 'number' ? Math.min(all, each * classes) : all;
  operation.checkCount(most);
  const float = (values: readonly number[], shape?: readonly number[]) => operation.build.numbers('float32', values, shape);
  const boxes = step('Squeeze', [operation.input(0)], { axes: [2] });
  const scores = step('Transpose', [operation.input(1)], { perm: [0, 2, 1] });
  const limits = [operation.integers([each]), float([number(4, 'overlap')]), float([number(5, 'least score')])];
  const rows = step('NonMaxSuppression', [boxes, scores, ...limits]);
  const column = (at: number) => step('Squeeze', [step('Slice', [rows], { starts: [at], ends: [at + 1], axes: [1] })], { axes: [1] });
  const chosen = step('GatherND', [scores, rows]);
  const behind = (value: Value, filler: number, width?: number) => {
    const shape = width === undefined ? [most] : [most, width];
    return step('Concat', [value, float(new Array<number>(most * (width ?? 1)).fill(filler), shape)], { axis: 0 });
  };
  const outputs = ['best', 'order'].map((name) => operation.build.freeValue(`${operation.name}/${name}`));
  const [, order] = operation.build.node(
    'TopK',
    [behind(chosen, LEAST_SCORE), operation.integers([most])],
    { axis: -1 },
    { name: `${operation.name}/TopK`, outputs },
  );
  const ranked = (value: Value, name: string, width?: number) =>
    operation.add('Unsqueeze', [step('Gather', [behind(value, 0, width), order!], { axis: 0 })], { axes: [0] }, name);
  const found = step('Gather', [step('Squeeze', [boxes], { axes: [0] }), column(2)], { axis: 0 });
  const held = operation.flag('clip_boxes', true) ? step('Clip', [found], { min: 0, max: 1 }) : found;
  const count = step('Min', [step('Shape', [chosen]), operation.integers([most])]);
  return [
    ranked(held, operation.name, 4),
    ranked(chosen, `${operation.name}/scores`),
    ranked(step('Cast', [column(1)], { to: 'float32' }), `${operation.name}/classes`),
    operation.add('Cast', [count], { to: 'int32' }, `${operation.name}/count`),
  ];
};

export const indexing: Readonly<Record<string, TfRule>> = {
  GatherV2: gather,
  Gather: gather,
  ResourceGather: gather,
  GatherNd: gatherNd,
  ResourceGatherNd: gatherNd,
  ScatterNd: scatter,
  TensorScatterUpdate: update('none'),
  TensorScatterAdd: update('add'),
  TensorScatterSub: subtraction,
  TensorScatterMax: update('max'),
  TensorScatterMin: update('min'),
  SparseToDense: sparseToDense,
  ReverseSequence: reverseSequence,
  Roll: roll,
  MatrixBandPart: matrixBand,
  MatrixDeterminant: (operation) => operation.add('Det', [operation.input(0)]),
  MatrixDiag: matrixOf,
  MatrixDiagV2: matrixOf,
  MatrixDiagV3: matrixOf,
  MatrixDiagPart: diagonalOf,
  MatrixDiagPartV2: diagonalOf,
  MatrixDiagPartV3: diagonalOf,
  MatrixSetDiag: withDiagonal,
  MatrixSetDiagV2: withDiagonal,
  MatrixSetDiagV3: withDiagonal,
  LowerBound: bound('Less'),
  UpperBound: bound('LessOrEqual'),
  ListDiff: listDiff,
  InvertPermutation: invertPermutation,
  ArgMax: argument('ArgMax'),
  ArgMin: argument('ArgMin'),
  Where: (operation) => operation.add('Transpose', [operation.before('NonZero', [operation.input(0)])], { perm: [1, 0] }),
  OneHot: oneHot,
  Unique: kinds(false),
  UniqueV2: kinds(false),
  UniqueWithCounts: kinds(true),
  UniqueWithCountsV2: kinds(true),
  TopK: (operation) => largest(operation, [operation.number('k', 0)]),
  TopKV2: (operation) => largest(operation, operation.known(1, 'count')),
  CombinedNonMaxSuppression: combinedSuppression,
  NonMaxSuppression: (operation) => selected(operation, false),
  NonMaxSuppressionV2: (operation) => selected(operation, false),
  NonMaxSuppressionV3: (operation) => selected(operation, true),
  NonMaxSuppressionV4: suppression4,
  NonMaxSuppressionV5: suppression5,
};
