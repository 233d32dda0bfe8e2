/** Shape rules against what the evaluator makes: what a rule says of sizes, of free ones and of signs is true of the values. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isModelError, ModelError } from '../../src/errors.js';
import type { Dim, LayerMap } from '../../src/model/layer-map.js';
import { inferLayer, isNeverNegative, makeLayer } from '../../src/model/ops/index.js';
import { broadcastDims } from '../../src/model/ops/rules.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { caseInputs, caseMap, emptyMap, noise, OP_CASES, type OpCase } from '../writers/onnx-cases.js';

/** What an operator makes of values of some shapes, or the error that says why not. */
async function evaluated(op: string, inputs: readonly (readonly number[])[], attributes: OpCase['attributes'] = {}): Promise<readonly number[] | ModelError> {
  const names = inputs.map((_, i) => `x${i}`);
  const map: LayerMap = {
    ...emptyMap,
    inputs: names.map((name, i) => ({ name, value: name, dtype: 'float32', shape: inputs[i]!, layout: 'other' })),
    outputs: [{ name: 'y', value: 'made', dtype: 'float32', shape: [], layout: 'other' }],
    layers: [makeLayer({ name: 'one', op, inputs: names, outputs: ['made'], attributes })],
  };
  const feeds = names.map((name, i) => [name, { shape: inputs[i]!, data: Float32Array.from(noise(count(inputs[i]!), i)) }] as const);
  try {
    return (await (await referenceSession(map)).run(new Map(feeds))).get('y')!.shape;
  } catch (error) {
    if (isModelError(error)) return error;
    throw error;
  }
}

function inferred(op: string, inputs: readonly (readonly Dim[])[], attributes: OpCase['attributes'] = {}): readonly Dim[] | ModelError {
  try {
    const layer = makeLayer({ name: 'one', op, inputs: inputs.map((_, i) => `x${i}`), outputs: ['made'], attributes });
    return inferLayer(
      layer,
      inputs.map((shape) => ({ dtype: 'float32', shape })),
    )[0]!.shape!;
  } catch (error) {
    if (isModelError(error)) return error;
    throw error;
  }
}

const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Whether a shape with free sizes can be the one that was made, given what the names stand for. */
function allows(rule: readonly Dim[], made: readonly number[], sizes: Readonly<Record<string, number>>): boolean {
  return rule.length === made.length && rule.every((dim, i) => (typeof dim === 'number' ? dim : (sizes[dim] ?? made[i])) === made[i]);
}

const size = fc.integer({ min: 1, max: 4 });
const shapes = (max: number) => fc.array(size, { minLength: 0, maxLength: max });

/** What NumPy makes of two shapes, by its own words; null where they do not go together. */
function broadcast(a: readonly number[], b: readonly number[]): number[] | null {
  const rank = Math.max(a.length, b.length);
  const [left, right] = [a, b].map((shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape]);
  const sizes = left!.map((one, i) => (one === right![i] || right![i] === 1 ? one : one === 1 ? right![i]! : Number.NaN));
  return sizes.some(Number.isNaN) ? null : sizes;
}

async function agrees(op: string, inputs: readonly (readonly number[])[], right: readonly number[] | null, attributes: OpCase['attributes'] = {}) {
  const rule = inferred(op, inputs, attributes);
  if (right === null) expect(rule, `${op} of ${JSON.stringify(inputs)}`).toBeInstanceOf(ModelError);
  else {
    expect(rule).toEqual(right);
    expect(await evaluated(op, inputs, attributes)).toEqual(right);
  }
}

it('a layer that was asked for with other shapes, dtypes or elements before gives what these make', () => {
  const layer = makeLayer({ name: 'one', op: 'Add', inputs: ['a', 'b'], outputs: ['made'] });
  const made = (dtype: 'float32' | 'int64', shape: readonly Dim[], elements?: readonly number[]) =>
    inferLayer(layer, [
      { dtype, shape, ...(elements ? { elements } : {}) },
      { dtype, shape: [1], elements: [2] },
    ])[0]!;
  expect(made('float32', ['N', 3]).shape).toEqual(['N', 3]);
  expect(made('float32', [4, 3]).shape).toEqual([4, 3]);
  expect(made('int64', [4, 3]).dtype).toBe('int64');
  expect(made('int64', [2], [1, 5]).elements).toEqual([3, 7]);
  expect(made('int64', [2], [1, 6]).elements).toEqual([3, 8]);
  expect(made('int64', [2]).elements).toBeUndefined();
});

