/** `weighbridge evaluate`: a net on labelled pictures, alone or against another, in parts that are put together later. */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { temporaryFolder } from '../../bytes/temporary.js';
import { isObject } from '../../containers/json.js';
import { convert } from '../../convert.js';
import { ModelError } from '../../errors.js';
import { type EvaluatedModel, type EvaluationDocument, MAX_SHARDS, type Row, type Shard, tally } from '../../evaluate/document.js';
import { alignClasses, describePreparation, evaluate, labelsOfData, openRunner, type Runnable } from '../../evaluate/evaluate.js';
import type { GivenPreparation } from '../../model/preparation.js';
import { fileSink } from '../../node/file-sink.js';
import { nodeFileSet, sha256File } from '../../node/index.js';
import { companionsOf, openFiles, prototxtOf } from '../../node/open-files.js';
import { checkOneOrigin, shownName } from '../../node/remote/location.js';
import { openModel } from '../../readers/open.js';
import type { EngineName } from '../../verify/engines/names.js';
import { findWrittenFormat } from '../../verify/written/index.js';
import { counted } from '../../words.js';
import { commandHost } from '../engine-host.js';
import {
  addOtherOptions,
  addSourceOptions,
  type CommonFlags,
  type OtherFlags,
  otherFlags,
  parsePreparation,
  parseShare,
  type SourceFlags,
} from '../options.js';
import { openPictureData } from '../picture-data.js';
import { errColour, makeVoice, type Voice } from '../print.js';
import { printEvaluation, unmet } from '../print-evaluation.js';
import { startProgress } from '../progress.js';
import { checkText, checkTwice, documentOf, type Replacing, writeText } from '../text-file.js';
import { preprocessOption } from './verify.js';

interface EvaluateFlags extends CommonFlags, SourceFlags, OtherFlags {
  readonly data: string;
  readonly against?: string;
  readonly shard: Shard;
  readonly rows?: string;
  readonly parquet?: string;
  readonly output?: string;
  readonly engine?: EngineName;
  readonly device?: 'auto' | 'cpu' | 'gpu';
  readonly preprocess?: GivenPreparation;
  readonly otherPreprocess?: GivenPreparation;
  readonly minTop1?: number;
  readonly minAgreement?: number;
}

export function registerEvaluate(program: Command): Command {
  const command = program
    .command('evaluate <model>')
    .description('run a net on pictures with classes: top-1 and top-5, agreement with another net, what is taken for what')
    .requiredOption(
      '--data <path>',
      'folder of pictures (classes by subfolder or labels.csv), list.csv of picture and class, or .tar (also a pattern) as WebDataset makes them',
    )
    .addOption(new Option('--against <model>', 'another net, such as the one that this was made from'))
    .addOption(
      new Option('--shard <i/n>', 'the i-th of n parts; weighbridge report merge puts them together').argParser(parseShard).default({ index: 1, of: 1 }, '1/1'),
    )
    .addOption(new Option('--rows <file.jsonl>', 'also write a line for each picture; an interrupted run goes on from there'))
    .addOption(new Option('--parquet <file>', 'also write the rows as Parquet'))
    .addOption(new Option('-o, --output <file.json>', 'write the document, for weighbridge report merge'))
    .addOption(new Option('--min-top1 <share>', 'exit code 1 where fewer are right').argParser(parseShare))
    .addOption(new Option('--min-agreement <share>', 'exit code 1 where both nets agree on fewer').argParser(parseShare))
    .addOption(new Option('--engine <name>', 'engine that runs the net (see: weighbridge engines)'))
    .addOption(new Option('--device <device>', 'what it runs on').choices(['auto', 'cpu', 'gpu']))
    .addOption(preprocessOption('--data'))
    .addOption(new Option('--other-preprocess <settings>', 'the same for the other net').argParser(parsePreparation));
  addSourceOptions(command);
  addOtherOptions(command);
  return command.action(async (path: string, flags: EvaluateFlags) => {
    const voice = makeVoice(flags);
    if (flags.minAgreement !== undefined && flags.against === undefined)
      throw new ModelError('usage', '--min-agreement is about another net: name it with --against.');
    checkOneOrigin([path, ...(flags.against === undefined ? [] : [flags.against])], flags.tokenEnv);
    checkTwice([flags.output, flags.rows, flags.parquet]);
    const keep = [path, flags.data, ...(flags.against === undefined ? [] : [flags.against]), ...companionsOf(flags), ...companionsOf(otherFlags(flags))];
    const outputs = { output: { keep, earlier: documentOf('evaluation', 'evaluation') }, parquet: { keep, earlier: PARQUET } };
    if (flags.output !== undefined) await checkText(flags.output, outputs.output);
    if (flags.parquet !== undefined) await checkText(flags.parquet, outputs.parquet);
    if (flags.rows !== undefined) await checkText(flags.rows, { keep });
    const document = await runEvaluation(voice, path, flags, outputs.parquet);
    if (flags.output !== undefined) await writeText(flags.output, `${JSON.stringify(document, null, 2)}\n`, outputs.output);
    if (voice.asJson) voice.json(document);
    else printEvaluation(voice.say, document);
    const missed = unmet(document, flags);
    for (const sentence of missed) voice.warn(sentence);
    // What runs parts would run one again for a picture that nobody can read; the merge says that it is missing. Where none can be, something else is wrong.
    const isTold = flags.shard.of > 1 && document.counts.pictures > 0;
    if (missed.length > 0 || (document.failed.length > 0 && !isTold)) process.exitCode = 1;
    else if (flags.shard.of > 1) voice.next(['report', 'merge', 'part1.json', 'part2.json'], 'puts the parts together');
    else if (flags.against === undefined)
      voice.next(['evaluate', shownName(path), '--data', flags.data, '--against', 'other.onnx'], 'tells where another net says otherwise');
  });
}

