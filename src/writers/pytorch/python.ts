/** Literals of Python. */

/** A Python string literal that cannot end early, whatever is in a file's names. */
export function pythonText(text: string): string {
  const escaped = [...text].map((character) => {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') return `\\${character}`;
    if (code >= 32 && code < 127) return character;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
  return `"${escaped.join('')}"`;
}

/** The same without its quotes, for a longer one. */
export function docText(text: string): string {
  return pythonText(text).slice(1, -1);
}

export function pythonTuple(values: readonly number[]): string {
  return `(${values.map(pythonNumber).join(', ')}${values.length === 1 ? ',' : ''})`;
}

export function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return `float("${value < 0 ? '-' : ''}inf")`;
  return String(value);
}
