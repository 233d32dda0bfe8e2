/** Runs the built command in a process that stays, one command line after another: most of what a small one takes by itself is to load and to warm up. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('warm-command.mjs', import.meta.url));

export class WarmCommand {
  #child = null;
  #answer = null;

  /**
   * @param {{ args: readonly string[], cwd: string, env: Readonly<Record<string, string | undefined>> }} request env: all that the command is to see
   * @returns {Promise<{ status: number | null, signal: string | null, stdout: Uint8Array, stderr: Uint8Array }>} status null where the process was ended
   */
  run(request) {
    this.#child ??= this.#start();
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#child.send(request);
    });
  }

  end() {
    this.#child?.kill('SIGKILL');
  }

  #start() {
    const child = fork(COMMAND, { serialization: 'advanced', execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    const said = { stdout: [], stderr: [] };
    for (const [name, pieces] of Object.entries(said)) child[name].on('data', (piece) => pieces.push(piece));
    child.on('message', (found) => this.#answer?.({ ...found, signal: null }));
    // A command that brings its process down is answered with what it said last, and the next one has a new process.
    child.on('close', (status, signal) => {
      this.#child = null;
      this.#answer?.({ status, signal, stdout: Buffer.concat(said.stdout), stderr: Buffer.concat(said.stderr) });
    });
    return child;
  }
}
