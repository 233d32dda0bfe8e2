/**
 * Of all ways to spend the same bytes on weights, the one that moves the output least is found by a price of a byte (Lagrange): each weight takes the
 * level at which error and bytes at that price cost least. The price is found by halving.
 */
import type { SearchRecord } from '../model/edited.js';
import type { Rate } from './rates.js';
import type { CodableWeight } from './weights.js';

export interface Choice {
  readonly weight: CodableWeight;
  readonly rate: Rate;
}

/** A weight, what it may become, and what its error does. */
export interface Priced {
  readonly weight: CodableWeight;
  readonly rates: readonly Rate[];
  /** Error of the output for each unit of the weight's own. */
  readonly effect: number;
}

/** Which bytes. */
export type Counted = SearchRecord['count'];
type Fits = (choices: readonly Choice[]) => boolean;

const HALVINGS = 40;
/** Of refinement; little is left over after so many. */
const MOST_ROUNDS = 40;

/** Energy by which the output moves. */
function moved({ effect }: Priced, { error, low }: Rate): number {
  return (low?.moved ?? 0) + effect * error;
}

/** The level of each weight at which its error and its bytes cost least. */
export function atPrice(priced: readonly Priced[], count: Counted, price: number): Choice[] {
  return priced.map((one) => {
    const cost = (rate: Rate) => moved(one, rate) + price * rate[count] * one.weight.count;
    return { weight: one.weight, rate: one.rates.reduce((least, rate) => (cost(rate) < cost(least) ? rate : least)) };
  });
}

/** The finest levels that fit; the coarsest where none do. What a price leaves over goes to whom it serves best. */
export function within(priced: readonly Priced[], count: Counted, fits: Fits): Choice[] {
  let [low, high] = priceRange(priced, count);
  if (fits(atPrice(priced, count, 0))) return atPrice(priced, count, 0);
  for (let i = 0; i < HALVINGS; i++) {
    const price = Math.sqrt(low * high);
    if (fits(atPrice(priced, count, price))) high = price;
    else low = price;
  }
  return refined(priced, count, atPrice(priced, count, high), fits);
}

/** One finer level after the other, as long as one fits: the one that takes most error off for its bytes. */
function refined(priced: readonly Priced[], count: Counted, start: readonly Choice[], fits: Fits): Choice[] {
  let choices = [...start];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const steps = priced.flatMap((one, i) =>
      one.rates.flatMap((rate) => {
        const own = choices[i]!.rate;
        const finer = choices.with(i, { weight: one.weight, rate });
        const gain = moved(one, own) - moved(one, rate);
        if (gain <= 0 || !fits(finer)) return [];
        return [{ finer, worth: gain / Math.max(1e-9, (rate[count] - own[count]) * one.weight.count) }];
      }),
    );
    if (steps.length === 0) return choices;
    choices = steps.reduce((best, step) => (step.worth > best.worth ? step : best)).finer;
  }
  return choices;
}

/** Prices that make every weight as fine, and as coarse, as it can be. */
export function priceRange(priced: readonly Priced[], count: Counted): [low: number, high: number] {
  const slopes = priced.flatMap((one) =>
    one.rates.flatMap((rate) =>
      one.rates.flatMap((finer) => {
        const saved = (finer[count] - rate[count]) * one.weight.count;
        return saved > 0 ? [(moved(one, rate) - moved(one, finer)) / saved] : [];
      }),
    ),
  );
  const positive = slopes.filter((slope) => slope > 0);
  return positive.length === 0 ? [1e-30, 1] : [Math.min(...positive) / 2, Math.max(...positive) * 2];
}

/** By how much the output moves, as far as errors add up. */
export function errorOf(priced: readonly Priced[], choices: readonly Choice[]): number {
  return Math.sqrt(choices.reduce((sum, { rate }, i) => sum + moved(priced[i]!, rate), 0));
}
