/** Where what a coded kernel gives too little, on average, is given back: its bias, or the mean of the batch normalisation that alone reads it. */
import { castTensor, toFloat32Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { readersOf } from '../model/ops/index.js';
import { float32Tensor, type Tensor, tensorBytes } from '../model/tensor.js';
import { standIn } from './stand-in.js';

export interface Mend {
  readonly tensor: Tensor;
  /** What is missing is added to a bias, and taken off a mean. */
  readonly sign: 1 | -1;
}

/** For each layer that has one. A tensor that several layers have is none, but for biases, which each kernel has of its own by now. */
export function mendsOf({ layers, outputs }: LayerMap): ReadonlyMap<Layer, Mend> {
  const readers = readersOf(layers);
  const uses = new Map<Tensor, number>();
  for (const { weights } of layers) for (const tensor of Object.values(weights)) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  const shown = new Set(outputs.map(({ value }) => value));
  const found = new Map<Layer, Mend>();
  for (const layer of layers) {
    const { kernel, bias } = layer.weights;
    if (!kernel) continue;
    const channels = kernel.shape[0];
    const [value = ''] = layer.outputs;
    const [next, ...others] = readers.get(value) ?? [];
    const mean = next?.op === 'BatchNormalization' && others.length === 0 && !shown.has(value) ? next.weights.mean : undefined;
    const fits = (tensor: Tensor | undefined) => tensor?.dtype === 'float32' && tensor.shape.join() === String(channels);
    if (fits(bias)) found.set(layer, { tensor: bias!, sign: 1 });
    else if (!bias && fits(mean) && uses.get(mean!) === 1) found.set(layer, { tensor: mean!, sign: -1 });
  }
  return found;
}

/** @param means what each channel gives less than it should */
export async function mended({ tensor, sign }: Mend, means: Float64Array): Promise<Tensor> {
  const values = toFloat32Array(await tensorBytes(castTensor(tensor, 'float32')), 'float32');
  const made = float32Tensor(
    tensor.name,
    tensor.shape,
    values.map((value, i) => value + sign * means[i]!),
    tensor.origin,
  );
  return standIn(tensor, made, 'float32, corrected');
}
