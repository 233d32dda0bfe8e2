// @module-tag slow
/** Any two files, of whatever formats: each format against some of the others, so that each is there on both sides several times. */
import { pairsOfFormats } from './suite.js';

pairsOfFormats((from, to) => (to - from + 100) % 4 === 1);
