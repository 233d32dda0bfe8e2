/** The table of docs/shrink.md has every trained net that there is to measure, in every form. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FEWEST, NETS, SAME_WEIGHTS, SEARCH, SEARCH_BY_SIZE, UNTRAINED, WAYS } from '../../scripts/shrink-nets.mjs';
import { CORPUS, type CorpusCase, corpusCases, corpusTitle, hasCorpus, recordedTensors } from '../corpus.js';

const page = readFileSync(new URL('../../docs/shrink.md', import.meta.url), 'utf8');
const table = page.slice(page.indexOf('<!-- measured by scripts/shrink-table.mjs -->'), page.indexOf('<!-- end of what was measured -->'));
/** The ways that a net has rows for, by its title. */
const rows = new Map<string, string[]>();
for (const [, net, way] of table.matchAll(/^\| (.+?) \| (.+?) \|.* \|$/gm))
  if (net !== 'net') rows.set(net!, [...(rows.get(net!) ?? []), way === SEARCH_BY_SIZE ? SEARCH : way!]);

it('has a row for each net and way, once', () => {
  expect([...rows.keys()].sort()).toEqual(NETS.map(({ title }) => title).sort());
  const ways = ['as it is', ...WAYS.map((way) => way.title)];
  for (const { title } of NETS) expect(rows.get(title), title).toEqual(ways);
});

describe.skipIf(!hasCorpus)(`nets of other people${corpusTitle}`, () => {
  const nets = corpusCases(({ kind }) => kind === 'net');
  const measured = NETS.flatMap(({ corpus }) => corpus ?? []);
  const leftOut = { ...SAME_WEIGHTS, ...UNTRAINED };

  it('are all in the table, or left out with the reason', () => {
    expect(nets.length).toBeGreaterThan(100);
    const missing = nets.filter((net) => !measured.includes(net.case) && !(net.case in leftOut) && sizeOf(net) >= FEWEST);
    expect(missing.map((net) => net.case)).toEqual([]);
  });

  it('are left out under names that the corpus has, and not where they have rows', () => {
    const large = new Set(nets.filter((net) => sizeOf(net) >= FEWEST).map((net) => net.case));
    expect(Object.keys(leftOut).filter((name) => !large.has(name) || measured.includes(name))).toEqual([]);
    expect(Object.values(SAME_WEIGHTS).filter((title) => !rows.has(title))).toEqual([]);
  });

  it('are all in the table where they came with pictures', () => {
    const folders = readdirSync(join(CORPUS, '../trained'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual(NETS.flatMap(({ trained }) => (trained ? dirname(trained) : [])).sort());
  });
});

/** How many values a net has. Those of an ONNX file may stand among its nodes, where the corpus does not list them. */
function sizeOf({ folder, format, model }: CorpusCase): number {
  const values = recordedTensors(folder).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return format === 'onnx' ? Math.max(values, statSync(join(folder, model)).size / 4) : values;
}
