/** `weighbridge check` as continuous integration runs it: exit codes, documents, lock file, reports. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { SaxesParser } from 'saxes';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CheckDocument } from '../../src/check/document.js';
import { Call, Name, pickle } from '../pickles.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const schemaOf = (name: string) => new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas', name), 'utf8')));
const validate = schemaOf('check.schema.json');
const folder = temporaryFolder();
const POLICY = join(folder, 'policy.yml');

beforeAll(() => {
  mkdirSync(join(folder, 'models'));
  for (const name of ['digits.h5', 'digits.pth']) copyFileSync(join(DIGITS, name), join(folder, name));
  const { status, stderr } = weighbridge(['convert', join(folder, 'digits.h5'), '-o', join(folder, 'models/digits.onnx')]);
  expect(status, stderr).toBe(0);
}, 60_000);

function checked(policy: string, ...args: string[]): { status: number | null; stderr: string; document: CheckDocument } {
  writeFileSync(POLICY, policy);
  const { status, stdout, stderr } = weighbridge(['check', POLICY, '--json', ...args], folder);
  const document = stdout === '' ? null : JSON.parse(stdout);
  if (status !== 2) expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  return { status, stderr, document };
}

const failed = ({ document }: { document: CheckDocument }) =>
  document.artifacts.flatMap(({ path, outcomes }) => outcomes.filter(({ passed }) => !passed).map(({ rule }) => `${path} ${rule}`));

describe('a policy that fits', () => {
  const GOOD = `
all: { audit: clean, finite: true, dtypes: [float32] }
artifacts:
  - path: models/*.onnx
    format: onnx
    max-size: 1MB
    max-parameters: 60000
    opset: { min: 13 }
    operators: { deny: [Loop, If] }
    pickles: forbidden
    code: forbidden
    provenance: { source: digits.h5, tool: true }
    verify: { against: digits.h5, samples: 2, require-witness: true, min-agreement: 1 }
`;

  it('passes, and every rule was judged', () => {
    const result = checked(GOOD);
    expect(failed(result)).toEqual([]);
    expect(result.status).toBe(0);
    const rules = new Set(result.document.artifacts[0]!.outcomes.map(({ rule }) => rule));
    expect([...rules].sort()).toEqual(
      ['audit', 'code', 'dtypes', 'finite', 'format', 'max-parameters', 'max-size', 'operators', 'opset', 'pickles', 'provenance', 'readable', 'verify'].sort(),
    );
  });
});

describe('what a policy does not want', () => {
  it('is told rule by rule, all of it', () => {
    const result = checked(`
artifacts:
  - path: models/digits.onnx
    format: safetensors
    max-size: 1kB
    max-parameters: 10
    dtypes: float16
    opset: { max: 12 }
    operators: { allow: [Conv] }
    inputs: { nothing: { shape: [1] } }
    sha256: ${'a0'.repeat(32)}
    provenance: { source: digits.pth, metadata: [licence] }
  - path: digits.pth
    pickles: forbidden
  - path: missing.onnx
`);
    expect(result.status).toBe(1);
    const names = ['format', 'max-size', 'max-parameters', 'dtypes', 'opset', 'operators', 'inputs', 'inputs', 'sha256', 'provenance', 'provenance'];
    expect(failed(result)).toEqual(
      [...names.map((rule) => `models/digits.onnx ${rule}`), 'digits.pth pickles', 'missing.onnx found'].map((line) => expect.stringContaining(line)),
    );
  });

  it('a pickle that runs code fails although it is no model, and is not run', () => {
    writeFileSync(join(folder, 'evil.pkl'), pickle(new Call(new Name('os', 'system'), [`touch ${join(folder, 'ran')}`]), 2));
    const result = checked('artifacts: [{ path: evil.pkl, code: forbidden, max-size: 1kB }]');
    expect(failed(result)).toEqual(['evil.pkl readable', 'evil.pkl code']);
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  it('a net that predicts something else fails', () => {
    const bytes = readFileSync(join(folder, 'models/digits.onnx'));
    bytes.fill(0x3f, bytes.length >> 1, (bytes.length >> 1) + 2000);
    writeFileSync(join(folder, 'bent.onnx'), bytes);
    expect(failed(checked('artifacts: [{ path: bent.onnx, verify: { against: digits.h5, samples: 1 } }]'))).toContain('bent.onnx verify');
  });
});

describe('the lock file', () => {
  const LOCKED = 'lock: weighbridge.lock.json\nartifacts: [{ path: "models/digits.onnx" }]\n';

  it('is asked for, written, held to, and names the tensors that changed', () => {
    expect(failed(checked(LOCKED))).toEqual(['models/digits.onnx lock']);
    expect(checked(LOCKED, '--update').status).toBe(0);
    expect(checked(LOCKED).status).toBe(0);
    const path = join(folder, 'models/digits.onnx');
    const bytes = readFileSync(path);
    const changed = Buffer.from(bytes);
    const at = bytes.length >> 1;
    changed[at] = changed[at]! ^ 1;
    writeFileSync(path, changed);
    const result = checked(LOCKED);
    expect(result.status).toBe(1);
    expect(result.document.artifacts[0]!.outcomes.find(({ rule }) => rule === 'lock')!.message).toMatch(/not as locked: 1 of \d+ tensors differ: \S+/);
    writeFileSync(path, bytes);
  });

  it('is held to by what is not there any more, and by what the same bytes are said to be', () => {
    const lockPath = join(folder, 'weighbridge.lock.json');
    const all = LOCKED.replace('digits.onnx', '*.onnx');
    copyFileSync(join(folder, 'models/digits.onnx'), join(folder, 'models/other.onnx'));
    expect(checked(all, '--update').status).toBe(0);
    rmSync(join(folder, 'models/other.onnx'));
    expect(failed(checked(all))).toEqual(['models/other.onnx lock']);
    const lock = JSON.parse(readFileSync(lockPath, 'utf8'));
    delete lock.artifacts['models/other.onnx'];
    const { files, tensors } = lock.artifacts['models/digits.onnx'];
    Object.values<{ sha256: string }>(files)[0]!.sha256 = '0'.repeat(64);
    const [name, tensor] = Object.entries<{ dtype: string }>(tensors)[0]!;
    tensor.dtype = 'int32';
    writeFileSync(lockPath, JSON.stringify(lock));
    const outcomes = checked(all).document.artifacts.flatMap((artifact) => artifact.outcomes);
    expect(outcomes.find(({ rule }) => rule === 'lock')!.message).toMatch(new RegExp(`1 of \\d+ tensors differ: ${name}`));
  });

  it('that is none is told, and stays as it is', () => {
    const path = join(folder, 'weighbridge.lock.json');
    writeFileSync(path, '{"schema":"other"}');
    expect(checked(LOCKED).status).toBe(2);
    expect(checked(LOCKED, '--update').stderr).toMatch(/exists already and is no lock file/);
    expect(readFileSync(path, 'utf8')).toBe('{"schema":"other"}');
  });
});

it('reports are SARIF, JUnit and Markdown; annotations are printed where GitHub runs', () => {
  const paths = ['r.sarif', 'r.xml', 'r.md', 'r.json'].map((name) => join(folder, name));
  writeFileSync(POLICY, 'artifacts:\n  - path: "*.pth"\n    max-size: 1kB\n');
  const { status, stdout } = weighbridge(['check', POLICY, ...paths.flatMap((path) => ['--report', path])], folder, { GITHUB_ACTIONS: 'true' });
  expect(status).toBe(1);
  expect(stdout).toMatch(/^::error file=.*policy\.yml,line=2,title=digits\.pth%3A max-size::/m);
  const [sarif, xml, markdown, json] = paths.map((path) => readFileSync(path, 'utf8'));
  expect(JSON.parse(sarif!).runs[0].results[0]).toMatchObject({
    ruleId: 'max-size',
    level: 'error',
    locations: [{ physicalLocation: { region: { startLine: 2 } } }],
  });
  let problem: Error | null = null;
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    problem = error;
  });
  parser.write(xml!).close();
  expect(problem).toBeNull();
  expect(xml).toContain('failures="1"');
  expect(markdown).toContain('`max-size`');
  expect(validate(JSON.parse(json!))).toBe(true);
});

it('a policy with a mistake, a path that leaves its folder, and no policy at all cannot be checked', () => {
  expect(checked('artifacts: [{ path: a, max-sise: 1 }]').stderr).toContain('Did you mean "max-size"');
  const outside = checked('artifacts:\n  - path: [a.onnx, ../a.onnx]');
  expect(outside.status).toBe(2);
  expect(outside.stderr).toContain('line 2: the path "../a.onnx" leaves');
  expect(weighbridge(['check', join(folder, 'none.yml')]).status).toBe(2);
});
