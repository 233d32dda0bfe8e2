/** Recognises ONNX files. */
import type { Reader } from '../reader.js';

/** Field 1 (ir_version) as a varint is how every writer begins; 8 (opset_import) or 7 (graph) where the version is left out. */
const FIRST_TAGS: ReadonlySet<number> = new Set([0x08, 0x42, 0x3a]);

export const onnx: Reader = {
  name: 'onnx',
  title: 'ONNX',
  extensions: ['.onnx'],

  async match({ head, source }) {
    if (!source || !FIRST_TAGS.has(head[0] ?? 0)) return false;
    // ir_version is a small number, and a known field of ModelProto follows it.
    if (head[0] === 0x08) return head[1]! < 64 && [0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42, 0x28, 0x72].includes(head[2] ?? 0);
    return head.byteLength > 2;
  },

  async read(files, options) {
    return (await import('./model.js')).readOnnx(files, options);
  },
};
