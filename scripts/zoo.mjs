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
    const read = async (kind, { name, file }, i, all) => {
      const tensor = await readNpy(memorySource(readFileSync(file), file));
      return [all.length === 1 ? kind : name ? `${kind}:${name}` : `${kind}_${i}`, tensor];
    };
    const readAll = (kind, ports) => Promise.all(ports.map((port, i) => read(kind, port, i, ports)));
    const [fed, made] = [await readAll('input', inputs), await readAll('output', outputs)];
    const golden = new Map([...fed, ...made]);
    const recordedShape = inputs.length === 1 ? golden.get('input')?.shape : undefined;
    const options = {
      ...(prototxt ? { prototxt: basename(prototxt) } : {}),
      ...(recordedShape ? { recordedShape } : {}),
      recordedInputs: fed.map(([, { dtype, shape }], i) => ({ name: inputs[i].name, dtype, shape })),
      ...(inference ? { inference } : {}),
      ...(assume ? { assume } : {}),
    };
    const path = join(out, target === 'onnx' ? 'net.onnx' : 'net');
    rmSync(path, { recursive: true, force: true });
    const { model: opened, map, files: written } = await convert(files, await fileSink(path), basename(path), { ...options, to: target });
    const main = join(dirname(path), written[0].name);
    const subject = {
      source: { files, path: model, ...(prototxt ? { prototxt: basename(prototxt) } : {}) },
      model: opened,
      map,
      target: { files: await nodeFileSet(main), path: main, format: target },
    };
    // Where the net takes one and not a batch, a recording of several is one of as many runs.
    const [{ shape }] = map.inputs;
    const { reshape, sliceAxis } = await import('../dist/model/tensor.js');
    const runs = fed.length === 1 && recordedShape.length === shape.length + 1 ? recordedShape[0] : 0;
    const run = (i) => new Map([...golden].map(([key, tensor]) => [key, reshape(sliceAxis(tensor, 0, i, i + 1), tensor.shape.slice(1))]));
    const recordings = runs ? Array.from({ length: runs }, (_, i) => run(i)) : [golden];
    const reports = [];
    for (const one of recordings) reports.push(await verifyConversion(subject, { golden: one, atol: 1e-6, rtol: Math.max(TOLERANCE, tolerance) }));
    const worst = Math.max(...reports.flatMap(({ outputs: all }) => all.map(({ relativeToScale }) => relativeToScale)));
    const bad = reports.find(({ verdict }) => verdict !== 'match');
    return bad ? `${bad.verdict}: ${bad.firstDifference?.message ?? worst}` : worst.toExponential(1);
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
