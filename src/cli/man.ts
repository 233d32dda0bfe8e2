/**
 * Manual pages of the program and of each command, `weighbridge-convert.1` as git has them, from what `--help` is made of. The build writes them
 * beside the command, and package.json names them for npm, which puts them where `man` looks.
 *
 * @see man 7 man: the macros that both groff and mandoc know
 */
import type { Command } from 'commander';
import { VERSION } from '../version.js';
import { addCommand, makeProgram } from './command-line.js';
import { commands } from './commands/index.js';
import { HELP_ENDS, PROGRAM_ENDS, PROGRAM_NAME, PROGRAM_VARIABLES } from './examples.js';

/** The pages by file name. */
export async function manualPages(): Promise<ReadonlyMap<string, string>> {
  const program = makeProgram();
  for (const command of commands) await addCommand(program, command);
  const pages = new Map([[`${PROGRAM_NAME}.1`, page(PROGRAM_NAME, program)]]);
  const add = (command: Command, above: string) => {
    const name = `${above}-${command.name()}`;
    pages.set(`${name}.1`, page(name, command));
    for (const inner of command.commands) add(inner, name);
  };
  for (const command of program.commands) add(command, PROGRAM_NAME);
  return pages;
}

function page(name: string, command: Command): string {
  const help = command.createHelp();
  const isProgram = name === PROGRAM_NAME;
  const { examples, exits = [] } = isProgram ? PROGRAM_ENDS : (HELP_ENDS[name.slice(PROGRAM_NAME.length + 1)] ?? { examples: [] });
  const [, called, rest] = /^([a-z ]+)(.*)$/.exec(help.commandUsage(command))!;
  const groups = help.groupItems([...command.options], help.visibleOptions(command), ({ helpGroupHeading }) => helpGroupHeading ?? 'Options:');
  const lines = [
    `.TH ${name.toUpperCase()} 1 "" "${PROGRAM_NAME} ${VERSION}"`,
    // No word is parted or stretched: most of them are names to copy.
    '.nh',
    '.ad l',
    '.SH NAME',
    // One line, which `whatis` and `apropos` show.
    `${plain(name)} \\- ${plain(command.description())}`,
    '.SH SYNOPSIS',
    `${bold(called!.trim())} ${plain(rest!)}`,
    ...section(
      'Arguments',
      help.visibleArguments(command).map((argument) => entry(bold(help.argumentTerm(argument)), help.argumentDescription(argument))),
    ),
    ...[...groups].flatMap(([title, options]) =>
      section(
        title,
        options.map((option) => entry(bold(help.optionTerm(option)), help.optionDescription(option))),
      ),
    ),
    ...section(
      'Commands',
      command.commands.map((inner) => entry(`${bold(`${name}-${inner.name()}`)}(1)`, inner.description())),
    ),
    ...section(
      'Examples',
      examples.map(([typed, what]) => entry(bold(`${PROGRAM_NAME} ${typed}`), what)),
    ),
    ...section(
      'Exit status',
      exits.map((exit) => /^(\d+) (.*)$/.exec(exit) ?? ['', '', exit]).map(([, code, meaning]) => (code ? entry(bold(code), meaning!) : plain(meaning!))),
    ),
    ...section('Environment', isProgram ? PROGRAM_VARIABLES.map(([variable, meaning]) => entry(bold(variable), meaning)) : []),
    ...section('See also', isProgram ? [] : [`${bold(PROGRAM_NAME)}(1)`]),
  ];
  return `${lines.join('\n')}\n`;
}

function section(title: string, entries: readonly string[]): readonly string[] {
  return entries.length > 0 ? [`.SH ${title.replace(/:$/, '').toUpperCase()}`, ...entries] : [];
}

function entry(term: string, text: string): string {
  return `.TP\n${term}\n${plain(text)}`;
}

function bold(text: string): string {
  return `\\fB${plain(text)}\\fR`;
}

/** Text in which nothing is a macro or an escape, and a hyphen is what a shell takes for one when it is copied. */
function plain(text: string): string {
  if (/[^\x20-\x7e]/.test(text)) throw new Error(`a manual page has letters that not every terminal does: ${text}`);
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/, '\\&$&');
}
