/** Output to stdout, as it is made. */
import type { ByteSink } from '../bytes/byte-sink.js';
import { ModelError } from '../errors.js';
import { errorText } from './file-source.js';

/**
 * A sink of one file that streams to stdout. What is written cannot be taken back, so `abort` only ends it; the exit code tells a
 * reader that the output is not whole.
 *
 * @throws ModelError 'usage' when stdout is a terminal
 */
export function stdoutSink(): ByteSink {
  if (process.stdout.isTTY) throw new ModelError('usage', 'a model is not for the screen: send stdout to a file or a program.', { file: '-' });
  let created: { name: string; byteLength: number } | null = null;
  return {
    async create(name) {
      if (created) throw new ModelError('usage', `stdout takes one file, but this output has several ("${created.name}", "${name}"). Write to a path instead.`);
      const file = { name, byteLength: 0 };
      created = file;
      return {
        name,
        get position() {
          return file.byteLength;
        },
        async write(bytes) {
          await writeToStdout(bytes);
          file.byteLength += bytes.byteLength;
        },
        async close() {},
      };
    },
    commit: async () => (created ? [created] : []),
    async abort() {},
  };
}

/** Resolves when the bytes have left the process, so the buffer may be reused. */
function writeToStdout(bytes: Uint8Array): Promise<void> {
  return new Promise((fulfil, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(new ModelError('usage', `could not be written: ${errorText(error)}`, { file: 'stdout' }, error));
      else fulfil();
    });
  });
}
