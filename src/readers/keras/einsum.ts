/** EinsumDense: a product of a value and a weight, spelt by the letters of their axes. */
import type { Dim } from '../../model/layer-map.js';
import { elementCount, permute, reshape, type Tensor } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import { combineTensor } from './arithmetic.js';
import { brief, type ConfigView } from './config-view.js';
import { codedKernel } from './quantised.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** 'abc,cd->abd': the letters of the value, of the kernel, and of the result. */
const EQUATION = /^((?:\.\.\.)?[a-zA-Z]+(?:\.\.\.)?),([a-zA-Z]+)->((?:\.\.\.)?[a-zA-Z]+(?:\.\.\.)?)$/;

export const einsumDense: Rule = (config) => {
  const equation = config.value(['equation']);
  const match = typeof equation === 'string' ? EQUATION.exec(equation.replaceAll(' ', '')) : null;
  if (!match) config.decline(`"equation" is ${brief(equation)}, expected the letters of a value, a kernel and a result`);
  const [, from = '', kernel = '', to = ''] = match ?? [];
  const stated = config.value(['output_shape']);
  const biasAxes = config.value(['bias_axes']);
  if (biasAxes !== null && biasAxes !== undefined && typeof biasAxes !== 'string') config.decline(`"bias_axes" is ${brief(biasAxes)}, expected letters`);
  const then = activation(config);
  const how = config.quantised();
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    const letters = spelled(from, to, value.shape.length, scope);
    const sizes = new Map<string, Dim>([...letters.from].map((letter, axis) => [letter, value.shape[axis]!]));
    addStatedSizes(sizes, to, stated);
    const shape = biasAxes ? biasShape(to, biasAxes as string, letters.to, sizes, scope) : null;
    const made = product(value, { ...letters, kernel }, sizes, shape, how, scope);
    const bias = made.bias ?? (shape && scope.weight('bias', shape));
    return then(bias ? combineTensor('Add', made.value, bias, scope) : made.value, scope);
  };
};

/** The letters with those that '...' stands for, taken from those that no equation can have. */
function spelled(from: string, to: string, rank: number, scope: Scope): { from: string; to: string } {
  const free = rank - from.replace('...', '').length;
  if (free < 0 || (free > 0 && !from.includes('...'))) throw scope.malformed(`the equation has ${from.length} axes, but ${rank} flow in`);
  const rest = Array.from({ length: free }, (_, i) => String.fromCharCode(0x3b1 + i)).join('');
  return { from: from.replace('...', rest), to: to.replace('...', rest) };
}

/** Sizes of the result's axes, as far as the configuration states them: those behind the batch. */
function addStatedSizes(sizes: Map<string, Dim>, to: string, stated: unknown): void {
  const list = typeof stated === 'number' ? [stated] : Array.isArray(stated) ? stated : [];
  const letters = to.replace('...', '');
  const hasMore = to.includes('...');
  const own = hasMore ? letters : letters.slice(1);
  // Sizes beyond the last letter are passed over, as by Keras.
  const first = hasMore ? own.length - list.length : 0;
  list.forEach((size, i) => {
    const letter = own[first + i];
    if (typeof size === 'number' && letter !== undefined && !sizes.has(letter)) sizes.set(letter, size);
  });
}

/** @returns the product, and the bias where it was taken from among the weights */
function product(
  value: Value,
  { from, kernel, to }: { from: string; kernel: string; to: string },
  sizes: ReadonlyMap<string, Dim>,
  biasShape: readonly number[] | null,
  how: ReturnType<ConfigView['quantised']>,
  scope: Scope,
): { value: Value; bias: Tensor | null } {
  const summed = [...kernel].filter((letter) => from.includes(letter) && !to.includes(letter));
  const made = [...kernel].filter((letter) => !from.includes(letter));
  const kept = [...from].filter((letter) => !summed.includes(letter));
  if (summed.length + made.length !== kernel.length || kept.some((letter) => !to.includes(letter)) || kept[0] !== to[0])
    throw scope.unsupported(`the equation ${from},${kernel}->${to}`);
  const known = (letters: readonly string[]): number[] =>
    letters.map((letter) => {
      const size = sizes.get(letter);
      if (typeof size === 'number') return size;
      throw scope.unsupported(`an EinsumDense over an axis "${letter}" whose size is not given`);
    });
  const [summedSizes, madeSizes] = [known(summed), known(made)];
  const order = [...summed, ...made].map((letter) => kernel.indexOf(letter));
  const codes = how && codedKernel({ shape: known([...kernel]), order, summed: elementCount(summedSizes) }, scalesOf(to, made, sizes), biasShape, how, scope);
  const matrix = codes ? null : reshape(permute(scope.weight('kernel', known([...kernel])), order), [elementCount(summedSizes), elementCount(madeSizes)]);
  const turned = inOrder(value, from, [...kept, ...summed], scope);
  const zeros = kept.map(() => 0);
  const rows = summed.length === 1 ? turned : scope.add('Reshape', [turned], { attributes: { shape: [...zeros, elementCount(summedSizes)] } });
  const columns = codes ? codes.product(rows) : scope.add('MatMul', [rows], { weights: { kernel: matrix! } });
  const spread = made.length === 1 ? columns : scope.add('Reshape', [columns], { attributes: { shape: [...zeros, ...madeSizes] } });
  return { value: inOrder(spread, [...kept, ...made].join(''), [...to], scope), bias: codes?.bias ?? null };
}

/** The scales of a kernel in codes, which lie along the axes that are made, in the order of the result, whose other axes have one place. */
function scalesOf(to: string, made: readonly string[], sizes: ReadonlyMap<string, Dim>) {
  const own = [...to].filter((letter) => made.includes(letter));
  const size = (letter: string) => (made.includes(letter) ? (sizes.get(letter) as number) : 1);
  return { sizes: own.map(size), order: made.map((letter) => own.indexOf(letter)), rank: [...to].map(size) };
}

function inOrder(value: Value, from: string, to: readonly string[], scope: Scope): Value {
  const perm = to.map((letter) => from.indexOf(letter));
  return perm.every((place, axis) => place === axis) ? value : scope.add('Transpose', [value], { attributes: { perm } });
}

/** The bias lies along the axes that are named, from the first of them to the last axis of the result. */
function biasShape(spelt: string, axes: string, to: string, sizes: ReadonlyMap<string, Dim>, scope: Scope): readonly number[] {
  const own = spelt.replace('...', '');
  const first = Math.min(...[...axes].map((letter) => own.indexOf(letter)));
  if (first < 0) throw scope.unsupported(`a bias along "${axes}" of "${to}"`);
  const behind = spelt.endsWith('...') ? to.slice(own.length) : '';
  return [...own.slice(first), ...behind].map((letter) => (axes.includes(letter) ? (sizes.get(letter) as number) : 1));
}
