/** `weighbridge golden`: a script that records, in the source framework, what `verify --golden` compares with. */
import { type Command, Option } from 'commander';
import { ModelError } from '../../errors.js';
import type { ModelDocument } from '../../inspect.js';
import type { Dim } from '../../model/layer-map.js';
import { fileSink } from '../../node/file-sink.js';
import { inspectPath } from '../../node/inspect-file.js';
import { frameworkOf } from '../golden/frameworks.js';
import { goldenScripts } from '../golden/index.js';
import { type CommonFlags, parseShape, parseWhole } from '../options.js';
import { makeVoice } from '../print.js';
import { shellWords } from '../shell-words.js';
import { type Replacing, writeText } from '../text-file.js';

interface GoldenFlags extends CommonFlags {
  readonly framework?: string;
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
    .command('golden [model]')
    .description('print a Python script that records inputs and outputs in the source framework, for verify --golden')
    .addOption(
      new Option('--framework <name>', 'framework that the model comes from; of a model that is named, its format says it').choices(
        goldenScripts.map(({ framework }) => framework),
      ),
    )
    .addOption(new Option('--input-shape <sizes>', "input shape with its batch, in the framework's own layout, such as 1,3,224,224").argParser(parseShape))
    .addOption(new Option('--samples <count>', 'how many inputs to record').argParser(parseWhole).default(DEFAULT_SAMPLES))
    .addOption(new Option('--seed <number>', 'seed of the inputs').argParser(parseWhole).default(0))
    .option('--layers', 'record what each layer makes, too')
    .option('-o, --output <file>', 'write the script to a file instead of stdout')
    .option('--force', 'overwrite an existing file')
    .action(async (model: string | undefined, flags: GoldenFlags) => {
      const voice = makeVoice(flags);
      const { document, run } = writeGolden(flags, model === undefined ? null : await inspectPath(model, {}), model);
      if (flags.output !== undefined && flags.output !== '-') {
        if (!flags.force) await (await fileSink(flags.output)).abort();
        await writeText(flags.output, document.script, { keep: model === undefined ? [] : [model], earlier: SCRIPT });
        voice.tell(`wrote    ${flags.output}   its first lines say how to run it`);
      }
      if (voice.asJson) voice.json(document);
      else if (flags.output === undefined || flags.output === '-') process.stdout.write(document.script);
      if (run !== null) voice.tell(`run      python ${flags.output ?? 'record.py'} ${run}`);
      voice.next(['verify', model ?? 'model', 'model.onnx', '--golden', 'recorded.npz'], 'compares with what the script recorded');
    });
}

/** Whatever begins otherwise is somebody's: the model, or what lies beside it. */
const SCRIPT: Replacing['earlier'] = { begins: /^#!\/usr\/bin\/env python3/, what: 'script that records' };

/** Of one input without its batch, where the model has one and says all of its sizes. */
function shapeOf({ inputs: [input, ...more] }: ModelDocument): readonly number[] | null {
  const sizes = input?.shape.slice(1) ?? [];
  return more.length === 0 && sizes.length > 0 && sizes.every((size): size is number => typeof size === 'number') ? sizes : null;
}

function writeGolden({ framework: asked, inputShape, samples, seed, layers = false }: GoldenFlags, model: ModelDocument | null, path = 'model') {
  const framework = asked ?? (model ? frameworkOf(model.format) : undefined);
  if (framework === undefined) {
    const known = goldenScripts.map((script) => script.framework).join(', ');
    throw new ModelError(
      'usage',
      model
        ? `no script records ${model.format} files. Name the model that they were made from, or its framework with --framework: ${known}.`
        : `which framework? Name the model, or the framework with --framework: ${known}.`,
    );
  }
  const { needsShape, givesOutputsAlone, write } = goldenScripts.find((candidate) => candidate.framework === framework)!;
  if (layers && givesOutputsAlone) throw new ModelError('usage', `--layers is not for ${framework}: what runs these files gives their outputs alone.`);
  if (samples < 1) throw new ModelError('usage', 'at least one sample is needed.');
  const given = inputShape?.slice(1);
  if (given?.length === 0 || !(given ?? []).every((size): size is number => typeof size === 'number'))
    throw new ModelError('usage', 'every size behind the batch has to be a number, such as 1,3,224,224.');
  const shape = (given as readonly number[] | undefined) ?? (needsShape && model ? shapeOf(model) : null);
  if (needsShape && shape === null) throw new ModelError('usage', `a ${framework} model does not say what it takes: give --input-shape, such as 1,3,224,224.`);
  const described = framework === 'caffe' ? ['net.prototxt', path] : [path];
  // TorchScript and torch.export store the network itself.
  const isWired = framework !== 'torch' || /^(TorchScript|torch\.export)/.test(model?.details.container ?? '');
  const run = model ? shellWords([...described, 'recorded.npz', ...(isWired ? [] : ['--build', 'module:function'])]) : null;
  return { document: { schema: 'weighbridge/golden@1' as const, framework, script: write({ shape, samples, seed, layers }) }, run };
}
