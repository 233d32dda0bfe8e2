/** Einsum: products of any number of values, summed over the letters that the result lacks. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';
import { rowMajorStrides } from '../tensor.js';
import { newValue } from './array.js';
import { operator, text } from './operator.js';

export interface EinsumTerms {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/** Letters of each term; an ellipsis becomes letters of its own ('.0' the last of its axes). */
export function einsumTerms(equation: string, ranks: readonly number[]): EinsumTerms {
  const [left, right] = equation.replaceAll(' ', '').split('->') as [string, string | undefined];
  const terms = left.split(',');
  if (terms.length !== ranks.length) throw new ModelError('malformed', `the equation "${equation}" has ${terms.length} terms for ${ranks.length} inputs`);
  const dots = Math.max(0, ...terms.map((term, i) => (term.includes('...') ? ranks[i]! - (term.length - 3) : 0)));
  const letters = (term: string, count: number) => {
    const [before, behind] = term.split('...') as [string, string | undefined];
    if (behind === undefined) return [...before];
    return [...before, ...Array.from({ length: count }, (_, i) => `.${count - 1 - i}`), ...behind];
  };
  const inputs = terms.map((term, i) => letters(term, ranks[i]! - (term.length - 3)));
  inputs.forEach((term, i) => {
    if (term.length !== ranks[i]) throw new ModelError('malformed', `the term "${terms[i]}" of the equation does not fit a value of ${ranks[i]} axes`);
  });
  if (right !== undefined) return { inputs, output: letters(right, dots) };
  // Without a result: the letters that stand once, in order of the alphabet.
  const all = inputs.flat();
  const once = [...new Set(all)].filter((letter) => !letter.startsWith('.') && all.filter((other) => other === letter).length === 1).sort();
  return { inputs, output: [...letters('...', dots), ...once] };
}

export const einsum = operator({
  op: 'Einsum',
  slots: ['parts...'],
  attributes: { equation: text() },
  shape({ parts }, { equation }) {
    const { inputs, output } = einsumTerms(
      equation,
      parts.map(({ shape }) => shape.length),
    );
    const sizes = new Map<string, Dim>();
    inputs.forEach((term, i) => {
      term.forEach((letter, axis) => {
        const [size, known] = [parts[i]!.shape[axis]!, sizes.get(letter)];
        if (typeof size === 'number' && typeof known === 'number' && size !== known && size !== 1 && known !== 1) {
          throw new ModelError('malformed', `"${letter}" of the equation "${equation}" is ${known} and ${size}`);
        }
        if (known === undefined || known === 1 || (typeof known === 'string' && typeof size === 'number' && size !== 1)) sizes.set(letter, size);
      });
    });
    return [output.map((letter) => sizes.get(letter) ?? 1)];
  },
  onnx: { since: 12 },
  compute({ parts }, { equation }) {
    const { inputs, output } = einsumTerms(
      equation,
      parts.map(({ shape }) => shape.length),
    );
    const letters = [...output, ...new Set(inputs.flat().filter((letter) => !output.includes(letter)))];
    const sizes = letters.map((letter) =>
      Math.max(...inputs.flatMap((term, i) => term.flatMap((other, axis) => (other === letter ? [parts[i]!.shape[axis]!] : []))), 1),
    );
    // How far each input moves when a letter does; an axis of one stays.
    const steps = inputs.map((term, i) => {
      const strides = rowMajorStrides(parts[i]!.shape);
      return letters.map((letter) => term.reduce((sum, other, axis) => (other === letter && parts[i]!.shape[axis] !== 1 ? sum + strides[axis]! : sum), 0));
    });
    const y = newValue(sizes.slice(0, output.length));
    const visit = (depth: number, target: number, places: readonly number[]): void => {
      if (depth === letters.length) {
        y.data[target]! += parts.reduce((product, { data }, i) => product * data[places[i]!]!, 1);
        return;
      }
      const size = sizes[depth]!;
      for (let k = 0; k < size; k++) {
        visit(
          depth + 1,
          depth < output.length ? target * size + k : target,
          places.map((place, i) => place + k * steps[i]![depth]!),
        );
      }
    };
    visit(
      0,
      0,
      parts.map(() => 0),
    );
    return [y];
  },
});
