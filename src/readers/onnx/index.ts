/** Reads ONNX files for `inspect` and for the comparison of weights after a conversion. */
import { ModelError } from '../../errors.js';
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

  async read(files) {
    const name = files.main!;
    const { readOnnxModel } = await import('../../containers/onnx.js');
    const model = await readOnnxModel(files, name);
    const opsets = [...model.opsets].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`).join(', ');
    const consumers = new Map(model.nodes.flatMap((node) => node.inputs.map((input) => [input, node.name || node.op] as const)));
    return {
      format: 'onnx',
      producer: model.producer || null,
      tensors: [...model.initializers.values()].map((tensor) => ({ tensor, layer: consumers.get(tensor.name) ?? null })),
      details: {
        'IR version': String(model.irVersion),
        opset: opsets || 'not said',
        nodes: String(model.nodes.length),
        inputs: model.inputs.map(({ name: input, shape }) => `${input} [${shape ?? '?'}]`).join(', '),
        outputs: model.outputs.map(({ name: output, shape }) => `${output} [${shape ?? '?'}]`).join(', '),
        ...Object.fromEntries(model.metadata),
      },
      warnings: [],
      files: [name, ...model.externalFiles],
      map: async () => {
        throw new ModelError('unsupported', 'ONNX files are inspected and verified, but not yet converted: their nodes are not translated into the layer map', {
          file: name,
        });
      },
    };
  },
};
