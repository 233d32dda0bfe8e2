/** The findings in one line. */

import { counted, listed } from '../words.js';
import type { Change, DiffDocument, TensorDiff } from './document.js';
import { isOtherwiseWired } from './structure.js';

type Findings = Pick<DiffDocument, 'a' | 'b' | 'tensors' | 'structure' | 'totals'>;

/** Names of layers in the sentence. */
/** Of the tensors of the larger file, so many have a counterpart of the same size in the same net with another end. */
const SAME_NET = 0.5;

/** Layers with weights, in running order, and which of them differ. */
export function layersOf(tensors: readonly TensorDiff[]): { compared: number; differing: string[] } {
  const layers = new Map<string, boolean>();
  for (const { layer, status } of tensors) layers.set(layer, (layers.get(layer) ?? false) || !isEqualStatus(status));
  return { compared: layers.size, differing: [...layers].filter(([, differs]) => differs).map(([layer]) => layer) };
}

export function isEqualStatus(status: TensorDiff['status']): boolean {
  return status === 'equal' || status === 'changed';
}

export function verdictOf(findings: Findings): DiffDocument['verdict'] {
  const { a, b, tensors, structure, totals } = findings;
  const paired = tensors.filter(({ a: own, b: other, statistics, status }) => own && other && (statistics !== null || isEqualStatus(status)));
  const { compared, differing } = layersOf(tensors);
  const isOther = structure !== null && isOtherwiseWired(structure);
  if (tensors.length > 0 && paired.length < SAME_NET * tensors.length) {
    return { kind: 'different-nets', equal: false, sentence: `different nets: ${netName(a)} against ${netName(b)}` };
  }
  if (differing.length === 0) {
    const wiring = isOther ? `, other wiring: ${wiringOf(structure)}` : '';
    const kept = tensors.every(({ changes }) => changes.every(({ keepsValues }) => keepsValues));
    if (totals.changed === 0 && !isOther)
      return { kind: 'identical', equal: true, sentence: `the same weights, bit for bit (${counted(tensors.length, 'tensor')})` };
    const sentence = totals.changed === 0 ? `the same weights${wiring}` : `same weights${kept ? ' in another layout' : ''}: ${changesOf(tensors)}${wiring}`;
    return { kind: isOther ? 'other-wiring' : 'same-weights', equal: kept && !isOther, sentence };
  }
  const some = `${differing.length} of ${counted(compared, 'layer')} ${differing.length === 1 ? 'differs' : 'differ'}`;
  const wiring = isOther ? `; other wiring: ${wiringOf(structure)}` : '';
  if (differing.length === compared && totals.close === 0) {
    return { kind: 'same-net', equal: false, sentence: `same net, other weights: ${some}${wiring}` };
  }
  const far = differing.length === compared ? ', all of them a little' : ` (${listed(differing, 4)})`;
  return {
    kind: 'fine-tuned',
    equal: false,
    sentence: `same net, fine-tuned: ${some}${totals.different === 0 || differing.length < compared ? far : ''}${wiring}`,
  };
}

function netName({ architecture, format, parameterCount }: DiffDocument['a']): string {
  return architecture ?? `${format} of ${parameterCount.toLocaleString('en')} parameters`;
}

/** The kinds of changes, those of values first, then the commonest, with how many tensors have them. */
function changesOf(tensors: readonly TensorDiff[]): string {
  const counts = new Map<string, number>();
  for (const { changes } of tensors) for (const text of new Set(changes.map(summaryOf))) counts.set(text, (counts.get(text) ?? 0) + 1);
  const altering = new Set(tensors.flatMap(({ changes }) => changes.filter(({ keepsValues }) => !keepsValues).map(summaryOf)));
  const sorted = [...counts].sort(([a, x], [b, y]) => Number(altering.has(b)) - Number(altering.has(a)) || y - x);
  return sorted.map(([text, times]) => `${times} of ${tensors.length} ${text}`).join(', ');
}

/** What axes and sizes a change has is a matter of the single tensor. */
function summaryOf({ kind, text }: Change): string {
  if (kind === 'axes-permuted') return 'with axes in another order';
  if (kind === 'flatten-order') return 'flattened in another order';
  if (kind === 'reshaped') return 'in another shape';
  return text;
}

function wiringOf({ onlyInA, onlyInB, changed, judged }: NonNullable<DiffDocument['structure']>): string {
  const parts =
    changed.length > 0
      ? [
          `${counted(changed.length, 'layer')} computed otherwise (${listed(
            changed.map(({ a }) => a.name),
            4,
          )})`,
        ]
      : [];
  if (judged && onlyInA.length > 0)
    parts.push(
      `only in the first ${listed(
        onlyInA.map(({ name }) => name),
        4,
      )}`,
    );
  if (judged && onlyInB.length > 0)
    parts.push(
      `only in the second ${listed(
        onlyInB.map(({ name }) => name),
        4,
      )}`,
    );
  return parts.join(', ');
}
