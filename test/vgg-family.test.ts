/** Every VGG configuration becomes every target, and is verified by default. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runConvert } from '../src/cli/commands/convert.js';
import { writeStateDict } from '../src/cli/demo/write-pth.js';
import { makeVoice } from '../src/cli/print.js';
import type { DTypeName } from '../src/model/dtype.js';
import { fileSink } from '../src/node/index.js';
import { writers } from '../src/writers/index.js';
import type { TargetName } from '../src/writers/writer.js';
import { temporaryFolder } from './cli/run-cli.js';
import { VGG_NETS, type VggNet, vggInputShape, vggStateDict } from './vgg-nets.js';

const folder = temporaryFolder();
afterAll(() => rmSync(folder, { recursive: true }));

/** TensorFlow.js has no layer for local response normalisation. */
const REFUSED = new Set(['A-LRN to tfjs']);

/** A dtype is each tensor's matter and not the net's wiring: one net of each kind of weights shows them all. */
const EVERY_DTYPE = new Set(['D', 'A with batch normalisation', 'D fully convolutional']);

describe.each(VGG_NETS.map((net) => [net.title, net] as const))('configuration %s', (title, net) => {
  const source = join(folder, `${title.replaceAll(' ', '-')}.pth`);
  beforeAll(async () => {
    const sink = await fileSink(source);
    const file = await sink.create(source.slice(folder.length + 1));
    await writeStateDict(vggStateDict(net), file);
    await file.close();
    await sink.commit();
  });

  const every = writers.flatMap(({ name, dtypes }) => dtypes.map((dtype) => [name, dtype] as const));
  it.each(EVERY_DTYPE.has(title) ? every : every.filter(([, dtype]) => dtype === 'float32'))('becomes %s in %s, which matches', async (to, dtype) => {
    const output = join(folder, `${title.replaceAll(' ', '-')}-${dtype}-${to}`);
    const run = convert(net, source, output, to, dtype);
    if (REFUSED.has(`${title} to ${to}`)) {
      await expect(run).rejects.toMatchObject({ kind: 'unsupported' });
      return;
    }
    const { report } = await run;
    expect(report?.firstDifference ?? null).toBeNull();
    expect(report?.verdict).toBe('match');
    expect(report?.weights?.compared).toBeGreaterThan(0);
    expect(report?.weights?.equal).toBe(report?.weights?.compared);
  });
});

function convert(net: VggNet, source: string, output: string, to: TargetName, dtype: DTypeName) {
  const carriesModel = writers.some(({ name, carries }) => name === to && carries === 'model');
  return runConvert(makeVoice({ json: true, quiet: true }), source, {
    output,
    to,
    dtype,
    ...(carriesModel ? { arch: net.arch, inputShape: vggInputShape(net) } : {}),
    verify: true,
    samples: 2,
  });
}
