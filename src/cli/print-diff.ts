/** Prints what two models have in common and what not: the verdict, then the tensors that are not equal. */
import type { DiffDocument, DiffSide, StructureDiff, TensorDiff } from '../diff/document.js';
import { describeShapes, noteOf, STATUS_WORDS } from '../report/diff-words.js';
import { type Column, colour, formatCount, formatNumber, formatTime, safeText, table } from './print.js';

/** Lines of structure, each kind. */
const SHOWN = 12;

/** @param all lists equal tensors, too */
export function printDiff(say: (text: string) => void, document: DiffDocument, all: boolean): void {
  const { verdict, a, b, tensors, structure, totals, notes, elapsedMs } = document;
  const paint = verdict.equal ? colour.green : colour.yellow;
  say(paint(safeText(verdict.sentence)));
  say('');
  say(sideLine('a', a));
  say(sideLine('b', b));
  const rows = tensors.filter(({ status }) => all || status !== 'equal');
  if (rows.length > 0) say(`\n${tensorTable(rows)}`);
  const counts = Object.entries(totals).filter(([, count]) => count > 0);
  say(
    `\ntensors  ${counts.map(([status, count]) => `${formatCount(count)} ${STATUS_WORDS[status as TensorDiff['status']]}`).join(', ')}   ${formatTime(elapsedMs)}`,
  );
  if (structure) printStructure(say, structure);
  for (const note of notes) say(`note     ${safeText(note)}`);
  for (const [name, { withoutMap }] of Object.entries({ a, b }))
    if (withoutMap !== null) say(`note     ${name} has no wiring that is understood: tensors are compared as stored`);
}

function sideLine(name: string, { path, format, architecture, tensors, parameterCount }: DiffSide): string {
  const facts = [format, ...(architecture === null ? [] : [architecture]), `${tensors} tensors`, `${formatCount(parameterCount)} parameters`];
  return `${name}  ${safeText(path)}   ${safeText(facts.join('   '))}`;
}

function tensorTable(tensors: readonly TensorDiff[]): string {
  const columns: Column[] = [
    { title: 'layer' },
    { title: 'role' },
    { title: 'shape', optional: true },
    { title: 'found', wraps: true },
    { title: 'max abs', align: 'right' },
    { title: 'rel L2', align: 'right' },
    { title: 'cosine', align: 'right', optional: true },
    { title: '', wraps: true },
  ];
  const number = (value: number | null | undefined) => (value === null || value === undefined ? '' : formatNumber(value));
  const rows = tensors.map((tensor) => [
    tensor.layer,
    tensor.role,
    describeShapes(tensor),
    STATUS_WORDS[tensor.status],
    number(tensor.statistics?.maxAbsolute),
    number(tensor.statistics?.relativeL2),
    tensor.statistics?.cosine == null ? '' : tensor.statistics.cosine.toFixed(4),
    noteOf(tensor),
  ]);
  return table(columns, rows);
}

function printStructure(say: (text: string) => void, { aligned, onlyInA, onlyInB, changed, ports, judged }: StructureDiff): void {
  const isSame = onlyInA.length + onlyInB.length + changed.length + ports.length === 0;
  say(`layers   ${formatCount(aligned)} lined up${isSame ? ', and compute alike; which reads which was not compared' : ''}`);
  const lines = [
    ...changed.map(({ a, what }) => `${a.name} (${a.op}): ${what.join(', ')}`),
    ...onlyInA.map(({ name, op }) => `only in a: ${name} (${op})${judged ? '' : ', not counted between formats'}`),
    ...onlyInB.map(({ name, op }) => `only in b: ${name} (${op})${judged ? '' : ', not counted between formats'}`),
    ...ports,
  ];
  for (const line of lines.slice(0, SHOWN)) say(`         ${safeText(line)}`);
  if (lines.length > SHOWN) say(`         and ${lines.length - SHOWN} more`);
}
