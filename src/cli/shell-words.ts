/** Commands as a shell takes them. */
import { safeText } from '../report/text.js';

/** Words of a command line, each in quotes where a shell would take it for something else. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${safeText(word).replaceAll("'", "'\\''")}'`)).join(' ');
}
