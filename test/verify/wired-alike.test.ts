/** Files of other tools name their layers as they like: they are paired by the wiring. */
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { pairLayers } from '../../src/verify/written/wired-alike.js';
import { subjectOf } from './faults/catalogue.js';
import { branchedNet } from './faults/nets.js';
import { attribute, change, type Edit, editOnnx, rearrange } from './faults/onnx-edit.js';
import { mapOf, tensor } from './small-files.js';

/** All nodes and weights called otherwise, and nothing that says where the file comes from. */
function renamed(bytes: Uint8Array): Uint8Array {
  const model = schema.ModelProto.decode(bytes);
  const graph = model.graph!;
  const names = new Map(graph.initializer!.map(({ name }, i) => [name!, `onnx::weight_${i}`]));
  const called = (name: string) => names.get(name) ?? name;
  for (const weight of graph.initializer!) weight.name = called(weight.name!);
  for (const [i, node] of graph.node!.entries()) Object.assign(node, { name: `node_${(i * 7) % 31}_${i}`, input: node.input!.map(called) });
  model.metadataProps = [];
  return schema.ModelProto.encode(model).finish();
}

async function verifyRenamed(edit: Edit) {
  const subject = await subjectOf(branchedNet());
  const files = memoryFileSet({ 'other.onnx': renamed(editOnnx(subject.bytes, edit)) }, 'other.onnx');
  return verifyConversion({ ...subject, target: { files, format: 'onnx' } });
}

describe('a file whose layers have other names', () => {
  it('has its weights compared all the same', async () => {
    const report = await verifyRenamed(() => {});
    expect(report).toMatchObject({ verdict: 'match', weights: { judged: false, mismatches: [], unpaired: [] } });
    expect(report.weights!.equal).toBe(report.weights!.compared);
    expect(report.notes.join()).toContain('paired by where they stand in the net');
  });

  it.each<[what: string, layer: string, kind: string, edit: Edit]>([
    ['a kernel mirrored', 'conv2', 'kernel-flipped', rearrange('conv2', 1, (at, dims) => at.with(-1, dims.at(-1)! - 1 - at.at(-1)!))],
    ['a padding that no list has', 'conv1', 'padding', attribute('conv1', 'pads', [1, 4, 1, 1])],
  ])('has its faults placed and named: %s', async (_, layer, kind, edit) => {
    const { verdict, cause } = await verifyRenamed(edit);
    expect(verdict).toBe('mismatch');
    expect(cause!.explainedBy[0]).toMatchObject({ kind, layer });
  });

  it('tells of a weight that is off by less than outputs show', async () => {
    const report = await verifyRenamed(change('conv3b', 1, (value, i) => (i === 3 ? value * (1 + 2 ** -20) : value)));
    expect(report.verdict).toBe('match');
    expect(report.weights).toMatchObject({ judged: false, mismatches: [{ layer: 'conv3b', role: 'kernel' }] });
  });
});

describe('pairs by the wiring', () => {
  const x = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 8, 8], layout: 'nchw' } as const;
  const y = (value: string) => ({ name: value, value, dtype: 'float32', shape: ['N', 4, 8, 8], layout: 'nchw' }) as const;
  const conv = (name: string, input: string) => ({
    name,
    op: 'Conv',
    inputs: [input],
    outputs: [`${name}.y`],
    attributes: { kernel_shape: [1, 1] },
    weights: { kernel: tensor('k', [4, input === 'x' ? 3 : 4, 1, 1]), bias: tensor('b', [4]) },
  });
  const unit = (name: string, op: string, input: string) => ({ name, op, inputs: [input], outputs: [`${name}.y`] });
  const norm = (name: string, input: string) => ({
    ...unit(name, 'BatchNormalization', input),
    weights: Object.fromEntries(['scale', 'bias', 'mean', 'variance'].map((role) => [role, tensor(role, [4], [1, 2, 3, 4])])),
  });
  const names = (pairs: ReturnType<typeof pairLayers>) => Object.fromEntries([...pairs].map(([a, b]) => [a.name, b.name]));

  it('are told apart by where they lead, where they come from the same', () => {
    const two = (a: string, b: string, swapped: boolean) => {
      const heads = [conv(a, 'x'), conv(b, 'x')];
      return mapOf(swapped ? heads.toReversed() : heads, [x], [y(`${a}.y`), y(`${b}.y`)]);
    };
    expect(names(pairLayers(two('a', 'b', false), two('first', 'second', true)))).toEqual({ a: 'first', b: 'second' });
  });

  it('are none where a normalisation stands behind one of them alone, and go on behind it', () => {
    const own = mapOf([conv('c', 'x'), norm('n', 'c.y'), unit('r', 'Relu', 'n.y'), conv('d', 'r.y')], [x], [y('d.y')]);
    const other = mapOf([conv('1', 'x'), unit('2', 'Relu', '1.y'), conv('3', '2.y')], [x], [y('3.y')]);
    expect(names(pairLayers(own, other))).toEqual({ r: '2', d: '3' });
  });
});
