/**
 * One HTML file that holds everything: no script, no request, and a Content-Security-Policy that forbids both. What comes from
 * a model's file is escaped by the templates of `markup.ts`.
 */
import type { ReportDocument, ReportFormat } from '../format.js';
import { verdictWord } from '../verdict.js';
import { type Markup, html as markup } from './markup.js';
import { pageOf } from './page.js';
import { filters, histograms } from './pictures.js';
import { predictions } from './predictions.js';
import { searched } from './search.js';
import { files, head, layers, outputs, quantisation, weights } from './sections.js';

export const html: ReportFormat = {
  extension: '.html',
  title: 'self-contained HTML page with plots and pictures',
  exhibits: true,
  render: renderHtml,
};

async function renderHtml(document: ReportDocument): Promise<string> {
  const { report, subject } = document;
  return pageOf(`${verdictWord(report)}: ${subject.expected} → ${subject.actual}`, reportMain(document));
}

/** What the page shows, for a page that has a head and a style of its own. */
export function reportMain(document: ReportDocument): Markup {
  const { report, exhibits } = document;
  return markup`
${head(document)}
${outputs(report)}
${quantisation(report)}
${searched(report.changes.find(({ search }) => search)?.search)}
${layers(report)}
${exhibits ? predictions(exhibits.samples, report) : null}
${exhibits?.filters ? filters(exhibits.filters) : null}
${weights(report)}
${exhibits ? histograms(exhibits, report) : null}
${files(report)}`;
}
