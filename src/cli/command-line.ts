/** What can be typed: the program with its commands, for who parses a line, completes one, or prints what there is. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { VERSION } from '../version.js';
import type { CommandEntry } from './commands/index.js';
import { helpEnd, PROGRAM_END, PROGRAM_NAME } from './examples.js';

export function makeProgram(): Command {
  return new Command(PROGRAM_NAME)
    .description('Moves pretrained network weights between frameworks, makes them smaller, and proves that the result still predicts the same.')
    .version(VERSION)
    .addOption(folderOption())
    .addHelpText('after', PROGRAM_END);
}

export async function addCommand(program: Command, { name, load }: CommandEntry): Promise<Command> {
  const register = await load();
  return register(program)
    .addHelpText('after', helpEnd(name))
    .optionsGroup('General:')
    .addOption(folderOption())
    .addOption(new Option('--json', 'print one JSON document on stdout'))
    .addOption(new Option('-q, --quiet', 'no narration on stderr'))
    .addOption(new Option('-v, --verbose', 'more narration; stack traces'));
}

/** Taken by the program wherever it stands, before a command looks at its own part of the line; a second one starts from the first, as in git and make. */
function folderOption(): Option {
  return new Option('-C <dir>', 'run as if started in this folder').argParser((folder: string) => {
    try {
      process.chdir(folder);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = { ENOENT: 'there is no such folder', ENOTDIR: 'this is a file', EACCES: 'this folder is not yours to enter' }[code ?? ''];
      throw new InvalidArgumentError(`${why ?? message}.`);
    }
    return folder;
  });
}
