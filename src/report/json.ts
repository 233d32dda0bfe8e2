/** The report as a document for machines; `schemas/report.schema.json` describes it. */
import type { ReportFormat } from './format.js';

export const json: ReportFormat = {
  extension: '.json',
  title: 'JSON document (schemas/report.schema.json)',
  exhibits: false,
  render: async ({ report }) => `${encodeJson(report)}\n`,
};

/** JSON has no infinities; Clip's open bounds and hostile weights do: they are written as strings. */
export function encodeJson(document: unknown): string {
  return JSON.stringify(document, jsonValue, 2);
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return typeof value === 'bigint' ? String(value) : value;
}
