/** Conversion faults, injected into written files one at a time: verification must see each and name its layer. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { convert } from '../../../src/convert.js';
import { nodeFileSet } from '../../../src/node/index.js';
import { openModel } from '../../../src/readers/open.js';
import type { Report } from '../../../src/verify/report.js';
import { verifyConversion } from '../../../src/verify/verify.js';
import { onnx as onnxWriter } from '../../../src/writers/onnx/index.js';
import { ROOT } from '../../cli/run-cli.js';
import { branchedNet, DIGITS_SOURCE, modelOf } from './nets.js';
import { type Edit, editOnnx } from './onnx-edit.js';
import { BRANCHED_FAULTS, DIGITS_FAULTS, type Fault } from './onnx-faults.js';
import { editTfjs, type Shards, type TfjsEdit } from './tfjs-edit.js';
import { TFJS_FAULTS, type TfjsFault } from './tfjs-faults.js';

const SAMPLES = 3;
const folder = mkdtempSync(join(tmpdir(), 'weighbridge-faults-'));
let digits: Uint8Array;
let branched: Uint8Array;
const tfjs = new Map<string, Shards>();
const map = branchedNet();

beforeAll(async () => {
  const files = await nodeFileSet(DIGITS_SOURCE);
  const sink = memorySink();
  await convert(files, sink, 'digits.onnx');
  for (const format of ['tfjs', 'tfjs-graph']) {
    const shards = memorySink();
    await convert(files, shards, 'model.json', { to: format });
    tfjs.set(format, Object.fromEntries(shards.files));
  }
  await files.close();
  digits = sink.files.get('digits.onnx')!;
  const second = memorySink();
  await onnxWriter.write(map, second, 'branched.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await second.commit();
  branched = second.files.get('branched.onnx')!;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** OpenCV on the original is the witness. */
async function verifyDigits(edit: Edit): Promise<Report> {
  const path = join(folder, 'changed.onnx');
  writeFileSync(path, editOnnx(digits, edit));
  const [files, changed] = [await nodeFileSet(DIGITS_SOURCE), await nodeFileSet(path)];
  try {
    const model = await openModel(files);
    const source = { files, path: DIGITS_SOURCE, prototxt: 'digits.prototxt' };
    return await verifyConversion(
      { source, model, map: await model.map(), target: { files: changed, path, format: 'onnx' } },
      { samples: SAMPLES, layers: true },
    );
  } finally {
    await files.close();
    await changed.close();
  }
}

/** Our evaluator on the layer map is the witness. */
async function verifyBranched(edit: Edit): Promise<Report> {
  const files = memoryFileSet({ 'changed.onnx': editOnnx(branched, edit) }, 'changed.onnx');
  return verifyConversion({ source: { files }, model: modelOf(map), map, target: { files, format: 'onnx' } }, { samples: SAMPLES, layers: true });
}

/** OpenCV on the original, and TensorFlow.js on what was written for it. */
async function verifyTfjs(format: string, edit: TfjsEdit): Promise<Report> {
  const files = await nodeFileSet(DIGITS_SOURCE);
  try {
    const model = await openModel(files);
    const source = { files, path: DIGITS_SOURCE, prototxt: 'digits.prototxt' };
    const target = { files: memoryFileSet(editTfjs(tfjs.get(format)!, edit), 'model.json'), format };
    return await verifyConversion({ source, model, map: await model.map(), target }, { samples: SAMPLES, layers: true });
  } finally {
    await files.close();
  }
}

interface Score {
  readonly target: string;
  readonly kind: string;
  /** Seen by comparing outputs alone. */
  readonly outputs: boolean;
  /** Whether the most likely class stayed the same for all inputs. */
  readonly sameTop1: boolean;
  /** Seen by comparing weights alone. */
  readonly weights: boolean;
  /** `--layers` names the layer. */
  readonly named: boolean;
}

const scores: Score[] = [];

function judge(
  { kind, layer, format = 'onnx' }: Pick<Fault, 'kind' | 'layer'> & Partial<Pick<TfjsFault, 'format'> | { format: 'onnx' }>,
  report: Report,
): void {
  const top1 = report.outputs[0]!.top1;
  scores.push({
    target: format,
    kind,
    outputs: report.outputs.some(({ passed }) => !passed),
    sameTop1: top1 !== null && top1.same === top1.of,
    weights: report.weights!.mismatches.length > 0,
    named: report.firstDifference?.layer === layer,
  });
  expect(report.verdict).toBe('mismatch');
  expect(report.firstDifference).toMatchObject({ layer });
}

describe('verification', () => {
  it.each([
    ['digits', verifyDigits],
    ['branched', verifyBranched],
  ] as const)('finds the untouched %s net equal, all layers of it', async (name, verify) => {
    const report = await verify(() => {});
    expect(report).toMatchObject({ verdict: 'match', firstDifference: null });
    expect(report.witness.independent).toBe(name === 'digits');
    expect(report.weights!.mismatches).toEqual([]);
    expect(report.layers!.length).toBe(name === 'digits' ? 22 : map.layers.length);
    expect(report.layers!.every(({ passed, compared }) => passed && compared > 0)).toBe(true);
  });

  it.each(DIGITS_FAULTS)('sees in the digits net: $kind', async (fault) => judge(fault, await verifyDigits(fault.edit)));
  it.each(BRANCHED_FAULTS)('sees in the branched net: $kind', async (fault) => judge(fault, await verifyBranched(fault.edit)));

  it.each(['tfjs', 'tfjs-graph'])('finds the untouched %s model equal', async (format) => {
    expect(await verifyTfjs(format, () => {})).toMatchObject({ verdict: 'match', firstDifference: null });
  });
  it.each(TFJS_FAULTS)('sees in a $format model: $kind', async (fault) => judge(fault, await verifyTfjs(fault.format, fault.edit)));

  it('scores as the documentation says', () => {
    expect(scores.length).toBe(DIGITS_FAULTS.length + BRANCHED_FAULTS.length + TFJS_FAULTS.length);
    const page = join(ROOT, 'docs/verify.md');
    const text = readFileSync(page, 'utf8');
    const block = /(<!-- faults:[^>]*-->\n)[\s\S]*?(<!-- end -->)/;
    const written = text.replace(block, (_, start: string, end: string) => `${start}${scoreTable()}${end}`);
    if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(page, written);
    else expect(text).toBe(written);
  });
});

function scoreTable(): string {
  const tick = (seen: boolean) => (seen ? 'yes' : 'no');
  const rows = scores.map(
    ({ target, kind, outputs, sameTop1, weights, named }) =>
      `| ${kind} | ${target} | ${tick(outputs)} | ${tick(sameTop1)} | ${tick(weights)} | ${tick(named)} |`,
  );
  const count = (key: keyof Score) => scores.filter((score) => score[key]).length;
  const kinds = new Set(scores.map(({ kind }) => kind)).size;
  const total = `| **${scores.length} faults of ${kinds} kinds** | | **${count('outputs')}** | **${count('sameTop1')}** | **${count('weights')}** | **${count('named')}** |`;
  return `| fault | in | outputs alone | top-1 all the same | weights alone | \`--layers\` names the layer |\n|---|---|---|---|---|---|\n${[...rows, total].join('\n')}\n`;
}
