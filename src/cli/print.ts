/** Printing: results on stdout, narration on stderr; colour where a person reads. */
import pc from 'picocolors';

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

/** 553430176 as '527.8 MiB'. */
export function formatBytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** 138357544 as '138,357,544'. */
export function formatCount(count: number): string {
  // toLocaleString does the same, and takes 12 ms to load its tables.
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Milliseconds as '0.42 s'. */
export function formatTime(elapsedMs: number): string {
  return `${(elapsedMs / 1000).toFixed(2)} s`;
}

/** Four significant digits, exponents for the very small and large. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  return magnitude >= 1e-3 && magnitude < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** Marks control characters visibly: names come from untrusted files and must not drive the terminal. */
export function safeText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that terminals obey
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
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
    json: (document) => void process.stdout.write(`${JSON.stringify(document, jsonValue, 2)}\n`),
    tell: (text) => {
      if (!quiet) process.stderr.write(`${text}\n`);
    },
    warn: (text) => void process.stderr.write(`${errColour.yellow('warning')}  ${safeText(text)}\n`),
  };
}

/** JSON has no infinities; Clip's open bounds and hostile weights do. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return typeof value === 'bigint' ? String(value) : value;
}
