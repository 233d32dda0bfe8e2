/** What is possible does not depend on the container: every command, with every option that speaks of the source, does the same or refuses alike. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { isModelError } from '../src/errors.js';
import { convertFile, diffFiles, inspectFile, shrinkFile, verifyFiles } from '../src/node/index.js';
import { ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';
import { TensorKeeper, tinyVgg } from './pickles.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

/** Weights under PyTorch's names, and under Keras's, each in the containers that may hold them. The first is what the others are made of. */
const SETS = {
  torch: ['torch.pth', 'torch-legacy.pth', 'torch-packed.pth.gz', 'torch.safetensors', 'torch.npz'],
  keras: ['keras.h5', 'keras.safetensors', 'keras.npz'],
} as const;
type SetName = keyof typeof SETS;

beforeAll(async () => {
  const written = (form: 'pth' | 'legacy') => {
    const keeper = new TensorKeeper();
    return keeper[form](new Map([...tinyVgg()].map(([name, tensor]) => [name, keeper.tensor(tensor)])));
  };
  writeFileSync(at('torch.pth'), written('pth'));
  writeFileSync(at('torch-legacy.pth'), written('legacy'));
  writeFileSync(at('torch-packed.pth.gz'), gzipSync(written('pth')));
  writeFileSync(at('keras.h5'), readFileSync(join(ROOT, 'test/fixtures/keras-dialects/weights-a/model.h5')));
  for (const [set, [first, ...others]] of Object.entries(SETS)) {
    for (const name of others.filter((name) => !/legacy|packed/.test(name))) await convertFile(at(first), at(name), { verify: false });
    await convertFile(at(first), at(`${set}.onnx`), { verify: false });
  }
});

type Options = Readonly<Record<string, unknown>>;

/** What a command makes of a file, without what names the container. */
const COMMANDS: Readonly<Record<string, (file: string, set: SetName, options: Options) => Promise<object>>> = {
  async inspect(file, _, options) {
    const { architecture, inputs, outputs, layers, tensors, parameterCount } = await inspectFile(file, options);
    return { architecture, inputs, outputs, ops: layers.map(({ op, name }) => `${op} ${name}`), tensors: tensors.length, parameterCount };
  },
  async convert(file, _, options) {
    const verify = VERIFIED.test(JSON.stringify(options));
    const { report, assumed, changes, warnings } = await convertFile(file, at('out.onnx'), { verify, samples: 1, force: true, ...options });
    return { verdict: report?.verdict, compared: report?.compared, weights: report?.weights?.equal, assumed, changes, codes: warnings.map(({ code }) => code) };
  },
  async 'convert to weights'(file, _, options) {
    const { report, warnings } = await convertFile(file, at('out.safetensors'), { verify: VERIFIED.test(JSON.stringify(options)), force: true, ...options });
    return { verdict: report?.verdict, weights: report?.weights?.equal, codes: warnings.map(({ code }) => code) };
  },
  async verify(file, set, options) {
    const { verdict, witness, compared, weights } = await verifyFiles(file, at(`${set}.onnx`), { samples: 1, ...options });
    return { verdict, witness: witness.kind, compared, weights: weights?.equal };
  },
  async diff(file, set, options) {
    const { verdict, totals, b } = await diffFiles(at(SETS[set][0]), file, { b: options });
    return { kind: verdict.kind, totals, architecture: b.architecture };
  },
  async shrink(file, _, options) {
    const { report, weights, warnings } = await shrinkFile(file, at('small.onnx'), { dtype: 'int8', samples: 1, force: true, ...options });
    return { verdict: report?.verdict, weights: weights.map(({ name }) => name), codes: warnings.map(({ code }) => code) };
  },
};

