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
  const magnitude = Math.abs(value);
  return magnitude >= 1e-3 && magnitude < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

/** 'Every value within ...': how far apart a value and its expectation may be. */
export function formatBound({ atol, rtol }: { readonly atol: number; readonly rtol: number }): string {
  return `|difference| <= ${formatNumber(atol)} + ${formatNumber(rtol)} x max|expected|`;
}
