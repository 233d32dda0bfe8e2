/** Every small file of exporters' formats that asks for much. */
import { boundCosts } from './costly.js';
import { GRAPHS } from './costly-graphs.js';

boundCosts(GRAPHS);
