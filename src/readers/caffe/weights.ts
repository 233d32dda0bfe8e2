/** Which blobs are a layer's: its own, those that it shares by name, and those that are filled because nothing was stored. */
import { memorySource } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';
import { toFloat64Array } from '../../model/cast.js';
import type { Notice } from '../../model/layer-map.js';
import { elementCount, reshape, storedTensor, type Tensor, tensorBytes } from '../../model/tensor.js';
import type { Blobs } from './blobs.js';
import { messagesOf, textsOf } from './message.js';
import { Params } from './params.js';
import type { CaffeLayer } from './topology.js';

/** Of a whole net: kernels that interpolate have thousands of values, and matrices that do some hundred thousands. */
const MAX_MADE = 2 ** 26;

/** More channels has no layer that was ever published. */
const MAX_CHECKED = 2 ** 16;
/** Statistics of a batch normalisation, which are looked at together. */
const CHECKED_APART: ReadonlySet<string> = new Set(['mean', 'variance', 'scale factor']);

export class NetWeights {
  readonly notices: Notice[] = [];
  /** Said of layers that found none of what they need. */
  readonly missing = new Set<ModelError>();
  /** By the name under which layers share them. */
  readonly #shared = new Map<string, Tensor>();
  readonly #used = new Map<string, Set<number>>();
  readonly #takers = new Map<string, CaffeLayer>();
  #made = 0;
  /** Vectors of factors and the like, by what they are. */
  readonly #vectors: { readonly layer: CaffeLayer; readonly what: string; readonly tensor: Tensor }[] = [];
  readonly #filled: { readonly layer: CaffeLayer; readonly shape: readonly number[] }[] = [];

  constructor(
    readonly file: string,
    readonly stored: ReadonlyMap<string, Blobs>,
    layers: readonly CaffeLayer[],
  ) {
    const byName = new Map(layers.toReversed().map((layer) => [layer.name, layer]));
    // Shared weights are one blob, which Caffe fills as often as it is stored: the last one stays.
    for (const [name, blobs] of stored) {
      for (const [i, tensor] of blobs) {
        const shared = byName.get(name)?.sharedNames[i];
        if (shared) this.#shared.set(shared, tensor);
      }
    }
  }

  /**
   * A layer's blob, in the shape that the layer asks for. Old files write leading ones, which Caffe ignores too.
   *
   * @param filler what a new net would fill the blob with; taken where nothing at all is stored for the layer, and it can be computed
   * @throws ModelError 'malformed' naming both sides
   */
  blob(layer: CaffeLayer, i: number, what: string, shape: readonly number[], filler?: Params): Tensor {
    const tensor = this.find(layer, i) ?? this.#fill(layer, i, what, shape, filler);
    const mode = messagesOf(layer.message, 'param')[i];
    const isPermissive = layer.sharedNames[i] && mode && textsOf(mode, 'share_mode').includes('PERMISSIVE');
    const fits = shape.length <= 1 ? squeezed(tensor.shape) === squeezed(shape) : stripped(tensor.shape) === stripped(shape);
    if (elementCount(tensor.shape) !== elementCount(shape) || (!fits && !isPermissive)) {
      throw new ModelError(
        'malformed',
        `the ${what} has the shape [${tensor.shape}], but the net asks for [${shape}]. Do prototxt and caffemodel belong together?`,
        { file: this.file, layer: layer.name, tensor: tensor.name },
      );
    }
    if (shape.length <= 1) this.#vectors.push({ layer, what, tensor });
    return reshape(tensor, shape);
  }

  /** Vectors that nobody can have meant: with values that are none, or factors that are all 0. Statistics have a check of their own. */
  async doubtfulVectors(): Promise<Notice[]> {
    const notices: Notice[] = [];
    for (const { layer, what, tensor } of this.#vectors) {
      if (elementCount(tensor.shape) > MAX_CHECKED || CHECKED_APART.has(what)) continue;
      const values = toFloat64Array(await tensorBytes(tensor), tensor.dtype);
      const says = (message: string) => void notices.push({ code: 'suspicious-weights', message, layer: layer.name });
      if (!values.every(Number.isFinite)) says(`its ${what} holds values that are NaN or infinite`);
      else if (what === 'scale' && values.every((value) => value === 0)) says('all factors of its scale are 0, so that nothing of its input is left');
    }
    return notices;
  }

