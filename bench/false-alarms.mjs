/**
 * How often right files are called wrong: every model of some folders that converts, to each target and dtype, in each engine, over a few
 * seeds. Every verdict but a match is to be explained. A folder that is not here has nothing to do.
 *
 *   node bench/false-alarms.mjs [--models folder,folder] [--seeds 2] [--only name] [--targets onnx,onnx:float16] [--layers] [--minutes 3] [--save folder] [--write] [--block name]
 *
 * Folders: what test/fixtures/exported/strangers.py makes, models of other people, each in a folder of its own (`case.json` says what it is, where there is one), made nets with their
 * `options.json` (test/fixtures/architectures), or a zoo, whose `index.json` lists its models. --save keeps what was found, a file for each
 * model and target, which is not done again, so that what --minutes broke off goes on; --write puts the table of all that was kept into docs/verify.md, into the block
 * of that name.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { convert } from '../dist/convert.js';
import { isModelError, memoryFileSet, memorySink } from '../dist/index.js';
import { nodeFileSet } from '../dist/node/index.js';
import { shrinkToFour } from '../dist/shrink/index.js';
import { verifyConversion } from '../dist/verification.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: ['../shared/corpus', '../shared/trained', 'test/fixtures/architectures'].map((folder) => resolve(root, folder)).join() },
    seeds: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    targets: { type: 'string', default: '' },
    layers: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    minutes: { type: 'string', default: 'Infinity' },
    save: { type: 'string' },
    write: { type: 'boolean', default: false },
    block: { type: 'string', default: 'false alarms' },
  },
});

/** Format and dtype, the file that is loaded, and the engines that run it; null where none does and weights are compared alone. */
const TARGETS = [
  target('onnx', 'model.onnx', ['ort-cpu', 'ort-wasm', 'evaluator']),
  target('onnx:float16', 'model.onnx', ['ort-cpu', 'ort-wasm']),
  target('onnx:bfloat16', 'model.onnx', ['ort-cpu']),
  target('onnx:int8', 'model.onnx', ['ort-cpu', 'evaluator']),
  { ...target('onnx:int4', 'model.onnx', ['ort-cpu', 'evaluator']), options: { rewrite: (map) => shrinkToFour(map, 'int4', 32) } },
  { ...target('onnx:compute', 'model.onnx', ['ort-cpu']), options: { dtype: 'float16', float16Compute: true } },
  target('tfjs', 'model.json', ['tfjs-wasm', 'tfjs-cpu']),
  target('tfjs:float16', 'model.json', ['tfjs-wasm']),
  target('tfjs-graph', 'model.json', ['tfjs-wasm', 'tfjs-cpu']),
  target('tfjs-graph:float16', 'model.json', ['tfjs-wasm']),
  target('tfjs-graph:uint8', 'model.json', ['tfjs-wasm']),
  target('keras-v3', 'model.keras', [undefined]),
  target('keras-h5:float16', 'model.h5', [undefined]),
  target('caffe', 'model.caffemodel', [undefined]),
  target('pytorch', 'model.pth', [null]),
  target('safetensors:bfloat16', 'model.safetensors', [null]),
].filter(({ name }) => flags.targets === '' || flags.targets.split(',').includes(name));

function target(name, file, engines) {
  const [to, dtype] = name.split(':');
  return { name, to, file, engines, options: dtype ? { dtype } : {} };
}

const MODEL = /\.(h5|hdf5|keras|onnx|caffemodel|pth|pt|pt2|pb|tflite|safetensors|json)$/i;

function models() {
  return flags.models
    .split(',')
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => (existsSync(join(folder, 'index.json')) ? zoo(folder) : cases(folder)))
    .filter(({ name }) => new RegExp(flags.only).test(name));
}

function zoo(folder) {
  return readJson(join(folder, 'index.json'))
    .models.filter(({ expect, dropped }) => expect === 'match' && !dropped)
    .map(({ name, model, files }) => {
      const wiring = files.map((file) => join(folder, file)).find((file) => /\.(prototxt|json)$/.test(file));
      return {
        name: `${basename(folder)}-${name}`,
        path: join(folder, model),
        options: wiring ? (/json$/.test(wiring) ? { configPath: wiring } : { prototxt: wiring }) : {},
      };
    });
}

