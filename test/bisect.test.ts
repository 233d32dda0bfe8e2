/** The smallest files that still show a fault, checked by running them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bisect } from '../src/bisect.js';
import { memorySource } from '../src/bytes/byte-source.js';
import { memoryFileSet } from '../src/bytes/file-set.js';
import { checkBisectFolder } from '../src/cli/bisected.js';
import { readNpy, readNpz } from '../src/containers/npy.js';
import type { LayerMap } from '../src/model/layer-map.js';
import { openModel } from '../src/readers/open.js';
import type { PlacedFault } from '../src/verify/options.js';
import { verifyConversion } from '../src/verify/verify.js';
import { temporaryFolder } from './cli/run-cli.js';
import { writtenOnnx } from './verify/faults/catalogue.js';
import { branchedNet, modelOf } from './verify/faults/nets.js';
import { attribute, beforeOutput, constant, type Edit, editOnnx, rearrange, skipNode } from './verify/faults/onnx-edit.js';
import { editTfjs } from './verify/faults/tfjs-edit.js';
import { mapOf, tensor, written } from './verify/small-files.js';

const map = branchedNet();
let bytes: Uint8Array;
beforeAll(async () => {
  bytes = await writtenOnnx(map);
});

async function bisected(edit: Edit) {
  const target = { files: memoryFileSet({ 'changed.onnx': editOnnx(bytes, edit) }, 'changed.onnx'), format: 'onnx' };
  const placed: PlacedFault[] = [];
  await verifyConversion({ source: { files: target.files }, model: modelOf(map), map, target }, { onPlaced: (fault) => placed.push(fault) });
  expect(placed.length).toBeGreaterThan(0);
  return bisect(map, target, placed[0]!);
}

/** The right file, and where a wrong one differs from it. */
async function whereAPaddingIsOff() {
  const changed = memoryFileSet({ 'changed.onnx': editOnnx(bytes, attribute('conv2', 'pads', [2, 2, 0, 0])) }, 'changed.onnx');
  const placed: PlacedFault[] = [];
  const onPlaced = (fault: PlacedFault) => void placed.push(fault);
  await verifyConversion({ source: { files: changed }, model: modelOf(map), map, target: { files: changed, format: 'onnx' } }, { onPlaced });
  return { target: { files: memoryFileSet({ 'net.onnx': bytes }, 'net.onnx'), format: 'onnx' }, placed: placed[0]! };
}

/** Both files of a pair, verified with the inputs that lie beside them, as the command would. */
async function verdictOf(files: ReadonlyMap<string, Uint8Array>) {
  const open = (name: string) => memoryFileSet({ [name]: files.get(name)! }, name);
  const source = { files: open('original.onnx') };
  const model = await openModel(source.files);
  const array = files.get('inputs.npy');
  const inputs = array
    ? new Map([['input', await readNpy(memorySource(array, 'inputs.npy'), 'inputs.npy')]])
    : await readNpz(memorySource(files.get('inputs.npz')!, 'inputs.npz'));
  return verifyConversion({ source, model, map: await model.map(), target: { files: open('written.onnx'), format: 'onnx' } }, { inputs });
}

