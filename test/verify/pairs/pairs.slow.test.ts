/** Any two files, of whatever formats: all of them against all. */
import { pairsOfFormats } from './suite.js';

pairsOfFormats(() => true);
