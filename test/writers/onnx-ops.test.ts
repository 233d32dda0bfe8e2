/** Every operator of the table, written at the oldest and the newest opset, gives in ONNX Runtime what the reference evaluator computes. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { OPS } from '../../src/model/ops/index.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { runOnnx } from '../run-onnx.js';
import { caseInputs, caseMap, OP_CASES } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

it('has a case for every operator', () => {
  const covered = new Set(OP_CASES.map(({ op }) => op));
  expect(Object.keys(OPS).filter((op) => !covered.has(op))).toEqual([]);
});

describe.each([13, 17, 21])('opset %i', (opset) => {
  it.each(OP_CASES)('$title', async (case_) => {
    const map = caseMap(case_);
    expect(onnx.check(map, { ...OPTIONS, opset })).toEqual([]);
    const sink = memorySink();
    await onnx.write(map, sink, 'model.onnx', { ...OPTIONS, opset });
    await sink.commit();
    const inputs = caseInputs(case_);
    const [actual] = [...(await runOnnx(sink.files.get('model.onnx')!, inputs)).values()];
    const session = await referenceSession(map);
    const [expected] = [...(await session.run(new Map(inputs.map((input, i) => [`x${i}`, input])))).values()];
    expect(actual!.shape).toEqual(expected!.shape);
    const scale = Math.max(...Array.from(expected!.data as Float64Array, Math.abs), 1e-3);
    for (const [i, value] of actual!.data.entries()) expect(Math.abs(Number(value) - (expected!.data[i] as number)) / scale).toBeLessThan(1e-5);
  });
});
