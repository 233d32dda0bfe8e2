/** `weighbridge completion`: a script that has a shell complete commands, options and their values, made from the commands themselves. */
import { Argument, Command, type Option } from 'commander';
import { ModelError } from '../../errors.js';
import { readers } from '../../readers/index.js';
import { engines } from '../../verify/engines/index.js';
import { writers } from '../../writers/index.js';
import type { CommonFlags } from '../options.js';
import { makeVoice } from '../print.js';
import { commands } from './index.js';

/** A command with what can stand behind it. */
interface Completed {
  readonly name: string;
  readonly description: string;
  readonly options: readonly {
    readonly flags: readonly string[];
    readonly description: string;
    readonly takesValue: boolean;
    readonly values: readonly string[];
  }[];
  /** Words that may follow it: subcommands, or the choices of an argument. */
  readonly words: readonly string[];
}

const SHELLS: Readonly<Record<string, (commands: readonly Completed[]) => string>> = { bash, zsh, fish, powershell };
const INSTALL: Readonly<Record<string, string>> = {
  bash: 'source <(weighbridge completion bash)   in ~/.bashrc',
  zsh: 'source <(weighbridge completion zsh)   in ~/.zshrc, behind compinit',
  fish: 'weighbridge completion fish > ~/.config/fish/completions/weighbridge.fish',
  powershell: 'weighbridge completion powershell | Out-String | Invoke-Expression   in $PROFILE',
};

export function registerCompletion(program: Command): Command {
  return program
    .command('completion')
    .addArgument(new Argument('[shell]', 'shell that is to complete').choices(Object.keys(SHELLS)))
    .description('print a script with which a shell completes commands, options and values')
    .addHelpText('after', `\n${Object.values(INSTALL).join('\n')}`)
    .action(async (shell: string | undefined, flags: CommonFlags) => {
      if (shell === undefined) {
        const lines = Object.values(INSTALL).map((line) => `\n  ${line}`);
        throw new ModelError('usage', `for which shell? ${Object.keys(SHELLS).join(', ')} are known:${lines.join('')}`);
      }
      const script = SHELLS[shell]!(await describeCommands());
      const voice = makeVoice(flags);
      if (voice.asJson) voice.json({ schema: 'weighbridge/completion@1', shell, script });
      else process.stdout.write(script);
      // Sourced at the start of every shell it has nothing to say.
      if (process.stdout.isTTY) voice.tell(`next     ${INSTALL[shell]}`);
    });
}

/** Options whose values are listed elsewhere than in themselves. */
function valuesOf(option: Option): readonly string[] {
  if (option.argChoices) return option.argChoices;
  const name = option.name();
  if (name === 'to') return writers.map((writer) => writer.name);
  if (name === 'dtype') return [...new Set(writers.flatMap(({ dtypes, packed = [] }) => [...dtypes, ...packed]))];
  if (name === 'from' || name === 'other-from') return readers.map((reader) => reader.name);
  return name === 'engine' ? engines.map((engine) => engine.name) : [];
}

async function describeCommands(): Promise<readonly Completed[]> {
  const program = new Command('weighbridge');
  for (const { load } of commands) (await load())(program);
  const common = [
    { flags: ['--json'], description: 'print one JSON document on stdout', takesValue: false, values: [] },
    { flags: ['--quiet', '-q'], description: 'no narration on stderr', takesValue: false, values: [] },
    { flags: ['--verbose', '-v'], description: 'more narration; stack traces', takesValue: false, values: [] },
    { flags: ['--help', '-h'], description: 'display help for command', takesValue: false, values: [] },
  ];
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: [
      ...command.options.map((option) => ({
        flags: [option.long, option.short].filter((flag) => flag != null),
        description: option.description,
        takesValue: option.required || option.optional,
        values: valuesOf(option),
      })),
      ...common,
    ],
    words: [...command.commands.map((sub) => sub.name()), ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])],
  }));
}

