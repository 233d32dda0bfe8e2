/** The files that a verification read, with their hashes: a report that is kept says of which bytes it speaks. */
import { statSync } from 'node:fs';
import type { FileSet } from '../bytes/file-set.js';
import type { Report } from '../verify/report.js';
import { sha256File } from './sha256.js';

/** The report with the hashes of both sides; as it is where it is only printed, for hashing a large model takes longer than verifying it. */
export async function withHashes(report: Report, { expected, actual }: { expected: FileSet; actual: FileSet }, isKept: boolean): Promise<Report> {
  if (!isKept) return report;
  return { ...report, files: { expected: await hashesOf(expected), actual: await hashesOf(actual) } };
}

async function hashesOf(files: FileSet) {
  const described = [];
  for (const path of files.openedPaths?.() ?? []) described.push({ path, byteLength: statSync(path).size, sha256: await sha256File(path) });
  return described;
}
