/**
 * The official operator tests of ONNX, and the ONNX files of the corpus: each is read, evaluated by the reference evaluator, written anew
 * from its layer map alone, and run in ONNX Runtime; and written as a TensorFlow.js graph, and run in TensorFlow.js. docs/conformance.md
 * says what passes, and why the rest does not; `npm run conformance` renews it, and this test fails where it says more than is true.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { portRunner } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { tfjsGraph } from '../../src/writers/tfjs/index.js';
import { corpusCases } from '../corpus.js';
import { distance, readArray, runOnnxArrays, type TypedArray } from '../run-arrays.js';

const ARCHIVE = fileURLToPath(new URL('../../../shared/onnx-node.tar.xz', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../docs/conformance.md', import.meta.url));
/** What the official runner allows is 1e-3 of each value; these are shares of the largest. */
const TOLERANCE = 2e-4;
/** The file's own opset first; ONNX Runtime (1.30) lacks some operators in the newest ones. */
const OPSETS = [undefined, 21, 17];

interface Case {
  readonly name: string;
  readonly model: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly tolerance: number;
}

interface Outcome {
  readonly name: string;
  /** Null where it passes. */
  readonly evaluated: string | null;
  readonly converted: string | null;
  /** Undefined where it was not tried. */
  readonly graph?: string | null;
}

const message = (error: unknown) => String(error instanceof Error ? error.message : error);

/** What ONNX Runtime says, without what changes from version to version. */
function runtimeReason(error: unknown): string {
  const text = message(error);
  if (text.includes('Could not find an implementation')) return 'ONNX Runtime has no implementation for these dtypes';
  if (/opset|Opset|ir_version|IR_VERSION|ModelProto/.test(text)) return 'ONNX Runtime does not know its opset';
  return 'ONNX Runtime declines it';
}

function compare(
  made: readonly { readonly shape: readonly number[]; readonly data: ArrayLike<number | bigint> }[],
  expected: readonly TypedArray[],
  tolerance: number,
): string | null {
  const wrong = expected.findIndex((array, i) => !made[i] || !(distance(made[i], array) <= tolerance));
  return wrong < 0 ? null : `output ${wrong} differs`;
}

async function converted(map: LayerMap, inputs: readonly TypedArray[], expected: readonly TypedArray[], tolerance: number): Promise<string | null> {
  let reason: string | null = null;
  for (const opset of OPSETS) {
    const options = { dtype: 'source', layout: 'source', metadata: async () => ({}), ...(opset === undefined ? {} : { opset }) } as const;
    // Without its layers as they were read, nothing of the file can be copied.
    const anew = { ...map, layers: [...map.layers] };
    const [obstacle] = await onnx.check(anew, options);
    if (obstacle) {
      reason ??= obstacle.problem;
      continue;
    }
    const sink = memorySink();
    await onnx.write(anew, sink, 'model.onnx', options);
    await sink.commit();
    try {
      const made = await runOnnxArrays(sink.files.get('model.onnx')!, inputs);
      const found = compare([...made.values()], expected, tolerance);
      if (found === null) return null;
      reason = found;
    } catch (error) {
      reason ??= runtimeReason(error);
    }
  }
  return reason;
}

/** TensorFlow.js has numbers of float32 and int32 alone, and no Float64Array among what it takes. */
async function asGraph(map: LayerMap, inputs: readonly TypedArray[], expected: readonly TypedArray[], tolerance: number): Promise<string | null> {
  const options = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
  try {
    const [obstacle] = await tfjsGraph.check(map, options);
    if (obstacle) return obstacle.problem;
    const sink = memorySink();
    await tfjsGraph.write(map, sink, 'model.json', options);
    await sink.commit();
    const files = memoryFileSet(Object.fromEntries(sink.files), 'model.json');
    const written = await findWrittenFormat('tfjs-graph')!.open(files, map.layers);
    const session = await tfjsCpu.open({ files });
    try {
      const made = await portRunner(session, map, written.layoutOf)(inputs.map(({ shape, data }) => ({ shape, data: Float32Array.from(data) })));
      return compare(
        made.map((one) => one!),
        expected,
        tolerance,
      );
    } finally {
      await session.close();
    }
  } catch (error) {
    return message(error).slice(0, 160);
  }
}

/** @param alsoAsGraph whether it is tried in TensorFlow.js, whose plain JavaScript takes long for whole nets; the table of nets has those */
async function outcomeOf({ name, model: path, inputs, outputs, tolerance }: Case, alsoAsGraph: boolean): Promise<Outcome> {
  const files = await nodeFileSet(path);
  try {
    const map = await (await openModel(files)).map();
    const foreign = map.layers.find((layer) => layer.foreign);
    if (foreign) {
      const reason = `${foreign.foreign!.op}: ${foreign.foreign!.reason}`;
      return { name, evaluated: reason, converted: reason, graph: reason };
    }
    const [feeds, expected] = [await Promise.all(inputs.map(readArray)), await Promise.all(outputs.map(readArray))];
    const session = await referenceSession(map);
    const evaluated = await session
      .run(new Map(map.inputs.map((port, i) => [port.name, feeds[i]!])))
      .then((made) => compare([...made.values()], expected, tolerance))
      .catch(message);
    const outcome = { name, evaluated, converted: await converted(map, feeds, expected, tolerance) };
    return alsoAsGraph ? { ...outcome, graph: await asGraph(map, feeds, expected, tolerance) } : outcome;
  } catch (error) {
    const reason = message(error).includes('act as in training') ? 'it acts as in training' : message(error).replaceAll(path, '').slice(0, 160);
    return { name, evaluated: reason, converted: reason, graph: reason };
  } finally {
    await files.close();
  }
}

