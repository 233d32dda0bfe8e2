/** `weighbridge completion`: a script that has a shell complete commands, options and their values, made from the commands themselves. */
import { Argument, type Command, type Option } from 'commander';
import { ModelError } from '../../errors.js';
import { readers } from '../../readers/index.js';
import { engines } from '../../verify/engines/index.js';
import { writers } from '../../writers/index.js';
import { addCommand, makeProgram } from '../command-line.js';
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

/** The option of every command that says where to start. */
const FOLDER = '-C';

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
  const program = makeProgram();
  for (const command of commands) await addCommand(program, command);
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: command
      .createHelp()
      .visibleOptions(command)
      .map((option) => ({
        flags: [option.long, option.short].filter((flag) => flag != null),
        description: option.description,
        takesValue: option.required || option.optional,
        values: valuesOf(option),
      })),
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
      'COMPREPLY=()',
      `cur="\${COMP_WORDS[COMP_CWORD]}"`,
      `prev="\${COMP_WORDS[COMP_CWORD-1]}"`,
      `if [[ $cur == = ]]; then cur=""; elif [[ $prev == = ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi`,
    ],
    start: '.',
    words: { list: 'COMP_WORDS', first: '1', current: 'COMP_CWORD' },
    reply: (words) => `COMPREPLY=($(compgen -W ${quoted(words.join(' '))} -- "$cur"))`,
    files: '_weighbridge_paths -f',
    folders: '_weighbridge_paths -d',
    tail: [
      // Of names below another folder the shell cannot see which are folders themselves.
      '_weighbridge_paths() {',
      '  local name',
      '  while IFS= read -r name; do',
      '    if [[ $dir != . && -d $dir/$name ]]; then name="$name/"; compopt -o nospace 2>/dev/null; fi',
      '    COMPREPLY+=("$name")',
      '  done < <(CDPATH= cd -- "$dir" 2>/dev/null && compgen "$1" -- "$cur")',
      '}',
      'complete -o filenames -o bashdefault -F _weighbridge weighbridge',
    ],
  });
}

function zsh(all: readonly Completed[]): string {
  return `#compdef weighbridge\n${posix(all, {
    head: [`cur="\${words[CURRENT]}"`, `prev="\${words[CURRENT-1]}"`],
    // `_files` takes what is not absolute for something below the root.
    start: '$PWD',
    words: { list: 'words', first: '2', current: 'CURRENT' },
    reply: (words) => `compadd -- ${words.map(quoted).join(' ')}`,
    files: '_files -W "$dir"',
    folders: '_files -/ -W "$dir"',
    tail: ['compdef _weighbridge weighbridge'],
  })}`;
}

interface Posix {
  /** Sets `cur` and `prev`. */
  readonly head: readonly string[];
  /** The folder that the command is in. */
  readonly start: string;
  /** The array of the line's words, and where in it the first one behind the command's own name and the one to complete are. */
  readonly words: { readonly list: string; readonly first: string; readonly current: string };
  readonly reply: (words: readonly string[]) => string;
  /** What there is below `$dir`. */
  readonly files: string;
  readonly folders: string;
  readonly tail: readonly string[];
}

function posix(all: readonly Completed[], { head, start, words: { list, first, current }, reply, files, folders, tail }: Posix): string {
  const lines = [
    '_weighbridge() {',
    `  local cur prev command="" dir=${start} folder i`,
    ...head.map((line) => `  ${line}`),
    `  for (( i = ${first}; i < ${current}; i++ )); do`,
    `    if [[ "\${${list}[i]}" == ${FOLDER} ]]; then`,
    `      if (( i + 1 < ${current} )); then`,
    `        (( i += 1 )); folder="\${${list}[i]}"; folder="\${folder/#\\~\\//$HOME/}"`,
    '        if [[ $folder == /* ]]; then dir=$folder; else dir=$dir/$folder; fi',
    '      fi',
    `    elif [[ -z $command ]]; then command="\${${list}[i]}"`,
    '    fi',
    '  done',
    `  if [[ $prev == ${FOLDER} ]]; then ${folders}; return; fi`,
    `  if [[ -z $command ]]; then ${reply([...all.map(({ name }) => name), '--help', '--version', FOLDER])}; return; fi`,
    '  case "$command:$prev" in',
  ];
  for (const { name, options } of all) {
    for (const { flags, takesValue, values } of options) {
      if (!takesValue || flags.includes(FOLDER)) continue;
      const patterns = flags.map((flag) => `${name}:${flag}`).join('|');
      lines.push(`    ${patterns}) ${values.length > 0 ? reply(values) : files}; return;;`);
    }
  }
  lines.push('  esac', '  if [[ $cur == -* ]]; then', '    case "$command" in');
  for (const { name, options } of all) lines.push(`      ${name}) ${reply(options.map(({ flags }) => flags[0]!))}; return;;`);
  lines.push('    esac', '  fi', '  case "$command" in');
  for (const { name, words } of all) if (words.length > 0) lines.push(`    ${name}) ${reply(words)}; return;;`);
  lines.push('  esac', `  ${files}`, '}', ...tail, '');
  return lines.join('\n');
}

