/** What programs call of this room that has no file of its own for them: in their words. See `src/programs.ts`. */
import { checkOptions, forPrograms, type OptionNames } from '../spelling.js';
import { type FileSinkOptions, type NodeByteSink, fileSink as openSink } from './file-sink.js';

const SINK_NAMES: OptionNames<FileSinkOptions> = { force: true, keep: true, beside: true, provisional: true };

/**
 * A sink for the model at `outputPath`: a file, with companions beside it, or a folder. Names given to `create` are relative to
 * the folder that `outputPath` lies in; a format that is a folder puts the folder's name before each of its files. `-` is stdout,
 * which takes one file.
 *
 * @throws ModelError 'usage' when the output exists (without `force`), is a file of `keep`, is no file or folder, or its folder is missing or read-only
 */
export async function fileSink(outputPath: string, options: FileSinkOptions = {}): Promise<NodeByteSink> {
  return forPrograms({}, async () => {
    checkOptions(options, SINK_NAMES, 'fileSink');
    return openSink(outputPath, options);
  });
}
