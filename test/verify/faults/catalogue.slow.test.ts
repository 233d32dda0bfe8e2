/** The catalogue of faults over nets of many families: what docs/verify.md says is what this found. */
import { describe, it } from 'vitest';
import { scoreNet } from './catalogue.js';
import { FAMILIES } from './families.js';

const only = process.env.WEIGHBRIDGE_ONLY;

describe('the catalogue of faults', () => {
  it.each(FAMILIES.map((make) => make()).filter(({ name }) => !only || only.split(',').includes(name)))('in $name', async (map) => {
    const scores = await scoreNet(map);
    const bad = scores.filter(({ seen, placed, named, verdict }) => verdict !== 'not run' && !(seen && placed && named));
    console.log(
      `${map.name}: ${scores.length} faults, ${scores.filter(({ verdict }) => verdict === 'not run').length} not run, seen ${scores.filter((s) => s.seen).length}, placed ${scores.filter((s) => s.placed).length}, named ${scores.filter((s) => s.named).length}`,
    );
    for (const { fault, verdict, seen, placed, named, said } of bad)
      console.log(`  ${verdict} ${seen ? '' : 'UNSEEN '}${placed ? '' : 'UNPLACED '}${named ? '' : 'UNNAMED '}${fault.kind} in ${fault.layer}: ${said}`);
    for (const { fault, verdict, said } of scores.filter((s) => s.verdict === 'not run'))
      console.log(`  ${verdict} ${fault.kind} in ${fault.layer}: ${said.slice(0, 150)}`);
  });
});
