/** What is wrong with a weight in codes: each mistake is put into codes, scales or zero points alone, and is to be named. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { inferMap, makeLayer } from '../../src/model/ops/index.js';
import { withBits } from '../../src/model/packing.js';
import { constantTensor, float32Tensor } from '../../src/model/tensor.js';
import { Allowance } from '../../src/verify/allowance.js';
import { tryStored } from '../../src/verify/causes/stored.js';
import { roundToHalf } from '../../src/verify/half.js';
import type { WrittenWeight } from '../../src/verify/written/written.js';
import { emptyMap } from '../writers/onnx-cases.js';

const [ROWS, COLUMNS, SIZE] = [8, 8, 4];
const COUNT = ROWS * COLUMNS;

/** A square matrix whose rows, or blocks of a row, have scales of their own. */
interface Coded {
  codes: number[];
  scales: number[];
  zeros: number[];
  axis: number;
  /** What rounding to codes lost, in steps. */
  readonly lost: readonly number[];
  readonly form: 'int8' | 'int4' | 'uint4';
}

let seed = 7;
const random = () => {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return seed / 2147483648;
};
const shuffledCodes = (low: number, high: number) => Array.from({ length: COUNT }, () => Math.floor(low + random() * (high - low + 1)));

function coded(form: Coded['form']): Coded {
  const [low, high] = { int8: [-127, 127], int4: [-7, 7], uint4: [1, 14] }[form] as [number, number];
  const count = form === 'int8' ? ROWS : COUNT / SIZE;
  const scales = Array.from({ length: count }, () => Math.fround(0.01 + random() / 50));
  const lost = Array.from({ length: COUNT }, (_, i) => (i % 3 === 0 ? Math.sign(random() - 0.5) * 0.4999 : random() - 0.5));
  return {
    form,
    axis: form === 'int8' ? 0 : 1,
    lost,
    codes: shuffledCodes(low, high),
    scales,
    zeros: Array.from({ length: count }, (_, i) => (form === 'uint4' ? 4 + ((i * 3) % 7) : 0)),
  };
}

const channelOf = (form: Coded['form'], i: number) => (form === 'int8' ? Math.floor(i / COLUMNS) : Math.floor(i / SIZE));
const sourceOf = ({ form, codes, scales, zeros, lost }: Coded) =>
  float32Tensor(
    'w',
    [ROWS, COLUMNS],
    codes.map((code, i) => (code + lost[i]! - zeros[channelOf(form, i)]!) * scales[channelOf(form, i)]!),
    { file: 'source' },
  );

function stored({ form, axis, codes, scales, zeros }: Coded): WrittenWeight {
  const isUnsigned = form === 'uint4';
  const bytes = new Uint8Array((isUnsigned ? Uint8Array : Int8Array).from(codes).buffer);
  const tensor = constantTensor('w', isUnsigned ? 'uint8' : 'int8', [ROWS, COLUMNS], bytes, { file: 'written' });
  const own = { axis, scales: Float32Array.from(scales), ...(isUnsigned ? { zeroPoints: Uint8Array.from(zeros) } : {}) };
  if (form === 'int8') return { tensor, quantisation: { ...own, kind: 'channels' } };
  return { tensor: withBits(tensor, 4), quantisation: { ...own, kind: 'blocks', size: SIZE, shape: [ROWS, COLUMNS / SIZE] } };
}

async function named(form: Coded['form'], spoil: (weight: Coded) => void) {
  const right = coded(form);
  const wrong = { ...right, codes: [...right.codes], scales: [...right.scales], zeros: [...right.zeros] };
  spoil(wrong);
  const layer = makeLayer({ name: 'fc', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: sourceOf(right) } });
  const map: LayerMap = { ...emptyMap, inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', COLUMNS], layout: 'other' }], layers: [layer] };
  const found = await tryStored({ map, layer, types: inferMap(map), weight: () => stored(wrong) }, new Allowance(1e9));
  return found?.explained.map(({ kind, what }) => `${kind}: ${what}`).join('; ') ?? null;
}

const turned = (bits: number) => (code: number) => {
  const half = 2 ** (bits - 1);
  return code >= 0 ? code - half : code + half;
};

describe('of weights in codes', () => {
  it.each<[fault: string, form: Coded['form'], says: RegExp, spoil: (weight: Coded) => void]>([
    ['scales along the other axis', 'int8', /^scale-axis: kernel: scales that belong to axis 0/, (w) => (w.axis = 1)],
    ['negated codes', 'int4', /^kernel-negated: /, (w) => (w.codes = w.codes.map((code) => -code))],
    ['codes of the other sign, unsigned', 'uint4', /^negated: .*in 4 bits/, (w) => (w.codes = w.codes.map((code) => (16 - code) % 16))],
    ['signed codes without their sign', 'int8', /^signed-codes: /, (w) => (w.codes = w.codes.map(turned(8)))],
    ['signed codes of 4 bits without their sign', 'int4', /^signed-codes: /, (w) => (w.codes = w.codes.map(turned(4)))],
    ['a zero point one too large', 'uint4', /^zero-point: kernel: every zero point 1 too large/, (w) => (w.zeros = w.zeros.map((zero) => zero + 1))],
    ['zero points that are left out', 'uint4', /^zero-point: kernel: \d+ of 16 zero points 0, as if left out/, (w) => (w.zeros = w.zeros.map(() => 0))],
    [
      'zero points of the block before',
      'uint4',
      /^zero-point: kernel: \d+ of 16 zero points wrong/,
      (w) => (w.zeros = [w.zeros.at(-1)!, ...w.zeros.slice(0, -1)]),
    ],
    ['codes one too small', 'int8', /^zero-point: .*every code 1 too small/, (w) => (w.codes = w.codes.map((code) => code - 1))],
    [
      'rows of codes moved beside their scales',
      'int8',
      /^codes-shifted: .*axis 0/,
      (w) => (w.codes = [...w.codes.slice(-COLUMNS), ...w.codes.slice(0, -COLUMNS)]),
    ],
    ['halves of bytes exchanged', 'int4', /^nibbles-exchanged: /, (w) => (w.codes = w.codes.map((_, i) => w.codes[i ^ 1]!))],
    ['codes one too small, and cut off', 'int8', /^zero-point: .*every code 1 too small/, (w) => (w.codes = w.codes.map((code) => Math.max(-120, code - 1)))],
    ['scales of float16', 'int8', /^scale-rounded: kernel: scales rounded to float16/, (w) => (w.scales = w.scales.map(roundToHalf))],
    ['codes cut off', 'int8', /^codes-cut: kernel: codes cut off at -64 and 63/, (w) => (w.codes = w.codes.map((code) => Math.min(63, Math.max(-64, code))))],
  ])('%s are named (%s)', async (_, form, says, spoil) => {
    expect(await named(form, spoil)).toMatch(says);
  });

  it('what is as it should be is not explained', async () => {
    for (const form of ['int8', 'int4', 'uint4'] as const) expect(await named(form, () => {})).toBeNull();
  });
});
