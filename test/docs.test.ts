/** What the documents tell to type is there, and runs. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../src/cli/commands/index.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';
import { liteModel } from './lite-models.js';
import { writeSavedModel } from './saved-model.js';
import { graphDef, placeholder } from './tf-graphs.js';

const DOCS = join(ROOT, 'docs');
const pages = [
  'README.md',
  ...readdirSync(DOCS, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
    .sort(),
];
const textOf = (page: string) => readFileSync(join(ROOT, page), 'utf8');

/** Lines of code blocks that begin with the command, and code within text that does. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].map(([, block]) => block!);
  const lines = blocks.flatMap((block) => block.split('\n')).map((line) => line.trim().replace(/^\$ /, ''));
  const within = [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`(weighbridge [^`]+)`/g)].map(([, code]) => code!);
  return [...lines, ...within].filter((line) => /^weighbridge [a-z]/.test(line)).map((line) => line.replace(/\s+#.*$/, ''));
}

/** A command line as a shell would split it; what it redirects is no word. */
function wordsOf(command: string): string[] {
  const line = command.replace(/ [<>] ?\S+/g, '');
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!).slice(1);
}

/** The program with every command, none of which does anything: what it does not understand it throws. */
async function understanding(): Promise<Command> {
  const program = new Command('weighbridge').exitOverride().configureOutput({ writeErr: () => {} });
  const silence = (command: Command) => {
    for (const each of [command, ...command.commands]) each.exitOverride().action(() => {});
  };
  for (const { load } of commands) silence((await load())(program).option('--json'));
  return program;
}

describe('what the documents tell to type', () => {
  it('is found at all', () => {
    expect(pages.length).toBeGreaterThan(25);
    expect(commandsOf(textOf('docs/coming-from.md')).length).toBeGreaterThan(20);
  });

  it.each(['convert model.h5 -o a.onnx --dtipe half', 'shrink model.h5 -o a.onnx --budget 64KX', 'verify', 'arch a b c'])(
    'is not understood where it is wrong: %s',
    async (line) => {
      const program = await understanding();
      expect(() => program.parse(line.split(' '), { from: 'user' })).toThrow();
    },
  );

  it.each(pages.filter((page) => commandsOf(textOf(page)).length > 0))('%s: commands, options and their values are understood', async (page) => {
    const names = commands.map(({ name }) => name);
    for (const command of commandsOf(textOf(page))) {
      const words = wordsOf(command);
      expect(names, command).toContain(words[0]);
      // A command's name alone is spoken of, and what stands for a value is none.
      if (words.length === 1 || /<|\.\.\./.test(command) || words.every((word, i) => i === 0 || word === '--json')) continue;
      const program = await understanding();
      expect(() => program.parse(words, { from: 'user' }), command).not.toThrow();
    }
  });

  // In order: what one writes the next may read. Of the demo's nets none says what is to be done to pictures.
  it.each(pages.filter((page) => page.includes('cookbook')))(
    'on the nets of the demo it runs: %s',
    (page) => {
      const folder = temporaryFolder();
      symlinkSync(join(ROOT, 'demo'), join(folder, 'demo'), 'junction');
      const given = { 'model.h5': 'digits.h5', 'vgg16.h5': 'digits.h5', 'base.safetensors': 'digits.h5', 'tuned.pth': 'digits.pth' };
      const asked = [...new Set(commandsOf(textOf(page)))].filter((command) => command.split(' ').length > 2 && !command.includes('--embed-preprocessing'));
      for (const [name, net] of Object.entries(given)) {
        if (!asked.some((command) => command.includes(` ${name}`))) continue;
        if (!name.endsWith('.safetensors')) copyFileSync(join(DIGITS, net), join(folder, name));
        else expect(weighbridge(['convert', join(DIGITS, net), '-o', name, '--no-verify'], folder).status).toBe(0);
      }
      if (asked.some((command) => /^weighbridge verify model\.h5 model\.onnx/.test(command)))
        expect(weighbridge(['convert', 'model.h5', '-o', 'model.onnx', '--no-verify'], folder).status).toBe(0);
      expect(asked.length).toBeGreaterThan(2);
      for (const command of asked) {
        const { status, stderr, stdout } = weighbridge(wordsOf(command.replace('block5', 'block3')), folder);
        // 1 is an answer where two files are compared.
        expect(status, `${command}\n${stdout}\n${stderr}`).toBeLessThanOrEqual(/^weighbridge (diff|verify)/.test(command) ? 1 : 0);
      }
    },
    120_000,
  );
});

