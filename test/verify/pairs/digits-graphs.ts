/** The digits net as TensorFlow and TensorFlow Lite have it: what has no writer is made of the layer map here. */
import type { Layer, LayerMap } from '../../../src/model/layer-map.js';
import { permute, type Tensor } from '../../../src/model/tensor.js';
import { toArray } from '../../../src/verify/array.js';
import { byte, int, ints, type LiteOperator, type LiteTensor, float as liteFloat, liteModel, table } from '../../lite-models.js';
import { float, type GraphNode, graphDef, int32, placeholder, type Weight } from '../../tf-graphs.js';

const values = async (tensor: Tensor): Promise<number[]> => [...((await toArray(tensor)).data as Float32Array)];

/** A frozen GraphDef: pictures with their channels last, turned before they are flattened. */
export async function digitsGraph({ layers }: LayerMap): Promise<Uint8Array> {
  const weights: Record<string, Weight> = {};
  const nodes: GraphNode[] = [placeholder('input', [-1, 32, 32, 3])];
  const store = async (name: string, tensor: Tensor) => {
    weights[name] = { dtype: 'float32', shape: tensor.shape, values: await values(tensor) };
    return name;
  };
  let last = 'input';
  const add = (op: string, name: string, more: readonly string[] = [], attr: GraphNode['attr'] = {}) => {
    nodes.push({ name, op, input: [last, ...more], attr: { T: float, ...attr } });
    last = name;
  };
  const windowed = { strides: { ints: [1, 1, 1, 1] }, padding: { s: 'SAME' }, data_format: { s: 'NHWC' } };
  for (const [i, { op, weights: own }] of layers.entries()) {
    const name = `${op}${i}`;
    if (op === 'Conv') {
      add('Conv2D', `${name}/conv`, [await store(`${name}/kernel`, permute(own.kernel!, [2, 3, 1, 0]))], { ...windowed, dilations: { ints: [1, 1, 1, 1] } });
      add('BiasAdd', name, [await store(`${name}/bias`, own.bias!)]);
    } else if (op === 'Gemm') {
      add('MatMul', `${name}/product`, [await store(`${name}/kernel`, permute(own.kernel!, [1, 0]))], { transpose_a: { b: false }, transpose_b: { b: false } });
      add('BiasAdd', name, [await store(`${name}/bias`, own.bias!)]);
    } else if (op === 'MaxPool') add('MaxPool', name, [], { ...windowed, ksize: { ints: [1, 2, 2, 1] }, strides: { ints: [1, 2, 2, 1] } });
    else if (op === 'Flatten') {
      weights.turn = { dtype: 'int32', shape: [4], values: [0, 3, 1, 2] };
      weights.flat = { dtype: 'int32', shape: [2], values: [-1, 512] };
      add('Transpose', `${name}/turned`, ['turn'], { Tperm: int32 });
      add('Reshape', name, ['flat'], { Tshape: int32 });
    } else if (op === 'Relu' || op === 'Softmax') add(op, name);
    else throw new Error(`the digits net has no ${op}`);
  }
  return graphDef({ nodes, weights, inputs: ['input'], outputs: [last] });
}

/** A FlatBuffer of operators with their activations. */
export async function digitsLite({ layers }: LayerMap): Promise<Uint8Array> {
  const tensors: LiteTensor[] = [{ name: 'input', shape: [1, 32, 32, 3], signature: [-1, 32, 32, 3], type: 0 }];
  const operators: LiteOperator[] = [];
  const push = (tensor: LiteTensor) => tensors.push(tensor) - 1;
  const constant = async (name: string, tensor: Tensor) =>
    push({ name, shape: tensor.shape, type: 0, data: new Uint8Array(Float32Array.from(await values(tensor)).buffer) });
  const whole = (name: string, numbers: readonly number[]) =>
    push({ name, shape: [numbers.length], type: 2, data: new Uint8Array(Int32Array.from(numbers).buffer) });
  let last = 0;
  const add = (code: number, shape: readonly number[], more: readonly number[], options?: LiteOperator['options']) => {
    const made = push({ name: `made by ${operators.length}`, shape, signature: [-1, ...shape.slice(1)], type: 0 });
    operators.push({ code, inputs: [last, ...more], outputs: [made], ...(options ? { options } : {}) });
    last = made;
  };
  const activation = (next: Layer | undefined) => byte(next?.op === 'Relu' ? 1 : 0);
  let [size, channels] = [32, 3];
  for (const [i, { op, weights: own }] of layers.entries()) {
    const fused = activation(layers[i + 1]);
    if (op === 'Conv') {
      channels = own.kernel!.shape[0]!;
      const more = [await constant(`kernel${i}`, permute(own.kernel!, [0, 2, 3, 1])), await constant(`bias${i}`, own.bias!)];
      add(3, [1, size, size, channels], more, table(byte(0), int(1), int(1), fused));
    } else if (op === 'MaxPool') {
      size /= 2;
      add(17, [1, size, size, channels], [], table(byte(0), int(2), int(2), int(2), int(2), byte(0)));
    } else if (op === 'Flatten') {
      add(39, [1, channels, size, size], [whole('turn', [0, 3, 1, 2])], table());
      add(22, [1, channels * size * size], [whole('flat', [-1, channels * size * size])], table({ child: ints([-1, channels * size * size]) }));
    } else if (op === 'Gemm') {
      add(9, [1, own.kernel!.shape[0]!], [await constant(`kernel${i}`, own.kernel!), await constant(`bias${i}`, own.bias!)], table(fused));
    } else if (op === 'Softmax') add(25, tensors[last]!.shape, [], table(liteFloat(1)));
    else if (op !== 'Relu') throw new Error(`the digits net has no ${op}`);
  }
  return liteModel(tensors, operators, [0], [last]);
}
