/** What is tried on a net's weights, one thing after the other, and kept where the net's output comes nearer to what it was, on inputs kept back. */
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import type { GivenInputs } from '../verify/feeds.js';
import { distance, outputsOf } from './outputs.js';
import { withWeights } from './weights.js';

export interface Trial {
  /** 'depthwise kernels in float16', ... */
  readonly what: string;
  readonly made: ReadonlyMap<Tensor, Tensor>;
}

/** Less energy of the error than this part of what it was; what is nearer to it is chance. */
const LEAST_GAIN = 0.96;
const JUDGED_ROWS = 64;

/**
 * @param start tensors in place of the net's
 * @param inputs that nothing of the trials was worked out with
 * @returns the tensors that are left, and a sentence on what each trial did
 */
export async function keptWhereItHelps(map: LayerMap, start: ReadonlyMap<Tensor, Tensor>, trials: readonly Trial[], inputs: GivenInputs) {
  const exact = await outputsOf(map, inputs, JUDGED_ROWS);
  const errorOf = async (made: ReadonlyMap<Tensor, Tensor>) => Math.sqrt(distance(exact, await outputsOf(withWeights(map, made), inputs, JUDGED_ROWS)));
  let [made, error] = [new Map(start), await errorOf(start)];
  const told: string[] = [];
  for (const { what, made: changed } of trials) {
    const tried = new Map([...made, ...changed]);
    const now = await errorOf(tried);
    const helps = now ** 2 < error ** 2 * LEAST_GAIN;
    told.push(helps ? `${what}: ${percent(error)} before, ${percent(now)} with it` : `${what}: no help, left out`);
    if (helps) [made, error] = [tried, now];
  }
  return { made, told: trials.length === 0 ? '' : `; error of the output on inputs kept back, ${told.join('; ')}` };
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}
