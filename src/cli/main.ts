#!/usr/bin/env node
/** The `weighbridge` command. What it says of itself needs nothing else to be loaded. */
import { VERSION } from '../version.js';

if (process.argv.length === 3 && ['--version', '-V'].includes(process.argv[2]!)) console.log(VERSION);
else await (await import('./load.js')).loadProgram().run();
