/** What every page is made in: no script, no request, and a policy that forbids both. */
import { VERSION } from '../../version.js';
import { html, type Markup } from './markup.js';
import { STYLE } from './style.js';

export async function pageOf(title: string, main: Markup): Promise<string> {
  const policy = `default-src 'none'; img-src data:; style-src 'sha256-${await sha256(STYLE)}'; base-uri 'none'; form-action 'none'`;
  const head = html`
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>`;
  const body = html`
<main>${main}
<footer>Weighbridge ${VERSION}</footer>
</main>`;
  // The style is a constant of ours, hashed as it stands: escaping would change it.
  return `<!doctype html>\n<html lang="en">\n<head>${head.text}\n<style>${STYLE}</style>\n</head>\n<body>${body.text}\n</body>\n</html>\n`;
}

async function sha256(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return btoa(String.fromCharCode(...hash));
}
