/** Builds HTML in which every text is escaped, unless it is markup that was built here. */
import { escapeMarkup } from '../text.js';

/** Markup that needs no escaping. */
export class Markup {
  constructor(readonly text: string) {}
}

type Part = Markup | string | number | null | readonly Part[];

/** A template whose values are escaped; lists are joined, null is nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Markup {
  return new Markup(strings.reduce((text, piece, i) => text + render(values[i - 1] ?? null) + piece));
}

function render(part: Part): string {
  if (part === null) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escapeMarkup(String(part));
}
