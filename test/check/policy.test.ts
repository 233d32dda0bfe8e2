/** Policies: what they may say, and every mistake with its line. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/check/policy.js';
import { rules } from '../../src/check/rules.js';
import { isModelError } from '../../src/errors.js';

const schema = JSON.parse(readFileSync(new URL('../../schemas/policy.schema.json', import.meta.url), 'utf8'));
const mistakes = async (text: string): Promise<string> =>
  parsePolicy(text, 'p.yml').then(
    () => '',
    (error: Error) => (isModelError(error, 'usage') ? error.message : `a bug: ${error.stack}`),
  );

it('the schema names the rules that there are, for all artifacts and for each', () => {
  const names = rules.map(({ name }) => name).sort();
  expect(Object.keys(schema.$defs.rules.properties).sort()).toEqual(names);
  expect(Object.keys(schema.properties.artifacts.items.properties).sort()).toEqual([...names, 'path'].sort());
  expect(() => new Ajv2020({ strict: false }).compile(schema)).not.toThrow();
});

it('rules for all hold where an artifact does not have its own', async () => {
  const policy = await parsePolicy(
    'version: 1\nlock: l.json\nall:\n  max-size: 60MB\n  finite: true\nartifacts:\n  - path: a.onnx\n    max-size: 1kB\n  - path: [b/*.onnx, c.h5]\n',
    'p.yml',
  );
  expect(policy.lock).toBe('l.json');
  expect(policy.artifacts.map(({ patterns, line, demands }) => ({ patterns, line, demands: demands.map(({ rule }) => rule) }))).toEqual([
    { patterns: ['a.onnx'], line: 7, demands: ['max-size', 'finite'] },
    { patterns: ['b/*.onnx', 'c.h5'], line: 9, demands: ['max-size', 'finite'] },
  ]);
});

it('every mistake is told at once, with its line', async () => {
  const told = await mistakes(
    'lok: x\nartifacts:\n  - path: a\n    max-sise: 1\n  - path: b\n    max-size: large\n    sha256: abc\n    verify: { samples: 2 }\n  - format: onnx\n',
  );
  expect(told).toMatch(/line 1: there is no setting "lok".*did you mean "lock"/i);
  expect(told).toMatch(/line 4: there is no rule "max-sise".*did you mean "max-size"/i);
  expect(told).toMatch(/line 6: max-size: a size such as 60MB/);
  expect(told).toMatch(/line 7: sha256: a SHA-256 of 64/);
  expect(told).toMatch(/line 8: verify: a file to verify against/);
  expect(told).toMatch(/line 9: an artifact has a path/);
});

it('a name that nothing has is a mistake: a rule with it would always fail, or deny nothing', async () => {
  const told = await mistakes(
    'artifacts:\n  - path: a\n    format: onxx\n    operators: { deny: [Conv, softmax] }\n    opset: { min: 18, max: 17 }\n  - path: b\n    operators: { allow: [Loop, Upsample, com.acme.Blur], deny: Convv }\n',
  );
  expect(told).toMatch(/line 3: format: there is no source format "onxx"\. Did you mean "onnx"/);
  expect(told).toMatch(/line 4: operators: deny: ONNX has no operator "softmax"\. Did you mean "Softmax"/);
  expect(told).toMatch(/line 5: opset: no operator set is at least 18 and at most 17/);
  expect(told).toMatch(/line 7: operators: deny: ONNX has no operator "Convv"/);
  expect(told).not.toMatch(/Loop|Upsample|acme/);
});

it.each([
  ['no YAML', 'artifacts: [\n  - {'],
  ['no settings', '- a\n- b'],
  ['nothing', ''],
  ['no artifact', 'artifacts: []'],
  ['a name twice', 'artifacts: []\nartifacts: []'],
  [
    'aliases that multiply',
    `a: &a [1,1]\n${[...'bcdefghij'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`)}]`).join('\n')}\nartifacts: *j`,
  ],
])('%s is a mistake, told quickly', async (_, text) => {
  expect(await mistakes(text)).toMatch(/^p\.yml/);
});

describe('a policy that would cost its parser much', () => {
  const bomb = `a: &a [${Array(9).fill('x').join()}]\n${['ab', 'bc', 'cd', 'de', 'ef', 'fg'].map(([from, to]) => `${to}: &${to} [${Array(9).fill(`*${from}`).join()}]`).join('\n')}`;

  it.each([
    ['brackets', '['.repeat(100_000), /line 1: nested deeper/],
    ['braces', `version: 1\n${'{a: '.repeat(100_000)}`, /line 2: nested deeper/],
    ['dashes', '- '.repeat(100_000), /nested deeper/],
    ['indentation', Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), /line \d+: nested deeper/],
    ['lines', 'version: 1\nartifacts:\n'.concat('  - path: x\n'.repeat(80_000)), /more than 10000 lines/],
    ['keys in a line', `{${Array.from({ length: 90_000 }, (_, i) => `k${i}: 1`).join()}}`, /more settings/],
    ['keys that are lists', `x: ${'? '.repeat(60)}a\n`, /the name of a setting is expected/],
    ['brackets behind quoted ones', `a: ${'["]",'.repeat(8000)}1${']'.repeat(8000)}`, /nested deeper/],
    ['braces behind commented ones', `a:\n${' { # }\n b: '.repeat(4000)}1`, /nested deeper/],
    ['bad escapes', `a: "${'\\q'.repeat(200_000)}"`, /backslashes/],
    ['a list that is in itself', 'artifacts:\n  - path: a\n    format: &a [*a]\n', /line 3: \*a stands for what it is in itself/],
    ['a setting that is in itself', 'artifacts: &a\n  - path: x\n    inputs: { y: *a }\n', /line 3: \*a stands for/],
    ['paths', `artifacts: [{ path: [${Array.from({ length: 1001 }, (_, i) => `"*${i}"`).join()}] }]`, /1001 paths/],
    ['a path of 100,000 letters', `artifacts: [{ path: "${'{'.repeat(100_000)}" }]`, /100000 letters/],
    ['inputs without end', 'artifacts: [{ path: x, verify: { against: y, samples: 1000000000 } }]', /samples: a whole number/],
    ['aliases of aliases', `${bomb}\nversion: *g\n`, /line 8: .*alias/i],
  ])('by its %s is refused', async (_, text, says) => {
    expect(await mistakes(text)).toMatch(says);
  });
});

it.each([
  ['lock: ../l.json', 'artifacts: [{ path: x }]'],
  ['lock: /l.json', 'artifacts: [{ path: x }]'],
  ['artifacts:', '  - { path: x, verify: { golden: ../g.npz } }'],
  ['artifacts:', '  - { path: x, verify: { against: a/../../b.h5 } }'],
  ['artifacts:', '  - { path: x, verify: { against: y, inputs: "C:/pictures" } }'],
  ['artifacts:', '  - { path: x, provenance: { source: ../y.h5 } }'],
  ['artifacts:', `  - { path: x, sha256: { "../y": "${'a0'.repeat(32)}" } }`],
])('%s %s leaves the folder, and is refused', async (...lines) => {
  expect(await mistakes(lines.join('\n'))).toMatch(/line \d: .*policy's folder/);
});

it('files of the folder may be named in all those places', async () => {
  const told = await mistakes('lock: sub/l.json\nartifacts: [{ path: x, verify: { golden: a/..b.npz, against: y }, provenance: { source: y.h5 } }]');
  expect(told).toBe('');
});
