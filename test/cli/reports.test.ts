/** `--report` of the built command: written as asked, or an error before any work. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeVoice } from '../../src/cli/print.js';
import { planReports } from '../../src/cli/report-files.js';
import type { ModelFile } from '../../src/model/layer-map.js';
import { MATCH } from '../report/examples.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/report.schema.json'), 'utf8')));
const SOURCE = join(DIGITS, 'digits.h5');
const EXTENSIONS = ['html', 'md', 'xml', 'json'];

describe('convert --report', () => {
  const folder = temporaryFolder();
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');

  beforeAll(() => {
    writeFileSync(join(folder, 'labels.txt'), ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'].join('\n'));
    const reports = EXTENSIONS.flatMap((extension) => ['--report', join(folder, `r.${extension}`)]);
    const args = ['convert', SOURCE, '-o', join(folder, 'd.onnx'), '--golden', join(DIGITS, 'keras.npz'), '--labels', join(folder, 'labels.txt')];
    const { status, stderr } = weighbridge([...args, ...reports]);
    expect(stderr).toContain('report ');
    expect(status).toBe(0);
  });

  it('writes each format, and leaves nothing else', () => {
    expect(readdirSync(folder).sort()).toEqual(['d.onnx', 'labels.txt', 'r.html', 'r.json', 'r.md', 'r.xml']);
    expect(validate(JSON.parse(read('r.json'))), JSON.stringify(validate.errors)).toBe(true);
    expect(read('r.md')).toMatch(/^### ✅ match/);
    expect(read('r.xml')).toMatch(/<testsuites .*tests="21" failures="0"/);
  });

  it('shows pictures, predictions by their labels, filters and a histogram of each weight', () => {
    const page = read('r.html');
    // Eight inputs, and the first layer's filters twice.
    expect(page.match(/<img /g)).toHaveLength(8 + 2);
    expect(page).toContain('>three<');
    expect(page).toContain('>two<');
    expect(page.match(/distribution of /g)).toHaveLength(18);
    expect(page).toContain('The 12 filters of');
  });
});

describe('verify --report', () => {
  const folder = temporaryFolder();
  const output = join(folder, 'd.onnx');
  beforeAll(() => void weighbridge(['convert', SOURCE, '-o', output, '--no-verify']));

  it('writes the reports of a mismatch too, and exits with 1', () => {
    const bytes = readFileSync(output);
    const at = Math.floor(bytes.length / 2 / 4) * 4;
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1, at);
    writeFileSync(join(folder, 'broken.onnx'), bytes);
    const reports = EXTENSIONS.flatMap((extension) => ['--report', join(folder, `b.${extension}`)]);
    const { status, stdout } = weighbridge(['verify', SOURCE, join(folder, 'broken.onnx'), ...reports]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^next /m);
    expect(readFileSync(join(folder, 'b.xml'), 'utf8')).toContain('<failure ');
    expect(readFileSync(join(folder, 'b.md'), 'utf8')).toContain('**Next:**');
    expect(readFileSync(join(folder, 'b.html'), 'utf8')).toContain('mismatch');
    expect(JSON.parse(readFileSync(join(folder, 'b.json'), 'utf8')).verdict).toBe('mismatch');
  });

  it("shows pictures and both sides' weights of two files that are only run", () => {
    const report = join(folder, 'two.html');
    expect(weighbridge(['verify', output, output, '--samples', '2', '--report', report]).status).toBe(0);
    const page = readFileSync(report, 'utf8');
    expect(page.match(/<img /g)).toHaveLength(2 + 2);
    expect(page.match(/class="written" d=/g)).toHaveLength(18);
  });

  it('replaces an older report', () => {
    const report = join(folder, 'old.json');
    writeFileSync(report, 'old');
    expect(weighbridge(['verify', SOURCE, output, '--samples', '1', '--report', report]).status).toBe(0);
    expect(JSON.parse(readFileSync(report, 'utf8')).verdict).toBe('match');
  });

  it.each([
    ['an unknown extension', () => ['--report', join(folder, 'r.pdf')]],
    ['a name that is too long', () => ['--report', join(folder, `${'x'.repeat(300)}.md`)]],
    ['a folder that is not there', () => ['--report', join(folder, 'no/r.html')]],
    ['one file twice', () => ['--report', join(folder, 'r.md'), '--report', join(folder, './r.md')]],
    ['labels that are not there', () => ['--report', join(folder, 'r.html'), '--labels', join(folder, 'no.txt')]],
    ['labels without a report', () => ['--labels', output]],
  ])('refuses %s before any work', (_what, args) => {
    // The source does not exist: whoever looks at it first complains about it.
    const { status, stderr } = weighbridge(['verify', join(folder, 'missing.h5'), output, ...args()]);
    expect(status).toBe(2);
    expect(stderr).not.toContain('missing.h5');
    expect(stderr).toMatch(/^error/);
    expect(existsSync(join(folder, 'r.md'))).toBe(false);
  });

  it('never replaces a file that the command reads, nor writes into a model that is a folder', () => {
    const inside = join(folder, 'model');
    mkdirSync(inside);
    copyFileSync(output, join(inside, 'model.json'));
    const both = [
      weighbridge(['verify', SOURCE, join(inside, 'model.json'), '--report', join(inside, '../model/model.json')]),
      weighbridge(['verify', SOURCE, inside, '--report', join(inside, 'model.json')]),
    ];
    for (const { status, stderr } of both) {
      expect(status).toBe(2);
      expect(stderr).toContain('Choose another place');
    }
    expect(readFileSync(join(inside, 'model.json')).equals(readFileSync(output))).toBe(true);
  });
});

it('shrink writes reports too', () => {
  const folder = temporaryFolder();
  const report = join(folder, 'r.md');
  const { status } = weighbridge(['shrink', SOURCE, '-o', join(folder, 'd.onnx'), '--golden', join(DIGITS, 'keras.npz'), '--report', report]);
  expect(status).toBe(0);
  expect(readFileSync(report, 'utf8')).toMatch(/^\| correctness \| .* passed \|$/m);
});

it('a report whose folder vanished meanwhile is an error of the usual kind', async () => {
  const folder = join(temporaryFolder(), 'gone');
  mkdirSync(folder);
  const plan = await planReports({ report: [join(folder, 'r.json')] }, []);
  rmdirSync(folder);
  const verified = {
    subject: { expected: 'a', actual: 'b', architecture: null },
    model: {} as ModelFile,
    map: null,
    target: { path: 'b', format: 'onnx' },
    keep: [],
  };
  await expect(plan.write(makeVoice({ quiet: true }), MATCH, verified)).rejects.toMatchObject({ kind: 'usage' });
});

it('a report is refused where nothing is verified', () => {
  const folder = temporaryFolder();
  const { status, stderr } = weighbridge(['convert', SOURCE, '-o', join(folder, 'd.onnx'), '--no-verify', '--report', join(folder, 'r.html')]);
  expect(status).toBe(2);
  expect(stderr).toContain('--no-verify');
  expect(readdirSync(folder)).toEqual([]);
});
