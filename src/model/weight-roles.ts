/** What training code keeps beside a model, told by the words in the names that it gives: which dictionary is the model, and which are not. */

export type WeightRole = 'model' | 'generator' | 'student' | 'average' | 'teacher' | 'discriminator' | 'optimiser' | 'bookkeeping';

/** The likeliest model first. Names without such a word stand between the student and what a model is seldom meant by. */
const ORDER: readonly (WeightRole | null)[] = ['model', 'generator', 'student', null, 'average', 'teacher', 'discriminator', 'optimiser', 'bookkeeping'];

/** For messages. */
export const ROLE_WORDS: Readonly<Record<WeightRole, string>> = {
  model: 'another model',
  generator: 'a generator',
  student: 'a student',
  average: 'averaged weights',
  teacher: 'a teacher or target',
  discriminator: 'a discriminator',
  optimiser: "an optimiser's state",
  bookkeeping: 'a record of the training',
};

/** Whole words of a name, the more telling role first: `model_ema` is no model like others. */
const WORDS: readonly (readonly [WeightRole, RegExp])[] = [
  ['optimiser', /^(optim\w*|opts?|adamw?|sgd)$/],
  ['bookkeeping', /^(sched\w*|lr|scaler\w*|amp|rng|random|loss|losses|criterion|metrics?|meters?|history|queue|callbacks?|loops?|momentum)$/],
  ['average', /^(ema|swa|averaged?|avg|shadow|polyak)$/],
  ['teacher', /^(teachers?|target)$/],
  ['discriminator', /^(discriminators?|disc|critic|netd|d)$/],
  ['generator', /^(generators?|gen|netg|g)$/],
  ['student', /^(students?|online)$/],
  ['model', /^(models?|nets?|networks?|state|weights?|params?|parameters|module|blobs)$/],
];
/** Longer names are no keys of a checkpoint. */
const MAX_NAME = 200;

/** The role that a name speaks of; null where it speaks of none. */
export function weightRole(name: string): WeightRole | null {
  if (name.length > MAX_NAME) return null;
  const parts = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  const whole = parts.join(' ').trim();
  if (whole === 'n averaged') return 'bookkeeping';
  // What optimisers keep of each weight.
  if (/^(exp avg( sq)?|max exp avg sq|square avg|momentum buffer|grads?|gradients?)$/.test(whole)) return 'optimiser';
  return WORDS.find(([, word]) => parts.some((part) => word.test(part)))?.[0] ?? null;
}

/** Smaller is likelier to be the model that is meant. */
export function roleRank(role: WeightRole | null): number {
  return ORDER.indexOf(role);
}

/** Whether what is called so can be a model at all. */
export function isModelRole(role: WeightRole | null): boolean {
  return role !== 'optimiser' && role !== 'bookkeeping';
}
