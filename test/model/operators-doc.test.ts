/** docs/operators.md is made from the definitions of the operators; `npm run docs` renews it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { OPS, type Operator } from '../../src/model/ops/index.js';
import { GRAPH_OPS } from '../../src/writers/tfjs/graph-rules.js';
import { RULES } from '../../src/writers/tfjs/rules.js';

const FILE = fileURLToPath(new URL('../../docs/operators.md', import.meta.url));

function attributesOf({ attributes }: Operator): string {
  return Object.entries(attributes)
    .map(([name, { default: value, optional, words }]) => {
      if (words) return `${name}: ${words.join(' / ')}`;
      if (optional) return `${name}?`;
      return value === undefined || `${value}` === '' ? name : `${name} = ${value}`;
    })
    .join(', ');
}

function row(operator: Operator): string {
  const { op, slots, onnx } = operator;
  const targets = [onnx === null ? '' : `opset ${onnx.since ?? 1}`, Object.hasOwn(RULES, op) ? 'both forms' : GRAPH_OPS.has(op) ? 'graph' : ''];
  return `| ${op} | ${slots.join(', ')} | ${attributesOf(operator)} | ${targets.join(' | ')} |`;
}

it('docs/operators.md is current', () => {
  const made = [
    '# Operators',
    '',
    'What the layer map can say, made from `src/model/ops/` by `npm run docs`. Each operator means what ONNX means by it in the newest opset;',
    'every one is evaluated in float64 by the reference evaluator. A slot with `?` may be left out, one with `...` takes any number of values,',
    'and an attribute with `?` may be absent. Attributes that are slots too may flow in where ONNX lets them. ONNX: the oldest opset that is read',
    'as this operator directly. TensorFlow.js: which form can say it, a layers model only in the plain form (docs/tfjs.md).',
    '',
    '| operator | slots | attributes | ONNX | TensorFlow.js |',
    '|---|---|---|---|---|',
    ...Object.values(OPS)
      .toSorted((a, b) => (a.op < b.op ? -1 : 1))
      .map(row),
    '',
  ].join('\n');
  if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(FILE, made);
  expect(readFileSync(FILE, 'utf8')).toBe(made);
});
