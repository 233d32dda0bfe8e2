/** What a rule is: how one type of Caffe layer becomes operators of the layer map. */
import type { CaffeBuilder, Step } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';

export interface Rule {
  /** Name of the layer's parameter message; null for a layer without one. */
  readonly block: string | null;
  /** How many blobs it reads and makes, least and most; one where left out. */
  readonly bottoms?: readonly [number, number];
  readonly tops?: readonly [number, number];
  /**
   * Appends the layer's operators and says what its tops stand for.
   *
   * @param params of the layer's own message; what is not asked for is an obstacle, unless it is known to be without effect
   * @throws ModelError for what has no translation
   */
  build(builder: CaffeBuilder, layer: CaffeLayer, params: Params): void;
}

export const ANY = Number.POSITIVE_INFINITY;

/** A rule for a layer of one input and one output, of one operator. */
export function simple(block: string | null, make: (params: Params, builder: CaffeBuilder, layer: CaffeLayer) => Step & { readonly op: string }): Rule {
  return {
    block,
    build(builder, layer, params) {
      const { op, ...step } = make(params, builder, layer);
      builder.output(layer, builder.add(layer, layer.name, op, [builder.input(layer)], step));
    },
  };
}