  /** A layer's blob of whatever shape, if there is one. */
  find(layer: CaffeLayer, i: number): Tensor | undefined {
    const taker = this.#takers.get(layer.name) ?? layer;
    this.#takers.set(layer.name, taker);
    const own = this.stored.get(layer.name)?.get(i);
    if (own && taker !== layer)
      throw this.#malformed(layer, `two layers have this name and weights; the stored ones are the first one's, and the second would have none`);
    if (own) this.#used.set(layer.name, (this.#used.get(layer.name) ?? new Set()).add(i));
    const shared = layer.sharedNames[i];
    return (shared ? this.#shared.get(shared) : undefined) ?? own;
  }

  /** How many blobs a layer has, stored or shared. */
  count(layer: CaffeLayer): number {
    let count = 0;
    while (this.stored.get(layer.name)?.has(count) || this.#shared.has(layer.sharedNames[count] ?? '')) count++;
    return count;
  }

  /** Blobs of a layer that its rule did not ask for: 'blob 3 [64]'. */
  unread(layer: CaffeLayer): string[] {
    const used = this.#used.get(layer.name);
    return [...(this.stored.get(layer.name) ?? [])].flatMap(([i, { shape }]) => (used?.has(i) ? [] : [`blob ${i} of shape [${shape}]`]));
  }

  /** Names of stored layers whose weights nothing asked for. */
  unusedLayers(): string[] {
    return [...this.stored.keys()].filter((name) => !this.#used.has(name));
  }

  /** What can be said of a layer's weights without knowing what flows into it: that there are none, or too many outputs. */
  disagreements(layer: CaffeLayer, block: string | null): ModelError[] {
    const params = block === null ? new Params() : new Params(layer.message).child(block);
    const out = params.number('num_output', 0);
    if (out === 0) return [];
    const kernel = this.find(layer, 0);
    if (!kernel) return params.child('weight_filler').exists ? [] : [this.#missing(layer, 0, 'kernel', 'Do prototxt and caffemodel belong together?')];
    const bias = params.flag('bias_term', true) ? this.find(layer, 1) : undefined;
    if (!bias || elementCount(bias.shape) === out) return [];
    return [this.#malformed(layer, `the bias has the shape [${bias.shape}], but the net asks for ${out} outputs. Do prototxt and caffemodel belong together?`)];
  }

  /** Layers that were filled although the file has weights of their shape that no layer takes: a name that was changed, most likely. */
  doubtfulFills(): ModelError[] {
    const unused = this.unusedLayers().flatMap((name) => [...this.stored.get(name)!.values()].map(({ shape }) => ({ name, shape })));
    return this.#filled.flatMap(({ layer, shape }) => {
      const match = unused.find((blob) => stripped(blob.shape) === stripped(shape));
      return match
        ? [this.#malformed(layer, `no weights are stored for it, but those of "${match.name}", which no layer takes, have its shape. Was it renamed?`)]
        : [];
    });
  }

  /** @throws ModelError 'unsafe' where weights that are not stored, but are to be written, become too many */
  countMade(layer: CaffeLayer, shape: readonly number[]): void {
    this.#made += elementCount(shape);
    if (this.#made > MAX_MADE)
      throw new ModelError('unsafe', `weights of shape [${shape}] that are not stored make more than ${MAX_MADE} values`, {
        file: this.file,
        layer: layer.name,
      });
  }

  #fill(layer: CaffeLayer, i: number, what: string, shape: readonly number[], filler: Params | undefined): Tensor {
    const missing = (why: string) => this.#missing(layer, i, what, why);
    const alreadyFilled = this.#filled.some((filled) => filled.layer === layer);
    if (this.count(layer) > 0 || !filler || !(filler.exists || alreadyFilled)) throw missing('Do prototxt and caffemodel belong together?');
    const type = filler.word('type', 'constant');
    const value = filler.number('value', 0);
    if (type !== 'constant' && type !== 'bilinear') throw missing(`Its filler "${type}" is a random one. Do prototxt and caffemodel belong together?`);
    const [side] = shape.slice(-1);
    if (type === 'bilinear' && (shape.length !== 4 || shape[2] !== side))
      throw missing(`Its filler "bilinear" is for square kernels of four axes, and this one has the shape [${shape}].`);
    this.countMade(layer, shape);
    this.#filled.push({ layer, shape });
    const how = type === 'bilinear' ? 'bilinear interpolation' : `the constant ${value}`;
    this.notices.push({ code: 'filled-weights', message: `no ${what} is stored; it was filled with ${how}, as the net's filler says`, layer: layer.name });
    return this.#filledTensor(`${layer.name}/${i}`, shape, type === 'bilinear' ? bilinearKernel(side!) : Float32Array.of(value));
  }

  /** All values the same, or all kernels; one of them is held. */
  #filledTensor(name: string, shape: readonly number[], values: Float32Array): Tensor {
    const source = memorySource(new Uint8Array(values.buffer), this.file);
    const [side] = shape.slice(-1);
    const strides = shape.map((_, axis) => (values.length === 1 || axis < 2 ? 0 : axis === 2 ? side! : 1));
    return storedTensor({ name, dtype: 'float32', shape, source, strides, origin: { file: this.file } });
  }

  #missing(layer: CaffeLayer, i: number, what: string, why: string): ModelError {
    const error = this.#malformed(layer, `the weights have no ${what} for this ${layer.type} (blob ${i}). ${why}`);
    this.missing.add(error);
    return error;
  }

  #malformed(layer: CaffeLayer, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.file, layer: layer.name });
  }
}

/** One kernel of Caffe's BilinearFiller (since 2016; before, those of 2, 6, 10 and odd sizes were off centre). */
function bilinearKernel(side: number): Float32Array {
  const factor = Math.ceil(side / 2);
  const centre = (side - 1) / (2 * factor);
  const weight = (at: number) => 1 - Math.abs(at / factor - centre);
  return Float32Array.from({ length: side * side }, (_, i) => weight(i % side) * weight(Math.floor(i / side)));
}

function stripped(sizes: readonly number[]): string {
  const first = sizes.findIndex((size) => size !== 1);
  return first < 0 ? '' : sizes.slice(first).join();
}

function squeezed(sizes: readonly number[]): string {
  return sizes.filter((size) => size !== 1).join();
}
