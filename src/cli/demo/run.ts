/** What `weighbridge demo` does: the main job on a small net that ships with the tool, or on a full-size VGG16. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, statfs } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySource } from '../../bytes/byte-source.js';
import { closingOnError } from '../../bytes/closing.js';
import { readNpz } from '../../containers/npy.js';
import { ModelError } from '../../errors.js';
import { nodeFileSet } from '../../node/index.js';
import { verdictGlance } from '../../report/verdict.js';
import { toArray } from '../../verify/array.js';
import type { NdArray } from '../../verify/engine.js';
import { selectEngine } from '../../verify/engines/index.js';
import { type ConvertFlags, runConvert } from '../commands/convert.js';
import type { CommonFlags } from '../options.js';
import { colour, formatBytes, formatNumber, formatTime, makeVoice, table, type Voice } from '../print.js';
import { makeVgg16 } from './make-vgg16.js';
import { drawPictures } from './pictures.js';

const DIGITS = fileURLToPath(new URL('../../../demo/digits/', import.meta.url));
const DIALECTS = [
  { title: 'Keras', model: 'digits.h5', golden: 'keras.npz' },
  { title: 'PyTorch', model: 'digits.pth', golden: 'torch.npz' },
  { title: 'Caffe', model: 'digits.caffemodel', golden: 'caffe.npz' },
] as const;
const DTYPES = ['float32', 'float16'] as const;

/** Three sources and, one pair at a time, their conversions. */
const VGG16_DISK_BYTES = 3.5e9;

export interface DemoFlags extends CommonFlags {
  readonly vgg16?: boolean;
  readonly folder: string;
}

export async function runDemo(flags: DemoFlags): Promise<void> {
  const voice = makeVoice(flags);
  await mkdir(flags.folder, { recursive: true });
  const document = flags.vgg16 ? await demoVgg16(voice, flags.folder) : await demoDigits(voice, flags.folder);
  if (voice.asJson) voice.json(document);
  if (document.verdicts.some((verdict) => verdict !== 'match')) process.exitCode = 1;
  voice.next(['convert', 'model.h5', '-o', 'model.onnx'], 'does the same with a file of yours');
}

/** Converts, and says what happened in a table's row alone, unless more is asked for or something is wrong. */
async function convertBriefly(voice: Voice, title: string, path: string, flags: Omit<ConvertFlags, 'force' | 'verify'>) {
  const said: string[] = [];
  const keep = (text: string) => void said.push(text);
  const document = await runConvert(voice.verbose ? voice : { ...voice, say: keep, tell: keep }, path, { ...flags, force: true, verify: true });
  const report = document.report!;
  if (report.verdict !== 'match' && !voice.asJson) voice.say(`${colour.bold(title)}\n${said.join('\n')}\n`);
  return { document, report };
}

interface Prediction {
  readonly digit: number;
  readonly probability: number;
}

async function demoDigits(voice: Voice, folder: string) {
  const say = voice.asJson ? () => {} : voice.say;
  say(
    'demo     a net that reads digits, as Keras, PyTorch and Caffe saved it, becomes ONNX; then ONNX Runtime reads 20 pictures with each file, and is held to what the framework had said of them\n',
  );
  const errors: number[] = [];
  const converted: { title: string; dtype: string; path: string; byteLength: number; verdict: string }[] = [];
  for (const { title, model, golden } of DIALECTS) {
    for (const dtype of DTYPES) {
      const path = join(folder, `digits-${title.toLowerCase()}-${dtype}.onnx`);
      const source = relative('.', join(DIGITS, model));
      const page = path.replace(/\.onnx$/, '.html');
      const flags = { output: path, dtype, golden: join(DIGITS, golden), report: [page] };
      const { report } = await convertBriefly(voice, `${title} → ONNX ${dtype}`, source, flags);
      errors.push(Math.max(...report.outputs.map(({ maxAbsolute }) => maxAbsolute)));
      converted.push({ title, dtype, path, byteLength: (await stat(path)).size, verdict: report.verdict });
    }
  }
  const { labels } = JSON.parse(await readFile(join(DIGITS, 'labels.json'), 'utf8')) as { labels: number[] };
  const pictures = await loadInput('keras.npz');
  const predictions: Prediction[][] = [];
  for (const { path } of converted) {
    const nhwc = path.includes('keras');
    predictions.push(await predict(path, nhwc ? pictures : await loadInput('torch.npz')));
  }
  if (colour.isColorSupported && process.stdout.isTTY && !voice.asJson)
    say(drawPictures(pictures, (i) => `${predictions[0]![i]!.digit} (${(100 * predictions[0]![i]!.probability).toFixed(0)} %)`));
  const right = (title: string) => ({ title, align: 'right' as const });
  const rows = converted.map(({ title, dtype, byteLength, verdict }, i) => {
    const list = predictions[i]!;
    const count = list.filter(({ digit }, picture) => digit === labels[picture]).length;
    return [title, dtype, formatBytes(byteLength), `${count} of ${labels.length}`, formatNumber(errors[i]!), verdict];
  });
  say(table([{ title: 'source' }, { title: 'dtype' }, right('size'), right('right'), right('largest error'), { title: 'verdict' }], rows));
  for (const { path, list } of converted.map(({ path }, i) => ({ path, list: predictions[i]! })))
    list.forEach(({ digit }, i) => {
      if (digit !== labels[i]) say(`wrong    ${path} takes picture ${i}, a ${labels[i]}, for a ${digit}`);
    });
  if (converted.every(({ verdict }) => verdict === 'match'))
    say('\ndone     each of the six files says what the framework had said: in float32 to within rounding, in float16 to within what narrower weights cost');
  say(`reports  ${converted[0]!.path.replace(/\.onnx$/, '.html')} and five more are pages to open; --verbose prints them`);
  say(`pictures ${relative('.', join(DIGITS, 'images'))}`);
  return { schema: 'weighbridge/demo@1', converted, predictions, labels, verdicts: converted.map(({ verdict }) => verdict) };
}

