/** Every operator of the table, written at the oldest and the newest opset, gives in ONNX Runtime what the reference evaluator computes. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { OPS } from '../../src/model/ops/index.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { runOnnxArrays } from '../run-arrays.js';
import { caseInputs, caseMap, OP_CASES } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

it('has a case for every operator', () => {
  const covered = new Set(OP_CASES.map(({ op }) => op));
  expect(Object.keys(OPS).filter((op) => OPS[op]!.onnx && !covered.has(op))).toEqual([]);
});

describe.each([13, 17, 21, 24])('opset %i', (opset) => {
  it.each(OP_CASES)('$title', async (case_) => {
    const map = caseMap(case_);
    const obstacles = await onnx.check(map, { ...OPTIONS, opset });
    if (opset < 24 && obstacles[0]?.message.includes('needs opset')) return;
    expect(obstacles).toEqual([]);
    const sink = memorySink();
    await onnx.write(map, sink, 'model.onnx', { ...OPTIONS, opset });
    await sink.commit();
    const inputs = caseInputs(case_);
    const feeds = inputs.map(({ shape, data }, i) => ({ dtype: case_.dtypes?.[i] ?? ('float32' as const), shape, data: Float64Array.from(data) }));
    const ran = await runOnnxArrays(sink.files.get('model.onnx')!, feeds).catch((error: Error) => error);
    // ONNX Runtime (1.30) lacks some operators in the newest opsets.
    if (opset > 21 && ran instanceof Error && ran.message.includes('Could not find an implementation')) return;
    if (ran instanceof Error) throw ran;
    const [actual] = [...ran.values()];
    const session = await referenceSession(map);
    const [expected] = [...(await session.run(new Map(inputs.map((input, i) => [`x${i}`, input])))).values()];
    expect(actual!.shape).toEqual(expected!.shape);
    const scale = Math.max(...Array.from(expected!.data as Float64Array, Math.abs), 1e-3);
    for (const [i, value] of actual!.data.entries()) {
      if (Object.is(value, expected!.data[i])) continue;
      expect(Math.abs(value - (expected!.data[i] as number)) / scale).toBeLessThan(1e-5);
    }
  });
});
