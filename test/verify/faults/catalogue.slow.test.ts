/** The catalogue of faults over nets of many families; `npm run faults` writes what it finds into docs/verify.md. */
import { describe, expect, it } from 'vitest';
import { corpusTitle, hasCorpus } from '../../corpus.js';
import { corpusSubject, type Score, type Subject, scoreNet, subjectOf } from './catalogue.js';
import { FAMILIES } from './families.js';

/** Real nets, small ones of several frameworks; of the faults that fit, a part. */
const REAL = ['pytorch-resnet20-cifar', 'pytorch-kws-dscnn', 'keras2-fer2013-mini-xception', 'tfjs-faceapi-tiny-face-detector', 'caffe-lenet'];
const EVERY = 3;
const only = process.env.WEIGHBRIDGE_ONLY?.split(',');
const isAsked = (name: string) => !only || only.includes(name);

const scores = new Map<string, readonly Score[]>();

describe('the catalogue of faults', () => {
  it.each(
    FAMILIES.map((make) => make())
      .filter(({ name }) => isAsked(name))
      .map((map) => [map.name, map] as const),
  )('in a net that was made here: %s', async (name, map) => judge(name, await scoreNet(await subjectOf(map))));

  it.skipIf(!hasCorpus).each(REAL.filter(isAsked))(`in a published net: %s${corpusTitle}`, async (name) => {
    const subject: Subject & { close(): Promise<void> } = await corpusSubject(name);
    try {
      judge(name, await scoreNet(subject, EVERY));
    } finally {
      await subject.close();
    }
  });

  it.skipIf(only !== undefined)('is seen, placed and named nearly always, over all nets', () => {
    const all = [...scores.values()].flat().filter(({ outcome }) => outcome === 'seen' || outcome === 'unseen');
    expect(all.filter(({ outcome }) => outcome === 'seen').length).toBeGreaterThanOrEqual(0.98 * all.length);
    expect(count(all, 'placed')).toBeGreaterThanOrEqual(0.97 * all.length);
    expect(count(all, 'named')).toBeGreaterThanOrEqual(0.9 * all.length);
  });
});

/** Keeps the scores, and prints what was not seen, not placed or not named. */
function judge(net: string, found: readonly Score[]): void {
  scores.set(net, found);
  const ran = found.filter(({ outcome }) => outcome === 'seen' || outcome === 'unseen');
  for (const { fault, found: said, outcome, placed, named } of found) {
    const lacks = [outcome === 'seen' ? '' : outcome, placed ? '' : 'not placed', named ? '' : 'not named'].filter(Boolean).join(', ');
    if (lacks && outcome !== 'same') console.log(`${net}: ${lacks}: ${fault.kind} in "${fault.layer}": ${said.verdict}. ${said.said}`);
  }
  const seen = ran.filter(({ outcome }) => outcome === 'seen').length;
  console.log(
    `${net}: ${found.length} faults, ${seen} seen, ${count(found, 'placed')} placed, ${count(found, 'named')} named; ${found.length - ran.length} refused or the same`,
  );
  expect(ran.length).toBeGreaterThan(0);
}

function count(found: readonly Score[], key: 'placed' | 'named'): number {
  return found.filter((score) => score[key]).length;
}
