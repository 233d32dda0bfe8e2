/** Layers that bring several values together, or one sample's values down to few. */
import type { CaffeBuilder } from '../builder.js';
import type { CaffeLayer } from '../topology.js';
import { ANY, type Rule } from './rule.js';

const ELTWISE_OPS: Readonly<Record<string, string>> = { SUM: 'Add', PROD: 'Mul', MAX: 'Max' };

export const eltwise: Rule = {
  block: 'eltwise_param',
  bottoms: [2, ANY],
  build(builder, layer, params) {
    const operation = params.word('operation', 'SUM');
    const coefficients = params.numbers('coeff');
    if (coefficients.length > 0 && (operation !== 'SUM' || coefficients.length !== layer.bottoms.length))
      throw builder.malformed(layer, `${coefficients.length} coefficients for ${operation} of ${layer.bottoms.length} blobs; a SUM may have one for each`);
    sameShapes(builder, layer);
    const inputs = builder
      .inputs(layer)
      .map((value, i) => ((coefficients[i] ?? 1) === 1 ? value : builder.withScalar(layer, `${layer.name}/coeff${i}`, 'Mul', value, coefficients[i]!)));
    const result = inputs
      .slice(1)
      .reduce(
        (left, right, i) => builder.add(layer, i === inputs.length - 2 ? layer.name : `${layer.name}/${i}`, ELTWISE_OPS[operation]!, [left, right]),
        inputs[0]!,
      );
    builder.output(layer, result);
  },
};

/** Runtimes would broadcast what Caffe refuses. */
function sameShapes(builder: CaffeBuilder, layer: CaffeLayer): void {
  const shapes = layer.bottoms.map((_, i) => builder.inputShape(layer, i).join());
  if (new Set(shapes).size > 1) throw builder.malformed(layer, `${layer.type} of blobs of different shapes: ${shapes.map((shape) => `[${shape}]`).join(', ')}`);
}

/** a * x + y with a factor for each channel of each sample (squeeze and excitation). */
export const axpy: Rule = {
  block: null,
  bottoms: [3, 3],
  build(builder, layer) {
    const [factor, x, y] = builder.inputs(layer) as [string, string, string];
    const shape = builder.shapeOf(x);
    const factors = builder.shapeOf(factor);
    const wanted = [...shape.slice(0, 2), ...shape.slice(2).map(() => 1)];
    if (shape.join() !== builder.shapeOf(y).join() || (factors.join() !== shape.slice(0, 2).join() && factors.join() !== wanted.join()))
      throw builder.malformed(layer, `Axpy of blobs of the shapes [${factors}], [${shape}] and [${builder.shapeOf(y)}]`);
    const aligned = factors.length === wanted.length ? factor : builder.reshape(layer, `${layer.name}/factors`, factor, wanted);
    const product = builder.add(layer, `${layer.name}/product`, 'Mul', [x, aligned]);
    builder.output(layer, builder.add(layer, layer.name, 'Add', [product, y]));
  },
};

/** All axes from one on become one number. */
export const reduction: Rule = {
  block: 'reduction_param',
  build(builder, layer, params) {
    const { name } = layer;
    const rank = builder.inputShape(layer).length;
    const axis = builder.axis(layer, params.number('axis', 0));
    const coefficient = params.number('coeff', 1);
    const operation = params.word('operation', 'SUM');
    if (axis === 0) throw builder.unsupported(layer, 'a Reduction with axis 0, which makes one number of all samples of a batch');
    let value = builder.input(layer);
    if (operation === 'ASUM') value = builder.add(layer, `${name}/abs`, 'Abs', [value]);
    if (operation === 'SUMSQ') value = builder.add(layer, `${name}/square`, 'Mul', [value, value]);
    const attributes = { axes: Array.from({ length: rank - axis }, (_, i) => axis + i), keepdims: 0 };
    const reduced = builder.add(layer, coefficient === 1 ? name : `${name}/sum`, operation === 'MEAN' ? 'ReduceMean' : 'ReduceSum', [value], { attributes });
    builder.output(layer, coefficient === 1 ? reduced : builder.withScalar(layer, name, 'Mul', reduced, coefficient));
  },
};

/**
 * Where the largest value lies, as a number: along an axis, or in a sample with all its axes taken together. With out_max_val the value
 * itself, in the first case instead of the number and in the second behind it. Of several equal values Caffe's sorting takes the last.
 */
export const argMax: Rule = {
  block: 'argmax_param',
  build(builder, layer, params) {
    const { name } = layer;
    const input = builder.input(layer);
    const shape = builder.shapeOf(input);
    const withValue = params.flag('out_max_val', false);
    const count = params.number('top_k', 1);
    if (count !== 1) throw builder.unsupported(layer, `an ArgMax of the ${count} largest values`);
    const numbered = (value: string, axis: number, last: string) => {
      const at = builder.add(layer, `${name}/place`, 'ArgMax', [value], { attributes: { axis, keepdims: 1, select_last_index: 1 } });
      return builder.add(layer, last, 'Cast', [at], { attributes: { to: 'float32' } });
    };
    if (params.has('axis')) {
      const axis = builder.axis(layer, params.number('axis', 0));
      const attributes = { axes: [axis], keepdims: 1 };
      builder.output(layer, withValue ? builder.add(layer, name, 'ReduceMax', [input], { attributes }) : numbered(input, axis, name));
      return;
    }
    const flat = shape.length === 2 ? input : builder.add(layer, `${name}/flatten`, 'Flatten', [input]);
    let found = numbered(flat, 1, `${name}/number`);
    if (withValue) {
      const value = builder.add(layer, `${name}/value`, 'ReduceMax', [flat], { attributes: { axes: [1], keepdims: 1 } });
      found = builder.add(layer, `${name}/pair`, 'Concat', [found, value], { attributes: { axis: 1 } });
    }
    const target = [shape[0]!, withValue ? 2 : 1, ...new Array<number>(Math.max(1, shape.length - 2)).fill(1)];
    builder.output(layer, builder.reshape(layer, name, found, target));
  },
};
