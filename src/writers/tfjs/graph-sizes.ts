/** Sizes that are free when a graph model is written: it asks for them when it runs. */
import { termsOf } from '../../model/dims.js';
import type { Dim } from '../../model/layer-map.js';
import { float32Tensor } from '../../model/tensor.js';
import { FLOAT, type GraphNodes, INT, reference } from './graph-nodes.js';
import { type FileValue, inexpressible } from './target.js';

export class GraphSizes {
  readonly #graph: GraphNodes;
  /** Where free sizes are seen first. */
  readonly #seen = new Map<string, { readonly value: FileValue; readonly axis: number }>();
  readonly #shapes = new Map<string, FileValue>();
  readonly #sizes = new Map<string, FileValue>();

  constructor(graph: GraphNodes) {
    this.#graph = graph;
  }

  /** What a value has free sizes of by name. */
  see(value: FileValue, shape: readonly Dim[]): void {
    shape.forEach((size, axis) => {
      if (typeof size === 'string' && !this.#seen.has(size)) this.#seen.set(size, { value, axis });
    });
  }

  /** Whether the graph can ask for it, or work it out. */
  isKnowable(size: Dim): boolean {
    if (typeof size === 'number' || this.#seen.has(size)) return true;
    return termsOf(size)?.every(({ factors }) => factors.every((factor) => this.isKnowable(typeof factor === 'string' ? factor : factor.of))) ?? false;
  }

  /** A size as a vector of one, in float32: as the graph sees it when it runs. @throws ModelError 'unsupported' */
  #size(size: Dim): FileValue {
    if (typeof size === 'number') return this.#graph.tensor('size', float32Tensor('size', [1], [size], { file: 'weighbridge' }));
    const known = this.#sizes.get(size) ?? this.#asked(size) ?? this.#workedOut(size);
    this.#sizes.set(size, known);
    return known;
  }

  #asked(size: string): FileValue | null {
    const seen = this.#seen.get(size);
    if (!seen) return null;
    const { value, axis } = seen;
    const key = reference(value) || size;
    const shape = this.#shapes.get(key) ?? this.#graph.made('Shape', 'input_shape', [value], { T: FLOAT, out_type: INT }, [value.shape.length]);
    if (value.node.name !== '') this.#shapes.set(key, shape);
    const own = this.#graph.made('Slice', 'size', [shape, this.#graph.ints('begin', [axis]), this.#graph.ints('size', [1])], { T: INT, Index: INT }, [1]);
    return this.#graph.cast(own, 'DT_INT32', 'DT_FLOAT');
  }

  #workedOut(size: string): FileValue {
    const terms = termsOf(size);
    if (!terms) throw inexpressible(`the size "${size}" is known only when the model runs; give the sizes of the input with --input-shape`);
    const one = (op: string, a: FileValue, b: FileValue) => this.#graph.made(op, 'size', [a, b], { T: FLOAT }, [1]);
    const divided = (of: Dim, by: number) => this.#graph.made('Floor', 'size', [one('RealDiv', this.#size(of), this.#size(by))], { T: FLOAT }, [1]);
    const products = terms.map(({ coefficient, factors }) => {
      const sizes = factors.map((factor) => (typeof factor === 'string' ? this.#size(factor) : divided(factor.of, factor.by)));
      return (coefficient === 1 && sizes.length > 0 ? sizes : [...sizes, this.#size(coefficient)]).reduce((a, b) => one('Mul', a, b));
    });
    return products.reduce((a, b) => one('AddV2', a, b));
  }

  /** Whole numbers as a vector: sizes that may be free, and vectors of one in float32. @throws ModelError 'unsupported' */
  vector(parts: readonly (Dim | FileValue)[]): FileValue {
    if (parts.every((part) => typeof part === 'number')) return this.#graph.ints('shape', parts as readonly number[]);
    const values: FileValue[] = [];
    for (let i = 0; i < parts.length; i++) {
      const numbers: number[] = [];
      while (typeof parts[i] === 'number') numbers.push(parts[i++] as number);
      if (numbers.length > 0) values.push(this.#graph.ints('sizes', numbers));
      const part = parts[i];
      if (part !== undefined) values.push(this.#graph.cast(typeof part === 'object' ? part : this.#size(part), 'DT_FLOAT', 'DT_INT32'));
    }
    if (values.length === 1) return values[0]!;
    const inputs = [...values, this.#graph.int('axis', 0)];
    return this.#graph.made('ConcatV2', 'shape', inputs, { T: INT, Tidx: INT, N: { i: String(values.length) } }, [parts.length]);
  }
}