describe('bisecting', () => {
  it('cuts out the one layer that differs, of both files', async () => {
    const { files, command, layers } = await bisected(attribute('conv3b', 'pads', [2, 2, 0, 0]));
    expect([...files.keys()].sort()).toEqual(['inputs.npy', 'original.onnx', 'written.onnx']);
    expect(command).toEqual(['original.onnx', 'written.onnx', '--inputs', 'inputs.npy']);
    expect(layers).toEqual({ left: 1, of: map.layers.length });
    const report = await verdictOf(files);
    expect(report).toMatchObject({ verdict: 'mismatch', inputs: { kind: 'recorded' } });
    expect(report.cause!.explainedBy.map(({ kind }) => kind)).toContain('padding');
  });

  it('keeps what the file has lost, and what flows in beside', async () => {
    const { files, layers } = await bisected(skipNode('relu2'));
    expect(layers.left).toBe(2);
    expect(await verdictOf(files)).toMatchObject({ verdict: 'mismatch' });
    const joined = await bisected((graph) => {
      const node = graph.node!.find(({ name }) => name === 'concat')!;
      node.input!.reverse();
    });
    expect([...joined.files.keys()]).toContain('inputs.npz');
    expect(await verdictOf(joined.files)).toMatchObject({ verdict: 'mismatch' });
  });

  it.each([
    ['keras-v3', 'end', (net: LayerMap) => written({ ...net, layers: net.layers.slice(0, -1), outputs: [{ ...net.outputs[0]!, value: 'conv2' }] }, 'keras-v3')],
    [
      'tfjs-graph',
      'relu',
      async (net: LayerMap) => editTfjs(await written(net, 'tfjs-graph'), ({ part }) => void Object.assign(part('relu'), { op: 'Identity' })),
    ],
  ] as const)('of a %s file that has lost its layer "%s"', async (format, layer, make) => {
    const conv = (name: string, input: string) => ({
      name,
      op: 'Conv',
      inputs: [input],
      outputs: [name],
      weights: { kernel: tensor(`${name}/k`, [3, 3, 1, 1]) },
    });
    const port = (name: string, value: string) => ({ name, value, dtype: 'float32', shape: ['N', 3, 4, 4], layout: 'nchw' }) as const;
    const net = mapOf(
      [
        conv('conv1', 'x'),
        { name: 'relu', op: 'Relu', inputs: ['conv1'], outputs: ['relu'] },
        conv('conv2', 'relu'),
        { name: 'end', op: 'Sigmoid', inputs: ['conv2'], outputs: ['end'] },
      ],
      [port('x', 'x')],
      [port('y', 'end')],
    );
    const name = format === 'keras-v3' ? 'net.keras' : 'model.json';
    const target = { files: memoryFileSet(await make(net), name), format };
    const placed: PlacedFault[] = [];
    const report = await verifyConversion(
      { source: { files: target.files }, model: modelOf(net), map: net, target },
      { onPlaced: (fault) => placed.push(fault) },
    );
    expect(report.cause?.explainedBy[0]).toMatchObject({ kind: 'activation-missing', layer });
    const { files } = await bisect(net, target, placed[0]!);
    expect(await verdictOf(files)).toMatchObject({ verdict: 'mismatch' });
  });

  it('of a wrong weight as well, and of what is done to an output', async () => {
    const flipped = await bisected(rearrange('conv2', 1, ([o, i, h, w], [, , H, W]) => [o!, i!, H! - 1 - h!, W! - 1 - w!]));
    expect(await verdictOf(flipped.files)).toMatchObject({ verdict: 'mismatch' });
    const scaled = await bisected((graph) =>
      beforeOutput(graph, (input, output) => [{ opType: 'Mul', name: 'more', input: [input, constant(graph, 'two', [2])], output: [output] }]),
    );
    expect(scaled.layers.left).toBe(1);
    expect(await verdictOf(scaled.files)).toMatchObject({ verdict: 'mismatch' });
  });

  it('says what should come out where the original written anew gives the same', async () => {
    // The fault is in what was read: the file is that, and something else was recorded.
    const { target, placed } = await whereAPaddingIsOff();
    const wrong = { ...placed, wanted: { ...placed.wanted, data: placed.wanted.data.map((x) => x + 1) } };
    const { files, command, note } = await bisect(map, target, wrong);
    expect(command).toEqual(['written.onnx', '--golden', 'golden.npz']);
    expect(note).toContain('golden.npz');
    expect([...(await readNpz(memorySource(files.get('golden.npz')!, 'golden.npz'))).keys()].sort()).toEqual(['input:x', 'output:y']);
  });

  it('writes nothing where no part shows it', async () => {
    const { target, placed } = await whereAPaddingIsOff();
    await expect(bisect(map, target, placed)).rejects.toMatchObject({ kind: 'unsupported' });
  });
});

it('a folder that is a file, or has what an earlier fault left, is refused before anything is run', async () => {
  const folder = temporaryFolder();
  await checkBisectFolder(join(folder, 'new'));
  writeFileSync(join(folder, 'file'), '');
  await expect(checkBisectFolder(join(folder, 'file'))).rejects.toMatchObject({ kind: 'usage' });
  mkdirSync(join(folder, 'bug'));
  writeFileSync(join(folder, 'bug', 'notes.txt'), '');
  await checkBisectFolder(join(folder, 'bug'));
  writeFileSync(join(folder, 'bug', 'golden.npz'), '');
  await expect(checkBisectFolder(join(folder, 'bug'))).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining('golden.npz') });
});
