/** Arguments in, exit code out: 0 done or equal, 1 compared and different, 2 could not, 128 and the signal's number when ended. */
import { CommanderError } from 'commander';
import { isModelError } from '../errors.js';
import { addCommand, makeProgram } from './command-line.js';
import { commands } from './commands/index.js';
import { errColour, makeVoice, safeText } from './print.js';
import { usageWords } from './usage-words.js';

const COULD_NOT = 2;
/** Ctrl-C, `kill` and a closed terminal, by their numbers; a shell adds 128. */
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** Does what the arguments of the process say, and ends it. */
export async function run(): Promise<never> {
  let isStdoutBroken = false;
  // What some tools call it.
  if (process.argv[2] === 'version' && process.argv.length === 3) process.argv[2] = '--version';

  const program = makeProgram()
    .showSuggestionAfterError()
    .showHelpAfterError('(--help tells what it takes)')
    .exitOverride()
    .configureOutput({
      writeErr: (text) => void process.stderr.write(text),
      outputError: (text) => makeVoice({}).fail(usageWords(text)),
    });
  // The named command alone where there is one, because loading them all takes longer than looking into a file.
  const word = firstWord(process.argv.slice(2));
  const named = commands.filter(({ name }) => name === word);
  for (const command of named.length > 0 ? named : commands) (await addCommand(program, command)).exitOverride();

  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.on(signal, async () => {
      const { abortAll } = await import('../node/file-sink.js');
      for (const { output, replaces } of await abortAll()) {
        const before = replaces ? '; what was there before is there again' : '';
        process.stderr.write(`${safeText(output)} was removed, because it was not verified yet${before}\n`);
      }
      // Nobody who pressed Ctrl-C is left to guess whether it was heard.
      process.stderr.write(number === SIGNALS.SIGINT ? 'interrupted\n' : 'ended from outside\n');
      process.exit(128 + number);
    });
  }

  // A reader of our output that went away (`weighbridge verify a b | head`) is no error: the work goes on, and the exit code is that of what came
  // of it. A full disk is an error, and is told once.
  process.stdout.on('error', async (error: NodeJS.ErrnoException) => {
    if (isStdoutBroken || error.code === 'EPIPE') return;
    isStdoutBroken = true;
    makeVoice({}).fail(`stdout: could not be written: ${error.message}`);
    const { abortAll } = await import('../node/file-sink.js');
    await abortAll();
    process.exit(COULD_NOT);
  });
  // Where this cannot be written nobody can be told; the exit code still tells.
  process.stderr.on('error', () => {});

  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = isStdoutBroken ? COULD_NOT : report(error);
  }
  // Runtimes leave worker threads behind that would keep the process alive.
  await flushed(process.stdout);
  await flushed(process.stderr);
  process.exit(isStdoutBroken ? COULD_NOT : (process.exitCode ?? 0));
}

/** What stands behind the folders to start in. */
function firstWord(words: readonly string[]): string | undefined {
  let at = 0;
  while (words[at]?.startsWith('-C')) at += words[at] === '-C' ? 2 : 1;
  return words[at];
}

function report(error: unknown): number {
  const tellJson = (kind: string, message: string, place: object) => {
    if (process.argv.includes('--json')) makeVoice({}).json({ schema: 'weighbridge/error@1', error: { kind, message, place } });
  };
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    tellJson('usage', usageWords(error.message), {});
    return COULD_NOT;
  }
  const verbose = process.argv.includes('--verbose') || process.argv.includes('-v');
  if (isModelError(error)) {
    tellJson(error.kind, error.message, error.place);
    makeVoice({}).fail(error.message);
    if (verbose) process.stderr.write(`${safeText(String(error.stack))}\n`);
    return COULD_NOT;
  }
  if (isSystemError(error)) {
    tellJson('usage', error.message, {});
    makeVoice({}).fail(error.message);
    if (verbose) process.stderr.write(`${safeText(String(error.stack))}\n`);
    return COULD_NOT;
  }
  process.stderr.write(`${errColour.red('bug')}  Weighbridge failed in a way it should not. Please report this, with the file if you can:\n`);
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return COULD_NOT;
}

/** What the system refused (no space, no permission, no such folder) is no mistake of this program, wherever it was asked. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()));
}
