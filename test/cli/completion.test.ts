/** `weighbridge completion`: a real bash completes with it, and no shell finds an error in it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const has = (shell: string) => spawnSync(shell, ['--version']).status === 0;
const script = (shell: string) => weighbridge(['completion', shell]).stdout;

describe.skipIf(!has('bash'))('bash', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'completion.bash'), script('bash'));
  writeFileSync(join(folder, 'net.h5'), '');
  mkdirSync(join(folder, 'nets'));
  mkdirSync(join(folder, 'nets/inner'));
  writeFileSync(join(folder, 'nets/two words.h5'), '');

  /** What is offered for the last word. */
  function complete(...words: string[]): string[] {
    const line = `source ./completion.bash; COMP_WORDS=(weighbridge "$@"); COMP_CWORD=$#; _weighbridge; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', line, 'bash', ...words], { cwd: folder });
    expect(stderr.toString()).toBe('');
    return stdout.toString().split('\n').filter(Boolean).sort();
  }

  it.each([
    [['con'], ['convert']],
    [
      ['convert', 'net.h5', '--to', 'tf'],
      ['tfjs', 'tfjs-graph'],
    ],
    [
      ['convert', 'net.h5', '--to', '=', 'tf'],
      ['tfjs', 'tfjs-graph'],
    ],
    [['convert', 'net.h5', '--dtype', 'bf'], ['bfloat16']],
    [
      ['verify', 'a', 'b', '--engine', 'ort-w'],
      ['ort-wasm', 'ort-webgpu'],
    ],
    [
      ['convert', '--layout', 'n'],
      ['nchw', 'nhwc'],
    ],
    [
      ['inspect', '--wei'],
      ['--weights', '--weights-key'],
    ],
    [
      ['inspect', 'ne'],
      ['net.h5', 'nets'],
    ],
    [
      ['convert', 'net.h5', '-o', 'net'],
      ['net.h5', 'nets'],
    ],
    [['report', ''], ['merge']],
    [['-C', 'ne'], ['nets']],
    [['-C', 'nets', 'con'], ['convert']],
    [
      ['-C', 'nets', 'convert', '--layout', 'n'],
      ['nchw', 'nhwc'],
    ],
    [
      ['-C', 'nets', 'inspect', ''],
      ['inner/', 'two words.h5'],
    ],
    [['inspect', '-C', 'nets', 'tw'], ['two words.h5']],
    [['-C', 'nets', '-C', 'inner', 'inspect', ''], []],
    [['completion', 'b'], ['bash']],
    [['run', '--js'], ['--json']],
  ])('%j: %j', (words, offered) => {
    expect(complete(...words)).toEqual(offered);
  });
});

it.each(['zsh', 'fish', 'powershell'])('%s has every command and the values of --to', (shell) => {
  const text = script(shell);
  for (const word of ['convert', 'inspect', 'tfjs-graph', 'ort-wasm']) expect(text).toContain(word);
  const check = { zsh: ['zsh', '-n'], fish: ['fish', '-n'] }[shell];
  if (!check || !has(check[0]!)) return;
  // From a file: fish takes no pipe of Node's for a script.
  const file = join(temporaryFolder(), `weighbridge.${shell}`);
  writeFileSync(file, text);
  const { status, stderr } = spawnSync(check[0]!, [...check.slice(1), file]);
  expect([status, stderr.toString()]).toEqual([0, '']);
});

describe.skipIf(!has('fish'))('fish', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'weighbridge.fish'), script('fish'));
  writeFileSync(join(folder, 'net.h5'), '');
  mkdirSync(join(folder, 'nets/inner'), { recursive: true });
  writeFileSync(join(folder, 'nets/other.h5'), '');

  it.each([
    ['weighbridge con', ['convert']],
    ['weighbridge convert net.h5 --to tf', ['tfjs', 'tfjs-graph']],
    ['weighbridge inspect ne', ['net.h5', 'nets/']],
    ['weighbridge -C ne', ['nets/']],
    ['weighbridge -C nets con', ['convert']],
    ['weighbridge -C nets inspect ', ['inner/', 'other.h5']],
    ['weighbridge -C nets convert -o o', ['other.h5']],
  ])('%s', (line, offered) => {
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', 'source ./weighbridge.fish; complete -C $argv[1]', line], { cwd: folder });
    expect(stderr.toString()).toBe('');
    const words = stdout.toString().split('\n').filter(Boolean);
    expect(words.map((word) => word.split('\t')[0]).sort()).toEqual(offered);
  });
});

describe('powershell', () => {
  const text = script('powershell');

  it('has no key twice, whose letters it does not tell apart by their size', () => {
    for (const [, name, table] of text.matchAll(/^ {2}\$(\w+) = @\{\n(.*?)^ {2}\}$/gms)) {
      const keys = [...table!.matchAll(/^ {4}'([^']+)' = /gm)].map(([, key]) => key!.toLowerCase());
      expect([name, keys.length]).toEqual([name, new Set(keys).size]);
      expect(keys.length).toBeGreaterThan(0);
    }
  });

  const folder = temporaryFolder();
  writeFileSync(join(folder, 'weighbridge.ps1'), text);
  writeFileSync(join(folder, 'net.h5'), '');
  mkdirSync(join(folder, 'nets/inner'), { recursive: true });
  writeFileSync(join(folder, 'nets/two words.h5'), '');

  it.skipIf(!has('pwsh')).each([
    ['weighbridge con', ['convert']],
    ['weighbridge convert net.h5 --to tf', ['tfjs', 'tfjs-graph']],
    ['weighbridge -C ne', ['nets']],
    ['weighbridge -C nets con', ['convert']],
    ['weighbridge -C nets inspect ', ["'two words.h5'", 'inner']],
    ['weighbridge inspect -C nets tw', ["'two words.h5'"]],
    ['weighbridge completion b', ['bash']],
  ])('%s', (line, offered) => {
    const ask = '. ./weighbridge.ps1; (TabExpansion2 -inputScript $env:LINE -cursorColumn $env:LINE.Length).CompletionMatches.CompletionText';
    const { stdout } = spawnSync('pwsh', ['-NoProfile', '-NonInteractive', '-Command', ask], { cwd: folder, env: { ...process.env, LINE: line } });
    const words = stdout.toString().split(/\r?\n/).filter(Boolean);
    expect(words.sort()).toEqual(offered);
  });
});

/** Types each line in an interactive zsh, with a tab behind it, and tells what stands there then, and below it. */
const TYPE = `
zmodload zsh/zpty
zpty shell zsh -f -i
type_line() { zpty -w -n shell "$1"; while zpty -r -m shell seen "*$2*" 2>/dev/null; do [[ $seen == *$2* ]] && break; done; print -r -- $seen; }
type_line "PS1='> '; autoload -Uz compinit; compinit -u -D; weighbridge() { :; }; source ./completion.zsh; unsetopt beep; print re''ady"$'\n' ready >/dev/null
for line in "\${(@f)1}"; do zpty -w -n shell "$line"$'\t'; sleep 0.3; zpty -w -n shell $'\x15'; done
zpty -w shell 'print do''ne'
while zpty -r shell seen; do print -r -- $seen; [[ $seen == *done* ]] && break; done
`;

it.skipIf(!has('zsh'))('zsh completes files of the folder it is in, and of the one that -C names', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'completion.zsh'), script('zsh'));
  writeFileSync(join(folder, 'here.h5'), '');
  mkdirSync(join(folder, 'nets'));
  writeFileSync(join(folder, 'nets/other.h5'), '');
  const lines = ['weighbridge con', 'weighbridge inspect he', 'weighbridge -C ne', 'weighbridge -C nets inspect o', 'weighbridge convert x --to tfjs-g'];
  const { stdout } = spawnSync('zsh', ['-f', '-c', TYPE, 'zsh', lines.join('\n')], { cwd: folder, timeout: 20_000 });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal is told
  const shown = stdout.toString().replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, '');
  for (const line of ['weighbridge convert', 'inspect here.h5', '-C nets/', '-C nets inspect other.h5', '--to tfjs-graph']) expect(shown).toContain(line);
});

it('another shell is refused, and the document fits its schema', () => {
  expect(weighbridge(['completion', 'tcsh']).status).toBe(2);
  const validate = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/completion.schema.json'), 'utf8')));
  expect(validate(JSON.parse(weighbridge(['completion', 'fish', '--json']).stdout))).toBe(true);
});
