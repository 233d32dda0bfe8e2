/** Nets of a zoo, converted to targets and run there: what `conformance.mjs` calls in a process of its own, which prints a line for each. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Sums of float32 in another order. */
const TOLERANCE = 1e-3;

/**
 * The nets of a folder that have a recording and are meant to convert.
 *
 * @returns {{ name: string, format: string, model: string, prototxt?: string, inputs: Recorded[], outputs: Recorded[], tolerance?: number, inference?: boolean, assume?: Record<string, string> }[]}
 * @typedef {{ name: string | null, file: string }} Recorded paths
 */
export function listNets(folder) {
  const index = join(folder, 'index.json');
  if (existsSync(index)) {
    const { models } = JSON.parse(readFileSync(index, 'utf8'));
    return models
      .filter(({ expect, dropped, outputs }) => expect === 'match' && !dropped && outputs.length > 0)
      .map(({ name, format, model, files, inputs, outputs, inference, assume }) =>
        netOf(folder, { name, format, model, prototxt: files.find((file) => file.endsWith('.prototxt')), inputs, outputs, inference, assume }),
      );
  }
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'case.json')))
    .map(({ name }) => ({ ...JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')), folder: join(folder, name), name }))
    .filter(({ kind, expect, outputs }) => kind === 'net' && expect !== 'refuse' && outputs.length > 0)
    .map((one) => netOf(one.folder, { ...one, name: one.case, tolerance: one.tolerance?.rtol }));
}

function netOf(folder, { name, format, model, prototxt, inputs, outputs, tolerance, inference, assume }) {
  const paths = (ports) => ports.map((port) => ({ name: port.name, file: join(folder, port.file) }));
  const beside = prototxt && join(folder, prototxt);
  const more = { ...(beside ? { prototxt: beside } : {}), ...(inference ? { inference } : {}), ...(assume ? { assume } : {}) };
  return { name, format, model: join(folder, model), ...more, inputs: paths(inputs), outputs: paths(outputs), tolerance };
}

async function tryNet({ model, prototxt, inputs, outputs, tolerance = 0, inference, assume, target, out }) {
  const { convert, isModelError, memorySource, readNpy } = await import('../dist/index.js');
  const { verifyConversion } = await import('../dist/verification.js');
  const { fileSink, nodeFileSet } = await import('../dist/node/index.js');
  try {
    const files = await nodeFileSet(model);
    const read = async (kind, { name, file }, all) => {
      const tensor = await readNpy(memorySource(readFileSync(file), file));
      return [name && all.length > 1 ? `${kind}:${name}` : kind, tensor];
    };
    const golden = new Map([
      ...(await Promise.all(inputs.map((port) => read('input', port, inputs)))),
      ...(await Promise.all(outputs.map((port) => read('output', port, outputs)))),
    ]);
    const recordedShape = inputs.length === 1 ? golden.get('input')?.shape : undefined;
    const options = {
      ...(prototxt ? { prototxt: basename(prototxt) } : {}),
      ...(recordedShape ? { recordedShape } : {}),
      ...(inference ? { inference } : {}),
      ...(assume ? { assume } : {}),
    };
    const path = join(out, target === 'onnx' ? 'net.onnx' : 'net');
    rmSync(path, { recursive: true, force: true });
    const { model: opened, map, files: made } = await convert(files, await fileSink(path), basename(path), { ...options, to: target });
    const main = join(dirname(path), made[0].name);
    const report = await verifyConversion(
      {
        source: { files, path: model, ...(prototxt ? { prototxt: basename(prototxt) } : {}) },
        model: opened,
        map,
        target: { files: await nodeFileSet(main), path: main, format: target },
      },
      { golden, atol: 1e-6, rtol: Math.max(TOLERANCE, tolerance) },
    );
    const worst = Math.max(...report.outputs.map(({ relativeToScale }) => relativeToScale));
    return report.verdict === 'match' ? worst.toExponential(1) : `${report.verdict}: ${report.firstDifference?.message ?? worst}`;
  } catch (error) {
    if (isModelError(error)) return error.message.replaceAll(model, 'the model');
    return `bug: ${error.stack}`;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { nets, targets, out } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  for (const net of nets) {
    for (const target of targets) {
      const outcome = await tryNet({ ...net, target, out });
      console.log(`outcome ${outcome.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, 300)}`);
    }
  }
  process.exit(0);
}
