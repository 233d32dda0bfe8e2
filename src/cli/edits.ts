/** Options of commands that write a model: what changes on the way. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { GivenPreparation } from '../model/preparation.js';
import { parseNames, parsePreparation } from './options.js';

export interface EditFlags {
  readonly until?: string;
  readonly outputs?: readonly string[];
  readonly batch?: 'dynamic' | number;
  readonly foldBatchnorm?: boolean | 'any';
  readonly simplify?: boolean;
  readonly embedPreprocessing?: boolean;
  readonly preprocess?: GivenPreparation;
  readonly mean?: string;
  readonly inputs?: string;
}

export function addEditOptions(command: Command): Command {
  return command
    .optionsGroup('Changes on the way:')
    .addOption(new Option('--until <layer>', 'end the net behind this layer: what it makes becomes the output'))
    .addOption(new Option('--outputs <names>', 'end the net in these, layers or its own outputs, with commas between them').argParser(parseNames))
    .addOption(new Option('--batch <rows>', 'pictures that the net takes at a time: a number, or dynamic for any').argParser(parseBatch))
    .option('--fold-batchnorm', 'fold batch normalisation into the weights of the layer before it')
    .option('--simplify', 'ONNX to ONNX too: patterns that exporters write become the operators that they stand for, what does nothing is left out')
    .option('--no-simplify', 'leave the net as its exporter wrote it, also for another format')
    .option(
      '--embed-preprocessing',
      'have the net take pictures of 0 to 255, red first, and prepare them itself, as is known of the source or its architecture',
    )
    .addOption(
      new Option(
        '--mean <file>',
        'with either of them, or alone: a mean picture to take off, as Caffe does (.binaryproto, or .npy of channels x height x width)',
      ),
    )
    .addOption(
      new Option(
        '--preprocess <settings>',
        'the same with settings of your own: mean=..., scale=... or std=..., order=bgr, range=1, with commas between them; beside --inputs of pictures, how those are prepared, with resize=256 or stretch, filter=bicubic, antialias=no, crop=224, and the net stays as it is',
      ).argParser(parsePreparation),
    );
}

function parseBatch(text: string): 'dynamic' | number {
  const rows = Number(text);
  if (text === 'dynamic') return text;
  if (!Number.isInteger(rows) || rows < 1) throw new InvalidArgumentError('a whole number of rows is expected, or dynamic.');
  return rows;
}
