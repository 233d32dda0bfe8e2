/** How much of a net its inputs have put to use, as people read it: as the coverage of a program by its tests. */
import type { CoverageReport } from '../verify/report.js';
import { plural } from '../words.js';
import { formatCount } from './numbers.js';

/** What is counted as a part. */
const PARTS = 'each unit once on and once off, each limit once met, each padded edge once with a value beside it';

/** '93 % of the net, 452 of its 484 parts'. */
export function coverageShare(coverage: CoverageReport): string {
  return `${percent(coverage)} % of the net, ${parts(coverage)}`;
}

/** The same as a sentence, with what a part is and whether inputs were looked for; what was not put to use may follow it. */
export function coverageSentence(coverage: CoverageReport): string {
  const found = coverage.added === 0 ? '' : ` (${coverage.added} of them found by search)`;
  const rest = coverage.unseen.length === 0 ? '' : '. What is wrong in the rest they do not show';
  return `the inputs${found} put ${percent(coverage)} % of the net to use: ${parts(coverage)} (${PARTS})${rest}`;
}

/** What is not whole is never 100. */
function percent({ reached, of }: CoverageReport): number {
  return of === 0 ? 100 : Math.floor((100 * reached) / of);
}

function parts({ reached, of }: CoverageReport): string {
  return `${formatCount(reached)} of its ${formatCount(of)} ${plural(of, 'part')}`;
}