/** The model of each folder: what its case says, or the only file that looks like one. */
function cases(folder) {
  return readdirSync(folder)
    .filter((name) => statSync(join(folder, name)).isDirectory())
    .flatMap((name) => {
      const place = join(folder, name);
      const told = (file) => (existsSync(join(place, file)) ? readJson(join(place, file)) : null);
      const described = told('case.json');
      if (described && (described.kind !== 'net' || !['convert', 'warn'].includes(described.expect))) return [];
      const model = described?.model ?? readdirSync(place).find((file) => MODEL.test(file) && !/^(trained|case|tensors|options|layers)\.json$/.test(file));
      return model ? [{ name, path: join(place, model), options: { ...told('options.json'), prototxt: described?.prototxt ?? undefined } }] : [];
    });
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Every engine and seed of one model in one form. */
async function tried({ name, path, options }, form) {
  const files = await nodeFileSet(path);
  const found = [];
  const attempt = async (words, work) => {
    try {
      return await work();
    } catch (error) {
      if (!isModelError(error)) throw error;
      if (flags.verbose) console.log(`- ${name} ${form.name}: ${words}: ${error.message.split('\n')[0]}`);
      found.push({ verdict: words });
      return null;
    }
  };
  try {
    const sink = memorySink();
    const result = await attempt('not converted', () => convert(files, sink, form.file, { to: form.to, ...options, ...form.options }));
    if (!result) return found;
    const written = memoryFileSet(Object.fromEntries(sink.files), form.file);
    const conversion = {
      source: { files, path: resolve(path), prototxt: options.prototxt },
      model: result.model,
      map: result.map,
      edited: result.edited,
      target: { files: written, format: form.to },
    };
    for (const engine of form.engines) {
      for (let seed = 0; seed < (engine === null ? 1 : Number(flags.seeds)); seed++) {
        const run = { engine: engine ?? undefined, seed, layers: flags.layers };
        const report = await attempt('not run', () => verifyConversion(conversion, run));
        // A net without weights leaves a file of weights nothing to hold.
        if (!report || (engine === null && report.weights === null)) continue;
        const ofAllowed = Math.max(0, ...report.outputs.map((output) => output.ofAllowed));
        found.push({ verdict: report.verdict, engine: report.engines.actual, seed, ofAllowed });
        if (report.verdict !== 'match' || flags.verbose) {
          const against = `${report.engines.actual ?? 'weights'} seed ${seed} against ${report.engines.expected}`;
          const why =
            report.verdict === 'match' ? '' : [report.firstDifference?.message, report.cause?.message, ...report.notes].filter(Boolean).join('\n    ');
          console.log(
            `${report.verdict === 'match' ? ' ' : '!'} ${name} ${form.name} ${against}: ${report.verdict}, ${ofAllowed.toPrecision(2)} of what is allowed (${report.tolerance.rtol}) ${why}`,
          );
        }
      }
    }
    return found;
  } finally {
    await files.close?.();
  }
}

const rows = [];
let left = 0;
const until = performance.now() + Number(flags.minutes) * 60_000;
for (const model of models()) {
  for (const form of TARGETS) {
    const kept = flags.save && join(flags.save, `${`${model.name} ${form.name}`.replaceAll(/[^\w.-]+/g, '_')}.json`);
    if (performance.now() > until && !(kept && existsSync(kept))) {
      left++;
      continue;
    }
    const row = kept && existsSync(kept) ? readJson(kept) : { model: model.name, target: form.name, found: await tried(model, form) };
    if (kept) {
      mkdirSync(flags.save, { recursive: true });
      writeFileSync(kept, JSON.stringify(row));
    }
    rows.push(row);
  }
}
const table = tableOf(flags.save ? readdirSync(flags.save).map((file) => readJson(join(flags.save, file))) : rows);
console.log(`${table}${left > 0 ? `${left} conversions are left\n` : ''}`);
if (flags.write) {
  const page = join(root, 'docs/verify.md');
  const block = new RegExp(`(<!-- ${flags.block}:[^>]*-->\n)[\\s\\S]*?(<!-- end -->)`);
  writeFileSync(
    page,
    readFileSync(page, 'utf8').replace(block, (_, start, end) => `${start}${table}${end}`),
  );
}
process.exit();

function tableOf(all) {
  const order = [...new Set([...TARGETS.map(({ name }) => name), ...all.map(({ target }) => target)])];
  const lines = order.flatMap((name) => {
    const of = all.filter((row) => row.target === name);
    return of.length > 0 ? [line(name.replace(':compute', ', computed in float16').replace(':', ', '), of)] : [];
  });
  return `| written as | nets | verdicts | not a match | largest error, of what is allowed |\n|---|---|---|---|---|\n${[...lines, line('**all**', all)].join('\n')}\n`;
}

function line(name, of) {
  const judged = of.map((row) => ({ ...row, found: row.found.filter(({ engine }) => engine !== undefined) })).filter(({ found }) => found.length > 0);
  const verdicts = judged.flatMap(({ found }) => found);
  const nets = new Set(judged.map(({ model }) => model)).size;
  const largest = Math.max(0, ...verdicts.map(({ ofAllowed }) => ofAllowed ?? 0));
  return `| ${name} | ${nets} | ${verdicts.length} | ${verdicts.filter(({ verdict }) => verdict !== 'match').length} | ${largest.toPrecision(2)} |`;
}
