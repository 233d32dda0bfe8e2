/** A net of thousands of small layers, as exporters write them: what reading, transforming and writing a graph costs beside its weights. */
import { writeFileSync } from 'node:fs';

/** Nodes of the file. */
export const NODE_COUNT = 5000;

/** Blocks of a convolution, a normalisation, an activation and a sum, one behind the other. */
export async function makeManyNodes(path) {
  const { makeLayer } = await import('../dist/layers.js');
  const { memorySink, storedTensor, memorySource, writers } = await import('../dist/index.js');
  const tensor = (name, shape, value) => {
    const bytes = new Uint8Array(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value + (i % 7) / 100).buffer);
    return storedTensor({ name, dtype: 'float32', shape, source: memorySource(bytes, 'made'), origin: { file: 'made' } });
  };
  const layers = [];
  let x = 'x';
  const add = (op, inputs, attributes = {}, weights = {}) => {
    const name = `${op}_${layers.length}`;
    layers.push(makeLayer({ name, op, inputs, outputs: [name], attributes, weights }));
    return name;
  };
  while (layers.length < NODE_COUNT) {
    const n = layers.length;
    const conv = add('Conv', [x], { pads: [1, 1, 1, 1] }, { kernel: tensor(`${n}.weight`, [4, 4, 3, 3], 0.01), bias: tensor(`${n}.bias`, [4], 0) });
    const of = (role, value) => tensor(`${n}.${role}`, [4], value);
    const statistics = { scale: of('scale', 1), bias: of('shift', 0), mean: of('mean', 0), variance: of('variance', 1) };
    x = add('Add', [add('Relu', [add('BatchNormalization', [conv], {}, statistics)]), x]);
  }
  const port = (name, value) => ({ name, value, dtype: 'float32', shape: ['N', 4, 8, 8], layout: 'nchw' });
  const map = { name: 'many', format: 'made', producer: null, architecture: null, inputs: [port('x', 'x')], outputs: [port('y', x)], layers, warnings: [] };
  const sink = memorySink();
  await writers.find(({ name }) => name === 'onnx').write(map, sink, 'many.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  writeFileSync(path, sink.files.get('many.onnx'));
}
