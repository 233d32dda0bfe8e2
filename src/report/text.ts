/** Names and messages come from untrusted files; here they are made harmless for the terminal, HTML, XML and Markdown. */

/**
 * Marks control characters visibly: names come from untrusted files and must not drive the terminal, nor turn the reading direction
 * of a page. Half surrogates, which no encoding can hold, are marked too.
 */
export function safeText(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that terminals obey
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
      .replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
  );
}

/** Text for an element or an attribute of HTML or XML. */
export function escapeMarkup(text: string): string {
  return safeText(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/**
 * A code span of GitHub's Markdown, where nothing inside is markup, a link or a mention. In a table a `|` still ends the cell.
 *
 * @see https://github.github.com/gfm/#code-spans
 */
export function codeSpan(text: string): string {
  const line = safeText(text).replace(/\s+/g, ' ').trim();
  if (line === '') return '';
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const padding = longest > 0 ? ' ' : '';
  return `${fence}${padding}${line}${padding}${fence}`;
}

/** The same for a cell of a table. */
export function codeCell(text: string): string {
  return codeSpan(text).replaceAll('|', '\\|');
}

/** A sentence as plain text in Markdown: what could be markup, HTML or a mention is escaped. */
export function escapeMarkdown(text: string): string {
  return safeText(text)
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]<>#|~!]/g, (c) => `\\${c}`)
    .replaceAll('@', '@\u200b')
    .replaceAll('&', '&amp;')
    .replace(/\b(https?|ftp):/gi, '$1&#58;')
    .replace(/\bwww\./gi, 'www&#46;');
}