/** Words stand in single quotes, in which no shell looks for anything. */
function quoted(text: string): string {
  if (/[^\x20-\x7e]/.test(text)) throw new ModelError('usage', 'a word that completes has letters that a shell would not take');
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function bash(all: readonly Completed[]): string {
  return posix(all, {
    // The shell asks with a word in which colons and equals signs have been taken apart.
    head: [
      'local cur prev command',
      'COMPREPLY=()',
      `cur="\${COMP_WORDS[COMP_CWORD]}"`,
      `prev="\${COMP_WORDS[COMP_CWORD-1]}"`,
      `if [[ $cur == = ]]; then cur=""; elif [[ $prev == = ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi`,
      `command="\${COMP_WORDS[1]}"`,
    ].join('\n  '),
    isFirst: '$COMP_CWORD -eq 1',
    reply: (words) => `COMPREPLY=($(compgen -W ${quoted(words.join(' '))} -- "$cur"))`,
    files: 'COMPREPLY=($(compgen -f -- "$cur"))',
    tail: 'complete -o filenames -o bashdefault -F _weighbridge weighbridge\n',
  });
}

function zsh(all: readonly Completed[]): string {
  return `#compdef weighbridge\n${posix(all, {
    head: ['local cur prev command', `cur="\${words[CURRENT]}"`, `prev="\${words[CURRENT-1]}"`, `command="\${words[2]}"`].join('\n  '),
    isFirst: '$CURRENT -eq 2',
    reply: (words) => `compadd -- ${words.map(quoted).join(' ')}`,
    files: '_files',
    tail: 'compdef _weighbridge weighbridge\n',
  })}`;
}

interface Posix {
  readonly head: string;
  readonly isFirst: string;
  readonly reply: (words: readonly string[]) => string;
  readonly files: string;
  readonly tail: string;
}

function posix(all: readonly Completed[], { head, isFirst, reply, files, tail }: Posix): string {
  const lines = [
    '_weighbridge() {',
    `  ${head}`,
    `  if [[ ${isFirst} ]]; then ${reply([...all.map(({ name }) => name), '--help', '--version'])}; return; fi`,
    '  case "$command:$prev" in',
  ];
  for (const { name, options } of all) {
    for (const { flags, takesValue, values } of options) {
      if (!takesValue) continue;
      const patterns = flags.map((flag) => `${name}:${flag}`).join('|');
      lines.push(`    ${patterns}) ${values.length > 0 ? reply(values) : files}; return;;`);
    }
  }
  lines.push('  esac', '  if [[ $cur == -* ]]; then', '    case "$command" in');
  for (const { name, options } of all) lines.push(`      ${name}) ${reply(options.map(({ flags }) => flags[0]!))}; return;;`);
  lines.push('    esac', '  fi', '  case "$command" in');
  for (const { name, words } of all) if (words.length > 0) lines.push(`    ${name}) ${reply(words)}; return;;`);
  lines.push('  esac', `  ${files}`, '}', tail);
  return lines.join('\n');
}

function fish(all: readonly Completed[]): string {
  const text = (words: string) => quoted(words.replace(/[^\x20-\x7e]/g, '').replaceAll('\\', '')).replaceAll("'\\''", "\\'");
  const lines = all.map(({ name, description }) => `complete -c weighbridge -n __fish_use_subcommand -f -a ${name} -d ${text(description)}`);
  for (const { name, options, words } of all) {
    const when = `-n '__fish_seen_subcommand_from ${name}'`;
    if (words.length > 0) lines.push(`complete -c weighbridge ${when} -f -a ${text(words.join(' '))}`);
    for (const { flags, description, takesValue, values } of options) {
      const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ');
      const value = values.length > 0 ? ` -x -a ${text(values.join(' '))}` : takesValue ? ' -r' : '';
      lines.push(`complete -c weighbridge ${when} ${names}${value} -d ${text(description)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function powershell(all: readonly Completed[]): string {
  const list = (words: readonly string[]) => `@(${words.map((word) => `'${word.replaceAll("'", "''")}'`).join(', ')})`;
  const table = (entries: readonly (readonly [string, readonly string[]])[]) => entries.map(([key, words]) => `    '${key}' = ${list(words)}`).join('\n');
  const values = all.flatMap(({ name, options }) =>
    options.flatMap((option) => (option.values.length > 0 ? option.flags.map((flag) => [`${name} ${flag}`, option.values] as const) : [])),
  );
  return `Register-ArgumentCompleter -Native -CommandName weighbridge -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $options = @{
${table(all.map(({ name, options }) => [name, options.map(({ flags }) => flags[0]!)]))}
  }
  $values = @{
${table(values)}
  }
  $words = @{
${table(all.flatMap(({ name, words }) => (words.length > 0 ? [[name, words] as const] : [])))}
  }
  $typed = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
  if ($wordToComplete -ne '') { $typed = @($typed | Select-Object -SkipLast 1) }
  $command = if ($typed.Count -gt 1) { $typed[1] } else { '' }
  $found = if ($command -eq '') { ${list(all.map(({ name }) => name))} }
    elseif ($values.ContainsKey("$command $($typed[-1])")) { $values["$command $($typed[-1])"] }
    elseif ($wordToComplete.StartsWith('-')) { $options[$command] }
    else { $words[$command] }
  $found | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
}
`;
}
