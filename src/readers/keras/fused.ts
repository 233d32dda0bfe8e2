/**
 * TensorFlow's fused kernel for batch normalisation, which never takes an epsilon below what cuDNN asks for.
 *
 * @see `fused_batch_norm` of tensorflow/python/ops/nn_impl.py; `build` of tf.keras's BatchNormalization; `batch_normalization` of
 *   keras/backend/tensorflow_backend.py (Keras 2.2 and 2.3)
 */

const LEAST_EPSILON = 1.001e-5;

export interface Fusing {
  /** 'keras' where Keras itself wrote the file, on TensorFlow 1. */
  readonly by: 'tf.keras' | 'keras';
  /** Volumes have such a kernel since TensorFlow 2.4. */
  readonly volumes: boolean;
  /** Whether the file leaves open which TensorFlow it was. */
  readonly isOpen: boolean;
}

/** Whether a Keras normalises in that kernel: tf.keras does, and Keras 2.2 on TensorFlow 1; Keras 1, 2.0 and 3 do not. */
export function fusingOf(version: string | null, backend: string | null): Fusing | null {
  const match = /^2\.(\d+)/.exec(version ?? '');
  if (!match || (backend !== null && backend !== 'tensorflow')) return null;
  const minor = Number(match[1]);
  if (minor >= 4 || /-tf\b/.test(version!)) return { by: 'tf.keras', volumes: minor >= 4, isOpen: false };
  // Keras 2.3 fuses on TensorFlow 1 and not on 2; in 2.1 it began to.
  return minor === 0 ? null : { by: 'keras', volumes: false, isOpen: minor !== 2 };
}

/** The epsilon that is added. @param axis Keras's, counted from the start */
export function fusedEpsilon(epsilon: number, rank: number, axis: number, fusing: Fusing | null | undefined): { epsilon: number; isOpen: boolean } {
  const isFused = fusing && (rank === 4 || (rank === 5 && fusing.volumes)) && (axis === 1 || axis === rank - 1);
  if (!isFused || epsilon >= LEAST_EPSILON) return { epsilon, isOpen: false };
  // Channels-first pictures are fused by Keras itself on a GPU only.
  if (fusing.isOpen || (fusing.by === 'keras' && axis === 1)) return { epsilon, isOpen: true };
  return { epsilon: LEAST_EPSILON, isOpen: false };
}
