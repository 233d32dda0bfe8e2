/** What is said of a pair of tensors, in the terminal and on the page. */
import type { TensorDiff, TensorStatus } from '../diff/document.js';

export const STATUS_WORDS: Readonly<Record<TensorStatus, string>> = {
  equal: 'equal',
  changed: 'changed',
  close: 'close',
  different: 'different',
  'only-in-a': 'only in a',
  'only-in-b': 'only in b',
};

/** '3 x 3', or '10 x 48 -> 1000 x 48'. */
export function describeShapes({ a, b }: Pick<TensorDiff, 'a' | 'b'>): string {
  const [own, other] = [a, b].map((place) => place?.shape.join(' x '));
  return own === undefined || other === undefined || own === other ? (own ?? other ?? '') : `${own} -> ${other}`;
}

/** The changes, and what else there is to say. */
export function noteOf({ changes, alignedBy, a, b, elsewhere, statistics }: TensorDiff): string {
  const said = changes.map(({ text }) => text);
  if (a && b && alignedBy === 'content' && a.name !== b.name) said.push(`${a.name} is ${b.name}`);
  if (statistics && statistics.nonFinite.a + statistics.nonFinite.b > 0) said.push(`not finite: ${statistics.nonFinite.a} and ${statistics.nonFinite.b}`);
  if (elsewhere !== null) said.push(`b has it as ${elsewhere}`);
  return said.join(', ');
}