describe('whatever the sizes', () => {
  it('Add makes what two shapes become together, or an error', async () => {
    await fc.assert(fc.asyncProperty(shapes(4), shapes(4), async (a, b) => agrees('Add', [a, b], broadcast(a, b))));
  });

  it('MatMul broadcasts its batch and contracts one axis, or an error', async () => {
    const matrix = fc.tuple(shapes(2), size, size);
    await fc.assert(
      fc.asyncProperty(matrix, matrix, fc.boolean(), async ([aBatch, m, k], [bBatch, other, n], fits) => {
        const inner = fits ? k : other;
        const batch = broadcast(aBatch, bBatch);
        await agrees(
          'MatMul',
          [
            [...aBatch, m, k],
            [...bBatch, inner, n],
          ],
          batch && inner === k ? [...batch, m, n] : null,
        );
      }),
    );
  });

  it('Concat adds up one axis and takes no other size for the same, or an error', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.array(fc.tuple(size, fc.boolean(), fc.nat()), { minLength: 1, maxLength: 3 }),
        async (first, at, rest) => {
          const axis = at % first.length;
          const parts = [
            first,
            ...rest.map(([own, fits, where]) => first.map((one, i) => (i === axis ? own : fits || where % first.length !== i ? one : one + 1))),
          ];
          const fit = parts.every((part) => part.every((one, i) => i === axis || one === first[i]));
          const right = first.map((one, i) => (i === axis ? parts.reduce((sum, part) => sum + part[i]!, 0) : one));
          await agrees('Concat', parts, fit ? right : null, { axis });
        },
      ),
    );
  });

  it('a free size that a rule keeps by name is the size that comes out, and one that it fixes is no other', async () => {
    const free = (shape: readonly number[], names: string) => shape.map((one, i): Dim => (i % 2 === 0 ? `${names}${i}` : one));
    await fc.assert(
      fc.asyncProperty(shapes(3), shapes(3), async (a, b) => {
        const made = broadcast(a, b);
        if (!made) return;
        const rule = inferred('Add', [free(a, 'a'), free(b, 'b')]);
        if (rule instanceof ModelError) return;
        const sizes = Object.fromEntries([...a.map((one, i) => [`a${i}`, one]), ...b.map((one, i) => [`b${i}`, one])]) as Record<string, number>;
        // A free size beside a 1 may be broadcast either way; its name is kept where the other is known to be 1.
        expect(rule.length).toBe(made.length);
        for (const [i, dim] of rule.entries()) {
          if (typeof dim === 'number' && dim !== 1) expect(dim).toBe(made[i]);
          if (typeof dim === 'string' && sizes[dim] !== undefined && sizes[dim] !== 1) expect(sizes[dim]).toBe(made[i]);
        }
      }),
    );
  });
});

describe('what is given for each channel', () => {
  const vectors = ['scale', 'bias', 'mean', 'variance'];
  it.each([
    ['Conv', { kernel: [5, 4, 1, 1] }, ['bias'], 5],
    ['ConvTranspose', { kernel: [4, 5, 1, 1] }, ['bias'], 5],
    ['Gemm', { kernel: [5, 4] }, ['bias'], 5],
    ['BatchNormalization', {}, vectors, 4],
    ['InstanceNormalization', {}, vectors.slice(0, 2), 4],
    ['GroupNormalization', {}, vectors.slice(0, 2), 4],
  ] as const)('%s: is for as many as there are, or an error that names it', (op, kernel, roles, channels) => {
    const shape = op === 'Gemm' ? ['N', 4] : ['N', 4, 3, 3];
    const infer = (odd?: string) => {
      const sizes: Record<string, readonly number[]> = {
        ...kernel,
        ...Object.fromEntries(roles.map((role) => [role, [role === odd ? channels + 2 : channels]])),
      };
      const weights = Object.fromEntries(
        Object.entries(sizes).map(([role, size]) => [role, float32Tensor(role, size, noise(count(size)), { file: 'made here' })]),
      );
      const attributes: Record<string, number> = op === 'GroupNormalization' ? { num_groups: 2 } : {};
      return inferLayer(makeLayer({ name: 'one', op, inputs: ['x'], outputs: ['y'], weights, attributes }), [{ dtype: 'float32', shape }])[0]!.shape;
    };
    expect(infer()?.[1]).toBe(channels);
    for (const role of roles)
      expect(() => infer(role)).toThrowError(
        expect.objectContaining({ kind: 'malformed', message: expect.stringContaining(`a ${role} of shape [${channels + 2}] for ${channels} channels`) }),
      );
  });
});

