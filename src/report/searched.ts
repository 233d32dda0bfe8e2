/** How what was searched for is told, in a terminal and on a page. */
import type { SearchedWay } from '../model/edited.js';

export const COUNTED_WORDS = { disk: 'on disk', wire: 'on the wire', memory: 'after loading' } as const;

/** Relative to the output. */
export function errorWords({ error }: SearchedWay): string {
  return error === 0 ? '0' : `${Number((100 * error).toPrecision(2))} %`;
}
