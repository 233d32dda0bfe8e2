/** Printing: results on stdout, narration on stderr; colour where a person reads. */
import pc from 'picocolors';
import { encodeJson } from '../report/json.js';
import { safeText } from '../report/text.js';

export { formatBound, formatBytes, formatCount, formatNumber, formatTime } from '../report/numbers.js';
export { safeText };

const colour = pc.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb');
const errColour = pc.createColors(process.stderr.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb');

export { colour, errColour };

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/**
 * Lays out rows under titles, two spaces between columns. Columns in which no row has anything are left out.
 *
 * Cells are plain text; control characters in them are made visible.
 */
export function table(columns: readonly Column[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(safeText));
  const used = columns.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const widths = columns.map(({ title }, i) => rows.reduce((width, row) => Math.max(width, row[i]!.length), title.length));
  const line = (cells: readonly string[], paint: (text: string) => string) =>
    used
      .map((i, at) => {
        const text = cells[i]!;
        if (columns[i]!.align === 'right') return paint(text.padStart(widths[i]!));
        return paint(at === used.length - 1 ? text : text.padEnd(widths[i]!));
      })
      .join('  ')
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      colour.dim,
    ),
    ...rows.map((row) => line(row, (text) => text)),
  ].join('\n');
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
  readonly verbose: boolean;
  readonly quiet: boolean;
  readonly asJson: boolean;
}

export function makeVoice({ json = false, quiet = false, verbose = false }): Voice {
  return {
    quiet,
    verbose,
    asJson: json,
    say: (text) => void process.stdout.write(`${text}\n`),
    json: (document) => void process.stdout.write(`${encodeJson(document)}\n`),
    tell: (text) => {
      if (!quiet) process.stderr.write(`${text}\n`);
    },
    warn: (text) => void process.stderr.write(`${errColour.yellow('warning')}  ${safeText(text)}\n`),
  };
}
