/** Printing: results on stdout, narration on stderr; colour where a person reads. */
import pc from 'picocolors';
import { encodeJson } from '../report/json.js';
import { safeText } from '../report/text.js';
import { shellWords } from './shell-words.js';
import { wrapTold, wrapWords } from './wrap.js';

export {
  formatBound,
  formatBytes,
  formatCount,
  formatDistance,
  formatLimit,
  formatNonFinite,
  formatNumber,
  formatTime,
  formatTimes,
} from '../report/numbers.js';
export { safeText };

const colour = pc.createColors(isColoured(process.stdout.isTTY));
const errColour = pc.createColors(isColoured(process.stderr.isTTY));

/** What the environment asks for, else colour in a terminal alone (no-color.org, force-color.org). */
function isColoured(isTerminal: boolean): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '') return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return isTerminal === true && TERM !== 'dumb';
}

export { colour, errColour };

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Left out where the terminal is too narrow: before anything is cut, or only where that was not enough. */
  readonly optional?: boolean | 'last';
  /** Words that go on in the next line where the terminal is too narrow. */
  readonly wraps?: boolean;
}

/** Narrower than this a name says nothing. */
const LEAST_WIDTH = 10;
const LEAST_WRAPPED = 16;
/** A text beyond this makes its own row longer and no other: padding a hundred thousand rows to a name of a million letters would never end. */
const MAX_WIDTH = 200;

/**
 * Lays out rows under titles, two spaces between columns. Columns in which no row has anything are left out.
 *
 * Cells are plain text; control characters in them are made visible.
 *
 * @param width of the terminal: optional columns go first, then words wrap where a column lets them, then long texts lose their middle, then what is
 *   optional last goes. In a pipe nothing is cut.
 */
export function table(columns: readonly Column[], cells: readonly (readonly string[])[], width = terminalWidth()): string {
  const rows = cells.map((row) => row.map(safeText));
  const widths = columns.map(({ title }, i) => rows.reduce((widest, row) => Math.max(widest, Math.min(row[i]!.length, MAX_WIDTH)), title.length));
  let used = columns.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const total = () => used.reduce((sum, i) => sum + widths[i]! + 2, -2);
  const dropWhile = (optional: Column['optional']) => {
    while (total() > width && used.some((i) => columns[i]!.optional === optional)) {
      const dropped = used.findLast((i) => columns[i]!.optional === optional);
      used = used.filter((i) => i !== dropped);
    }
  };
  dropWhile(true);
  while (total() > width) {
    const wrapped = used.filter((i) => columns[i]!.wraps && widths[i]! > LEAST_WRAPPED).sort((a, b) => widths[b]! - widths[a]!)[0];
    if (wrapped === undefined) break;
    widths[wrapped]!--;
  }
  while (total() > width) {
    const widest = used.filter((i) => columns[i]!.align !== 'right').sort((a, b) => widths[b]! - widths[a]!)[0];
    if (widest === undefined || widths[widest]! <= LEAST_WIDTH) break;
    widths[widest]!--;
  }
  dropWhile('last');
  const lines = (i: number, text: string) => {
    if (widths[i] === MAX_WIDTH) return [text];
    return columns[i]!.wraps ? wrapWords(breakWords(text, widths[i]!), widths[i]!) : [cutMiddle(text, widths[i]!)];
  };
  const line = (row: readonly string[], paint: (text: string) => string) => {
    const cells = used.map((i) => lines(i, row[i]!));
    const height = Math.max(1, ...cells.map(({ length }) => length));
    return Array.from({ length: height }, (_, y) =>
      used
        .map((i, at) => {
          const text = cells[at]![y] ?? '';
          if (columns[i]!.align === 'right') return paint(text.padStart(widths[i]!));
          return paint(at === used.length - 1 ? text : text.padEnd(widths[i]!));
        })
        .join('  ')
        .trimEnd(),
    ).join('\n');
  };
  return [
    line(
      columns.map(({ title }) => title),
      colour.dim,
    ),
    ...rows.map((row) => line(row, (text) => text)),
  ].join('\n');
}

function terminalWidth(stream: NodeJS.WriteStream = process.stdout): number {
  return stream.isTTY ? stream.columns || Number.POSITIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Words that are longer than a line get a gap, in front of a dot, a dash or the like where they have one. */
function breakWords(text: string, width: number): string {
  return text.replace(/\S+/g, (word) => {
    const parts: string[] = [];
    let rest = word;
    while (rest.length > width) {
      const marks = [...rest.slice(0, width + 1).matchAll(/[._/-]/g)].map(({ index }) => index);
      const at = marks.at(-1) || width;
      parts.push(rest.slice(0, at));
      rest = rest.slice(at);
    }
    return [...parts, rest].join(' ');
  });
}

/** Both ends of a layer's name tell it from others. */
function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const start = Math.ceil((width - 1) / 2);
  return `${text.slice(0, start)}…${text.slice(text.length - (width - 1 - start))}`;
}

export interface Voice {
  /** A result line, on stdout; names from files go through `safeText` first. */
  say(text: string): void;
  /** The one JSON document, on stdout. */
  json(document: unknown): void;
  /** Narration, on stderr; silent with --quiet. */
  tell(text: string): void;
  /** A warning, on stderr, also with --quiet. */
  warn(text: string): void;
  /** At the end of a command that succeeded: what to try next, on stderr; silent with --quiet and --json. */
  next(words: readonly string[], why: string): void;
  /** What went wrong, on stderr. */
  fail(text: string): void;
  readonly verbose: boolean;
  readonly quiet: boolean;
  readonly asJson: boolean;
}

export function makeVoice({ json = false, quiet = false, verbose = false }): Voice {
  return {
    quiet,
    verbose,
    asJson: json,
    say: (text) => void process.stdout.write(`${wrapTold(text, terminalWidth())}\n`),
    json: (document) => void process.stdout.write(`${encodeJson(document)}\n`),
    tell: (text) => {
      if (!quiet) process.stderr.write(`${wrapTold(text, terminalWidth(process.stderr), true)}\n`);
    },
    next(words, why) {
      // What came through stdin is gone, and cannot be named again.
      if (!json && !words.includes('-')) this.tell(errColour.dim(`next     weighbridge ${shellWords([...foldersGiven(), ...words])}   ${why}`));
    },
    warn: (text) => complain(errColour.yellow('warning'), text),
    fail: (text) => complain(errColour.red('error'), text),
  };
}

/** Where the command was told to start, which the next one has to be told too. */
function foldersGiven(): readonly string[] {
  return process.argv.flatMap((word, i, all) => (word === '-C' ? all.slice(i, i + 2) : /^-C./.test(word) ? [word] : []));
}

/** A name in a hostile file may have millions of characters. */
const MAX_MESSAGE_LENGTH = 10_000;

function complain(label: string, text: string): void {
  const more = text.length - MAX_MESSAGE_LENGTH;
  const shown = more > 0 ? `${text.slice(0, MAX_MESSAGE_LENGTH)} ... (${more} more characters)` : text;
  process.stderr.write(`${wrapTold(`${label}  ${safeText(shown)}`, terminalWidth(process.stderr), true)}\n`);
}
