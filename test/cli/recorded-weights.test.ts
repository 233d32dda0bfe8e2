/** What was recorded judges weights too that no runtime takes: it is compared, or that it cannot be is an error. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { constantTensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { convertFile, verifyFile } from '../../src/node/index.js';
import { readGoldenArrays } from '../golden.js';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const [KERAS, TORCH] = [join(DIGITS, 'digits.h5'), join(DIGITS, 'digits.pth')];

/** A recording whose outputs stand at other classes. */
async function falsified(name: string): Promise<ReadonlyMap<string, Tensor>> {
  const arrays = await readGoldenArrays(join(DIGITS, name));
  const output = arrays.get('output')!;
  const bytes = await tensorBytes(output);
  const turned = Uint8Array.from(bytes, (_, i) => bytes[(i + 4) % bytes.length]!);
  return new Map([...arrays, ['output', constantTensor('output', output.dtype, output.shape, turned, output.origin)]]);
}

describe('a recording of other outputs does not match', () => {
  it('weights alone', async () => {
    expect((await verifyFile(TORCH, await falsified('torch.npz'))).verdict).toBe('mismatch');
    const right = await verifyFile(TORCH, join(DIGITS, 'torch.npz'));
    expect(right).toMatchObject({ verdict: 'match', witness: { kind: 'recorded' }, compared: { outputs: 1, of: 1, values: 200 } });
  });

  it.each([
    ['digits.h5', 'keras.npz', 'to.pth', {}],
    ['digits.h5', 'keras.npz', 'to.safetensors', {}],
    ['digits.h5', 'keras.npz', 'to.npz', { names: 'canonical', dtype: 'float16' }],
    ['digits.pth', 'torch.npz', 'to.safetensors', {}],
  ] as const)('%s with %s to %s', async (model, recording, name, options) => {
    const source = join(DIGITS, model);
    const folder = temporaryFolder();
    const wrong = await convertFile(source, join(folder, `wrong-${name}`), { ...options, golden: await falsified(recording) });
    expect(wrong.report).toMatchObject({ verdict: 'mismatch', witness: { kind: 'recorded' } });
    const right = await convertFile(source, join(folder, name), { ...options, golden: join(DIGITS, recording) });
    expect(right.report).toMatchObject({ verdict: 'match', compared: { outputs: 1, of: 1, values: 200 }, weights: { compared: 18, mismatches: [] } });
  });
});

it('weights of no known net cannot be run, and that is an error and no match', async () => {
  const folder = temporaryFolder();
  const source = join(folder, 'weights.safetensors');
  await convertFile(KERAS, source);
  const golden = ['--golden', join(DIGITS, 'keras.npz')];
  for (const command of [
    ['verify', source],
    ['convert', source, '-o', join(folder, 'to.npz')],
  ]) {
    const { status, stderr } = weighbridge([...command, ...golden]);
    expect(stderr).toMatch(/^error .*nothing here can run its weights/m);
    expect(status).toBe(2);
  }
  expect(existsSync(join(folder, 'to.npz'))).toBe(false);
});
