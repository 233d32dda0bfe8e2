/** Numbers as people read them; the terminal and every report write them the same way. */

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
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'inf' : '-inf';
  const magnitude = Math.abs(value);
  return magnitude >= 1e-3 && magnitude < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** How many times something is something else: two digits, and no more than there are. */
export function formatTimes(value: number): string {
  if (value > 1e6) return 'over a million';
  return value >= 100 ? formatCount(Math.round(Number(value.toPrecision(2)))) : formatNumber(Number(value.toPrecision(2)));
}

/** How far apart two sides are; nothing where nothing was compared. */
export function formatDistance({ compared }: { readonly compared: number }, value: number): string {
  return compared === 0 ? '-' : formatNumber(value);
}

/** How many values are NaN or infinite: of both sides where they agree, else expected and found; nothing where there are none. */
export function formatNonFinite({ expected, actual }: { readonly expected: number; readonly actual: number }): string {
  if (expected === 0 && actual === 0) return '';
  return expected === actual ? formatCount(actual) : `${formatCount(expected)} -> ${formatCount(actual)}`;
}

/** 'Every value within ...': how far apart a value and its expectation may be. */
export function formatBound({ atol, rtol }: { readonly atol: number; readonly rtol: number }): string {
  return `|difference| <= ${atol === 0 ? '' : `${formatNumber(atol)} + `}${formatNumber(rtol)} x max|expected|`;
}

const BYTE_UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 };

/** '500MB', '60 MiB', '1.5gb' or a plain number of bytes; null for what is none of them. */
export function byteCount(text: string): number | null {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const value = Math.floor(Number(number) * (BYTE_UNITS[unit.toLowerCase()] ?? Number.NaN));
  return value > 0 && Number.isSafeInteger(value) ? value : null;
}

/** A size that was asked for, in the unit that it was asked in, and in the one that sizes are told in: '64 KB (62.5 KiB)'. */
export function formatLimit(bytes: number): string {
  const unit = ['gb', 'mb', 'kb'].find((name) => bytes >= BYTE_UNITS[name]! && bytes % 1024 !== 0 && (bytes * 100) % BYTE_UNITS[name]! === 0);
  return unit === undefined ? formatBytes(bytes) : `${bytes / BYTE_UNITS[unit]!} ${unit.toUpperCase()} (${formatBytes(bytes)})`;
}
