/** What the recording scripts have in common. They are printed, to be run where the source framework is. */
import { VERSION } from '../../version.js';

export interface GoldenOptions {
  /** Of one input without its batch; null where the model says it. */
  readonly shape: readonly number[] | null;
  readonly samples: number;
  readonly seed: number;
  /** Also record what each layer makes. */
  readonly layers: boolean;
}

export interface GoldenScript {
  /** 'torch': the framework as `--framework` names it. */
  readonly framework: string;
  /** Whether the script cannot do without `shape`. */
  readonly needsShape: boolean;
  write(options: GoldenOptions): string;
}

/** The constants that a user may want to change, each with its reason. */
export function settings({ shape, samples, seed }: GoldenOptions, whereNone: string): string {
  const sizes = shape === null ? 'None' : `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  return `SAMPLES = ${samples}
SEED = ${seed}
SCALE = 1.0  # inputs reach to about three times this; nets for pixels of 0 to 255, less a mean, want 60
SHAPE = ${sizes}  # of one input, without the batch${shape === null ? `; None: ${whereNone}` : ''}`;
}

/** Python that makes inputs as Weighbridge's own are: a constant picture hides swapped channels, flips and padding. */
export const MAKE_INPUT = `def make_input(shape, channel_axis, seed):
    """Seeded, different in every channel, with slopes and a few impulses."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.5, (SAMPLES, *shape))
    for axis in range(1, x.ndim):
        size = [-1 if a == axis else 1 for a in range(x.ndim)]
        steps = np.arange(x.shape[axis]).reshape(size)
        if axis == channel_axis % x.ndim:
            x = x * (0.5 + steps * 0.37 % 1) + 0.6 * np.sin(1.7 * steps + 0.3)
        else:
            x = x + (0.7, -0.4)[axis % 2] * (steps / x.shape[axis] - 0.5)
    for sample in x.reshape(SAMPLES, -1):
        sample[rng.integers(0, sample.size, min(8, sample.size))] += 2
    return (SCALE * x).astype(np.float32)`;

/** Python that writes the arrays and says what they are. */
export const SAVE = `np.savez(args.out, **arrays)
    for name, array in arrays.items():
        print(f"{name:40} {array.shape}")`;

export const MADE_BY = `Made by Weighbridge ${VERSION}. Afterwards: weighbridge verify MODEL CONVERTED --golden recorded.npz`;