/** Conversions that are verified here too; `verify` goes over the options of reading. */
const VERIFIED = /^\{(\}|"(until|requireWitness))/;

const EDITS: readonly Options[] = [{ until: 'conv3_1' }, { until: 'nowhere' }, { outputs: ['conv3_1'] }, { batch: 2 }, { foldBatchnorm: true }];
const SOURCE: readonly Options[] = [
  { arch: 'vgg' },
  { arch: 'resnet18' },
  { arch: 'nonsense' },
  { assume: { nothing: 'known' } },
  { weightsKey: '' },
  { from: 'nonsense' },
];
const SIZES: readonly Options[] = [{ inputShape: [1, 3, 32, 32] }, { inputShape: [1, 4, 32, 32] }];
const TARGET: readonly Options[] = [{ dtype: 'float16' }, { names: 'canonical' }, { layout: 'nhwc' }, { embedPreprocessing: true }];

const TABLE: Readonly<Record<string, readonly Options[]>> = {
  inspect: [{}, ...SOURCE, ...SIZES],
  convert: [{}, ...SOURCE, ...SIZES, ...EDITS, ...TARGET, { requireWitness: true }],
  'convert to weights': [{}, ...SOURCE, ...SIZES, ...EDITS.slice(0, 1), ...TARGET],
  verify: [{}, ...SOURCE, ...SIZES, { engine: 'opencv' }, { requireWitness: true }],
  diff: [{}, ...SOURCE],
  shrink: [{}, { weightsKey: '' }, { arch: 'resnet18' }, { until: 'nowhere' }],
};

/** One outcome in words: what came of it, or the error without the file's name. */
async function outcome(file: string, set: SetName, command: string, options: Options): Promise<string> {
  try {
    return JSON.stringify(await COMMANDS[command]!(at(file), set, options));
  } catch (error) {
    if (!isModelError(error)) throw error;
    return `${error.kind}: ${error.problem.replaceAll(folder, '').replaceAll(file, 'FILE')}`;
  }
}

describe.each(Object.keys(SETS) as SetName[])('weights under the names of %s', (set) => {
  const rows = Object.entries(TABLE).flatMap(([command, all]) => all.map((options) => [command, options] as const));
  // Keras's have more layers, and the reader is another only in what it makes of names and sizes.
  const chosen = set === 'torch' ? rows : rows.filter(([, options]) => /^\{(\}|"(arch|weightsKey|inputShape|until|assume))/.test(JSON.stringify(options)));

  it.each(chosen.map(([command, options]) => [command, JSON.stringify(options), options] as const))('%s %s', async (command, _, options) => {
    const [first, ...others] = SETS[set];
    const expected = await outcome(first, set, command, options);
    for (const file of others) expect(await outcome(file, set, command, options), file).toBe(expected);
  });

  it('is in them all the net that it is, with its own numbers', async () => {
    for (const file of SETS[set]) {
      expect((await inspectFile(at(file))).architecture?.name, file).toMatch(/VGG/);
      expect(await verifyFiles(at(file), at(`${set}.onnx`), { samples: 1 }), file).toMatchObject({ verdict: 'match', witness: { kind: 'reference' } });
      expect((await diffFiles(at(SETS[set][0]), at(file))).verdict.equal, file).toBe(true);
    }
  });
});

it('a weights key that leads nowhere is refused in each', async () => {
  for (const file of [...SETS.torch, ...SETS.keras]) {
    await expect(inspectFile(at(file), { weightsKey: 'ema' }), file).rejects.toMatchObject({ kind: 'usage', problem: expect.stringMatching(/ema|key/) });
  }
});

it('check judges them alike', () => {
  const rules = 'dtypes: [float32], finite: true, max-parameters: 1000';
  const artifacts = SETS.torch
    .filter((name) => !name.endsWith('.gz'))
    .map((name) => `  - { path: ${name}, ${rules}, verify: { against: torch.onnx, samples: 1 } }`);
  writeFileSync(at('policy.yml'), `artifacts:\n${artifacts.join('\n')}\n`);
  const { status, stdout, stderr } = weighbridge(['check', at('policy.yml'), '--json']);
  expect(status, stderr).toBe(0);
  const { artifacts: judgements } = JSON.parse(stdout) as { artifacts: { outcomes: { rule: string; passed: boolean }[] }[] };
  const judged = judgements.map(({ outcomes }) => outcomes.map(({ rule, passed }) => `${rule} ${passed}`).join(', '));
  expect(judged).toHaveLength(4);
  expect(new Set(judged).size).toBe(1);
});
