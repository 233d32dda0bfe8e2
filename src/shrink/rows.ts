/** How many inputs tell what is worked out with them. */

/** Fewer than these tell little. */
export const FEW_ROWS = 32;

/** What is said where there are few; '' where there are enough. */
export function fewRows(rows: number): string {
  return rows < FEW_ROWS ? `; ${rows} inputs are few to tell by, ${FEW_ROWS} and more are better` : '';
}
