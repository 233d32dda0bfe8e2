/** The list of all families, likely ones first: time may run out. */
import { missing, others, wholeSoftmax } from './activations.js';
import type { Family } from './cause.js';
import { arranged, arrangedAfter, before, elsewhere, operands, operations, passedBy, scales } from './inputs.js';
import { storage } from './precision.js';
import { lists, settings } from './settings.js';
import { exchanged, vectors } from './vectors.js';
import { arrangement, ofAnotherLayer } from './weights.js';
import { borders, groups, poolings, windows } from './windows.js';

export const families: readonly Family[] = [
  missing,
  operands,
  operations,
  settings,
  lists,
  vectors,
  exchanged,
  windows,
  poolings,
  groups,
  arrangement,
  arranged,
  passedBy,
  before,
  others,
  wholeSoftmax,
  elsewhere,
  scales,
  ofAnotherLayer,
  borders,
  arrangedAfter,
  storage,
];
