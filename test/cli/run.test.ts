/** `weighbridge run`: a configuration file is checked whole before anything is run, and its schema says what the commands take. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { commandTree, JOB_COMMANDS, optionsOf, readConfig } from '../../src/cli/many/config.js';
import { isModelError } from '../../src/errors.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const SCHEMA = join(ROOT, 'schemas/config.schema.json');
const ajv = new Ajv2020({ strict: false, allErrors: true });

function project(config: object, at = 'weighbridge.config.json'): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'nets'));
  copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'nets/a.h5'));
  copyFileSync(join(DIGITS, 'digits.pth'), join(folder, 'nets/b.pth'));
  writeFileSync(join(folder, at), JSON.stringify(config));
  return folder;
}

const CONFIG = {
  $schema: 'https://weighbridge.example/schemas/config.schema.json',
  options: { force: true },
  jobs: {
    page: { model: 'nets/a.h5', to: 'tfjs', output: 'page', dtype: 'uint8', verify: false },
    weights: { model: ['nets/*.h5', 'nets/b.pth'], to: 'safetensors', output: 'weights/', verify: false },
    first: { model: 'nets/a.h5', to: 'onnx', output: 'made/', verify: false },
    proof: { command: 'verify', model: ['nets/a.h5', 'made/a.onnx'], samples: 1 },
  },
};

describe('weighbridge run', () => {
  it('does all jobs, a job after the one whose output it reads, paths being relative to the file', () => {
    const folder = project(CONFIG);
    const { status, stdout } = weighbridge(['run', '--config-file', join(folder, 'weighbridge.config.json'), '--json'], temporaryFolder());
    const document = JSON.parse(stdout);
    const validate = ajv.compile(JSON.parse(readFileSync(join(ROOT, 'schemas/batch.schema.json'), 'utf8')));
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document.jobs.map(({ name, status }: { name: string; status: string }) => [name, status])).toEqual([
      ['page', 'done'],
      ['weights', 'done'],
      ['weights', 'done'],
      ['first', 'done'],
      ['proof', 'done'],
    ]);
    expect(status).toBe(0);
    expect(document.jobs[4].document.verdict).toBe('match');
    expect(readdirSync(join(folder, 'page'))).toContain('model.json');
    expect(readdirSync(join(folder, 'weights')).sort()).toEqual(['a.safetensors', 'b.safetensors']);
  });

  it('does the jobs that are named, and shows commands without running them', () => {
    const folder = project(CONFIG);
    const { status, stdout } = weighbridge(['run', 'page', 'weights', '--dry-run'], folder);
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toEqual([
      'weighbridge convert nets/a.h5 --force --to=tfjs --dtype=uint8 --no-verify -o page',
      `weighbridge convert nets/a.h5 --force --to=safetensors --no-verify -o ${join('weights', 'a.safetensors')}`,
      `weighbridge convert nets/b.pth --force --to=safetensors --no-verify -o ${join('weights', 'b.safetensors')}`,
    ]);
    expect(readdirSync(folder).sort()).toEqual(['nets', 'weighbridge.config.json']);
    const other = weighbridge(['run', 'pagee'], folder);
    expect(other.status).toBe(2);
    expect(other.stderr).toContain('Did you mean "page"');
  });

  it('names files that jobs would share, whatever writes them, and stdout', () => {
    const verify = { command: 'verify', model: ['nets/a.h5', 'nets/b.pth'] };
    const folder = project({
      jobs: {
        one: { model: 'nets/a.h5', output: 'same.pth' },
        two: { model: 'nets/b.pth', output: 'same.pt', to: 'pytorch' },
        three: { ...verify, report: 'r.html' },
        four: { command: 'diff', model: ['nets/a.h5', 'nets/b.pth'], html: 'r.html' },
        five: { model: 'nets/a.h5', output: '-', to: 'onnx' },
      },
    });
    const { status, stderr } = weighbridge(['run'], folder);
    expect(status).toBe(2);
    expect(stderr).toContain('same.py: jobs "one" and "two" would both write this file');
    expect(stderr).toContain('r.html: jobs "three" and "four" would both write this file');
    expect(stderr).toContain('job "five"');
    expect(readdirSync(folder).sort()).toEqual(['nets', 'weighbridge.config.json']);
  });

  it('does jobs in the order of the file, what is packed before what reads it', () => {
    const folder = project({});
    const jobs = `"b": {"model": "nets/a.h5", "output": "x.onnx", "compress": "gzip", "verify": false}, "10": {"command": "inspect", "model": "x.onnx.gz"}, "2": {"command": "inspect", "model": "nets/b.pth"}`;
    writeFileSync(join(folder, 'weighbridge.config.json'), `\ufeff{"jobs": {${jobs}}}`);
    const { status, stdout, stderr } = weighbridge(['run', '--json', '--jobs', '3'], folder);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).jobs.map(({ name }: { name: string }) => name)).toEqual(['b', '10', '2']);
    const wrong = weighbridge(['run', '--config-file', join(folder, 'nets')], folder);
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringMatching(/^error [^\n]*is a folder, and no configuration\n$/)]);
  });

  it('names everything that is wrong before anything is run', () => {
    const folder = project({
      job: {},
      options: { forse: true, samples: 2 },
      jobs: {
        a: { model: 'nets/a.h5', to: 'onnx', dtpye: 'float16' },
        b: { command: 'covnert', model: 'nets/a.h5' },
        c: { model: 'nets/a.h5', to: 'onnx', force: 'yes', opset: 'many', layout: 'nwhc' },
        d: { to: 'onnx', models: 'nets/a.h5' },
        e: { model: 'nets/a.h5', to: 'onnx', json: true },
      },
    });
    const { status, stderr } = weighbridge(['run'], folder);
    expect(status).toBe(2);
    for (const said of [
      '"job"',
      '"forse"',
      'Did you mean "force"',
      '"dtpye"',
      'Did you mean "dtype"',
      'Did you mean "convert"',
      '"force" is true or false',
      'job "d": "model" is expected: a path, or a list of paths; it has "models"',
      '"json"',
    ]) {
      expect(stderr).toContain(said);
    }
    expect(stderr).toMatch(/job "c": .*(opset|layout)/);
    // That is an option, of a command that these jobs may be.
    expect(stderr).not.toContain('"samples"');
    expect(readdirSync(folder).sort()).toEqual(['nets', 'weighbridge.config.json']);
  });

  it('refuses two jobs with one output', () => {
    const folder = project({ jobs: { a: { model: 'nets/a.h5', output: 'x.onnx' }, b: { model: 'nets/b.pth', output: './x.onnx' } } });
    const { status, stderr } = weighbridge(['run'], folder);
    expect(status).toBe(2);
    expect(stderr).toContain('would both become');
  });

  it('says where the file is expected', () => {
    const { status, stderr } = weighbridge(['run'], temporaryFolder());
    expect(status).toBe(2);
    expect(stderr).toContain('weighbridge.config.json');
  });
});

describe('a configuration that asks for much', () => {
  const many = (count: number, make: (i: number) => string) => Array.from({ length: count }, (_, i) => make(i)).join();
  it.each([
    ['jobs', `{"jobs":{${many(20_000, (i) => `"j${i}":{"model":"x"}`)}}}`, /20000 jobs/],
    ['keys', `{"jobs":{"a":{"model":"x"}},${many(60_000, (i) => `"optionz${i}":1`)}}`, /60001 keys/],
    ['options of all jobs', `{"jobs":{"a":{"model":"x"}},"options":{${many(60_000, (i) => `"opset${i}":1`)}}}`, /60000 options/],
    ['options of a job', `{"jobs":{"a":{"model":"x",${many(60_000, (i) => `"opset${i}":1`)}}}}`, /job "a": it has 60001 options/],
    ['models', `{"jobs":{"a":{"model":[${many(80_000, () => '"digits.h5"')}]}}}`, /job "a": 80000 models/],
    ['letters', `{"jobs":{"${'j'.repeat(500_000)}":{"model":"x","${'k'.repeat(300_000)}":1}}}`, /there is no option/],
    ['brackets', `{"jobs":${'['.repeat(500_000)}`, /nested/],
  ])('by its %s is refused in a few words', async (_, text, says) => {
    const path = join(temporaryFolder(), 'weighbridge.config.json');
    writeFileSync(path, text);
    const error = await readConfig(path).catch((reason: unknown) => reason);
    expect(isModelError(error), String(error)).toBe(true);
    expect((error as Error).message).toMatch(says);
    expect((error as Error).message.length).toBeLessThan(12_000);
  });
});

describe('schemas/config.schema.json', () => {
  it('lists the options that the commands have', async () => {
    const made = `${JSON.stringify(await configSchema(), null, 2)}\n`;
    if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(SCHEMA, made);
    expect(JSON.parse(readFileSync(SCHEMA, 'utf8'))).toEqual(JSON.parse(made));
  });

  it('takes what is right and refuses what is not', () => {
    const validate = ajv.compile(JSON.parse(readFileSync(SCHEMA, 'utf8')));
    expect(validate(CONFIG), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ jobs: { a: { model: 'a.h5', dtpye: 'float16' } } })).toBe(false);
    expect(validate({ jobs: { a: { model: 'a.h5', command: 'diff', dtype: 'float16' } } })).toBe(false);
    expect(validate({ jobs: {} })).toBe(false);
  });
});

async function configSchema(): Promise<object> {
  const byCommand = await Promise.all(JOB_COMMANDS.map(async (name) => [name, propertiesOf(optionsOf(await commandTree(name)))] as const));
  const all = Object.assign({}, ...byCommand.map(([, properties]) => properties));
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'https://weighbridge.example/schemas/config.schema.json',
    title: 'weighbridge.config.json: the jobs of `weighbridge run`',
    type: 'object',
    required: ['jobs'],
    additionalProperties: false,
    properties: {
      $schema: { type: 'string' },
      options: { type: 'object', description: 'Options of every job whose command has them.', additionalProperties: false, properties: all },
      jobs: { type: 'object', minProperties: 1, additionalProperties: { $ref: '#/$defs/job' } },
    },
    $defs: {
      job: {
        type: 'object',
        required: ['model'],
        properties: {
          command: { enum: JOB_COMMANDS, default: 'convert' },
          model: {
            description: 'A path or a pattern, or a list of them; verify and diff compare the two of a list.',
            anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }],
          },
        },
        allOf: byCommand.map(([name, properties]) => ({
          if: name === 'convert' ? { properties: { command: { const: name } } } : { required: ['command'], properties: { command: { const: name } } },
          // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own word
          then: { properties },
        })),
        unevaluatedProperties: false,
      },
    },
  };
}

function propertiesOf(options: ReadonlyMap<string, Option>): Record<string, object> {
  return Object.fromEntries([...options].map(([name, option]) => [name, { ...typeOf(option), description: option.description }]));
}

function typeOf(option: Option): object {
  if (option.negate || option.isBoolean()) return { type: 'boolean' };
  if (option.argChoices) return { enum: option.argChoices };
  return { anyOf: [{ type: ['string', 'number'] }, { type: 'array', items: { type: ['string', 'number'] }, minItems: 1 }] };
}