async function runEvaluation(voice: Voice, path: string, flags: EvaluateFlags, parquet: Replacing): Promise<EvaluationDocument> {
  const startedAt = performance.now();
  const progress = startProgress(voice);
  const closing: (() => Promise<void> | void)[] = [() => progress.stop()];
  const notes: string[] = [];
  try {
    const data = await openPictureData(flags.data);
    closing.push(() => data.close());
    const open = async (model: string, source: SourceFlags, given: GivenPreparation | undefined) => {
      const { runnable, sha256, format, close } = await openRunnable(model, source, notes);
      closing.push(close);
      const runner = await openRunner(runnable, given, { engine: flags.engine, device: flags.device, host: commandHost() }, notes);
      closing.push(() => runner.close());
      return { runner, document: { path: shownName(model), format, engine: runner.engine, sha256 } satisfies EvaluatedModel };
    };
    const own = await open(path, flags, flags.preprocess);
    const other = flags.against === undefined ? null : await open(flags.against, otherFlags(flags), flags.otherPreprocess);
    const { labels, note } = labelsOfData(data, own.runner);
    const aligned = other && alignClasses(own.runner, other.runner, other.document.path);
    for (const told of [note, aligned?.note ?? null]) if (told !== null) notes.push(told);
    notes.push(...(data.leftOut ?? []));
    const identity = createHash('sha256');
    for (const [i, name] of data.names.entries()) identity.update(`${name}\t${labels?.[i] ?? ''}\n`);
    const described = {
      path: flags.data,
      pictures: data.names.length,
      sha256: identity.digest('hex'),
      prepared: describePreparation(own.runner, other?.runner ?? null),
    };
    const head = {
      schema: 'weighbridge/evaluation-rows@1',
      model: own.document.sha256,
      against: other?.document.sha256 ?? null,
      data: described.sha256,
      prepared: described.prepared,
      shard: flags.shard,
    };
    const rows = flags.rows === undefined ? [] : readRows(flags.rows, head);
    if (rows.length > 0) voice.tell(errColour.dim(`${counted(rows.length, 'picture')} ${rows.length === 1 ? 'is' : 'are'} in ${flags.rows} already`));
    const done = new Set(rows.map(({ name }) => name));
    const failed: { name: string; problem: string }[] = [];
    const { index, of } = flags.shard;
    const places: number[] = [];
    for (let i = index - 1; i < data.names.length; i += of) if (!done.has(data.names[i]!)) places.push(i);
    if (index > data.names.length) notes.push(`part ${index} of ${of} has no pictures: there are ${data.names.length}`);
    await evaluate({
      runner: own.runner,
      against: other?.runner ?? null,
      numbers: aligned?.numbers ?? null,
      data,
      places,
      labels,
      onRows(found) {
        rows.push(...found);
        if (flags.rows !== undefined) appendFileSync(flags.rows, found.map((row) => `${JSON.stringify(row)}\n`).join(''));
      },
      onFailed: (name, problem) => void failed.push({ name, problem }),
      onProgress: (count, total) => progress.step('pictures', count, total),
    });
    if (flags.parquet !== undefined) await writeParquet(flags.parquet, rows, other !== null, parquet);
    return {
      schema: 'weighbridge/evaluation@1',
      model: own.document,
      against: other?.document ?? null,
      data: described,
      shards: [flags.shard],
      ...tally(rows, other !== null),
      failed,
      notes,
      elapsedMs: performance.now() - startedAt,
    };
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** The net in a form that a runtime here takes: PyTorch's and others' are converted to ONNX first, in a folder that goes away again. */
async function openRunnable(path: string, flags: SourceFlags, notes: string[]) {
  const { files, options, pathOf, path: opened } = await openFiles(path, flags);
  const close = () => files.close();
  try {
    const model = await openModel(files, options);
    const map = await model.map();
    const sha256: Record<string, string> = {};
    for (const name of model.files) sha256[name] = await sha256File(pathOf(name));
    const own: Runnable = {
      map,
      target: { files, path: opened, format: model.format, ...prototxtOf(model) },
    };
    if (findWrittenFormat(model.format)?.runs) return { runnable: own, sha256, format: model.format, close };
    const { path: folder, remove } = temporaryFolder('converted')!;
    try {
      const made = join(folder, 'model.onnx');
      await convert(files, await fileSink(made), basename(made), options);
      const target = await nodeFileSet(made);
      notes.push(`${shownName(path)} was converted to ONNX to be run: no runtime here takes ${model.format} files`);
      const closeAll = async () => {
        await target.close();
        await close();
        remove();
      };
      return { runnable: { map, target: { files: target, path: made, format: 'onnx' } }, sha256, format: model.format, close: closeAll };
    } catch (error) {
      remove();
      throw error;
    }
  } catch (error) {
    await close();
    throw error;
  }
}

/** Rows of an earlier run of the same; a last line that was not finished is dropped. */
function readRows(path: string, head: object): Row[] {
  const first = JSON.stringify(head);
  if (!existsSync(path)) {
    writeFileSync(path, `${first}\n`);
    return [];
  }
  const text = readFileSync(path, 'utf8');
  // Ended before its first line was whole.
  if (!text.includes('\n') && first.startsWith(text)) {
    writeFileSync(path, `${first}\n`);
    return [];
  }
  const lines = text.split('\n');
  if (lines[0] !== first)
    throw new ModelError('usage', 'holds the rows of another run: another model, other data or another part. Name another file, or remove it.', { file: path });
  const last = lines.pop();
  if (last !== '') writeFileSync(path, `${lines.join('\n')}\n`);
  return lines.slice(1).map((line, i) => {
    const row = parseJson(line);
    if (isRow(row)) return row;
    throw new ModelError('malformed', `line ${i + 2} is no row`, { file: path });
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRow(row: unknown): row is Row {
  const areClasses = (list: unknown) => Array.isArray(list) && list.every(Number.isInteger);
  const isWhole =
    isObject(row) &&
    typeof row.name === 'string' &&
    areClasses(row.top) &&
    (row.other === undefined || areClasses(row.other)) &&
    (row.turned === undefined || row.turned === true);
  return isWhole && [row.label, row.value].every((value) => value === null || typeof value === 'number');
}

const PARQUET: Replacing['earlier'] = { begins: /^PAR1/, what: 'Parquet file' };

/** For engines that count in tables: DuckDB, Polars, Spark. */
async function writeParquet(path: string, rows: readonly Row[], hasOther: boolean, replacing: Replacing): Promise<void> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const place = (list: readonly number[] | undefined, i: number) => list?.[i] ?? null;
  const tops = (name: string, of: (row: Row) => readonly number[] | undefined) =>
    Array.from({ length: 5 }, (_, i) => ({ name: `${name}${i + 1}`, data: rows.map((row) => place(of(row), i)), type: 'INT32' as const, nullable: true }));
  const columnData = [
    { name: 'name', data: rows.map(({ name }) => name), type: 'STRING' as const, nullable: false },
    { name: 'label', data: rows.map(({ label }) => label), type: 'INT32' as const, nullable: true },
    { name: 'value', data: rows.map(({ value }) => value), type: 'DOUBLE' as const, nullable: true },
    ...tops('top', ({ top }) => top),
    ...(hasOther ? tops('other', ({ other }) => other) : []),
    { name: 'turned', data: rows.map(({ turned }) => turned === true), type: 'BOOLEAN' as const, nullable: false },
  ];
  await writeText(path, new Uint8Array(parquetWriteBuffer({ columnData })), replacing);
}

function parseShard(text: string): Shard {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(text)?.map(Number) ?? [];
  if (!index || !of || index > of || of > MAX_SHARDS) throw new InvalidArgumentError('a part and how many there are is expected, such as 3/8.');
  return { index, of };
}
