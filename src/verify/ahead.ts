/** A witness whose answers are all taken before the written file is opened, so that memory holds one of the two at a time. */
import type { HeldLayers } from './held-layers.js';
import type { VerifyOptions } from './options.js';
import type { SamplesToRun } from './samples.js';
import type { Arrays, Feeds } from './side.js';
import type { Expected } from './witness.js';

/** Samples that are held in memory: pictures of half a megabyte each. */
export const MOST_AHEAD = 16;

export interface Ahead extends Expected {
  /** The samples whose answers are at hand. */
  readonly sampleOf: SamplesToRun['sampleOf'];
  /** What its layers make of those that will be looked at, where it shows them. */
  readonly held: HeldLayers | null;
}

/**
 * The witness with its answers at hand, and at rest; it is opened again only where it is asked for others.
 *
 * @param lookedAt those of whose layers something will be asked
 */
export async function runAhead(
  witness: Expected,
  samples: number,
  sampleOf: SamplesToRun['sampleOf'],
  { onProgress }: VerifyOptions,
  lookedAt: (planned: readonly ReturnType<SamplesToRun['sampleOf']>[]) => readonly Feeds[] = () => [],
): Promise<Ahead> {
  const planned = Array.from({ length: samples }, (_, i) => sampleOf(i));
  const answers = new Map<Feeds, Promise<Arrays>>();
  for (const [i, { feeds }] of planned.entries()) {
    onProgress?.(`running ${witness.name}`, i, samples);
    const answer = witness.run(feeds, i);
    answers.set(feeds, answer);
    // What it cannot compute is told when that is asked for.
    await answer.catch(() => {});
  }
  // What it does not show here, it may where layers are compared, and says there why not.
  const held = (await witness.hold?.(lookedAt(planned)).catch(() => null)) ?? null;
  try {
    await witness.rest();
  } catch (error) {
    held?.close();
    throw error;
  }
  return {
    ...witness,
    held,
    sampleOf: (sample) => planned[sample]!,
    run: (feeds, sample) => answers.get(feeds) ?? witness.run(feeds, sample),
  };
}
