/** Compares the weights of a written ONNX file with those of the layer map, tensor by tensor and bit for bit. */
import { castTensor } from '../model/cast.js';
import type { LayerMap } from '../model/layer-map.js';
import { elementCount, permute, type Tensor, tensorChunks } from '../model/tensor.js';
import type { ReadModel, ReadNode } from '../readers/onnx/graph.js';
import type { Report, WeightMismatch } from './report.js';

/**
 * Every weight of every layer must be in the file, under the node of the layer's name, with the values that rounding to the
 * stored dtype gives. A net whose biases are all zero would hide a dropped bias from any comparison of outputs.
 */
export async function compareWeights(
  map: LayerMap,
  written: ReadModel,
  onProgress?: (done: number, total: number) => void,
): Promise<NonNullable<Report['weights']>> {
  const nodes = new Map(written.nodes.map((node) => [node.name, node]));
  const casts = new Map(written.nodes.filter(({ op }) => op === 'Cast').map((node) => [node.outputs[0]!, node.inputs[0]!]));
  const pairs = map.layers.flatMap((layer) => Object.entries(layer.weights).map(([role, tensor]) => ({ layer, role, tensor })));
  const mismatches: WeightMismatch[] = [];
  let done = 0;
  for (const { layer, role, tensor } of pairs) {
    const node = nodes.get(layer.name);
    const found = node && findWeight(node, layer.inputs.length, Object.keys(layer.weights).indexOf(role), written, casts);
    const message = found ? await firstDifference(tensor, orient(found, node, role)) : `the file has no ${role} for it`;
    if (message) mismatches.push({ layer: layer.name, role, message: `layer "${layer.name}", ${role}: ${message}` });
    onProgress?.(++done, pairs.length);
  }
  return { compared: pairs.length, equal: pairs.length - mismatches.length, mismatches };
}

function findWeight(node: ReadNode, activations: number, position: number, written: ReadModel, casts: ReadonlyMap<string, string>): Tensor | undefined {
  const at = node.op === 'Gather' ? 0 : activations + position;
  const name = node.inputs[at];
  if (name === undefined) return undefined;
  return written.initializers.get(name) ?? written.initializers.get(casts.get(name) ?? '');
}

/** A Gemm without transB holds its kernel as [in, out]. */
function orient(tensor: Tensor, node: ReadNode, role: string): Tensor {
  return node.op === 'Gemm' && role === 'kernel' && node.attributes.get('transB') !== 1 ? permute(tensor, [1, 0]) : tensor;
}

async function firstDifference(source: Tensor, stored: Tensor): Promise<string | null> {
  if (source.shape.join() !== stored.shape.join()) return `has the shape [${stored.shape}], expected [${source.shape}]`;
  // Reading both in the stored order keeps a large transposed kernel from being turned twice.
  const [first, second] = stored.walk.axes.length === 2 && isTransposed(stored) ? [permute(source, [1, 0]), permute(stored, [1, 0])] : [source, stored];
  const expected = castTensor(first, stored.dtype);
  const left = tensorChunks(expected)[Symbol.asyncIterator]();
  const right = tensorChunks(second)[Symbol.asyncIterator]();
  let position = 0;
  let [a, b] = [new Uint8Array() as Uint8Array, new Uint8Array() as Uint8Array];
  const total = elementCount(stored.shape);
  for (;;) {
    if (a.byteLength === 0) a = ((await left.next()).value as Uint8Array | undefined) ?? a;
    if (b.byteLength === 0) b = ((await right.next()).value as Uint8Array | undefined) ?? b;
    const length = Math.min(a.byteLength, b.byteLength);
    if (length === 0) return a.byteLength === b.byteLength ? null : `the file holds another number of bytes than the ${total} values of the source`;
    for (let i = 0; i < length; i++) {
      if (a[i] !== b[i]) return `differs from the source at byte ${position + i} of its ${stored.dtype} values`;
    }
    a = a.subarray(length);
    b = b.subarray(length);
    position += length;
  }
}

function isTransposed({ walk }: Tensor): boolean {
  return (walk.axes[0]?.[0]?.stride ?? 0) === 1 && (walk.axes[1]?.[0]?.stride ?? 0) !== 1;
}
