/** JUnit XML: well-formed, its counts add up, and it fails exactly where the verdict is not a match. */
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import type { ReportDocument } from '../../src/report/format.js';
import { junit } from '../../src/report/junit.js';
import { documentOf, HOSTILE, hostileDocument, MATCH, MISMATCH, QUANTISED, WEIGHTS } from './examples.js';

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** @throws where the text is not well-formed */
function parse(text: string): Element {
  const parser = new SaxesParser();
  const root: Element = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { name, attributes: attributes as Record<string, string>, children: [], text: '' };
    open.at(-1)!.children.push(element);
    open.push(element);
  });
  parser.on('closetag', () => void open.pop());
  parser.on('text', (piece) => {
    open.at(-1)!.text += piece;
  });
  parser.on('error', (error) => {
    throw error;
  });
  parser.write(text).close();
  return root.children[0]!;
}

async function suites(document: ReportDocument): Promise<Element> {
  return parse(await junit.render(document));
}

const CASES = {
  match: documentOf(MATCH),
  mismatch: documentOf(MISMATCH),
  quantised: documentOf(QUANTISED),
  weights: documentOf(WEIGHTS),
  hostile: hostileDocument(),
};

describe.each(Object.entries(CASES))('%s', (_name, document) => {
  it('is made of testsuites, testsuite and testcase as the schema has them', async () => {
    const root = await suites(document);
    expect(root.name).toBe('testsuites');
    for (const suite of root.children) {
      expect(suite.name).toBe('testsuite');
      expect(Object.keys(suite.attributes)).toEqual(['name', 'tests', 'failures', 'errors', 'skipped', 'time']);
      for (const child of suite.children) {
        expect(['properties', 'testcase']).toContain(child.name);
        if (child.name !== 'testcase') continue;
        expect(Object.keys(child.attributes)).toEqual(['classname', 'name', 'time']);
        for (const { name } of child.children) expect(['failure', 'system-out']).toContain(name);
      }
    }
  });

  it('counts what is there', async () => {
    const root = await suites(document);
    const totals = { tests: 0, failures: 0 };
    for (const suite of root.children) {
      const cases = suite.children.filter(({ name }) => name === 'testcase');
      const failures = cases.filter(({ children }) => children.some(({ name }) => name === 'failure'));
      expect(suite.attributes).toMatchObject({ tests: String(cases.length), failures: String(failures.length) });
      totals.tests += cases.length;
      totals.failures += failures.length;
    }
    expect(root.attributes).toMatchObject({ tests: String(totals.tests), failures: String(totals.failures) });
    expect(totals.failures > 0).toBe(document.report.verdict !== 'match');
  });
});

it('has a case for each output, layer and weight', async () => {
  const root = await suites(documentOf(MISMATCH));
  const count = (title: string) => root.children.find(({ attributes }) => attributes.name === title)?.attributes.tests;
  expect([count('outputs'), count('layers'), count('weights')]).toEqual(['1', String(MISMATCH.layers!.length), '2']);
});

it('says in a failure what was found and what was allowed', async () => {
  const root = await suites(documentOf(MISMATCH));
  const failure = root.children[0]!.children.find(({ name }) => name === 'testcase')!.children[0]!;
  expect(failure.attributes.message).toContain('worst at [2, 7]: 0.47, expected 0.68');
  expect(failure.attributes.message).toContain('2.00e-5 x max|expected|');
});

it('fails where nothing was compared, though no single check did', async () => {
  const root = await suites(documentOf({ ...MATCH, verdict: 'nothing-compared', outputs: [], weights: null }));
  expect(root.attributes).toMatchObject({ tests: '1', failures: '1' });
});

it('keeps a name from a file in one piece, control characters made visible', async () => {
  const root = await suites(hostileDocument());
  const names = root.children.flatMap(({ children }) => children.filter(({ name }) => name === 'testcase').map(({ attributes }) => attributes.name));
  expect(names).toContain(HOSTILE.replace('\u202e', '\\x202e').replace('\u0007', '\\x07'));
});
