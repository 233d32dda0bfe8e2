/**
 * How often right files are called wrong: every model of a folder of real ones that converts, to each target and dtype, in each engine, over
 * a few seeds. The models are third parties'; where the folder is absent there is nothing to do. Every mismatch is to be explained.
 *
 *   node bench/false-alarms.mjs [--models ../shared/corpus,../shared/trained] [--seeds 2] [--only name] [--targets onnx,onnx:float16] [--layers]
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { convert, isModelError, memoryFileSet, memorySink } from '../dist/index.js';
import { nodeFileSet } from '../dist/node/index.js';
import { verifyConversion } from '../dist/verification.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: ['corpus', 'trained'].map((folder) => resolve(root, '../shared', folder)).join() },
    seeds: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    targets: { type: 'string', default: '' },
    layers: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

/** Format and dtype, the file that is loaded, and the engines that run it. */
const TARGETS = [
  { name: 'onnx', to: 'onnx', file: 'model.onnx', engines: ['ort-cpu', 'ort-wasm'], options: {} },
  { name: 'onnx:float16', to: 'onnx', file: 'model.onnx', engines: ['ort-cpu'], options: { dtype: 'float16' } },
  { name: 'onnx:bfloat16', to: 'onnx', file: 'model.onnx', engines: ['ort-cpu'], options: { dtype: 'bfloat16' } },
  { name: 'onnx:int8', to: 'onnx', file: 'model.onnx', engines: ['ort-cpu'], options: { dtype: 'int8' } },
  { name: 'onnx:compute', to: 'onnx', file: 'model.onnx', engines: ['ort-cpu'], options: { dtype: 'float16', float16Compute: true } },
  { name: 'tfjs', to: 'tfjs', file: 'model.json', engines: ['tfjs-wasm'], options: {} },
  { name: 'tfjs-graph', to: 'tfjs-graph', file: 'model.json', engines: ['tfjs-wasm', 'tfjs-cpu'], options: {} },
  { name: 'tfjs-graph:float16', to: 'tfjs-graph', file: 'model.json', engines: ['tfjs-wasm'], options: { dtype: 'float16' } },
  { name: 'tfjs-graph:uint8', to: 'tfjs-graph', file: 'model.json', engines: ['tfjs-wasm'], options: { dtype: 'uint8' } },
].filter(({ name }) => flags.targets === '' || flags.targets.split(',').includes(name));

const MODEL = /\.(h5|hdf5|keras|onnx|caffemodel|pth|pt|pb|json)$/i;

/** @returns the model of each folder: what its case says, or the only file that looks like one */
function models() {
  return flags.models.split(',').flatMap((folder) => {
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((name) => statSync(join(folder, name)).isDirectory() && name.includes(flags.only))
      .flatMap((name) => {
        const place = join(folder, name);
        const described = existsSync(join(place, 'case.json')) ? JSON.parse(readFileSync(join(place, 'case.json'), 'utf8')) : null;
        if (described && (described.kind !== 'net' || !['convert', 'warn'].includes(described.expect))) return [];
        const model = described?.model ?? readdirSync(place).find((file) => MODEL.test(file) && !/^(trained|case|tensors)\.json$/.test(file));
        return model ? [{ name, path: join(place, model), prototxt: described?.prototxt ?? undefined }] : [];
      });
  });
}

const counts = new Map();
const count = (key) => counts.set(key, (counts.get(key) ?? 0) + 1);
const started = performance.now();

for (const { name, path, prototxt } of models()) {
  for (const target of TARGETS) {
    const files = await nodeFileSet(path);
    try {
      const sink = memorySink();
      let result;
      try {
        result = await convert(files, sink, target.file, { to: target.to, prototxt, ...target.options });
      } catch (error) {
        if (!isModelError(error)) throw error;
        count('not converted');
        if (flags.verbose) console.log(`- ${name} ${target.name}: ${error.message.split('\n')[0]}`);
        continue;
      }
      for (const engine of target.engines) {
        for (let seed = 0; seed < Number(flags.seeds); seed++) {
          const written = memoryFileSet(Object.fromEntries(sink.files), target.file);
          const conversion = {
            source: { files, path: resolve(path), prototxt },
            model: result.model,
            map: result.map,
            target: { files: written, format: target.to },
          };
          try {
            const report = await verifyConversion(conversion, { engine, seed, layers: flags.layers });
            count(report.verdict);
            count(`${report.verdict} in ${target.name}`);
            const worst = Math.max(0, ...report.outputs.map(({ ofAllowed }) => ofAllowed));
            const line = `${report.verdict === 'match' ? ' ' : '!'} ${name} ${target.name} ${engine} seed ${seed} against ${report.engines.expected.split(' ')[0]}: ${report.verdict}, ${worst.toPrecision(2)} of what is allowed (${report.tolerance.rtol})`;
            if (report.verdict !== 'match' || flags.verbose) console.log(line, report.verdict === 'match' ? '' : (report.firstDifference?.message ?? ''));
          } catch (error) {
            if (!isModelError(error)) throw error;
            count('not run');
            if (flags.verbose) console.log(`- ${name} ${target.name} ${engine}: ${error.message.split('\n')[0]}`);
          }
        }
      }
    } finally {
      await files.close?.();
    }
  }
}
console.log(
  `\n${
    basename(dirname(root)) &&
    [...counts]
      .sort()
      .map(([key, number]) => `${key}: ${number}`)
      .join('\n')
  }`,
);
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);
