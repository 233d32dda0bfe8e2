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
  /** Set where what runs the files gives their outputs alone, and no layers. */
  readonly givesOutputsAlone?: true;
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
export const MAKE_INPUT = `def make_input(shape, channel_axis, seed, count=SAMPLES):
    """Seeded, different in every channel, with slopes and a few impulses."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.5, (count, *shape))
    for axis in range(1, x.ndim):
        size = [-1 if a == axis else 1 for a in range(x.ndim)]
        steps = np.arange(x.shape[axis]).reshape(size)
        if axis == channel_axis % x.ndim:
            x = x * (0.5 + steps * 0.37 % 1) + 0.6 * np.sin(1.7 * steps + 0.3)
        else:
            x = x + (0.7, -0.4)[axis % 2] * (steps / x.shape[axis] - 0.5)
    for sample in x.reshape(count, -1):
        sample[rng.integers(0, sample.size, min(8, sample.size))] += 2
    return (SCALE * x).astype(np.float32)`;

/**
 * Python that records a model which says what flows in: `record(given, run, channel_axis)`, with name, shape and dtype of each input, where -1 is a size
 * that is free, and a function that gives names and arrays of the outputs. A net whose batch is fixed to one is run row by row.
 */
export const RECORD = `def make_any(shape, dtype, channel_axis, seed):
    """Of the port's own dtype; a batch that the model fixes to more than one is one sample."""
    is_batch = len(shape) > 0 and shape[0] in (-1, 1)
    sizes = shape[1:] if is_batch else shape
    if SHAPE and len(SHAPE) == len(sizes) and -1 in sizes:
        sizes = SHAPE
    x = make_input([32 if size == -1 else size for size in sizes], channel_axis, seed, SAMPLES if is_batch else 1)
    x = x if is_batch else x[0]
    dtype = np.dtype(dtype)
    if dtype == bool:
        return x > 0
    if dtype.kind not in "iu":
        return x.astype(dtype)
    # Bytes are pixels or codes; longer whole numbers count something, such as words.
    if dtype.itemsize == 1:
        return np.clip(np.round(60 * x + (128 if dtype.kind == "u" else 0)), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    return (np.abs(np.round(10 * x)) % 10).astype(dtype)


def in_rows(run, arrays, is_one):
    """What 'run' gives for all samples; one by one where the model's batch is one."""
    if not is_one:
        return run(arrays)
    rows = [run([array[i : i + 1] for array in arrays]) for i in range(SAMPLES)]
    return [(name, np.concatenate([np.array(row[k][1]) for row in rows])) for k, (name, _) in enumerate(rows[0])]


def name_all(word, names):
    return [word] if len(names) == 1 else [f"{word}:{name}" for name in names]


def record(given, run, channel_axis):
    names = name_all("input", [name for name, _, _ in given])
    arrays = {name: make_any(shape, dtype, channel_axis, SEED + i) for i, (name, (_, shape, dtype)) in enumerate(zip(names, given))}
    rows = in_rows(run, list(arrays.values()), all(shape and shape[0] == 1 for _, shape, _ in given))
    arrays.update(zip(name_all("output", [name for name, _ in rows]), [array for _, array in rows]))
    return arrays`;

/** Python that writes the arrays and says what they are. */
export const SAVE = `np.savez(args.out, **arrays)
    for name, array in arrays.items():
        print(f"{name:40} {array.shape}")`;

export const MADE_BY = `Made by Weighbridge ${VERSION}. Afterwards: weighbridge verify MODEL CONVERTED --golden recorded.npz`;
