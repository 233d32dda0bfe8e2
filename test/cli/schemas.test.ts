/** Every document that is printed or kept has a schema of its name and version, and is held to it. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { LayerDocument, ModelDocument, TensorDocument } from '../../src/inspect.js';
import type { Architecture, Notice, Port } from '../../src/model/layer-map.js';
import { inspectFile } from '../../src/node/index.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const SCHEMAS = join(ROOT, 'schemas');
/** What is read, and says no version of itself. */
const WITHOUT_NAME = ['config', 'policy'];

const ajv = new Ajv2020({ strict: false, allErrors: true, allowUnionTypes: true });
const schemas = new Map(readdirSync(SCHEMAS).map((file) => [file.replace('.schema.json', ''), JSON.parse(readFileSync(join(SCHEMAS, file), 'utf8'))]));
for (const schema of schemas.values()) ajv.addSchema(schema);

function fits(name: string, document: unknown): void {
  const validate = ajv.getSchema(schemas.get(name).$id)!;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
}

const printed = (args: readonly string[], folder?: string) => JSON.parse(weighbridge([...args, '--json'], folder).stdout);

it('there is a schema for each name and version that the code writes, and none beside', () => {
  const src = join(ROOT, 'src');
  const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const written = sources.flatMap((name) => [...readFileSync(join(src, name), 'utf8').matchAll(/['"]weighbridge\/([a-z-]+@\d+)['"]/g)].map(([, id]) => id!));
  const described = [...schemas].flatMap(([name, schema]) => {
    const own = schema.properties?.schema?.const ?? schema.$defs?.head?.properties.schema.const;
    if (WITHOUT_NAME.includes(name)) return [];
    expect(own, name).toMatch(new RegExp(`^weighbridge/${name}@\\d+$`));
    return [own.replace('weighbridge/', '')];
  });
  expect([...new Set(written)].sort()).toEqual(described.sort());
});

it('docs/json.md lists each of them', () => {
  const page = readFileSync(join(ROOT, 'docs/json.md'), 'utf8');
  for (const [name, schema] of schemas) {
    const id = schema.properties?.schema?.const ?? schema.$defs?.head?.properties.schema.const;
    expect(page).toContain(`[${id ?? name}](../schemas/${name}.schema.json)`);
  }
});

/** A document with all that one may have: what it gains the compiler asks for here, and the schema then has to know it. */
const everything: Required<ModelDocument> = {
  schema: 'weighbridge/layer-map@1',
  format: 'onnx',
  producer: null,
  details: { opset: '17' },
  labels: { names: ['cat'], from: 'labels.txt' },
  architecture: { name: 'VGG-16', assumed: ['a ReLU follows'], labels: 'ImageNet' } satisfies Required<Architecture>,
  inputs: [
    { name: 'x', alias: 'x:0', value: 'x', dtype: 'uint8', valueDType: 'float32', shape: ['N', 3], isUnshaped: true, layout: 'other' },
  ] satisfies Required<Port>[],
  outputs: [],
  layers: [
    {
      name: 'a',
      canonicalName: 'conv1_1',
      op: 'Conv',
      inputs: ['x'],
      outputs: ['y', ''],
      outputShapes: [['N', 3], null],
      attributes: { axis: 1, mode: 'linear', axes: [1, 2], names: ['a'] },
      weights: {
        kernel: {
          name: 'w',
          dtype: 'float32',
          shape: [3],
          values: [1],
          derived: { by: 'rows', from: [{ name: 'a', shape: [4] }], settings: { start: 0, end: 3 } },
        },
      },
      foreign: { format: 'onnx', domain: 'com.microsoft', op: 'FusedConv', reason: 'not known' },
      parameterCount: 3,
      byteLength: 12,
    },
  ] satisfies Required<LayerDocument>[],
  beside: ['aux.weight'],
  tensors: [
    {
      name: 'w',
      dtype: 'float32',
      shape: [3],
      byteLength: 12,
      layer: null,
      beside: true,
      sha256: '0'.repeat(64),
      min: null,
      max: 1,
      mean: 1,
      std: null,
      zeros: 0,
      nonFinite: 1,
    },
  ] satisfies Required<TensorDocument>[],
  parameterCount: 3,
  byteLength: 12,
  warnings: [{ code: 'assumed', message: 'x', layer: 'a' }] satisfies Required<Notice>[],
};

it('the schema of a model knows all that a document of one may have', () => fits('layer-map', everything));

it.each(['attention-of-any-length', 'small'])('fits what exporters write: %s', async (name) => {
  fits('layer-map', await inspectFile(join(ROOT, 'test/fixtures/onnx-exporters', name, 'model.onnx')));
});

describe('what is printed with --json', () => {
  it.each([
    ['formats', ['formats']],
    ['architectures', ['arch']],
    ['architecture', ['arch', 'resnet50']],
    ['golden', ['golden', '--framework', 'torch', '--input-shape', '1,3,8,8']],
    ['error', ['inspect', 'nothing.h5']],
    ['error', ['convert', 'nothing.h5', '--samples', '-3']],
    ['error', ['inspect', join(ROOT, 'test/fixtures/hdf5/chunked.h5')]],
  ])('fits %s: %j', (name, args) => fits(name, printed(args)));

  it('by the demo, which converts all three dialects in both precisions, and everything matches', () => {
    const { status, stdout } = weighbridge(['demo', '--folder', join(temporaryFolder(), 'out'), '--json']);
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    fits('demo', document);
    expect(document.verdicts).toEqual(Array(6).fill('match'));
    for (const list of document.predictions) {
      expect(list.map(({ digit }: { digit: number }) => digit)).toEqual(document.labels);
    }
  }, 60_000);

  it('by convert and a dry run, with what was assumed of bare weights', () => {
    const folder = temporaryFolder();
    copyFileSync(join(DIGITS, 'digits.pth'), join(folder, 'digits.pth'));
    const document = printed(['convert', 'digits.pth', '-o', 'a.onnx', '--no-verify'], folder);
    fits('convert', document);
    expect(document.assumed.join()).toMatch(/ReLU/);
    const jobs = { one: { command: 'convert', model: 'digits.pth', output: 'b.onnx', verify: false } };
    writeFileSync(join(folder, 'weighbridge.config.json'), JSON.stringify({ jobs }));
    const planned = printed(['run', '--dry-run'], folder);
    fits('commands', planned);
    expect(planned.commands[0].words).toEqual(expect.arrayContaining(['convert', '--no-verify', 'b.onnx']));
    const { stdout, stderr } = weighbridge(['run', '--json'], folder);
    fits('batch', JSON.parse(stdout));
    fits('convert', JSON.parse(stdout).jobs[0].document);
    expect(stderr).toMatch(/one: assumed: .*ReLU/);
  });

  it('by audit, diff and inspect', () => {
    fits('audit', printed(['audit', join(DIGITS, 'digits.pth')]));
    fits('layer-map', printed(['inspect', join(DIGITS, 'digits.h5')]));
    fits('diff', printed(['diff', join(DIGITS, 'digits.h5'), join(DIGITS, 'digits.pth')]));
  });
});

describe('what is kept', () => {
  it('fits: a lock file', () => {
    const folder = temporaryFolder();
    copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'digits.h5'));
    writeFileSync(join(folder, 'policy.yaml'), 'lock: weighbridge.lock.json\nartifacts:\n  - path: digits.h5\n');
    const { status, stderr } = weighbridge(['check', 'policy.yaml', '--update'], folder);
    expect(status, stderr).toBe(0);
    fits('lock', JSON.parse(readFileSync(join(folder, 'weighbridge.lock.json'), 'utf8')));
  });

  it('fits: the rows of an evaluation, line by line', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'pictures'));
    for (const name of ['00.png', '01.png']) copyFileSync(join(DIGITS, 'images', name), join(folder, 'pictures', name));
    const args = ['evaluate', join(DIGITS, 'digits.h5'), '--data', 'pictures', '--preprocess', 'mean=0,resize=stretch', '--rows', 'rows.jsonl'];
    const { status, stderr } = weighbridge(args, folder);
    expect(status, stderr).toBe(0);
    const lines = readFileSync(join(folder, 'rows.jsonl'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) fits('evaluation-rows', JSON.parse(line));
  });
});
