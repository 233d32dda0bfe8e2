/** Options as they stood on a command line, for a process that is to be given the same. */
import type { Command, Option } from 'commander';

/**
 * Listens while a command line is parsed; to be called when the command has all of its own options.
 *
 * @param except names of options (without dashes) that the other process is not given
 * @returns what was given, one argument an option: '--dtype=float16', '--force'
 */
export function recordOptions(command: Command, except: readonly string[]): () => readonly string[] {
  const given: string[] = [];
  for (const option of command.options) {
    if (except.includes(option.name())) continue;
    command.on(`option:${option.name()}`, (value?: string) => void given.push(argumentOf(option, value)));
  }
  return () => given;
}

/** With its value behind an equals sign, so that a value may begin with a dash. */
export function argumentOf(option: Option, value?: string): string {
  const flag = option.long ?? option.short!;
  return value === undefined ? flag : `${flag}=${value}`;
}