/** What the commands of coming-from.md read, beside the demo's nets. */
async function othersFiles(folder: string): Promise<void> {
  const names = { 'digits.h5': 'model.h5', 'digits.pth': 'model.pth', 'digits.caffemodel': 'net.caffemodel', 'digits.prototxt': 'net.prototxt' };
  for (const [from, to] of Object.entries(names)) copyFileSync(join(DIGITS, from), join(folder, to));
  const relu = { name: 'y', op: 'Relu', input: ['x'], attr: { T: { type: 1 } } };
  writeFileSync(join(folder, 'frozen.pb'), graphDef({ nodes: [placeholder('x', [2, 3]), relu], weights: {}, inputs: ['x'], outputs: ['y'] }));
  const ports = ['x', 'y'].map((name) => ({ name, shape: [2, 3], type: 0 }));
  writeFileSync(join(folder, 'model.tflite'), liteModel(ports, [{ code: 19, inputs: [0], outputs: [1] }], [0], [1]));
  await writeSavedModel(join(folder, 'saved'));
  const normalised = join(ROOT, 'test/fixtures/caffe/vgg11-batch-norm/model.caffemodel');
  for (const words of ['net.caffemodel -o in.onnx', 'net.caffemodel -o out.onnx', 'model.h5 -o web --to tfjs', `${normalised} -o normalised.onnx`]) {
    const { status, stderr } = weighbridge(['convert', ...words.split(' '), '--no-verify'], folder);
    expect(status, stderr).toBe(0);
  }
}

/** A prototxt whose pictures come from a data set, and what is done to them. */
const PREPARED = 'layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 32 scale: 0.017 mean_value: 104 } }';

