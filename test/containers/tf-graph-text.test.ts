/** Graphs of TensorFlow as text: the same as in bytes. */
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readGraphDef } from '../../src/containers/tf-graph.js';
import { encodeGraphText } from '../../src/containers/tf-graph-text.js';
import { isModelError } from '../../src/errors.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

const read = async (text: string) => readGraphDef(memorySource(encodeGraphText(text, 'x.pbtxt'), 'x.pbtxt'));

const GRAPH = String.raw`
# as tf.io.write_graph writes it
node {
  name: "x"
  op: "Placeholder"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: -1 } dim { size: 2 } } } }
}
node {
  name: "w"
  op: "Const"
  device: "/device:CPU:0"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr {
    key: "value"
    value {
      tensor {
        dtype: DT_FLOAT
        tensor_shape { dim { size: 2 } dim { size: 2 } }
        tensor_content: "\000\000\200?\000\000\000@\315\314\214?"
          "\000\000 \301"
      }
    }
  }
}
node { name: "b" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: 0.5 float_val: -1e-1 } } } }
node { name: "m" op: "MatMul" input: "x" input: "w" attr { key: "T" value { type: DT_FLOAT } } attr { key: "transpose_a" value { b: false } } attr { key: "transpose_b" value { b: true } } }
node { name: "y" op: "BiasAdd" input: "m" input: "b:0" input: "^w" attr { key: "T" value { type: DT_FLOAT } } attr { key: "data_format" value { s: "NHWC" } } }
library { }
versions { producer: 1987 min_consumer: 12 }
`;

describe('a graph as text', () => {
  it('holds nodes, attributes and constants as one of bytes does', async () => {
    const { nodes, producer } = await read(GRAPH);
    expect([producer, nodes.map(({ name, op }) => `${name} ${op}`)]).toEqual([1987, ['x Placeholder', 'w Const', 'b Const', 'm MatMul', 'y BiasAdd']]);
    expect(nodes[0]!.attributes.get('shape')).toEqual({ kind: 'shape', value: [-1, 2] });
    expect(nodes[3]!.attributes.get('transpose_b')).toEqual({ kind: 'bool', value: true });
    expect(nodes[4]).toMatchObject({
      inputs: [
        { node: 'm', output: 0 },
        { node: 'b', output: 0 },
      ],
      control: ['w'],
    });
    const values = await Promise.all(
      nodes.slice(1, 3).map(async ({ attributes }) => {
        const value = attributes.get('value');
        return value?.kind === 'tensor' && [...toFloat64Array(await tensorBytes(value.value!), 'float32')];
      }),
    );
    expect(values).toEqual([
      [1, 2, Math.fround(1.1), -10],
      [0.5, Math.fround(-0.1)],
    ]);
  });

  it('has lists, integers of any spelling, halves, doubles, strings of other letters, and functions', async () => {
    const { nodes, functions } = await read(String.raw`
      node { name: "na\303\257ve" op: "A" attr { key: "ints" value { list { i: 1 i: -2 i: 0x10 i: 9007199254740993 } } }
        attr { key: "types" value { list { type: DT_INT64 type: DT_FLOAT_REF } } } attr { key: "f" value { f: 1.5f } } attr { key: "none" value { f: -inf } } }
      node { name: "ï" op: "Const" attr { key: "value" value { tensor { dtype: DT_HALF tensor_shape { dim { size: 2 } } half_val: 15360 half_val: 16384 } } } }
      node { name: "d" op: "Const" attr: { key: "value" value: { tensor: { dtype: DT_DOUBLE tensor_shape: { } double_val: 0.1 } } } }
      library { function { signature { name: "f" input_arg { name: "a" type: DT_FLOAT } output_arg { name: "r" type: DT_FLOAT } }
        node_def { name: "n" op: "Neg" input: "a" } ret { key: "r" value: "n:y:0" } attr { key: "_noinline" value { b: true } } } }`);
    expect(nodes.map(({ name }) => name)).toEqual(['naïve', 'ï', 'd']);
    const list = nodes[0]!.attributes.get('ints');
    expect(list?.kind === 'list' && list.value.map((item) => item.kind === 'int' && item.value)).toEqual([1, -2, 16, 9007199254740992]);
    expect(nodes[0]!.attributes.get('f')).toEqual({ kind: 'float', value: 1.5 });
    expect(nodes[0]!.attributes.get('none')).toEqual({ kind: 'float', value: Number.NEGATIVE_INFINITY });
    const constants = await Promise.all(
      nodes.slice(1).map(async ({ attributes }) => {
        const value = attributes.get('value');
        return value?.kind === 'tensor' && [...toFloat64Array(await tensorBytes(value.value!), value.value!.dtype)];
      }),
    );
    expect(constants).toEqual([[1, 2], [0.1]]);
    expect(functions.get('f')).toMatchObject({ arguments: ['a'], results: [['r', 'n:y:0']], nodes: [{ op: 'Neg' }] });
  });

  it.each([
    ['node { name: "a" op: "B" colour: 3 }', /line 1: "colour"/],
    ['node { name: 3 op: "B" }', /"name" is a string/],
    ['node {\n name: "a" op: "B" attr { key: "k" value { i: "7" } } }', /line 2: "i"/],
    ['node { name: "a" op: "B" attr { key: "k" value { i: 1.5 } } }', /"i" is an integer/],
    ['node { name: "a" op: "B" attr { key: "k" value: 7 } }', /"value" is a message/],
    ['node { name: "a" op: "B" attr { key: "k" value { f: wide } } }', /"f" is a number/],
    ['node { name: "a"', /file ends/],
  ])('%s is an error that says where', async (text, words) => {
    const error = await read(text).catch((one) => one);
    expect([isModelError(error, 'malformed'), error.message]).toEqual([true, expect.stringMatching(words)]);
  });

  it('without the weights that its nodes read, as OpenCV has them, is answered with the file that has them', async () => {
    const text = GRAPH.replace(/node \{\n {2}name: "w"[\s\S]*?\n\}\n/, '').replace(/node \{ name: "b".*\n/, '');
    const error = await convertInMemory(memoryFileSet({ 'graph.pbtxt': new TextEncoder().encode(text) }, 'graph.pbtxt')).catch((one) => one);
    expect([isModelError(error, 'unsupported'), error.message]).toEqual([true, expect.stringMatching(/no weights.*name the \.pb/)]);
  });

  it('converts, and gives what its bytes give', async () => {
    const { bytes } = await convertInMemory(memoryFileSet({ 'graph.pbtxt': new TextEncoder().encode(GRAPH) }, 'graph.pbtxt'));
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(3, 1) }])).values();
    expect([...output!.data]).toEqual([5.5, expect.closeTo(3.3 - 10 - 0.1, 5)]);
  });
});
