/**
 * Loop and Scan nodes whose number of steps is known, as their steps one after the other.
 *
 * @see https://onnx.ai/onnx/operators/onnx__Loop.html and https://onnx.ai/onnx/operators/onnx__Scan.html
 */
import { isGraph, type ReadGraph } from '../../containers/onnx.js';
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import { Scope } from './scope.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

/** As of recurrent layers: each step is all of the body. */
const MAX_STEPS = 1024;
/** Loops are left as they are where their steps would become more nodes than this, those of all loops together, and of loops within loops for each of their steps. */
const MAX_NODES = 20_000;

/** What a body makes in one step, in the order of its outputs. */
async function stepOf(node: Node, t: Translator, body: ReadGraph, step: number, given: readonly (Value | null)[]): Promise<readonly Value[]> {
  t.repeatedNodes += body.nodes.length;
  const scope = new Scope(t.scope, t.scope.opsets, t.scope.attributes, `${t.scope.prefix}${node.title}/${step}/`);
  body.inputs.forEach(({ name }, i) => {
    if (given[i]) scope.set(name, given[i]);
  });
  return t.inside(scope, async () => {
    await t.graph(body);
    return body.outputs.map(({ name }) => scope.get(name, node.read));
  });
}

/** What each step gave, one behind the other along a new axis. */
function gathered(node: Node, t: Translator, parts: readonly Value[], axis: number, output: string): Value {
  const columns = parts.map((part) => t.add(node, 'Unsqueeze', [part], { axes: [axis] }, 'step'));
  const names = { name: `${t.scope.prefix}${node.title}/${output}`, outputs: [t.outputName(output)] };
  return t.build.node('Concat', columns, { axis }, names)[0]!;
}

const loop: Rule = async (node, t) => {
  const body = node.attributes.get('body');
  if (!isGraph(body)) return new NotUnderstood('it has no body');
  const [limit = null, condition = null, ...initial] = node.inputs;
  const count = limit ? (await t.known(limit))?.[0] : Number.POSITIVE_INFINITY;
  let goesOn = condition ? (await t.known(condition))?.[0] : 1;
  if (count === undefined || goesOn === undefined) return new NotUnderstood('how many steps it takes is known only when the model runs');
  const scanned = body.outputs.length - 1 - initial.length;
  const { nodes: nodesOfStep } = await t.workOf(body);
  const all = Array.from({ length: scanned }, (): Value[] => []);
  let state: readonly (Value | null)[] = initial;
  for (let step = 0; step < count && goesOn !== 0; step++) {
    if (step >= MAX_STEPS || t.repeatedNodes + nodesOfStep > MAX_NODES) return new NotUnderstood(`it takes more than ${step} steps`);
    const [next, ...made] = await stepOf(node, t, body, step, [t.build.numbers('int64', step), t.build.numbers('bool', 1), ...state]);
    state = made.slice(0, initial.length);
    made.slice(initial.length).forEach((part, i) => {
      all[i]!.push(part);
    });
    goesOn = (await t.known(next))?.[0];
    if (goesOn === undefined) return new NotUnderstood('whether it goes on is known only when the model runs');
  }
  if (all.some((parts, i) => parts.length === 0 && node.outputs[initial.length + i]))
    return new NotUnderstood('it takes no step, and gives out what each made');
  return [...state, ...all.map((parts, i) => (node.outputs[initial.length + i] ? gathered(node, t, parts, 0, node.outputs[initial.length + i]!) : null))];
};

const scan: Rule = async (node, t) => {
  const body = node.attributes.get('body');
  if (!isGraph(body)) return new NotUnderstood('it has no body');
  if (node.opset < 9) return new NotUnderstood('in opset 8 it means something else than from opset 9 on');
  const count = numberOf(node, 'num_scan_inputs', 0);
  const states = node.inputs.length - count;
  const listed = (name: string, i: number): number => {
    const value = node.attributes.get(name);
    return Array.isArray(value) ? Number(value[i] ?? 0) : 0;
  };
  const sequences = node.inputs.slice(states) as readonly Value[];
  if (sequences.some((value) => !value?.shape)) return new NotUnderstood('how many axes flow in is not known');
  const axes = sequences.map(({ shape }, i) => (listed('scan_input_axes', i) + shape!.length) % shape!.length);
  const steps = sequences[0]?.shape?.[axes[0]!];
  if (typeof steps !== 'number') return new NotUnderstood('how many steps it takes is known only when the model runs');
  const { nodes: nodesOfStep } = await t.workOf(body);
  if (steps === 0 || steps > MAX_STEPS || t.repeatedNodes + steps * nodesOfStep > MAX_NODES) return new NotUnderstood(`it takes ${steps} steps`);
  const all = Array.from({ length: body.outputs.length - states }, (): Value[] => []);
  let state = node.inputs.slice(0, states);
  for (let step = 0; step < steps; step++) {
    const parts = sequences.map((value, i) => {
      const place = listed('scan_input_directions', i) === 1 ? steps - 1 - step : step;
      return t.add(node, 'Gather', [value, t.build.numbers('int64', place)], { axis: axes[i]! }, `${step}/part`);
    });
    const made = await stepOf(node, t, body, step, [...state, ...parts]);
    state = made.slice(0, states);
    made.slice(states).forEach((part, i) => {
      all[i]!.push(part);
    });
  }
  const results = all.map((parts, i) => {
    const output = node.outputs[states + i];
    const rank = parts[0]!.shape?.length;
    const axis = listed('scan_output_axes', i);
    if (!output) return null;
    if (axis < 0 && rank === undefined) return new NotUnderstood('how many axes flow out is not known');
    return gathered(node, t, listed('scan_output_directions', i) === 1 ? parts.toReversed() : parts, axis < 0 ? axis + rank! + 1 : axis, output);
  });
  return results.find((made) => made instanceof NotUnderstood) ?? [...state, ...(results as readonly (Value | null)[])];
};

export const LOOPS: Readonly<Record<string, Rule>> = { Loop: loop, Scan: scan };
