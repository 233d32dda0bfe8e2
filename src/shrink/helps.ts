/** Whether what is tried on a net's weights brings its output nearer to what it was, on inputs kept back. */
import type { LayerMap } from '../model/layer-map.js';
import type { GivenInputs } from '../verify/feeds.js';
import { beforeSoftmax } from './before-softmax.js';
import { distance, outputsOf } from './outputs.js';

/** One thing after the other is tried, each on what was kept of those before it. */
export interface Judge {
  /** Whether a net is nearer than the last that was kept; then it is the one that is kept. @param what 'depthwise kernels in float16', ... */
  helps(what: string, net: LayerMap): Promise<boolean>;
  /** A sentence on what each trial did; '' where nothing was tried. */
  told(): string;
}

/** Less energy of the error than this part of what it was; what is nearer to it is chance. */
const LEAST_GAIN = 0.96;
const JUDGED_ROWS = 64;

/**
 * @param map the net as it was
 * @param start with coarser weights, that trials begin with
 * @param inputs that nothing of the trials was worked out with
 */
export async function judgeOf(map: LayerMap, start: LayerMap, inputs: GivenInputs): Promise<Judge> {
  const exact = await outputsOf(beforeSoftmax(map), inputs, JUDGED_ROWS);
  const errorOf = async (net: LayerMap) => Math.sqrt(distance(exact, await outputsOf(beforeSoftmax(net), inputs, JUDGED_ROWS)));
  let error = await errorOf(start);
  const tried: string[] = [];
  return {
    async helps(what, net) {
      const now = await errorOf(net);
      const helps = now ** 2 < error ** 2 * LEAST_GAIN;
      tried.push(helps ? `${what}: ${percent(error)} before, ${percent(now)} with it` : `${what}: no help, left out`);
      if (helps) error = now;
      return helps;
    },
    told: () => (tried.length === 0 ? '' : `; error of the output on inputs kept back, ${tried.join('; ')}`),
  };
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}
