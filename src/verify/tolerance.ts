/**
 * How far apart two right answers may be: one table, from measurements.
 *
 * A value passes when |expected - actual| <= atol + rtol * max|expected|. The errors below are max|a - b| / max|b| against
 * float64 on full VGG16, in its worst layer. The smallest fault measured there, two channels exchanged, moves the logits by 5e-2.
 */
import type { Tolerance } from './compare.js';

/**
 * Error of each engine in float32, of a layer's scale. The worst layer is the softmax, which amplifies an error of the logits:
 * before it ONNX Runtime has 8e-7, OpenCV 2.8e-6, TensorFlow.js 5e-6 and the GPU engines 4.5e-6. OpenCV's softmax was seen 1.29e-5 from
 * ONNX Runtime's.
 */
const FLOAT32_ERRORS: Readonly<Record<string, number>> = {
  'ort-cpu': 4.6e-6,
  'ort-wasm': 4.6e-6,
  'ort-webgpu': 1.2e-5,
  'tfjs-cpu': 2.2e-5,
  'tfjs-wasm': 2.2e-5,
  'tfjs-webgpu': 1.4e-5,
  'tfjs-node': 3.8e-6,
  opencv: 1.3e-5,
  /** float64 itself. */
  reference: 0,
};
/** Engines without a measurement, and frameworks whose outputs were recorded, count as the worst of those measured. */
const UNMEASURED = 2.2e-5;
const MARGIN = 3;
/** Other nets add in other orders than VGG16; real faults are hundreds of times larger than this. */
const FLOOR = 2e-5;
const ATOL = 1e-6;

/**
 * Layers that are computed in float16. On VGG16's worst layer ONNX Runtime is off by 4.3e-4 on the CPU, where it rounds what a layer
 * makes and adds in float32, and by 3.3e-2 on a GPU, where it adds in float16 as well; by 8.2e-2 in the softmax, which the margin covers.
 */
const HALF_ERRORS: Readonly<Record<string, number>> = { 'ort-cpu': 4.3e-4, 'ort-wasm': 4.3e-4 };
const HALF_UNMEASURED = 3.3e-2;
const HALF_MARGIN = 3;

/** What narrower weights alone do to outputs, and how much is let pass before it counts as a mismatch. */
const LOSSES: Readonly<Record<string, { readonly rtol: number; readonly measured: string }>> = {
  float16: { rtol: 5e-3, measured: 'about 6e-4' },
  bfloat16: { rtol: 3e-2, measured: 'about 5e-3' },
  uint16: { rtol: 5e-3, measured: 'about 6.4e-5' },
  int8: { rtol: 0.15, measured: 'about 2.3e-2' },
  uint8: { rtol: 0.3, measured: 'about 1.8e-2' },
};

/** How far apart the two sides of one verification may be. */
export interface Tolerances {
  /** Between the witness and the written file's runtime. */
  readonly outputs: Tolerance;
  /** Where both sides compute with the same weights: layers, and narrower files against their own weights. */
  correctness(witness: string): Tolerance;
}

export interface TolerancesAsked {
  readonly expected: string;
  readonly actual: string;
  /** The stored dtype that loses most; undefined where weights are the source's. */
  readonly narrowest?: string;
  /** dtype in which the file has its layers computed. */
  readonly computeDType?: string;
  /** What the framework computed in that recorded the outputs, where it is coarser than float32. */
  readonly recordedIn?: 'float16' | 'bfloat16';
  readonly atol?: number;
  readonly rtol?: number;
}

export function tolerances({ expected, actual, narrowest, computeDType = 'float32', recordedIn, atol, rtol }: TolerancesAsked): Tolerances {
  const given = atol === undefined && rtol === undefined ? null : { atol: atol ?? 0, rtol: rtol ?? 0, why: 'as given' };
  const correctness = (witness: string) => (computeDType === 'float16' ? halfTolerance(actual) : runtimeTolerance(witness, actual));
  // What a user bounds of a narrower file is its loss; whether it computes what its weights say is no matter of taste.
  if (narrowest !== undefined) {
    const possible = [
      lossTolerance(narrowest),
      ...(computeDType === 'float16' ? [halfTolerance(actual)] : []),
      ...(recordedIn ? [recordedTolerance(recordedIn)] : []),
    ];
    return { outputs: given ?? possible.reduce((a, b) => (b.rtol > a.rtol ? b : a)), correctness };
  }
  if (recordedIn) return { outputs: given ?? recordedTolerance(recordedIn), correctness: given ? () => given : correctness };
  return { outputs: given ?? correctness(expected), correctness: given ? () => given : correctness };
}

/** For two runtimes that compute the same weights in float32. */
function runtimeTolerance(expected: string, actual: string): Tolerance {
  const [a, b] = [FLOAT32_ERRORS[expected] ?? UNMEASURED, FLOAT32_ERRORS[actual] ?? UNMEASURED];
  const rtol = Math.max(FLOOR, Number((MARGIN * (a + b)).toPrecision(2)));
  const errors = [...new Set([expected, actual])]
    .filter((name) => name !== 'reference')
    .map((name) => `${name} ${(FLOAT32_ERRORS[name] ?? UNMEASURED).toExponential()}`);
  return {
    atol: ATOL,
    rtol,
    why: `runtimes add in different orders; errors on VGG16, of a layer's scale: ${errors.join(', ')}; real faults are hundreds of times larger`,
  };
}

/** For a file that has its layers computed in float16. */
function halfTolerance(actual: string): Tolerance {
  const error = HALF_ERRORS[actual] ?? HALF_UNMEASURED;
  const why = `the file has its layers computed in float16; ${error.toExponential()} of a layer's scale was measured on VGG16`;
  return { atol: 1e-4, rtol: Number((HALF_MARGIN * error).toPrecision(2)), why };
}

/**
 * For outputs that were recorded in half precision, against a file that computes in float32: every value that flowed was rounded as weights of that
 * dtype are, and weighed as much.
 */
function recordedTolerance(dtype: 'float16' | 'bfloat16'): Tolerance {
  const { rtol, measured } = LOSSES[dtype]!;
  const why = `the outputs were recorded by a model that computes in ${dtype}, which is that coarse; rounding weights to it alone moves outputs by ${measured} of their scale on VGG16`;
  return { atol: 1e-4, rtol, why };
}

/** For a file whose weights are narrower than the source's, against the source. */
function lossTolerance(narrowest: string): Tolerance {
  const { rtol, measured } = LOSSES[narrowest] ?? LOSSES.uint8!;
  return {
    atol: ATOL,
    rtol,
    why: `${narrowest} weights alone move outputs by ${measured} of their scale on VGG16; that the values stored are the right ones is another comparison`,
  };
}

/** The one of several stored dtypes that loses most; undefined where none is narrow. */
export function narrowestOf(dtypes: Iterable<string>): string | undefined {
  const present = [...dtypes].filter((dtype) => LOSSES[dtype]);
  return present.sort((a, b) => LOSSES[b]!.rtol - LOSSES[a]!.rtol)[0];
}
