/** `weighbridge golden`: a script that records, in the source framework, what `verify --golden` compares with. */
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { ModelError } from '../../errors.js';
import type { Dim } from '../../model/layer-map.js';
import { fileSink } from '../../node/file-sink.js';
import { goldenScripts } from '../golden/index.js';
import { type CommonFlags, parseShape, parseWhole } from '../options.js';
import { makeVoice } from '../print.js';

interface GoldenFlags extends CommonFlags {
  readonly framework: string;
  readonly inputShape?: readonly Dim[];
  readonly samples: number;
  readonly seed: number;
  readonly layers?: boolean;
  readonly output?: string;
  readonly force?: boolean;
}

const DEFAULT_SAMPLES = 4;

export function registerGolden(program: Command): Command {
  return program
    .command('golden')
    .description('print a Python script that records inputs and outputs in the source framework, for verify --golden')
    .addOption(
      new Option('--framework <name>', 'framework that the model comes from').choices(goldenScripts.map(({ framework }) => framework)).makeOptionMandatory(),
    )
    .addOption(new Option('--input-shape <sizes>', "input shape with its batch, in the framework's own layout, such as 1,3,224,224").argParser(parseShape))
    .addOption(new Option('--samples <count>', 'how many inputs to record').argParser(parseWhole).default(DEFAULT_SAMPLES))
    .addOption(new Option('--seed <number>', 'seed of the inputs').argParser(parseWhole).default(0))
    .option('--layers', 'record what each layer makes, too')
    .option('-o, --output <file>', 'write the script to a file instead of stdout')
    .option('--force', 'overwrite an existing file')
    .action(async (flags: GoldenFlags) => {
      const voice = makeVoice(flags);
      const document = writeGolden(flags);
      if (flags.output !== undefined && flags.output !== '-') {
        const sink = await fileSink(flags.output, { force: flags.force });
        const file = await sink.create(basename(flags.output));
        await file.write(new TextEncoder().encode(document.script));
        await file.close();
        await sink.commit();
        voice.tell(`wrote    ${flags.output}   its first lines say how to run it`);
      }
      if (voice.asJson) voice.json(document);
      else if (flags.output === undefined || flags.output === '-') process.stdout.write(document.script);
      voice.next(['verify', 'model', 'model.onnx', '--golden', 'recorded.npz'], 'compares with what the script recorded');
    });
}

function writeGolden({ framework, inputShape, samples, seed, layers = false }: GoldenFlags) {
  const { needsShape, write } = goldenScripts.find((candidate) => candidate.framework === framework)!;
  if (needsShape && inputShape === undefined) {
    throw new ModelError('usage', `a ${framework} model does not say what it takes: give --input-shape, such as 1,3,224,224.`);
  }
  if (samples < 1) throw new ModelError('usage', 'at least one sample is needed.');
  const shape = inputShape?.slice(1) ?? null;
  if (shape?.length === 0 || !shape?.every((size): size is number => typeof size === 'number')) {
    if (shape !== null) throw new ModelError('usage', 'every size behind the batch has to be a number, such as 1,3,224,224.');
  }
  return { schema: 'weighbridge/golden@1' as const, framework, script: write({ shape: shape as readonly number[] | null, samples, seed, layers }) };
}
