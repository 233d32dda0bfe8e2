/** The program of an engine's process; `engineHost` starts it. */
import { engines } from '../verify/engines/index.js';
import { serveEngines } from './engine-serve.js';

serveEngines(engines);
