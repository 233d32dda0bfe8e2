/**
 * Operators whose inputs are all stored: what they make is stored too. A view (a Transpose, a Reshape, a cut) costs nothing; other work is
 * done when the bytes are read, so that a graph can be looked at without reading its weights. Exporters leave such work in the graph:
 * standardised kernels, grids of coordinates, everything where folding was switched off.
 */
import { ModelError } from '../errors.js';
import { toFloat64Array } from './cast.js';
import type { Layer } from './layer-map.js';
import { numbersTensor } from './numbers.js';
import { bindSlots, type Operator, type ValueType } from './ops/index.js';
import { roundTo } from './ops/rounding.js';
import { computedTensor, elementCount, type Origin, permute, reshape, sliceAxis, type Tensor, tensorBytes } from './tensor.js';

/** What is larger than all that it is made of has at most so many elements: files should not grow by a picture's worth of copies. */
const MAX_GROWN = 2 ** 16;
/** Of the largest kernels, with room; all are in memory while one is worked out. */
const MAX_ELEMENTS = 2 ** 23;
/** Elements worked out for one tensor, and for all of a graph: a few seconds. A chain of doublings would take for ever. */
const MAX_WORK = 2 ** 26;
const MAX_TOTAL = 2 ** 28;
/** What a step takes however few its elements are. */
const STEP = 2 ** 8;

/** Their cost is not that of their elements. */
const COSTLY: ReadonlySet<string> = new Set(['Einsum', 'NonMaxSuppression', 'GridSample', 'Resize', 'RoiAlign', 'Col2Im', 'AffineGrid']);
/** Codes of narrow weights stay as they are stored. */
const KEPT: ReadonlySet<string> = new Set(['DequantizeLinear', 'QuantizeLinear', 'DynamicQuantizeLinear']);

export class Folding {
  /** Elements that are worked out for a tensor, with those of what it is made of. */
  readonly #work = new Map<Tensor, number>();
  /** Views by what they are of and how: a weight that several layers turn the same way is one weight. */
  readonly #views = new Map<Tensor, Map<string, Tensor>>();
  #total = 0;

  constructor(readonly origin: Origin) {}

  /**
   * What a layer makes, where it can be stored.
   *
   * @param stored what flows into the layer; null for an input that is left out
   * @param made its only output, of known sizes
   * @returns null where the layer has to stay
   */
  fold(operator: Operator, layer: Layer, stored: readonly (Tensor | null)[], made: ValueType, name: string): Tensor | null {
    const shape = made.shape as readonly number[];
    const [x] = stored;
    const weights = Object.values(layer.weights);
    if (KEPT.has(operator.op) || made.dtype === null) return null;
    if (x && stored.length === 1 && weights.length === 0) {
      const view = this.#viewOf(x, layer, shape);
      if (view) return this.#counted(view, this.#work.get(x) ?? 0);
    }
    if (!operator.compute || COSTLY.has(operator.op) || operator.weights?.includes('kernel' as never)) return null;
    const all = [...stored, ...weights].filter((tensor) => tensor !== null);
    const given = all.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
    const count = elementCount(shape);
    const work = all.reduce((sum, tensor) => sum + (this.#work.get(tensor) ?? 0), STEP + count + given);
    if (all.length === 0 || count > Math.max(MAX_GROWN, given) || Math.max(count, given) > MAX_ELEMENTS || work > MAX_WORK) return null;
    const tensor = computedTensor(name, made.dtype, shape, this.origin, () => this.#compute(operator, layer, stored, made, STEP + count + given));
    return this.#counted(tensor, work);
  }

  #viewOf(x: Tensor, layer: Layer, shape: readonly number[]): Tensor | null {
    const views = this.#views.get(x) ?? new Map<string, Tensor>();
    const key = JSON.stringify([layer.op, shape, layer.attributes]);
    const view = views.get(key) ?? viewOf(x, layer, shape);
    if (view) this.#views.set(x, views.set(key, view));
    return view;
  }

  #counted(tensor: Tensor, work: number): Tensor {
    this.#work.set(tensor, work);
    return tensor;
  }

  /** @param work elements of this step alone: what flows into it is worked out, and counted, when it is read */
  async #compute(operator: Operator, layer: Layer, stored: readonly (Tensor | null)[], made: ValueType, work: number): Promise<Uint8Array> {
    this.#total += work;
    if (this.#total > MAX_TOTAL) throw new ModelError('unsafe', 'the graph works out more constants than any net needs');
    const read = async (tensor: Tensor) => ({ shape: tensor.shape, dtype: tensor.dtype, data: toFloat64Array(await tensorBytes(tensor), tensor.dtype) });
    // One after the other, and each once: all that they are made of would be in memory at the same time.
    const values = new Map<Tensor | null, Awaited<ReturnType<typeof read>>>();
    for (const tensor of [...Object.values(layer.weights), ...stored]) if (tensor && !values.has(tensor)) values.set(tensor, await read(tensor));
    const inputs = stored.map((tensor) => values.get(tensor) ?? { shape: [], data: new Float64Array(0) });
    const bound = bindSlots(operator, layer, inputs, (tensor) => values.get(tensor)!);
    const [result] = operator.compute!(bound as never, layer.attributes as never, { outputs: 1 });
    const rounded = Array.from(roundTo(result!.data, made.dtype!));
    return tensorBytes(numbersTensor('constant', made.dtype!, result!.shape, rounded, this.origin));
  }
}

/** The same bytes, read in another order. */
function viewOf(x: Tensor, { op, attributes }: Layer, shape: readonly number[]): Tensor | null {
  switch (op) {
    case 'Identity':
      return x;
    case 'Transpose':
      return permute(x, attributes.perm as readonly number[]);
    case 'Reshape':
    case 'Flatten':
    case 'Unsqueeze':
    case 'Squeeze':
      return reshape(x, shape);
    case 'Slice':
      return sliced(x, attributes, shape);
    default:
      return null;
  }
}

function sliced(x: Tensor, { starts, axes, steps }: Layer['attributes'], shape: readonly number[]): Tensor | null {
  if (!starts || (steps as readonly number[] | undefined)?.some((step) => step !== 1)) return null;
  const from = starts as readonly number[];
  const along = (axes as readonly number[] | undefined) ?? from.map((_, axis) => axis);
  return along.reduce((part, axis, i) => {
    const at = axis < 0 ? axis + x.shape.length : axis;
    const size = x.shape[at]!;
    const start = Math.min(size, Math.max(0, from[i]! < 0 ? from[i]! + size : from[i]!));
    return sliceAxis(part, at, start, start + shape[at]!);
  }, x);
}
