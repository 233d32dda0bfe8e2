/** `weighbridge report merge`: evaluations of parts of a data set, put together exactly. */
import { type Command, Option } from 'commander';
import { type EvaluationDocument, mergeEvaluations, missingShards, parseEvaluation } from '../../evaluate/document.js';
import { listed } from '../../words.js';
import { expandPaths, isPattern } from '../many/expand.js';
import { type CommonFlags, parseShare } from '../options.js';
import { makeVoice } from '../print.js';
import { printEvaluation, unmet } from '../print-evaluation.js';
import { documentOf, readText, writeText } from '../text-file.js';

interface MergeFlags extends CommonFlags {
  readonly output?: string;
  readonly minTop1?: number;
  readonly minAgreement?: number;
}

export function registerReport(program: Command): Command {
  const command = program.command('report').description('what was written before: merge puts evaluations of parts together');
  const merge = command
    .command('merge <evaluations...>')
    .description('put evaluations of parts of one data set together (weighbridge evaluate --shard i/n -o part.json); the sums are exact')
    .addOption(new Option('-o, --output <file.json>', 'write the document'))
    .addOption(new Option('--min-top1 <share>', 'exit code 1 where fewer are right').argParser(parseShare))
    .addOption(new Option('--min-agreement <share>', 'exit code 1 where both nets agree on fewer').argParser(parseShare))
    .action(async (named: readonly string[]) => {
      // --json and its like belong to the command above.
      const flags = merge.optsWithGlobals<MergeFlags>();
      const voice = makeVoice(flags);
      // A part that is named twice is counted twice, and refused for it.
      const paths = (await Promise.all(named.map((path) => (isPattern(path) ? expandPaths([path]) : [path])))).flat();
      const document = mergeEvaluations(await Promise.all(paths.map(readEvaluation)));
      const replacing = { keep: paths, earlier: documentOf('evaluation', 'evaluation') };
      if (flags.output !== undefined) await writeText(flags.output, `${JSON.stringify(document, null, 2)}\n`, replacing);
      if (voice.asJson) voice.json(document);
      else printEvaluation(voice.say, document);
      const missing = missingShards(document);
      const missed = [
        ...(missing.length > 0 ? [`parts are missing: ${listed(missing.map(String), MOST_PARTS)} of ${document.shards[0]?.of}`] : []),
        ...unmet(document, flags),
      ];
      for (const sentence of missed) voice.warn(sentence);
      if (missed.length > 0 || document.failed.length > 0) process.exitCode = 1;
      else if (flags.output === undefined) voice.next(['report', 'merge', ...paths, '-o', 'evaluation.json'], 'keeps the whole');
    });
  merge.exitOverride();
  return command;
}

const MOST_PARTS = 50;
/** Of one with a confusion matrix of 1,000 classes and the names of all that failed. */
const MAX_BYTES = 2 ** 28;

async function readEvaluation(path: string): Promise<EvaluationDocument> {
  return parseEvaluation(await readText(path, MAX_BYTES, 'evaluation'), path);
}
