/** The list of report formats. */
import type { ReportFormat } from './format.js';
import { html } from './html/index.js';
import { json } from './json.js';
import { junit } from './junit.js';
import { markdown } from './markdown.js';

export const reportFormats: readonly ReportFormat[] = [html, markdown, junit, json];
