/** docs/tensorflow-nodes.md is made from the rules for nodes and operators; `npm run docs` renews it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { LITE_OPERATORS } from '../../src/containers/tflite.js';
import { COMPLEX_NODES } from '../../src/dialects/tensorflow/complex.js';
import { FOLLOWED, TENSORFLOW_RULES } from '../../src/dialects/tensorflow/graph.js';
import { MOVING, PLAIN } from '../../src/dialects/tensorflow/lite-codes.js';
import { LITE_RULES } from '../../src/dialects/tensorflow/lite-operators.js';
import { liteRules } from '../../src/dialects/tensorflow/lite-rules.js';

const FILE = fileURLToPath(new URL('../../docs/tensorflow-nodes.md', import.meta.url));
const TFJS = fileURLToPath(new URL('../../node_modules/@tensorflow/tfjs-converter/dist/operations/op_list/', import.meta.url));

/** Names of the nodes that TensorFlow.js runs. */
async function tfjsNodes(): Promise<ReadonlySet<string>> {
  const lists = await Promise.all(
    readdirSync(TFJS)
      .filter((name) => name.endsWith('.js'))
      .map(async (name) => ((await import(pathToFileURL(TFJS + name).href)) as { json: readonly { tfOpName: string }[] }).json),
  );
  return new Set(lists.flat().map(({ tfOpName }) => tfOpName));
}

function nodeRow(node: string, inTfjs: boolean): string {
  const how = FOLLOWED.has(node) ? 'followed' : Object.hasOwn(TENSORFLOW_RULES, node) || COMPLEX_NODES.includes(node) ? 'read' : 'refused';
  return `| ${node} | ${how} | ${inTfjs ? 'yes' : ''} |`;
}

/** Operators that call other graphs, and the one that is passed over where its constant is spread out. */
const LITE_FOLLOWED: ReadonlySet<string> = new Set(['IF', 'WHILE', 'STABLEHLO_COMPOSITE', 'DENSIFY']);

function operatorRow(op: string): string {
  const isRead = Object.hasOwn(LITE_RULES, op);
  const how = LITE_FOLLOWED.has(op) ? 'followed' : isRead ? 'read' : 'refused';
  const codes = op === 'CAST' ? 'as integers' : MOVING.has(op) ? 'of one scale' : PLAIN.has(op) || !isRead ? '' : 'as numbers';
  return `| ${op} | ${how} | ${how === 'read' ? codes : ''} |`;
}

it('docs/tensorflow-nodes.md is current', async () => {
  const own = new Set(Object.keys(liteRules));
  const known = await tfjsNodes();
  const nodes = [...new Set([...Object.keys(TENSORFLOW_RULES).filter((node) => !own.has(node)), ...FOLLOWED, ...COMPLEX_NODES, ...known])].toSorted();
  const custom = Object.keys(LITE_RULES).filter((op) => op.startsWith('CUSTOM '));
  const made = [
    "# TensorFlow's nodes",
    '',
    'What graphs may hold, made from `src/dialects/tensorflow/` by `npm run docs` ([how they are read](tensorflow.md)). *Read*: becomes layers. *Followed*: calls,',
    'branches, loops, lists and variables, which are gone through while the graph is read. *Refused*: named, with its place; so is every node that is not in the',
    'table, and every setting of a node that no rule asks for. The last column: whether TensorFlow.js runs it.',
    '',
    '| node | here | TensorFlow.js |',
    '|---|---|---|',
    ...nodes.map((node) => nodeRow(node, known.has(node))),
    '',
    '## Operators of TensorFlow Lite',
    '',
    'All built-in operators of the schema (version 3c), and custom ones. What flows in integer codes is read *as numbers* where the kernel computes with scales, where',
    'all codes are *of one scale* where it moves them, *as integers* where it takes them so; elsewhere codes are refused.',
    '',
    '| operator | here | in codes |',
    '|---|---|---|',
    ...[...LITE_OPERATORS.filter((op) => op !== 'CUSTOM' && op !== 'PLACEHOLDER_FOR_GREATER_OP_CODES'), ...custom].map(operatorRow),
    '',
  ].join('\n');
  if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(FILE, made);
  expect(readFileSync(FILE, 'utf8')).toBe(made);
});