function officialCases(folder: string): Case[] {
  const root = join(folder, 'onnx-node');
  const numbered = (name: string) => Number(name.replace(/\D/g, ''));
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => {
      const files = readdirSync(join(root, name));
      const arrays = (kind: string) =>
        files
          .filter((file) => file.startsWith(kind))
          .sort((a, b) => numbered(a) - numbered(b))
          .map((file) => join(root, name, file));
      return { name, model: join(root, name, 'model.onnx'), inputs: arrays('input_'), outputs: arrays('output_'), tolerance: TOLERANCE };
    });
}

function corpusOnnx(): Case[] {
  return corpusCases(({ format, kind, outputs }) => format === 'onnx' && kind !== 'refuse' && outputs.length > 0).map((entry) => ({
    name: entry.case,
    model: join(entry.folder, entry.model),
    inputs: entry.inputs.map(({ file }) => join(entry.folder, file)),
    outputs: entry.outputs.map(({ file }) => join(entry.folder, file)),
    tolerance: entry.tolerance?.rtol ?? TOLERANCE,
  }));
}

function section(title: string, outcomes: readonly Outcome[]): string[] {
  const passed = outcomes.filter(({ evaluated, converted: written }) => evaluated === null && written === null);
  const rest = outcomes.filter((outcome) => !passed.includes(outcome));
  const cell = (reason: string | null) => (reason === null ? 'passes' : reason.replaceAll('|', '/').replaceAll('\n', ' '));
  return [
    `## ${title}`,
    '',
    `${passed.length} of ${outcomes.length} pass in both ways.`,
    '',
    ...(rest.length === 0
      ? []
      : [
          '| not passing | reference evaluator | written anew, in ONNX Runtime |',
          '|---|---|---|',
          ...rest.map(({ name, evaluated, converted: written }) => `| ${name} | ${cell(evaluated)} | ${cell(written)} |`),
          '',
        ]),
    `Passing: ${listed(passed)}.`,
    '',
    ...(outcomes.some(({ graph }) => graph !== undefined) ? graphs(outcomes) : []),
  ];
}

function graphs(outcomes: readonly Outcome[]): string[] {
  const rest = outcomes.filter(({ graph }) => graph !== null);
  const reasons = new Map<string, Outcome[]>();
  for (const outcome of rest) {
    const reason = outcome.graph!.replaceAll('|', '/').replaceAll('\n', ' ');
    reasons.set(reason, [...(reasons.get(reason) ?? []), outcome]);
  }
  const rows = [...reasons].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
  return [
    `As a TensorFlow.js graph, run in TensorFlow.js, ${outcomes.length - rest.length} of ${outcomes.length} pass. Why the others do not, as the writer says it:`,
    '',
    '| why not | tests |',
    '|---|---|',
    ...rows.map(([reason, those]) => `| ${reason} | ${listed(those)} |`),
    '',
  ];
}

const listed = (outcomes: readonly Outcome[]) => outcomes.map(({ name }) => name.replace(/^test_/, '')).join(', ');

it.skipIf(!existsSync(ARCHIVE))(
  `docs/conformance.md is what the official operator tests show${existsSync(ARCHIVE) ? '' : ' (skipped: they are not beside the project)'}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-node-'));
    try {
      const { status } = spawnSync('tar', ['-xJf', ARCHIVE, '-C', folder]);
      expect(status).toBe(0);
      const official: Outcome[] = [];
      for (const one of officialCases(folder)) official.push(await outcomeOf(one, true));
      const corpus: Outcome[] = [];
      for (const one of corpusOnnx()) corpus.push(await outcomeOf(one, false));
      const made = [
        '# Conformance',
        '',
        'What passes of the operator tests of ONNX and of real ONNX files, made by `npm run conformance`. Each file is read into the layer map,',
        'evaluated in float64, and written anew from the map alone, in its own opset or the newest that ONNX Runtime has it in; the result runs in',
        'ONNX Runtime. (ONNX to ONNX with nothing asked for copies the file instead.) TensorFlow.js has numbers of float32 and int32. The',
        'largest error that passes is 2e-4 of the largest value.',
        '',
        ...section('Official operator tests', official),
        ...section('Real files', corpus),
      ].join('\n');
      // The table of nets is made by `npm run conformance -- --zoo <folder>`, from files that are not beside every checkout.
      const text = readFileSync(DOCUMENT, 'utf8');
      const nets = text.includes('\n## Nets\n') ? text.slice(text.indexOf('\n## Nets\n')) : '';
      if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(DOCUMENT, made + nets);
      expect(official.length).toBe(540);
      expect(made + nets).toBe(readFileSync(DOCUMENT, 'utf8'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  600_000,
);