it('what users of other converters are told to type does it', async () => {
  const given = temporaryFolder();
  await othersFiles(given);
  // The digits are smaller pictures, and their layers have other names.
  const commands = [...new Set(commandsOf(textOf('docs/coming-from.md')))].map((command) =>
    command.replace('3,224,224', '3,32,32').replace('conv5', 'conv3_2'),
  );
  expect(commands.length).toBeGreaterThan(20);
  for (const command of commands) {
    const words = command.split(/\s+/).slice(1);
    const writes = words[0] === 'convert' || words[0] === 'shrink';
    // Of its own, since some write what others read.
    const folder = temporaryFolder();
    cpSync(given, folder, { recursive: true });
    const prototxt = join(folder, 'net.prototxt');
    if (words.includes('--embed-preprocessing')) writeFileSync(prototxt, readFileSync(prototxt, 'utf8').replace(/^layer { name: "data".*/m, PREPARED));
    if (words.includes('--fold-batchnorm')) copyFileSync(join(folder, 'normalised.onnx'), join(folder, 'in.onnx'));
    const { status, stderr, stdout } = weighbridge(writes ? [...words, '--force', '--samples', '1'] : words, folder);
    expect(status, `${command}\n${stdout}\n${stderr}`).toBe(0);
  }
}, 240_000);

/** What is done before the commands of a page are typed, whose answers other than 0 stand beside. */
const MADE_FOR: Readonly<Record<string, (folder: string) => void>> = {
  'docs/check.md': (folder) => {
    const [, shown] = /```yaml\n([\s\S]*?)```/.exec(textOf('docs/check.md'))!;
    run(folder, 'convert vgg16.h5 -o weights.safetensors --no-verify');
    mkdirSync(join(folder, 'models'));
    run(folder, 'convert vgg16.h5 -o models/net.onnx --samples 1');
    copyFileSync(join(DIGITS, 'keras.npz'), join(folder, 'pictures.npz'));
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, 'weights.safetensors')))
      .digest('hex');
    writeFileSync(join(folder, 'policy.yml'), shown!.replace(/(?<=sha256: ')\w+/, hash));
    // Before there is a lock file, the check says that there is none.
    run(folder, 'check policy.yml --update');
  },
  'docs/remote.md': (folder) => copyFileSync(join(DIGITS, 'digits.pth'), join(folder, 'net.pth')),
  'docs/run.md': (folder) => {
    for (const place of ['nets', 'old', 'made']) mkdirSync(join(folder, place));
    for (const name of ['nets/digits.h5', 'nets/a.h5']) copyFileSync(join(DIGITS, 'digits.h5'), join(folder, name));
    for (const name of ['nets/net.pth', 'old/vgg.pth']) copyFileSync(join(DIGITS, 'digits.pth'), join(folder, name));
    copyFileSync(join(DIGITS, 'keras.npz'), join(folder, 'nets/a.npz'));
    run(folder, 'convert nets/a.h5 -o made/a.onnx --no-verify');
    writeFileSync(join(folder, 'weighbridge.config.json'), /```json\n([\s\S]*?)```/.exec(textOf('docs/run.md'))![1]!);
  },
  'docs/scale.md': (folder) => {
    const labels = JSON.parse(readFileSync(join(DIGITS, 'labels.json'), 'utf8')).labels as number[];
    for (const place of ['val', 'out']) mkdirSync(join(folder, place));
    for (const [i, label] of labels.slice(0, 12).entries()) {
      const name = `${String(i).padStart(2, '0')}.png`;
      mkdirSync(join(folder, 'val', String(label)), { recursive: true });
      copyFileSync(join(DIGITS, 'images', name), join(folder, 'val', String(label), name));
    }
    cpSync(join(folder, 'val'), join(folder, 'pictures'), { recursive: true });
    for (const name of ['small.onnx', 'model.onnx']) run(folder, `convert vgg16.h5 -o ${name} --no-verify`);
    run(folder, 'convert vgg16.h5 -o model --to tfjs --no-verify');
    // The loop of the page, by hand, and what the pods and the jobs of the matrix make.
    const [, looped] = /do weighbridge (evaluate .*?) & done/.exec(textOf('docs/scale.md'))!;
    for (const i of ['1', '2', '3', '4']) {
      run(folder, looped!.replaceAll('$i', i) + PREPARED_AS_DIGITS);
      run(folder, `evaluate small.onnx --against vgg16.pth --data val --shard ${i}/4 -o out/${i}.json${PREPARED_AS_DIGITS}`);
    }
  },
  'docs/verify.md': (folder) => {
    run(folder, 'convert vgg16.h5 -o right.onnx --no-verify');
    run(folder, 'convert vgg16.h5 -o wrong.onnx --no-verify');
    const wrong = readFileSync(join(folder, 'wrong.onnx'));
    // A sign in the middle of the file, where the weights are.
    for (let at = wrong.length >> 1; at < (wrong.length >> 1) + 4096; at++) wrong[at]! ^= 0x80;
    writeFileSync(join(folder, 'wrong.onnx'), wrong);
    run(folder, 'verify right.onnx wrong.onnx --bisect bug', 1);
  },
};
const PREPARED_AS_DIGITS = ' --preprocess mean=0,range=1,resize=stretch';

function run(folder: string, command: string, expected = 0): void {
  const { status, stdout, stderr } = weighbridge(wordsOf(`weighbridge ${command}`), folder);
  expect(status, `${command}\n${stdout}\n${stderr}`).toBe(expected);
}

/** Commands that show a fault find it. */
const FINDS = /^verify bug\//;

it.each(pages.filter((page) => page !== 'README.md' && !/cookbook|coming-from/.test(page) && typed(page).length > 0))(
  'what %s tells to type does it',
  (page) => {
    const folder = temporaryFolder();
    symlinkSync(join(ROOT, 'demo'), join(folder, 'demo'), 'junction');
    const given = { 'model.h5': 'digits.h5', 'vgg16.h5': 'digits.h5', 'vgg16.pth': 'digits.pth', 'recorded.npz': 'keras.npz' };
    for (const [name, file] of Object.entries(given)) copyFileSync(join(DIGITS, file), join(folder, name));
    MADE_FOR[page]?.(folder);
    for (const command of typed(page)) {
      const redirected = / < (\S+)$/.exec(command)?.[1];
      const words = command.startsWith('evaluate') ? command + PREPARED_AS_DIGITS : command;
      if (redirected === undefined) run(folder, words, FINDS.test(command) ? 1 : 0);
      else
        expect(
          spawnSync(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), ...wordsOf(`weighbridge ${command}`)], {
            cwd: folder,
            input: readFileSync(join(folder, redirected)),
          }).status,
        ).toBe(0);
    }
  },
  60_000,
);

/** The commands of a page that can be typed as they stand: a name alone is spoken of, a word in capitals or brackets stands for another, and hosts are not asked. */
function typed(page: string): string[] {
  const all = [...new Set(commandsOf(textOf(page)))].map((command) => command.replace(/^weighbridge /, ''));
  return all.filter(
    (command) => (command.includes(' ') || ['doctor', 'engines', 'formats', 'arch'].includes(command)) && !/[<>]\S|\bFILE\b| a b$| --json$|:\/\//.test(command),
  );
}

it.each(pages)('%s leads to files that are there', (page) => {
  for (const [, target] of textOf(page).matchAll(/\]\((?!https?:|#)([^)\s#]+)/g))
    expect(existsSync(resolve(ROOT, dirname(page), target!)), `${page}: ${target}`).toBe(true);
});
