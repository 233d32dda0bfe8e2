/**
 * What a file from a stranger contains that it should not: looked for without loading it, and without running anything of it.
 *
 * Every examiner that knows the content looks at it, for a file may be two things at once.
 */
import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { lookAt } from '../bytes/leftover.js';
import { isModelError } from '../errors.js';
import { describeModel } from '../inspect.js';
import type { ModelFile } from '../model/layer-map.js';
import { openModel } from '../readers/open.js';
import { PROBE_BYTES } from '../readers/reader.js';
import { type AuditDocument, type AuditedFile, type Finding, RULES, type RuleName } from './document.js';
import type { Audit } from './examiner.js';
import { examiners } from './index.js';
import { programs } from './program.js';

export interface AuditOptions {
  /** Also reads every weight, for values that cannot be meant. */
  readonly weights?: boolean;
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/** Archives in archives in archives are unpacked by nobody. */
const MAX_DEPTH = 4;
/** Files inside of which no more are looked into. */
const MAX_FILES = 20_000;
const MAX_FINDINGS = 1000;
/** Members of PyTorch files that hold values, which may look like anything. */
const VALUES = /\/(data|constants|weights|tensors)\/[^/.]+$/;
const WORST: readonly Finding['severity'][] = ['danger', 'suspect', 'note'];

/** @throws ModelError 'usage' when there is no such file; what is wrong with it is a finding */
export async function auditFiles(files: FileSet, options: AuditOptions = {}): Promise<AuditDocument> {
  const findings: Finding[] = [];
  const looked: AuditedFile[] = [];
  /** Files of which a thing was told already. */
  const known = new Map<string, string[]>();
  const audit: Audit = {
    tell(rule, message, file, offset) {
      const key = `${rule} ${message}`;
      const told = known.get(key) ?? [];
      // An archive and what lies in it are told of once.
      if (told.some((other) => isWithin(file, other) || isWithin(other, file)) || findings.length >= MAX_FINDINGS) return;
      known.set(key, [...told, file]);
      findings.push({ rule, severity: RULES[rule].severity, message, file, ...(offset === undefined ? {} : { offset }) });
    },
    async examine(source, path, depth) {
      if (depth > MAX_DEPTH || looked.length >= MAX_FILES) return;
      const { head } = await lookAt(source, path, PROBE_BYTES);
      const file = { source, path, head, depth, files };
      const kinds: string[] = [];
      for (const examiner of VALUES.test(path) ? [programs] : examiners) {
        await told(audit, path, async () => {
          if (!(await examiner.match(file))) return;
          kinds.push(examiner.kind);
          await examiner.examine(file, audit);
        });
      }
      // Of an archive's members only those that were understood.
      if (depth === 0 || kinds.length > 0) looked.push({ name: path, byteLength: source.byteLength, kinds: kinds.filter((kind) => kind !== 'text') });
    },
  };
  let format: string | null = null;
  const names = new Set(files.main === null ? await files.list() : [files.main]);
  try {
    const model = await openModel(files);
    format = model.format;
    for (const name of model.files) names.add(name);
    if (options.weights) await examineWeights(model, files.label, options, audit);
  } catch (error) {
    if (!isModelError(error) || error.kind === 'usage') throw error;
    tellError(audit, error.kind, error.problem, files.main ?? files.label, error.place.offset);
  }
  for (const name of [...names].sort()) {
    const source = await opened(files, name, audit);
    if (source) await audit.examine(source, name, 0);
    await source?.close();
  }
  findings.sort((a, b) => WORST.indexOf(a.severity) - WORST.indexOf(b.severity));
  const has = (severity: Finding['severity']) => findings.some((finding) => finding.severity === severity);
  return {
    schema: 'weighbridge/audit@1',
    model: files.label,
    format,
    files: looked,
    findings,
    verdict: has('danger') ? 'dangerous' : has('suspect') ? 'suspect' : 'clean',
  };
}

function isWithin(path: string, archive: string): boolean {
  return path === archive || path.startsWith(`${archive}/`);
}

async function examineWeights(model: ModelFile, path: string, { onProgress }: AuditOptions, audit: Audit): Promise<void> {
  const { warnings } = await describeModel(model, { weights: true, onProgress });
  for (const { code, message } of warnings) if (/^(all-zero|non-finite|negative-variance)$/.test(code)) audit.tell('odd-weights', message, path);
}

async function opened(files: FileSet, name: string, audit: Audit): Promise<ByteSource | null> {
  let source: ByteSource | null = null;
  await told(audit, name, async () => {
    source = await files.open(name);
  });
  return source;
}

/** What goes wrong becomes a finding. */
async function told(audit: Audit, path: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!isModelError(error)) throw error;
    tellError(audit, error.kind, error.problem, path, error.place.offset);
  }
}

const BY_KIND: Readonly<Record<string, RuleName>> = { unsafe: 'unsafe', malformed: 'unreadable', 'unknown-format': 'unknown-format' };

/** What is merely not translated is no concern of an audit. */
function tellError(audit: Audit, kind: string, problem: string, path: string, offset?: number): void {
  const rule = BY_KIND[kind];
  if (rule) audit.tell(rule, problem, path, offset);
}