describe('with one free size', () => {
  it.each(OP_CASES)('$title says nothing that its values do not do', async (case_) => {
    const map = caseMap(case_);
    const [layer] = map.layers;
    const session = await referenceSession(map);
    const made = [...(await session.run(new Map(caseInputs(case_).map((input, i) => [`x${i}`, input])))).values()][0]!.shape;
    const dtypes = case_.inputs.map((_, i) => case_.dtypes?.[i] ?? ('float32' as const));
    const rule = inferLayer(
      layer!,
      case_.inputs.map((shape, i) => ({ dtype: dtypes[i]!, shape })),
    )[0]!.shape!;
    expect(allows(rule, made, {}), `${rule} is not ${made}`).toBe(true);
    for (const [input, shape] of case_.inputs.entries()) {
      for (const [axis, own] of shape.entries()) {
        const given = case_.inputs.map((other, i) => ({
          dtype: dtypes[i]!,
          shape: i === input ? other.map((one, at): Dim => (at === axis ? 'Q' : one)) : other,
        }));
        let found: readonly Dim[] | null;
        try {
          found = inferLayer(layer!, given)[0]!.shape;
        } catch (error) {
          if (!isModelError(error)) throw error;
          continue;
        }
        if (found) expect(allows(found, made, { Q: own }), `input ${input}, axis ${axis} free: ${found} is not ${made}`).toBe(true);
      }
    }
  });
});

describe('signs', () => {
  const plain = OP_CASES.filter(({ dtypes }) => !dtypes);
  const holds = (case_: OpCase, known: boolean) => isNeverNegative(caseMap(case_).layers[0]!, () => known);

  it.each(plain.filter((case_) => holds(case_, true)))('$title: what is said to be never below zero is not', async (case_) => {
    const lowest = async (values: (data: Float32Array) => Float32Array) => {
      const feeds = caseInputs(case_).map(({ shape, data }, i) => [`x${i}`, { shape, data: values(data) }] as const);
      const [made] = (await (await referenceSession(caseMap(case_))).run(new Map(feeds))).values();
      return Math.min(...Array.from(made!.data as Float64Array).filter((value) => !Number.isNaN(value)));
    };
    if (holds(case_, false)) expect(await lowest((data) => data)).toBeGreaterThanOrEqual(0);
    expect(await lowest((data) => data.map(Math.abs))).toBeGreaterThanOrEqual(0);
  });

  it.each([
    ['Clip', { max: -1 }],
    ['Pad', { pads: [0, 1, 0, 0], value: -1 }],
    ['Selu', { gamma: -1 }],
    ['Resize', { scales: [1, 3], mode: 'cubic' }],
  ] as const)('are not said of %s with %o', (op, attributes) => {
    const layer = makeLayer({ name: 'one', op, inputs: ['x'], outputs: ['y'], attributes });
    expect(isNeverNegative(layer, () => true)).toBe(false);
  });

  it('are said of what moves values, and never of what turns or adds up weights', () => {
    const said = new Set(plain.filter((case_) => holds(case_, true)).map(({ op }) => op));
    for (const op of ['Relu', 'Sigmoid', 'MaxPool', 'Transpose', 'Concat', 'Add']) expect([op, said.has(op)]).toEqual([op, true]);
    for (const op of ['Neg', 'Sub', 'Log', 'Conv', 'Gemm', 'Tanh'])
      expect([op, plain.some((case_) => case_.op === op && holds(case_, false))]).toEqual([op, false]);
    for (const op of ['Neg', 'Sub', 'Log', 'Conv', 'Gemm']) expect([op, said.has(op)]).toEqual([op, false]);
  });
});

it('hundreds of thousands of shapes broadcast like two', () => {
  expect(broadcastDims([...new Array<readonly Dim[]>(300_000).fill(['N', 4]), [4]])).toEqual(['N', 4]);
});