/** What fish lacks: which word is the command, and files of another folder. */
const FISH_HEAD = `
function __weighbridge_words
    set -l dir .
    set -l command
    set -l words (commandline -opc)
    set -e words[1]
    while test (count $words) -gt 0
        if test "$words[1]" = ${FOLDER}
            set -q words[2]; or break
            string match -q '/*' -- $words[2]; and set dir $words[2]; or set dir $dir/(string replace -r '^~/' "$HOME/" -- $words[2])
            set -e words[1]
        else
            set -q command[1]; or set command $words[1]
        end
        set -e words[1]
    end
    echo $dir
    set -q command[1]; and echo $command
end

function __weighbridge_needs_command
    test (count (__weighbridge_words)) -lt 2
end

function __weighbridge_files
    set -l dir (__weighbridge_words)[1]
    set -l token (commandline -ct)
    if test $dir = .; or string match -q '/*' -- $token
        __fish_complete_path $token
        return
    end
    for path in $dir/$token*
        test -d $path; and set path $path/
        string replace -- "$dir/" '' $path
    end
end
`.trimStart();

function fish(all: readonly Completed[]): string {
  const text = (words: string) => quoted(words.replace(/[^\x20-\x7e]/g, '').replaceAll('\\', '')).replaceAll("'\\''", "\\'");
  const files = "-a '(__weighbridge_files)'";
  const lines = all.map(({ name, description }) => `complete -c weighbridge -n __weighbridge_needs_command -f -a ${name} -d ${text(description)}`);
  lines.push(`complete -c weighbridge -s C -x -a '(__fish_complete_directories)' -d ${text('run as if started in this folder')}`);
  lines.push(`complete -c weighbridge -n 'not __weighbridge_needs_command' -f ${files}`);
  for (const { name, options, words } of all) {
    const when = `-n '__fish_seen_subcommand_from ${name}'`;
    if (words.length > 0) lines.push(`complete -c weighbridge ${when} -f -a ${text(words.join(' '))}`);
    for (const { flags, description, takesValue, values } of options) {
      if (flags.includes(FOLDER)) continue;
      const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)).join(' ');
      const value = values.length > 0 ? ` -x -a ${text(values.join(' '))}` : takesValue ? ` -x ${files}` : '';
      lines.push(`complete -c weighbridge ${when} ${names}${value} -d ${text(description)}`);
    }
  }
  return `${FISH_HEAD}\n${lines.join('\n')}\n`;
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
  $typed = @($commandAst.CommandElements | ForEach-Object {
    if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { $_.ToString() }
  })
  if ($wordToComplete -ne '') { $typed = @($typed | Select-Object -SkipLast 1) }
  $word = $wordToComplete -replace '^[''"]|[''"]$', ''
  $dir = ''
  $command = ''
  for ($i = 1; $i -lt $typed.Count; $i++) {
    if ($typed[$i] -cne '${FOLDER}') { if ($command -eq '') { $command = $typed[$i] } }
    elseif ($i + 1 -lt $typed.Count) {
      $i++
      $dir = [System.IO.Path]::Combine($dir, ($typed[$i] -replace '^~(?=$|[\\\\/])', $HOME))
    }
  }
  $wantsFolder = $typed[-1] -ceq '${FOLDER}'
  $found = if ($wantsFolder) { }
    elseif ($command -eq '') { ${list([...all.map(({ name }) => name), '--help', '--version', FOLDER])} }
    elseif ($values.ContainsKey("$command $($typed[-1])")) { $values["$command $($typed[-1])"] }
    elseif ($word.StartsWith('-')) { $options[$command] }
    else { $words[$command] }
  $found = @($found | Where-Object { $_ -and $_.StartsWith($word, 'OrdinalIgnoreCase') })
  $found | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
  # What is in this folder PowerShell offers by itself where nothing else was.
  if ($found.Count -gt 0 -or ($dir -eq '' -and -not $wantsFolder)) { return }
  $head = $word.Substring(0, $word.LastIndexOfAny([char[]]'/\\') + 1)
  $name = $word.Substring($head.Length)
  $at = [System.IO.Path]::Combine($dir, $head)
  if ($at -eq '') { $at = '.' }
  Get-ChildItem -LiteralPath $at -ErrorAction SilentlyContinue |
    Where-Object { ($_.PSIsContainer -or -not $wantsFolder) -and $_.Name.StartsWith($name, 'OrdinalIgnoreCase') } |
    ForEach-Object {
      $path = $head + $_.Name
      $text = if ($path -match '[^\\w./\\\\:~+-]') { "'" + $path.Replace("'", "''") + "'" } else { $path }
      $kind = if ($_.PSIsContainer) { 'ProviderContainer' } else { 'ProviderItem' }
      [System.Management.Automation.CompletionResult]::new($text, $_.Name, $kind, $_.FullName)
    }
}
`;
}
