/** Published trained nets with labelled pictures, read in place where they are: what shrinking costs them. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readNpz } from '../../src/containers/npy.js';
import { convert } from '../../src/convert.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { toArray } from '../../src/verify/array.js';
import { verifyConversion } from '../../src/verify/verify.js';

const RESNET = fileURLToPath(new URL('../../../shared/trained/resnet8-cifar10/', import.meta.url));
const hasTrained = existsSync(RESNET);
const PICTURES = 200;

it.skipIf(!hasTrained)(
  `a ResNet-8 in int8 whose accuracy stays is a match, though a softmax value of its moves by a tenth${hasTrained ? '' : ' (skipped: no trained nets beside the project)'}`,
  async () => {
    const model = join(RESNET, 'pretrainedResnet.h5');
    const path = join(RESNET, 'pictures.npz');
    const arrays = await readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
    const [pictures, labels] = await Promise.all([toArray(arrays.get('pictures')!), toArray(arrays.get('labels')!)]);
    const origin = { file: path, name: 'pictures' };
    const values = Array.from(pictures.data as ArrayLike<number>, Number).slice(0, PICTURES * 32 * 32 * 3);
    const inputs = new Map([
      ['input', float32Tensor('input', [PICTURES, 32, 32, 3], values, origin)],
      ['labels', float32Tensor('labels', [PICTURES], Array.from(labels.data as ArrayLike<number>, Number).slice(0, PICTURES), origin)],
    ]);
    const files = await nodeFileSet(model);
    try {
      const sink = memorySink();
      const { model: read, map } = await convert(files, sink, 'net.onnx', { dtype: 'int8' });
      const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'net.onnx'), format: 'onnx' };
      const report = await verifyConversion({ source: { files, path: resolve(model) }, model: read, map, target }, { inputs });
      expect(report.quantisation).toMatchObject({ lossJudgedBy: 'predictions', agreement: { passed: true } });
      const { accuracy, same } = report.quantisation!.agreement!;
      expect(same.of).toBe(PICTURES);
      expect(Math.abs(accuracy!.expected.count - accuracy!.actual.count)).toBeLessThan(5);
      expect(report.outputs[0]!.maxAbsolute).toBeGreaterThan(0.1);
      expect(report.verdict).toBe('match');
    } finally {
      await files.close();
    }
  },
  120_000,
);
