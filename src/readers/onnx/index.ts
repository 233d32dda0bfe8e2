/** Recognises ONNX files. */
import type { Reader } from '../reader.js';

/** Field 1 (ir_version) as a varint is how every writer begins; 8 (opset_import) or 7 (graph) where the version is left out. */
const FIRST_TAGS: ReadonlySet<number> = new Set([0x08, 0x42, 0x3a]);

export const onnx: Reader = {
  name: 'onnx',
  title: 'ONNX',
  extensions: ['.onnx'],
  options: ['inference', 'inputShape'],

  async match({ head, source }) {
    if (!source || !FIRST_TAGS.has(head[0] ?? 0)) return false;
    // ir_version is a small number, and a known field of ModelProto follows it.
    if (head[0] === 0x08) return head[1]! < 64 && !holdsMessage(head) && [0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42, 0x28, 0x72].includes(head[2] ?? 0);
    // An operator set has a domain or a version; a graph begins with any of its fields.
    const inside = head[1 + varintLength(head, 1)] ?? 0;
    return head[0] === 0x42 ? inside === 0x0a || inside === 0x10 : [0x0a, 0x12, 0x2a, 0x52, 0x5a, 0x62, 0x6a, 0x72].includes(inside);
  },

  async read(files, options) {
    return (await import('./model.js')).readOnnx(files, options);
  },
};

/** Whether the second field, in ONNX the producer's name, is a message: the description of a Core ML model, the graph of a SavedModel. */
function holdsMessage(head: Uint8Array): boolean {
  if (head[2] !== 0x12) return false;
  return head[3] !== 0 && (head[3 + varintLength(head, 3)] ?? 0x20) < 0x20;
}

function varintLength(head: Uint8Array, at: number): number {
  let length = 1;
  while (head[at + length - 1]! >= 0x80) length++;
  return length;
}
