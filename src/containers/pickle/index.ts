/** Python's pickles, as data: see `machine.ts`. */
export { type PickleHooks, type Unpickled, unpickle } from './machine.js';
export { type Buildable, PickleGlobal, PickleObject, PickleSpan } from './values.js';
