/**
 * One HTML file that holds everything: no script, no request, and a Content-Security-Policy that forbids both. What comes from
 * a model's file is escaped by the templates of `markup.ts`.
 */
import { VERSION } from '../../version.js';
import type { ReportDocument, ReportFormat } from '../format.js';
import { verdictWord } from '../verdict.js';
import { html as markup } from './markup.js';
import { filters, histograms } from './pictures.js';
import { predictions } from './predictions.js';
import { head, layers, outputs, quantisation, weights } from './sections.js';
import { STYLE } from './style.js';

export const html: ReportFormat = {
  extension: '.html',
  title: 'self-contained HTML page with plots and pictures',
  exhibits: true,
  render: renderHtml,
};

async function renderHtml(document: ReportDocument): Promise<string> {
  const { report, subject, exhibits } = document;
  const policy = `default-src 'none'; img-src data:; style-src 'sha256-${await sha256(STYLE)}'; base-uri 'none'; form-action 'none'`;
  const page = markup`
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${verdictWord(report)}: ${subject.expected} → ${subject.actual}</title>`;
  const body = markup`
<main>
${head(document)}
${outputs(report)}
${quantisation(report)}
${layers(report)}
${exhibits ? predictions(exhibits.samples, report) : null}
${exhibits?.filters ? filters(exhibits.filters) : null}
${weights(report)}
${exhibits ? histograms(exhibits, report) : null}
<footer>Weighbridge ${VERSION}</footer>
</main>`;
  // The style is a constant of ours, hashed as it stands: escaping would change it.
  return `<!doctype html>\n<html lang="en">\n<head>${page.text}\n<style>${STYLE}</style>\n</head>\n<body>${body.text}\n</body>\n</html>\n`;
}

async function sha256(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return btoa(String.fromCharCode(...hash));
}
