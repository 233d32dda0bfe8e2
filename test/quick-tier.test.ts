/** The quick tier is what its name says, by itself: it has files of every room, and none that starts a process, a browser or a runtime. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import quick from '../vitest.quick.config.js';

const files = (quick.test?.include ?? []) as readonly string[];

it('has files of every room whose tests can be quick', () => {
  const rooms = new Set(files.map((file) => file.split('/')[1]!).filter((name) => !name.includes('.')));
  const all = ['architectures', 'bytes', 'check', 'containers', 'contracts', 'dialects', 'model', 'node', 'readers', 'shrink', 'transforms', 'verify'];
  expect([...rooms]).toEqual(expect.arrayContaining(all));
  expect(files.length).toBeGreaterThan(60);
});

it('leaves out what starts something, itself or by a helper, and what is tagged as slow', () => {
  for (const file of ['cli/cli', 'cli/run', 'verify/opencv', 'verify/trained', 'readers/caffe-layers', 'web/page', 'node/claims']) {
    expect(files).not.toContain(`test/${file}.test.ts`);
  }
  for (const file of files) expect(readFileSync(file, 'utf8'), file).not.toMatch(/^import .*'(node:child_process|onnxruntime-\w+|@tensorflow\/\S+)'/m);
});
