/** Tries causes on the weights of one layer as they are stored, which needs nothing to be run: which of them makes the source's what the file has? */
import type { Layer } from '../../model/layer-map.js';
import { transposeValue, type Value } from '../../model/ops/array.js';
import { operatorOf, type ValueType } from '../../model/ops/index.js';
import { readOperand } from '../../model/ops/operands.js';
import { elementCount, sliceAxis, type Tensor } from '../../model/tensor.js';
import { type Allowance, stepsThrough } from '../allowance.js';
import { roundedTo } from '../rounded-alone.js';
import { widenWeight } from '../written/widen.js';
import type { WrittenWeight } from '../written/written.js';
import type { Suspect } from './cause.js';
import { explainCodes } from './codes.js';
import { MOST_HELD } from './edit.js';
import { fits } from './fitted.js';
import { families } from './list.js';
import { lostBits } from './precision.js';
import { type Explained, errorOf, scaleOf } from './segment.js';
import { type Findings, named } from './trial.js';

export interface StoredLayer {
  readonly map: Suspect['map'];
  readonly layer: Layer;
  readonly types: ReadonlyMap<string, ValueType>;
  /** A weight of the layer as the file has it. */
  readonly weight: (role: string) => WrittenWeight | undefined;
  /** How far apart two are that are the same, of a weight's scale, where they were worked out in two ways, as by folding a normalisation. */
  readonly slack?: number;
}

/** What rounding to a stored dtype leaves of a weight, of its scale. */
const ROUNDING: Readonly<Record<string, number>> = { float16: 5e-4, bfloat16: 4e-3 };
const SAME = 1e-7;
const PART = 0.25;
/** Values that differ alone, of all. */
const FEW = 0.01;

interface Role {
  readonly source: Tensor;
  readonly stored: WrittenWeight;
  readonly found: Value;
  readonly scale: number;
  readonly before: number;
  readonly allowed: number;
  /** Rows that are looked at, where not all are. */
  readonly rows: readonly [start: number, end: number] | null;
}

/** Null where no weight of the layer differs, or the file has none of them. */
export async function tryStored({ map, layer, types, weight, slack = SAME }: StoredLayer, allowance: Allowance): Promise<Findings | null> {
  const operator = operatorOf(layer.op);
  if (!operator) return null;
  const roles = new Map<string, Role>();
  for (const [role, source] of Object.entries(layer.weights)) {
    const stored = weight(role);
    if (stored) roles.set(role, await readRole(source, stored, slack));
  }
  const wrong = [...roles].filter(([, { before, allowed }]) => before > allowed);
  if (wrong.length === 0) return codesAlone(layer.name, roles);
  const worst = Math.max(...wrong.map(([, { before }]) => before));
  const suspect: Suspect = { map, layer, operator, inputs: [], types, known: new Map(), others: new Map() };
  const explained: Explained[] = [];
  let [tried, isCut] = [0, false];
  for (const family of families) {
    for (const cause of family(suspect)) {
      const changed = Object.keys(layer.weights).filter((role) => cause.layer && cause.layer.weights[role] !== layer.weights[role]);
      if (changed.length === 0 || cause.read || cause.made || !wrong.every(([role]) => changed.includes(role))) continue;
      if (allowance.isSpent) {
        isCut = true;
        break;
      }
      allowance.spend(stepsThrough(changed.reduce((sum, role) => sum + (roles.get(role)?.found.data.length ?? 0), 0)));
      tried++;
      const error = await errorWith(cause.layer!, changed, roles);
      if (error !== null && error <= worst * PART) explained.push({ kind: cause.kind, what: cause.what, layer: layer.name, error });
    }
  }
  if (explained.length > 0) return { error: worst, isFitted: false, explained: named(explained), tried, isCut, channels: null };
  const [one] = wrong.length === 1 ? wrong : [];
  const codes = one && (await inCodes(layer.name, one));
  if (codes) return { error: worst, isFitted: false, explained: [codes], tried, isCut, channels: null };
  const rounded = one ? await roundedTo(one[1].source, one[1].stored) : null;
  const narrower: Explained[] = one && rounded !== null ? [{ kind: 'narrower', what: `${one[0]} ${rounded}`, layer: layer.name, error: 0 }] : [];
  if (narrower.length > 0) return { error: worst, isFitted: false, explained: narrower, tried, isCut, channels: null };
  const fit = one ? await fitOf(layer.name, ...one) : null;
  return {
    error: worst,
    isFitted: fit !== null,
    explained: fit ? [fit] : [],
    tried: tried + (wrong.length === 1 ? fits.length : 0),
    isCut,
    channels: null,
  };
}