async function loadInput(name: string): Promise<NdArray> {
  const arrays = await readNpz(memorySource(new Uint8Array(await readFile(join(DIGITS, name))), name));
  return toArray(arrays.get('input')!);
}

/** Class and probability of each picture, by the converted file in its consumer's runtime. */
async function predict(path: string, input: NdArray): Promise<Prediction[]> {
  const { engine } = await selectEngine('onnx');
  const files = await nodeFileSet(path);
  const session = await closingOnError(files, () => engine.open({ files, path }));
  try {
    const results = await session.run(new Map([[session.inputs[0]!.name, input]]));
    const { data, shape } = results.get(session.outputs[0]!.name)!;
    const [count, classes] = shape as [number, number];
    return Array.from({ length: count }, (_, i) => {
      const scores = Array.from({ length: classes }, (_, c) => Number(data[i * classes + c]));
      const digit = scores.indexOf(Math.max(...scores));
      // A PyTorch net ends in logits, the others in probabilities, which sum to one.
      const isDistribution = Math.abs(scores.reduce((a, b) => a + b, 0) - 1) < 1e-3 && Math.min(...scores) >= 0;
      const total = scores.reduce((sum, score) => sum + Math.exp(score - scores[digit]!), 0);
      return { digit, probability: isDistribution ? scores[digit]! : 1 / total };
    });
  } finally {
    await session.close();
    await files.close();
  }
}

async function demoVgg16(voice: Voice, folder: string) {
  const say = voice.asJson ? () => {} : voice.say;
  const sources = join(folder, 'vgg16');
  await mkdir(sources, { recursive: true });
  const missing = ['vgg16.pth', 'vgg16.h5', 'vgg16.caffemodel', 'vgg16.prototxt'].some((name) => !existsSync(join(sources, name)));
  const { bavail, bsize } = await statfs(folder);
  if (missing && bavail * bsize < VGG16_DISK_BYTES) {
    throw new ModelError(
      'usage',
      `the full-size demo needs ${formatBytes(VGG16_DISK_BYTES)} of disk, ${formatBytes(bavail * bsize)} are free. Choose another place with --folder.`,
      { file: folder },
    );
  }
  if (missing) {
    const startedAt = performance.now();
    await makeVgg16(sources, (name) => voice.tell(`making ${join(sources, name)}`));
    voice.tell(`made in ${formatTime(performance.now() - startedAt)}; kept for the next time`);
  }
  const rows: string[][] = [];
  const verdicts: string[] = [];
  for (const [title, model] of [
    ['Keras', 'vgg16.h5'],
    ['PyTorch', 'vgg16.pth'],
    ['Caffe', 'vgg16.caffemodel'],
  ] as const) {
    for (const dtype of DTYPES) {
      const name = `${title} → ONNX ${dtype}`;
      const path = join(folder, `vgg16-${title.toLowerCase()}-${dtype}.onnx`);
      const startedAt = performance.now();
      const { document, report } = await convertBriefly(voice, name, join(sources, model), { output: path, dtype });
      const elapsedMs = performance.now() - startedAt;
      verdicts.push(report.verdict);
      // Each takes half a minute.
      say(`${name.padEnd(22)}  ${report.verdict}: ${verdictGlance(report)}`);
      rows.push([
        title,
        dtype,
        formatBytes((await stat(path)).size),
        formatTime(document.elapsedMs),
        formatTime(elapsedMs - document.elapsedMs),
        report.verdict,
      ]);
    }
  }
  const right = (title: string) => ({ title, align: 'right' as const });
  say('');
  say(table([{ title: 'source' }, { title: 'dtype' }, right('size'), right('conversion'), right('verification'), { title: 'verdict' }], rows));
  // maxRSS is in KiB on every platform.
  say(`\nPeak memory of this process, verification included: ${formatBytes(process.resourceUsage().maxRSS * 1024)}.`);
  return { schema: 'weighbridge/demo@1', rows, verdicts };
}
