/** What programs call on paths: it does what the commands do, can be followed and stopped, closes what it opens, and speaks of options. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { convertFile, diffFiles, inspectFile, type Progress, shrinkFile, verifyFile, verifyFiles } from '../../src/node/index.js';
import { readers } from '../../src/readers/index.js';
import type { SourceName } from '../../src/readers/reader.js';
import { onWhoseWord } from '../../src/report/verdict.js';
import { withOptionNames } from '../../src/spelling.js';
import { engines } from '../../src/verify/engines/list.js';
import type { EngineName } from '../../src/verify/engines/names.js';
import { writers } from '../../src/writers/index.js';
import type { TargetName } from '../../src/writers/writer.js';
import { temporaryFolder } from './temporary-folder.js';

const DIGITS = fileURLToPath(new URL('../../demo/digits/', import.meta.url));
const KERAS = join(DIGITS, 'digits.h5');
const GOLDEN = join(DIGITS, 'keras.npz');

describe('files by their paths', () => {
  it('a recording that is a model, or a picture, is refused before it is read', async () => {
    await expect(convertFile(KERAS, join(temporaryFolder(), 'digits.onnx'), { golden: KERAS })).rejects.toThrow(
      /holds no arrays of NumPy: an .npz is expected/,
    );
  });

  it('a conversion is verified, and what happened is the document of the command', async () => {
    const output = join(temporaryFolder(), 'digits.onnx');
    const seen: Progress[] = [];
    const { schema, source, target, files, report } = await convertFile(KERAS, output, { golden: GOLDEN, onProgress: (progress) => seen.push(progress) });
    expect({ schema, source, target }).toMatchObject({
      schema: 'weighbridge/convert@1',
      source: { path: KERAS, format: 'keras-h5', parameterCount: 53_126 },
      target: { format: 'onnx', dtype: 'float32' },
    });
    expect(files).toMatchObject([{ path: output, byteLength: readFileSync(output).byteLength, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }]);
    expect(report).toMatchObject({ verdict: 'match', witness: { kind: 'recorded', independent: true } });
    expect(seen.find(({ phase }) => phase === 'writing')).toMatchObject({ unit: 'bytes', total: expect.any(Number) });
    expect(seen.some(({ unit }) => unit === 'steps')).toBe(true);
    expect((await verifyFiles(KERAS, output, { samples: 2 })).verdict).toBe('match');
    expect((await verifyFile(output, GOLDEN)).verdict).toBe('match');
  });

  it('a program that does not say what flows in is run on what the file takes that it is compared with', async () => {
    const script = fileURLToPath(new URL('../fixtures/torchscript/traced-residual/', import.meta.url));
    const [source, output] = [join(script, 'model.pt'), join(temporaryFolder(), 'residual.onnx')];
    await convertFile(source, output, { inputShape: [2, 3, 23, 31], verify: false });
    const { verdict, compared, assumed } = await verifyFiles(source, output, { samples: 1 });
    expect({ verdict, outputs: compared.outputs }).toEqual({ verdict: 'match', outputs: 1 });
    expect(assumed[0]).toContain('does not say the shape of what flows in: it is taken to be [2, 3, 23, 31]');
    // The other way round our evaluator runs it: it says what it computes, as a state dict does not.
    const other = await verifyFiles(output, source, { samples: 1 });
    expect([other.verdict, onWhoseWord(other)]).toEqual(['match', 'independent: ort-cpu on the original; own reading of the file']);
  });

  it('without a proof only where that is asked for, and compressed beside it', async () => {
    const folder = temporaryFolder();
    const { report, target } = await convertFile(KERAS, join(folder, 'digits.safetensors'), { verify: false, dtype: 'half', compress: 'gzip' });
    expect(report).toBeNull();
    expect(target).toMatchObject({ dtype: 'float16', wireByteLength: expect.any(Number) });
    expect(readdirSync(folder).sort()).toEqual(['digits.safetensors', 'digits.safetensors.gz']);
  });

  it('packed files lie beside those of a model that is a folder, also where it is named as one', async () => {
    const folder = temporaryFolder();
    await convertFile(KERAS, `${join(folder, 'web')}/`, { to: 'tfjs', verify: false, compress: 'gzip' });
    expect(readdirSync(join(folder, 'web')).sort()).toEqual(['group1-shard1of1.bin', 'group1-shard1of1.bin.gz', 'model.json', 'model.json.gz']);
  });

  it('a net in many shards is hashed one shard after the other', async () => {
    const folder = temporaryFolder();
    const warned: Error[] = [];
    const note = (warning: Error) => warned.push(warning);
    process.on('warning', note);
    await convertFile(KERAS, join(folder, 'net'), { to: 'tfjs', shardBytes: 16_000, verify: false });
    expect(readdirSync(join(folder, 'net')).length).toBeGreaterThan(12);
    const { report } = await convertFile(join(folder, 'net'), join(folder, 'digits.safetensors'));
    process.off('warning', note);
    expect(report?.verdict).toBe('match');
    expect(warned).toEqual([]);
  });

  it('they are inspected, compared and made smaller', async () => {
    const document = await inspectFile(KERAS, { weights: true });
    expect(document).toMatchObject({ format: 'keras-h5', tensors: expect.arrayContaining([expect.objectContaining({ sha256: expect.any(String) })]) });
    const { verdict } = await diffFiles(KERAS, join(DIGITS, 'digits.pth'));
    expect(verdict.kind).toBe('same-weights');
    const small = await shrinkFile(KERAS, join(temporaryFolder(), 'small.onnx'), { golden: GOLDEN, minAgreement: 0.9, dtype: 'int8' });
    expect(small).toMatchObject({ target: { dtype: 'int8' }, agreement: { met: true, minimum: 0.9 } });
  });
});

describe('what is stopped', () => {
  const reason = new Error('enough');

  it.each(['writing', 'verification'] as const)('in the %s leaves nothing behind, and ends with the reason', async (when) => {
    const folder = temporaryFolder();
    const stop = new AbortController();
    const stopped = convertFile(KERAS, join(folder, 'digits.onnx'), {
      golden: GOLDEN,
      signal: stop.signal,
      onProgress({ unit }) {
        if ((unit === 'bytes') === (when === 'writing')) stop.abort(reason);
      },
    });
    await expect(stopped).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual([]);
    expect(openFiles(folder)).toEqual([]);
  });

  it.each([
    ['convertFile', (signal: AbortSignal, to: string) => convertFile(KERAS, to, { signal })],
    ['inspectFile', (signal: AbortSignal) => inspectFile(KERAS, { signal })],
    ['verifyFile', (signal: AbortSignal) => verifyFile(KERAS, GOLDEN, { signal })],
    ['diffFiles', (signal: AbortSignal) => diffFiles(KERAS, KERAS, { signal })],
    ['shrinkFile', (signal: AbortSignal, to: string) => shrinkFile(KERAS, to, { signal })],
  ])('before it begins does not begin: %s', async (_, work) => {
    const folder = temporaryFolder();
    await expect(work(AbortSignal.abort(reason), join(folder, 'x.onnx'))).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('what cannot be done', () => {
  it('is told in the names of options, and closes what was opened', async () => {
    const folder = temporaryFolder();
    const taken = join(folder, 'taken.onnx');
    writeFileSync(taken, 'mine');
    await expect(convertFile(KERAS, taken)).rejects.toThrow('overwrite it with `force`');
    await expect(convertFile(KERAS, join(folder, 'x.unknown'))).rejects.toThrow('name one with `to`');
    await expect(convertFile(KERAS, join(folder, 'x.onnx'), { until: 'a', outputs: ['b'] })).rejects.toThrow('`until` and `outputs` both say');
    await expect(convertFile(KERAS, join(folder, 'x.npz'), { shardBytes: 10 })).rejects.toThrow('`shardBytes` means nothing for NumPy npz');
    await expect(convertFile(KERAS, join(folder, 'x.onnx'), { prototxt: join(folder, 'none') })).rejects.toThrow('there is no such file');
    await expect(shrinkFile(KERAS, join(folder, 'x.onnx'), { method: 'best', dtype: 'float16' })).rejects.toThrow("`dtype` and `method: 'best'` both say");
    await expect(verifyFile(KERAS, join(folder, 'none.npz'))).rejects.toMatchObject({ kind: 'usage' });
    expect(openFiles(folder)).toEqual([]);
    expect(readdirSync(folder)).toEqual(['taken.onnx']);
    expect(readFileSync(taken, 'utf8')).toBe('mine');
  });

  it.each([
    ['Verify it with --device cpu', "Verify it with `device: 'cpu'`"],
    ['choose --opset 18 or newer', 'choose `opset: 18` or newer'],
    ['a graph model (--to tfjs-graph) has it', "a graph model (`to: 'tfjs-graph'`) has it"],
    ['; --assume epsilon=1e-3 says otherwise', "; `assume: { epsilon: '1e-3' }` says otherwise"],
    ['give --assume shape_t=1,3,224,224, or', "give `assume: { shape_t: '1,3,224,224' }`, or"],
    ['give it with --input-shape, as in --input-shape 1,3,224,224', 'give it with `inputShape`, as in `inputShape: [1, 3, 224, 224]`'],
    ['--no-verify converts without running', '`verify: false` converts without running'],
    ['npm install --ignore-scripts=false', 'npm install --ignore-scripts=false'],
    ['a--b and -- and ---', 'a--b and -- and ---'],
  ])('%s', (said, meant) => expect(withOptionNames(said)).toBe(meant));
});

it('names that a program can choose among are those that there are', () => {
  const sources: Record<SourceName, true> = {
    'keras-h5': true,
    'keras-v3': true,
    caffe: true,
    onnx: true,
    tfjs: true,
    'tfjs-graph': true,
    tensorflow: true,
    tflite: true,
    pytorch: true,
    safetensors: true,
    npz: true,
  };
  const targets: Record<TargetName, true> = {
    onnx: true,
    tfjs: true,
    'tfjs-graph': true,
    'keras-h5': true,
    'keras-v3': true,
    pytorch: true,
    caffe: true,
    safetensors: true,
    npz: true,
  };
  const runtimes: Record<EngineName, true> = {
    'ort-cpu': true,
    'ort-wasm': true,
    'ort-webgpu': true,
    'ort-cuda': true,
    'tfjs-wasm': true,
    'tfjs-cpu': true,
    'tfjs-webgpu': true,
    'tfjs-node': true,
    'tfjs-node-gpu': true,
    opencv: true,
    evaluator: true,
    reference: true,
    recorded: true,
  };
  expect(readers.map(({ name }) => name).sort()).toEqual(Object.keys(sources).sort());
  expect(writers.map(({ name }) => name).sort()).toEqual(Object.keys(targets).sort());
  expect(engines.map(({ name }) => name).sort()).toEqual(Object.keys(runtimes).sort());
});

/** Models and recordings that this process holds open; none everywhere else than on Linux. */
function openFiles(folder: string): string[] {
  if (!existsSync('/proc/self/fd')) return [];
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((path) => path.startsWith(DIGITS) || path.startsWith(folder));
}
