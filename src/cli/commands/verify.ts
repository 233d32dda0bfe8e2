/** `weighbridge verify`: a converted file against its source, or against recorded outputs. */
import { type Command, Option } from 'commander';
import { closingOnError } from '../../bytes/closing.js';
import { ModelError } from '../../errors.js';
import { companionsOf, openFiles } from '../../node/open-files.js';
import { checkOneOrigin, shownName } from '../../node/remote/location.js';
import { ofOther, openSource } from '../../node/source.js';
import { type VerificationOptions, verifyOpened } from '../../node/verify-files.js';
import type { Watching } from '../../node/watching.js';
import { isGood } from '../../report/verdict.js';
import type { PlacedFault } from '../../verify/options.js';
import { checkBisectFolder, writeBisected } from '../bisected.js';
import { commandHost } from '../engine-host.js';
import { addSourceOptions, type CommonFlags, modelsNamed, parsePositive, parsePreparation, parseWhole, type SourceFlags } from '../options.js';
import { makeVoice } from '../print.js';
import { printReport } from '../print-report.js';
import { startProgress, watching } from '../progress.js';
import { addReportOptions, planReports, type ReportFlags } from '../report-files.js';

/** What the library takes, with paths where it takes arrays too. */
export interface VerifyFlags extends ReportFlags, Omit<VerificationOptions, 'golden' | 'inputs' | 'hashes' | 'host' | keyof Watching> {
  readonly golden?: string;
  readonly inputs?: string;
}

/** How both sides are run and compared; shared with `convert`. */
export function addVerifyOptions(command: Command): Command {
  command
    .optionsGroup('Verification:')
    .addOption(
      new Option('--golden <file.npz>', 'recorded inputs and outputs of the original framework: arrays input and output, or input:<name> and output:<name>'),
    )
    .addOption(
      new Option('--inputs <file|folder>', 'inputs to use instead of generated ones: .npy, .npz by input name, or a picture (PNG, JPEG) or a folder of them'),
    )
    .addOption(new Option('--samples <count>', 'how many inputs to generate').argParser(parseWhole))
    .addOption(new Option('--seed <number>', 'seed of the generated inputs').argParser(parseWhole))
    .addOption(new Option('--engine <name>', 'engine that runs the written file (see: weighbridge engines)'))
    .addOption(
      new Option(
        '--device <device>',
        'what the written file runs on; gpu: the whole net on a GPU, or failure; auto: a hardware GPU where there is one',
      ).choices(['auto', 'cpu', 'gpu']),
    )
    .addOption(new Option('--layers', 'also compare what each layer makes, and name the first that differs'))
    .addOption(new Option('--first', 'with --layers (which it implies): stop at the first layer that differs'))
    .addOption(new Option('--require-witness', 'fail (exit code 1) where no independent witness takes part: recorded outputs, or a runtime on the original'))
    .addOption(new Option('--atol <number>', 'absolute tolerance').argParser(parsePositive))
    .addOption(new Option('--rtol <number>', "tolerance relative to an output's largest value").argParser(parsePositive));
  return addReportOptions(command);
}

/** @param pictures the option that names them */
export function preprocessOption(pictures = '--inputs'): Option {
  return new Option(
    '--preprocess <settings>',
    `how pictures of ${pictures} are prepared, where it is not as usual: mean=..., std=... or scale=..., range=1, order=bgr, resize=256 (the shorter side) or stretch, filter=bicubic, antialias=no, crop=224`,
  ).argParser(parsePreparation);
}

export function registerVerify(program: Command): Command {
  const command = program
    .command('verify <expected> [actual]')
    .description('run a model and its conversion, or any two files that can be run, or one file with --golden, and compare what they predict');
  addSourceOptions(command);
  addVerifyOptions(command);
  command.addOption(preprocessOption());
  command.addOption(new Option('--bisect <folder>', 'where the two differ: write the smallest files that still show it, for a bug report'));
  return command.action(async (first: string, second: string | undefined, named: CommonFlags & SourceFlags & VerifyFlags & { readonly bisect?: string }) => {
    const { models, flags } = modelsNamed(second === undefined ? [first] : [first, second], named);
    const [expected, given] = models as readonly [string, string?];
    const voice = makeVoice(flags);
    if (given === undefined && flags.golden === undefined)
      throw new ModelError('usage', `what is ${shownName(expected)} to be compared with? Name a second file, or recorded outputs with --golden.`);
    const actual = given ?? expected;
    if (flags.labels !== undefined && flags.report === undefined)
      throw new ModelError('usage', '--labels names classes in an HTML report, and no --report asks for one.');
    if (flags.bisect !== undefined) await checkBisectFolder(flags.bisect);
    checkOneOrigin([expected, actual], flags.tokenEnv);
    const reports = await planReports(flags, [expected, actual, ...companionsOf(flags)]);
    const progress = startProgress(voice);
    const source = await openFiles(expected, { ...flags, ...watching(progress) });
    const target = await closingOnError(source.files, () => openSource(actual, { ...ofOther(flags), ...watching(progress) }));
    try {
      const placed: PlacedFault[] = [];
      const onPlaced = (fault: PlacedFault) => void placed.push(fault);
      const { report, model, map, written } = await verifyOpened(
        source,
        target,
        { ...flags, ...watching(progress), host: commandHost(), hashes: isKept(flags), isAlone: given === undefined },
        { ...reports.hooks, ...(flags.bisect === undefined ? {} : { onPlaced }), onRead: reports.nameClasses },
      );
      progress.stop();
      if (voice.asJson) voice.json(report);
      else printReport(voice.say, report, voice.verbose, flags.bisect !== undefined);
      if (!isGood(report)) process.exitCode = 1;
      else if (flags.report === undefined)
        voice.next(
          [
            'verify',
            ...(given === undefined ? [expected] : [expected, given]).map(shownName),
            ...(flags.golden === undefined ? [] : ['--golden', flags.golden]),
            '--report',
            'report.html',
          ],
          'makes a page of it to show',
        );
      if (flags.bisect !== undefined && report.verdict !== 'match')
        await writeBisected(voice, flags.bisect, { map, target: written, placed: placed[0] ?? null });
      const subject = { expected: shownName(expected), actual: shownName(actual), architecture: map?.architecture?.name ?? null };
      const keep = [expected, actual, ...companionsOf(flags), ...(source.files.openedPaths?.() ?? []), ...target.openedPaths()];
      await reports.write(voice, report, { subject, model, map, target: { path: target.path, format: written.format }, keep });
    } finally {
      progress.stop();
      await source.files.close();
      await target.close();
    }
  });
}

/** Whether the report outlives what is printed. */
export function isKept({ json, report }: CommonFlags & VerifyFlags): boolean {
  return json === true || (report ?? []).length > 0;
}
