/** Programs in a model's place, or inside of one. */
import { holds } from '../bytes/leftover.js';
import type { Examiner } from './examiner.js';

/** ELF, PE, Mach-O, Java, scripts that name their interpreter, WebAssembly, Android; spelt as in the table of well-known content. */
const PROGRAM = /^(%7fELF|MZ(?:%..|[^%]){58}PE|MZ%90|%cf%fa%ed%fe|%ce%fa%ed%fe|%ca%fe%ba%be(%00){3}|#!\s*\/|(%00)asm%01(%00){3}|dex\n0)/;

export const programs: Examiner = {
  kind: 'program',
  match: ({ head, path, source }) => holds({ head: PROGRAM }, { name: path, byteLength: source.byteLength, head, tail: head }),
  async examine({ path }, audit) {
    audit.tell('program-inside', 'the content is a program', path, 0);
  },
};
