/** All operators of PyTorch that are translated, and how a call of one is made. */

import { isModelError, ModelError } from '../../errors.js';
import { oneTable } from '../one-table.js';
import { BEHIND_OBSTACLE, type Workshop } from './call.js';
import { type Item, knownScalar, numberOf, TensorItem, Unknown, Untold } from './items.js';
import { asItem, callOf, isValue, type Rule, type Rules } from './rule.js';
import { arrangement } from './rules/arrangement.js';
import { complexRules } from './rules/complex.js';
import { compositions } from './rules/compositions.js';
import { elements } from './rules/elements.js';
import { language } from './rules/language.js';
import { making } from './rules/making.js';
import { normalisation } from './rules/normalisation.js';
import { places } from './rules/places.js';
import { products } from './rules/products.js';
import { recurrentRules } from './rules/recurrent.js';
import { replaced } from './rules/replaced.js';
import { scans } from './rules/scans.js';
import { spectra } from './rules/spectra.js';
import { windows } from './rules/windows.js';

const REAL_RULES: Rules = oneTable(
  windows,
  products,
  normalisation,
  elements,
  arrangement,
  making,
  compositions,
  places,
  replaced,
  scans,
  spectra,
  language,
  recurrentRules,
);

/** By name within 'aten', or with the namespace where it is another one. */
export const TORCH_RULES: Rules = { ...REAL_RULES, ...complexRules(REAL_RULES) };

/** Its weights are tensors of a layout of its own, of which PyTorch 1.13 writes none: it cannot load its own file. */
const NOT_SAVED =
  'torch.jit.optimize_for_inference moved the weights into the form of MKL-DNN, and the file does not have them: save the program before that, as torch.jit.freeze gives it';

/** Nets draw numbers in training, and programs keep the drawing where nothing reads it any more. */
const DRAWS = /^(rand|randn|randint|rand_like|randn_like|randint_like|randperm|bernoulli|multinomial|normal|poisson)$/;

/** What made once more changes nothing more. */
const SETTLED = /^(clamp|clamp_min|clamp_max|clip|hardtanh|relu|relu6|abs|sign|round|floor|ceil|trunc)_$/;

/** Obstacles by what they say, with the place of the first and how often they were met. */
export class Obstacles {
  readonly #found = new Map<string, { readonly error: ModelError; count: number }>();

  /** @param where 'code/__torch__.py, line 12' */
  add(error: ModelError, where: string, path: string): void {
    const known = this.#found.get(error.problem);
    if (known) known.count++;
    else
      this.#found.set(error.problem, { error: new ModelError(error.kind, `${error.problem} (${where})`, path === '' ? {} : { layer: path }, error), count: 1 });
  }

  get errors(): readonly ModelError[] {
    return [...this.#found.values()].map(({ error, count }) =>
      count === 1 ? error : new ModelError(error.kind, `${error.problem}, and ${count - 1} times more`, error.place, error.cause),
    );
  }
}

/** The rule of an operator; undefined where it has none. */
export function ruleOf(name: string): Rule | undefined {
  return Object.hasOwn(TORCH_RULES, name) ? TORCH_RULES[name] : undefined;
}

/**
 * Calls an operator.
 *
 * @param name 'relu_', 'prim::device'
 * @throws ModelError 'unsupported' for one that is not translated, or arguments that are not; BEHIND_OBSTACLE where an argument is not known
 */
export function callOperator(name: string, args: readonly Item[], named: ReadonlyMap<string, Item>, shop: Workshop): Item {
  const op = name.includes('::') ? name : `aten::${name}`;
  if (DRAWS.test(name)) return new Untold(`${op}: it draws random numbers, which are others in each run`);
  const own = ruleOf(name);
  if (own) return asItem(own.run(callOf(op, own, args, named, shop)));
  // What ends in an underscore changes its first argument in place.
  const plain = name.endsWith('_') && !name.endsWith('__') ? ruleOf(name.slice(0, -1)) : undefined;
  const [target] = args;
  if (!plain) throw new ModelError('unsupported', /mkldnn/i.test(op) ? NOT_SAVED : `${op}: the operator is not translated`);
  if (target instanceof Unknown) throw BEHIND_OBSTACLE;
  if (!(target instanceof TensorItem)) throw new ModelError('unsupported', `${op}: it changes something that is no tensor`);
  const made = plain.run(callOf(op, plain, args, named, shop));
  if (made === target) return target;
  const scalar = isValue(made) ? null : knownScalar(made);
  const value = isValue(made)
    ? made
    : made instanceof TensorItem
      ? made.value
      : scalar === null
        ? null
        : shop.build.numbers(target.value.dtype!, numberOf(scalar));
  if (!value) throw new ModelError('unsupported', `${op}: the operator is not translated`);
  const { dtype } = target.value;
  const written = dtype !== null && value.dtype !== dtype ? shop.build.add('Cast', [value], { to: dtype }, `${shop.path}.cast`) : value;
  target.write(written, SETTLED.test(name) ? 'settled' : 'part');
  return target;
}

/** Whether an error is one that the program can be followed beyond. */
export function isObstacle(error: unknown): error is ModelError {
  return isModelError(error) && error.kind !== 'unsafe';
}
