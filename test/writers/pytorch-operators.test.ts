/**
 * Every setting of every operator as a module of PyTorch. What PyTorch made of each was recorded by test/fixtures/written/make_operators.py, with the hash of the module that it
 * ran: a module that changes is to be loaded and recorded anew.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import type { NdArray } from '../../src/verify/engine.js';
import { pytorch } from '../../src/writers/pytorch/index.js';
import { ALONE } from '../verify/neighbours.js';
import { prepared, singles, type Trial } from '../verify/pairs.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
/** Of an output's scale: PyTorch computes in float64 too, from weights and inputs in float32. */
const ROUNDING = 1e-6;

interface Recorded {
  readonly torch: string;
  readonly cases: Readonly<Record<string, { readonly module: string; readonly error: number }>>;
}

const RECORDED: Recorded = JSON.parse(readFileSync(new URL('../fixtures/written/recorded-operators.json', import.meta.url), 'utf8'));

/** Settings that are refused by name. */
const DECLINED: ReadonlySet<string> = new Set([
  'CenterCropPad',
  'Col2Im',
  'ConvInteger',
  'DeformConv',
  'DynamicQuantizeLinear',
  'LpPool',
  'MatMulInteger',
  'MaxUnpool',
  'QLinearConv',
  'QLinearMatMul',
  'ReverseSequence',
  'RoiAlign',
  'Unique',
]);

const trials = singles('nchw');

async function written({ map }: Trial): Promise<ReadonlyMap<string, Uint8Array>> {
  const sink = memorySink();
  await pytorch.write(map, sink, 'model.pth', OPTIONS);
  await sink.commit();
  return sink.files;
}

const refusal = async (trial: Trial) => (await pytorch.check(trial.map, OPTIONS)).map(({ message }) => message).join('; ');

/** For the script that records: what it loads, feeds and expects. */
async function writeAll(folder: string): Promise<void> {
  const index: Record<string, string | null> = {};
  for (const [i, trial] of trials.entries()) {
    if ((await refusal(trial)) !== '') continue;
    const one = await prepared(trial, 1);
    if (!one) continue;
    const own = join(folder, String(i));
    mkdirSync(own);
    for (const [name, bytes] of await written(trial)) writeFileSync(join(own, name), bytes);
    const numbers = ({ shape, data }: NdArray) => ({ shape, data: Array.from(data as ArrayLike<number>, String) });
    writeFileSync(join(own, 'values.json'), JSON.stringify({ dtype: trial.start.dtype, input: numbers(one.feeds[0]!), outputs: one.expected.map(numbers) }));
    index[trial.title] = String(i);
  }
  writeFileSync(join(folder, 'index.json'), JSON.stringify(index));
}

const folder = process.env.WEIGHBRIDGE_WRITE_MODULES;
describe.runIf(folder)('for test/fixtures/written/make_operators.py', () => {
  it('writes every module', () => writeAll(folder!), 600_000);
});

describe.skipIf(folder)('a module of PyTorch', () => {
  it.each(trials)('$title is what PyTorch ran and found right, or is refused', async (trial) => {
    const said = await refusal(trial);
    if (DECLINED.has(trial.title)) return expect(said).toMatch(`the operator ${trial.title} has no translation to torch.nn`);
    expect(said).toBe('');
    const { module, error } = RECORDED.cases[trial.title] ?? { module: 'none was recorded', error: 1 };
    const hash = createHash('sha256')
      .update((await written(trial)).get('model.py')!)
      .digest('hex');
    expect(hash).toBe(module);
    expect(error).toBeLessThan(ROUNDING);
  });

  it('has settings of all operators but those that stand alone', () => {
    const tried = new Set(trials.flatMap(({ drafts }) => drafts.map(({ op }) => op)));
    expect(Object.keys(ALONE).filter((op) => tried.has(op))).toEqual([]);
    expect(Object.keys(RECORDED.cases).filter((title) => !trials.some((trial) => trial.title === title))).toEqual([]);
  });
});
