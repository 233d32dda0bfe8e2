/**
 * Records what OpenCV's own Caffe importer predicts for four inputs from the original vgg16.caffemodel, as `vgg16.golden.npz`: a
 * witness that shares no code with our readers, so that the benchmark needs neither Caffe nor Python.
 */
import { join } from 'node:path';

const SAMPLES = 4;
const SIDE = 224;
const INPUT = { name: 'data', value: 'data', dtype: 'float32', shape: ['N', 3, SIDE, SIDE], layout: 'nchw' };

export const GOLDEN = 'vgg16.golden.npz';

/** @param folder with vgg16.caffemodel and vgg16.prototxt */
export async function recordVgg16(folder) {
  const built = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);
  const [{ opencv }, { generateSample }, { npz }, { float32Tensor }, { fileSink, nodeFileSet }] = await Promise.all(
    ['verify/engines/opencv.js', 'verify/inputs.js', 'writers/npz.js', 'model/tensor.js', 'node/index.js'].map(built),
  );
  const files = await nodeFileSet(join(folder, 'vgg16.caffemodel'));
  const session = await opencv.open({ files, prototxt: 'vgg16.prototxt' });
  const recorded = { input: [], output: [] };
  for (let sample = 0; sample < SAMPLES; sample++) {
    const [picture] = generateSample([INPUT], sample, 1);
    const results = await session.run(new Map([[INPUT.name, picture]]));
    recorded.input.push(picture.data);
    recorded.output.push([...results.values()][0].data);
  }
  await session.close();
  await files.close();
  const joined = (arrays) => Float32Array.from(arrays.flatMap((array) => [...array]));
  const tensors = [
    float32Tensor('input', [SAMPLES, 3, SIDE, SIDE], joined(recorded.input), { file: GOLDEN }),
    float32Tensor('output', [SAMPLES, recorded.output[0].length], joined(recorded.output), { file: GOLDEN }),
  ];
  const sink = await fileSink(join(folder, GOLDEN), { force: true });
  try {
    await npz.write(tensors, sink, GOLDEN, { dtype: 'source', layout: 'source', metadata: async () => ({}) });
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
