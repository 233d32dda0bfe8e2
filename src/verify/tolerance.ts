/**
 * How far apart two right answers may be: one table, from measurements.
 *
 * A value passes when |expected - actual| <= atol + rtol * max|expected|. The errors below are max|a - b| / max|b| against
 * float64 on full VGG16, in its worst layer. The smallest fault measured there, two channels exchanged, moves the logits by 5e-2.
 */
import type { Tolerance } from './compare.js';

/** Error of each engine in float32, of a layer's scale. */
const FLOAT32_ERRORS: Readonly<Record<string, number>> = {
  'ort-cpu': 8e-7,
  'ort-wasm': 8e-7,
  'ort-webgpu': 3.4e-6,
  'tfjs-cpu': 5e-6,
  'tfjs-wasm': 5e-6,
  'tfjs-webgpu': 5e-6,
  'tfjs-node': 1.5e-6,
  opencv: 2.8e-6,
  /** float64 itself. */
  reference: 0,
};
/** Engines without a measurement, and frameworks whose outputs were recorded, count as the worst of those measured. */
const UNMEASURED = 5e-6;
const MARGIN = 3;
/** Other nets add in other orders than VGG16; real faults are a thousand times larger than this. */
const FLOOR = 2e-5;
const ATOL = 1e-6;

/** What narrower weights alone do to outputs, and how much is let pass before it counts as a mismatch. */
const LOSSES: Readonly<Record<string, { readonly rtol: number; readonly measured: string }>> = {
  float16: { rtol: 5e-3, measured: 'about 6e-4' },
  bfloat16: { rtol: 3e-2, measured: 'about 5e-3' },
  uint16: { rtol: 5e-3, measured: 'less than float16, about 1e-4' },
  int8: { rtol: 0.15, measured: 'about 2.3e-2' },
  uint8: { rtol: 0.3, measured: 'more than int8 per channel, which is about 2.3e-2' },
};

/** For two runtimes that compute the same weights in float32. */
export function runtimeTolerance(expected: string, actual: string): Tolerance {
  const [a, b] = [FLOAT32_ERRORS[expected] ?? UNMEASURED, FLOAT32_ERRORS[actual] ?? UNMEASURED];
  const rtol = Math.max(FLOOR, round(MARGIN * (a + b)));
  const errors = [expected, actual].filter((name) => name !== 'reference').map((name) => `${name} ${(FLOAT32_ERRORS[name] ?? UNMEASURED).toExponential()}`);
  return {
    atol: ATOL,
    rtol,
    why: `runtimes add in different orders; errors on VGG16, of a layer's scale: ${errors.join(', ')}; real faults are a thousand times larger`,
  };
}

/**
 * For a file whose weights are narrower than the source's, against the source.
 *
 * @param narrowest the stored dtypes that lose most, such as 'int8'
 */
export function lossTolerance(narrowest: string): Tolerance {
  const { rtol, measured } = LOSSES[narrowest] ?? LOSSES.uint8!;
  return {
    atol: ATOL,
    rtol,
    why: `${narrowest} weights alone move outputs by ${measured} of their scale on VGG16; that the stored values are right is checked weight by weight`,
  };
}

/** The one of several stored dtypes that loses most; undefined where none is narrow. */
export function narrowestOf(dtypes: Iterable<string>): string | undefined {
  const present = [...dtypes].filter((dtype) => LOSSES[dtype]);
  return present.sort((a, b) => LOSSES[b]!.rtol - LOSSES[a]!.rtol)[0];
}

function round(value: number): number {
  return Number(value.toPrecision(2));
}
