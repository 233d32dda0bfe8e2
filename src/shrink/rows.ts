/** Which inputs tell what is worked out with them, and how many are few. */
import type { GivenInputs } from '../verify/feeds.js';

/** Fewer than these tell little. */
export const FEW_ROWS = 32;

/** What is said where there are few; '' where there are enough. */
export function fewRows(rows: number): string {
  return rows < FEW_ROWS ? `; ${rows} inputs are few to tell by, ${FEW_ROWS} and more are better` : '';
}

/** Runs that are looked at, spread evenly over the inputs. */
export function placesOf(inputs: GivenInputs, runs: number): number[] {
  return Array.from({ length: runs }, (_, i) => Math.floor((i * inputs.runs) / runs));
}

/** Every second of the runs that are looked at: those that nothing was worked out with. */
export function keptBack(inputs: GivenInputs, runs: number): GivenInputs {
  return everySecond(inputs, runs, 1);
}

/** The others. */
export function toWorkWith(inputs: GivenInputs, runs: number): GivenInputs {
  return everySecond(inputs, runs, 0);
}

function everySecond(inputs: GivenInputs, runs: number, first: 0 | 1): GivenInputs {
  const places = placesOf(inputs, runs).filter((_, i) => i % 2 === first);
  return { ...inputs, runs: places.length, sample: (run) => inputs.sample(places[run]!) };
}
