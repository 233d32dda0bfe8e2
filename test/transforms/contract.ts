/** What every transform is held to: the same outputs as before, by the float64 evaluator. */
import { GraphBuilder, type Value } from '../../src/model/builder.js';
import { toFloat64Array } from '../../src/model/cast.js';
import type { Dim, LayerMap, Layout } from '../../src/model/layer-map.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';

const ORIGIN = { file: 'made' };

/** Numbers of about -1 to 1, other ones for another seed. */
export function noise(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * (seed + 0.37)) * 0.9);
}

export class Net {
  readonly build = new GraphBuilder(ORIGIN);
  #seed = 1;
  readonly #inputs: { value: Value; shape: readonly Dim[]; layout: Layout }[] = [];

  input(shape: readonly Dim[], layout: Layout = shape.length === 4 ? 'nchw' : 'other', name = 'x'): Value {
    const value = this.build.input(name, 'float32', layout === 'nhwc' ? [shape[0]!, shape[3]!, shape[1]!, shape[2]!] : shape);
    this.#inputs.push({ value, shape, layout });
    return value;
  }

  /** @param shift of all values, so that variances are positive */
  weight(name: string, shape: readonly number[], shift = 0): Value {
    const values = noise(
      shape.reduce((a, b) => a * b, 1),
      this.#seed++,
    );
    return this.build.constant(
      float32Tensor(
        name,
        shape,
        values.map((value) => (shift === 0 ? value : shift + value / 2)),
        ORIGIN,
      ),
    );
  }

  numbers(name: string, shape: readonly number[], values: readonly number[]): Value {
    return this.build.constant(float32Tensor(name, shape, values, ORIGIN));
  }

  norm(x: Value, name: string, channels: number, epsilon = 1e-3): Value {
    const one = (role: string, shift = 0) => this.weight(`${name}.${role}`, [channels], shift);
    return this.build.add('BatchNormalization', [x, one('scale', 1), one('bias'), one('mean'), one('variance', 1)], { epsilon }, name);
  }

  map(...outputs: readonly Value[]): LayerMap {
    const layers = this.build.finish(outputs);
    return {
      name: 'net',
      format: 'made',
      producer: null,
      architecture: null,
      inputs: this.#inputs.map(({ value, shape, layout }) => ({ name: value.name, value: value.name, dtype: 'float32', shape, layout })),
      outputs: outputs.map((value) => ({ name: `out:${value.name}`, value: value.name, dtype: 'float32', shape: value.shape!, layout: 'other' })),
      layers,
      warnings: [],
    };
  }
}

/** What a map makes of the generated inputs of another one, or its own. */
export async function outputsOf(map: LayerMap, like: LayerMap = map): Promise<Float64Array[]> {
  const feeds = generateSample(like.inputs, 0, 3);
  const values = await runLayers(map, feeds, () => {});
  return values.map(({ data }) => Float64Array.from(data as ArrayLike<number>, Number));
}

/** The largest difference of all outputs, as a share of the largest expected value. */
export async function distance(actual: LayerMap, expected: LayerMap): Promise<number> {
  const [a, b] = [await outputsOf(actual, expected), await outputsOf(expected)];
  if (a.length !== b.length || a.some((values, i) => values.length !== b[i]!.length)) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...b.map(
      (values, i) =>
        values.reduce((most, value, j) => Math.max(most, Math.abs(value - a[i]![j]!)), 0) / (values.reduce((m, v) => Math.max(m, Math.abs(v)), 0) || 1),
    ),
  );
}

export async function valuesOf(tensor: Tensor): Promise<number[]> {
  return [...toFloat64Array(await tensorBytes(tensor), tensor.dtype)];
}

export const opsOf = (map: LayerMap): string[] => map.layers.map(({ op }) => op);
