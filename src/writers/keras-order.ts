/**
 * The order in which Keras has the layers of a model, which is the order in which it takes weights: from HDF5 it gives the first layer
 * the first group, whatever both are called, and in an archive it counts the layers of each class.
 *
 * What is farther from the outputs comes first; of one distance, what a walk from the outputs meets first.
 *
 * @see https://github.com/keras-team/keras/blob/master/keras/src/ops/function.py, map_graph and _build_map
 */

/** One call of a layer: an input of another, or an output. */
export interface Call {
  /** The layer, with all of its calls. */
  readonly node: object;
  /** Which of the layer's calls. */
  readonly call: number;
}

interface Called {
  /** What goes into each call. */
  readonly calls: readonly (readonly Call[])[];
}

/** @returns each layer that an output needs, once, and the inputs that none needs before what is nearest to the outputs */
export function kerasOrder<L extends Called>(inputs: readonly Call[], outputs: readonly Call[]): L[] {
  const met = new Map<object, number>();
  const walked = walk(outputs, met);
  const distances = new Map<string, number>();
  const farthest = new Map<object, number>();
  const keyOf = ({ node, call }: Call) => `${met.get(node)} ${call}`;
  for (const one of walked.toReversed()) {
    // A call of a layer is as far as the farthest one that was seen before it.
    const distance = Math.max(distances.get(keyOf(one)) ?? 0, farthest.get(one.node) ?? 0);
    farthest.set(one.node, distance);
    for (const input of inputsOf(one)) distances.set(keyOf(input), Math.max(distance + 1, distances.get(keyOf(input)) ?? 0));
  }
  for (const { node } of inputs.filter((input) => !met.has(input.node))) {
    farthest.set(node, 0);
    met.set(node, -1);
  }
  return ([...farthest.keys()] as L[]).sort((a, b) => farthest.get(b)! - farthest.get(a)! || met.get(a)! - met.get(b)!);
}

/**
 * Calls behind all that they take, by a walk from the outputs that takes inputs in their order.
 *
 * @param met gets the layers, numbered as they are met
 */
function walk(outputs: readonly Call[], met: Map<object, number>): Call[] {
  const begun = new Map<object, Set<number>>();
  const walked: Call[] = [];
  // A stack of its own: nets may be deeper than calls may nest.
  const stack: { readonly at: Call; next: number }[] = [];
  const begin = (at: Call) => {
    const calls = begun.get(at.node) ?? new Set();
    if (calls.has(at.call)) return;
    begun.set(at.node, calls.add(at.call));
    if (!met.has(at.node)) met.set(at.node, met.size);
    stack.push({ at, next: 0 });
  };
  for (const output of outputs) {
    begin(output);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const input = inputsOf(top.at)[top.next++];
      if (input) begin(input);
      else walked.push(stack.pop()!.at);
    }
  }
  return walked;
}

const inputsOf = ({ node, call }: Call): readonly Call[] => (node as Called).calls[call]!;
