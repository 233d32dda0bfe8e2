/** Lines for a terminal of some width: words stay whole, and what belongs to a label stays beside it. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of this command
const COLOURS = /\u001b\[[\d;]*m/g;
/** 'witness  ...', 'on the wire  ...', 'match (independent: ...): ...': what is told in words. Tables and programs have no such start. 'predicts' fills its column. */
const TOLD = /^(?:predicts |([a-z][a-z-]*(?: [a-z]+){0,2} {2,})|\d+ of \d+ {2,}|[a-z][a-z ]*(?: \(|: )|[\w./-]+: )/;
/** Where lines of a label go on; too little is left beside a longer one. */
const INDENT = 9;

/**
 * Breaks lines that are told in words, and no others, before words that the width has no room for.
 *
 * @param isNarration whether all of it is words, such as whole sentences
 */
export function wrapTold(text: string, width: number, isNarration = false): string {
  return text
    .split('\n')
    .map((line) => {
      const plain = line.replace(COLOURS, '');
      if (plain.length <= width) return line;
      // What goes on below a label, or stands behind a dash.
      const below = /^(?: {9,}| +- )/.exec(plain)?.[0].length;
      const isLabelled = below !== undefined || TOLD.test(plain);
      return isLabelled || isNarration ? wrapWords(line, width, below ?? (isLabelled ? INDENT : 0)).join('\n') : line;
    })
    .join('\n');
}

/**
 * @param indent of all lines but the first
 * @returns lines of at most that many characters, but for words that are longer; colours take no room
 */
export function wrapWords(text: string, width: number, indent = 0): string[] {
  const lines: string[] = [];
  let line = '';
  let length = 0;
  for (const [, gap, word] of text.matchAll(/(\s*)(\S+)/g) as Iterable<RegExpMatchArray>) {
    const letters = word!.replace(COLOURS, '').length;
    // A word that fits into no line gains nothing by another.
    const mayBreak = line.trim() !== '' && indent + letters <= width;
    if (mayBreak && length + gap!.length + letters > width) {
      lines.push(line);
      line = ' '.repeat(indent) + word;
      length = indent + letters;
    } else {
      line += gap! + word;
      length += gap!.length + letters;
    }
  }
  return [...lines, line];
}
