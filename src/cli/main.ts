#!/usr/bin/env node
/** The `weighbridge` command. What it says of itself needs nothing else to be loaded. */
import { VERSION } from '../version.js';
import { loadProgram } from './load.js';

/** The file of the bundle that the command begins with, which the build knows. */
declare const PROGRAM: string;

if (process.argv.length === 3 && ['--version', '-V'].includes(process.argv[2]!)) console.log(VERSION);
else void loadProgram(PROGRAM).run();
