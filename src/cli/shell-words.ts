/** Commands as a shell takes them. */
import { safeText } from '../report/text.js';

/** Words of a command line, each in quotes where a shell would take it for something else: on Windows in double ones, which both of its shells know. */
export function shellWords(words: readonly string[], platform: string = process.platform): string {
  const [plain, quoted] = platform === 'win32' ? [/^[\w@+=:,./\\-]+$/, forWindows] : [/^[\w@%+=:,./-]+$/, forPosix];
  return words.map((word) => (plain.test(word) ? word : quoted(safeText(word)))).join(' ');
}

function forPosix(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A backslash before a quote would be taken as one that belongs to it. */
function forWindows(word: string): string {
  return `"${word.replaceAll(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`;
}
