/** The list of commands, in the order of the help text. */
import type { Command } from 'commander';
import { registerConvert } from './convert.js';
import { registerDemo } from './demo.js';
import { registerFormats } from './formats.js';
import { registerInspect } from './inspect.js';
import { registerVerify } from './verify.js';

export interface CommandEntry {
  /** Adds the command and its own options to the program. */
  readonly register: (program: Command) => Command;
}

export const commands: readonly CommandEntry[] = [
  { register: registerInspect },
  { register: registerConvert },
  { register: registerVerify },
  { register: registerFormats },
  { register: registerDemo },
];
