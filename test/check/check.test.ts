/** Artifacts against a policy, without a machine around them. */
import { expect, it } from 'vitest';
import type { CheckHost } from '../../src/check/artifact.js';
import { check } from '../../src/check/check.js';
import { parseLock } from '../../src/check/lock.js';
import { parsePolicy } from '../../src/check/policy.js';
import { isModelError } from '../../src/errors.js';
import { random, safetensors } from '../diff/files.js';

async function checked(policy: string, lock: string | null = null) {
  const asked: string[] = [];
  const host: CheckHost = {
    find: async (pattern) => {
      asked.push(`find ${pattern}`);
      return ['w.safetensors'];
    },
    open: async (path) => {
      asked.push(`open ${path}`);
      return safetensors(random('a', [2]));
    },
    sha256: async () => '0'.repeat(64),
    createHasher: () => ({ update: () => {}, digest: () => '1'.repeat(64) }),
    verify: () => Promise.reject(new Error('nothing is verified here')),
  };
  const options = { policyPath: 'p.yml', lock: lock === null ? null : parseLock(lock, 'l.json'), update: false };
  return { ...(await check(await parsePolicy(policy, 'p.yml'), host, options)), asked };
}

it('a file that many patterns match is opened once, and answers to each artifact of the policy', async () => {
  const paths = Array.from({ length: 500 }, () => '"*.safetensors"').join();
  const { document, asked } = await checked(`artifacts:\n  - path: [${paths}]\n    max-parameters: 2\n  - path: "*.safetensors"\n    max-parameters: 1\n`);
  expect(asked).toEqual(['find *.safetensors', 'open w.safetensors']);
  expect(document.artifacts.map(({ line, outcomes }) => [line, outcomes.map(({ rule, passed }) => `${rule} ${passed}`)])).toEqual([
    [2, ['readable true', 'max-parameters true']],
    [4, ['readable true', 'max-parameters false']],
  ]);
});

it.each([
  ['deep', '['.repeat(100_000)],
  ['long', `[${'1,'.repeat(1_100_000)}1]`],
  ['files that are nothing', { files: { x: null }, tensors: {} }],
  ['tensors that are nothing', { files: {}, tensors: { a: null } }],
  ['tensors in a list', { files: {}, tensors: [{}] }],
])('a lock file of %s is none', async (_, artifact) => {
  const text = typeof artifact === 'string' ? artifact : JSON.stringify({ schema: 'weighbridge/lock@1', artifacts: { 'w.safetensors': artifact } });
  const error = await checked('lock: l.json\nartifacts: [{ path: x }]', text).catch((reason: unknown) => reason);
  expect(isModelError(error), String(error)).toBe(true);
});

it('what is asked of metadata is what they have, and not what every object has', async () => {
  const { document } = await checked('artifacts: [{ path: x, provenance: { metadata: [constructor, __proto__] } }]');
  expect(document.artifacts[0]!.outcomes.filter(({ rule }) => rule === 'provenance').map(({ passed }) => passed)).toEqual([false, false]);
});