/** Codes whose values are near the source's, and not what rounding makes of them; null where there are none, or nothing explains them. */
async function codesAlone(layer: string, roles: ReadonlyMap<string, Role>): Promise<Findings | null> {
  for (const role of roles) {
    const found = await inCodes(layer, role);
    if (found) return { error: role[1].before, isFitted: false, explained: [found], tried: 1, isCut: false, channels: null };
  }
  return null;
}

async function inCodes(layer: string, [role, { source, stored }]: readonly [string, Role]): Promise<Explained | null> {
  const found = await explainCodes(source, stored);
  return found && { ...found, what: `${role}: ${found.what}`, layer };
}

async function readRole(source: Tensor, stored: WrittenWeight, slack: number): Promise<Role> {
  const wide = widenWeight(stored);
  const rows = rowsOf(source);
  const isSameShape = `${wide.shape}` === `${source.shape}`;
  const [own, found] = [await readOperand(cut(source, rows)), await readOperand(isSameShape ? cut(wide, rows) : wide)];
  const scale = scaleOf(own);
  const before = errorOf(own, found, scale);
  // What is far larger than it should be is rounded by its own size.
  const larger = Math.max(1, finiteOr(scaleOf(found) / scale, 1));
  return { source, stored, found, scale, before, allowed: allowedFor(stored, { scale, slack }) * larger, rows: isSameShape ? rows : null };
}

const finiteOr = (value: number, other: number) => (Number.isFinite(value) ? value : other);

function allowedFor({ tensor, quantisation }: WrittenWeight, { scale, slack }: { readonly scale: number; readonly slack: number }): number {
  if (!quantisation) return ROUNDING[tensor.dtype] ?? slack;
  if (quantisation.kind === 'palette') return Number.POSITIVE_INFINITY;
  const step = quantisation.kind === 'affine' ? quantisation.scale : quantisation.scales.reduce((a, b) => Math.max(a, b), 0);
  return (0.51 * Math.abs(step)) / (scale || 1);
}

/** The first rows of a weight that is not held whole. */
function rowsOf({ shape }: Tensor): Role['rows'] {
  const count = elementCount(shape);
  return count <= MOST_HELD ? null : [0, Math.max(1, Math.floor((MOST_HELD / 8 / count) * shape[0]!))];
}

const cut = (tensor: Tensor, rows: Role['rows']) => (rows ? sliceAxis(tensor, 0, rows[0], rows[1]) : tensor);

/** Of those weights that the cause changes and of those that it leaves; null where one is not explained by it. */
async function errorWith(layer: Layer, changed: readonly string[], roles: ReadonlyMap<string, Role>): Promise<number | null> {
  let most = 0;
  for (const role of changed) {
    const known = roles.get(role);
    if (!known) continue;
    try {
      const error = errorOf(await readOperand(cut(layer.weights[role]!, known.rows)), known.found, known.scale);
      if (!(error <= known.allowed)) return null;
      most = Math.max(most, error);
    } catch {
      return null;
    }
  }
  return most;
}

async function fitOf(layer: string, role: string, { source, found, scale, before, allowed, rows }: Role): Promise<Explained | null> {
  const own = await readOperand(cut(source, rows));
  if (found.data.length !== own.data.length) return null;
  const lost = lostBits(own.data, found.data);
  if (lost > 0) return { kind: 'narrower', what: `${role} without the last ${lost} bits of each value`, layer, error: 0 };
  const views = [asRows, ...(own.shape.length > 1 ? [asColumns] : [])];
  for (const view of views) {
    const [a, b] = [view(own), view(found)];
    for (const fit of fits) {
      const value = fit.made(a, b);
      const error = value ? errorOf(value, b, scale) : Number.POSITIVE_INFINITY;
      if (!(error <= allowed && error <= before * PART)) continue;
      const said = fit.told?.(a, b);
      return { kind: fit.kind, what: `${role}: ${fit.what}${said ? `: ${said}` : ''}`, layer, error };
    }
  }
  const differing = own.data.reduce((count, x, i) => count + (Math.abs(x - found.data[i]!) <= allowed * scale ? 0 : 1), 0);
  return differing <= Math.max(1, FEW * own.data.length)
    ? { kind: 'some-values', what: `${role}: ${differing} of ${own.data.length} values alone`, layer, error: 0 }
    : null;
}

/** Output channels as the channels of one row of a batch. */
function asRows(value: Value): Value {
  return { ...value, shape: [1, value.shape[0] ?? 1, value.data.length / (value.shape[0] ?? 1)] };
}

/** The same of input channels. */
function asColumns(value: Value): Value {
  const rest = value.data.length / (value.shape[0]! * value.shape[1]!);
  return asRows(transposeValue({ ...value, shape: [value.shape[0]!, value.shape[1]!, rest] }, [1, 0, 2]));
}
