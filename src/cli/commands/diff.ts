/** `weighbridge diff`: two models of any formats, tensor by tensor. */
import { type Command, Option } from 'commander';
import { closingOnError } from '../../bytes/closing.js';
import { diffFiles } from '../../diff/diff.js';
import { companionsOf, openFiles } from '../../node/open-files.js';
import { checkOneOrigin, shownName } from '../../node/remote/location.js';
import { addOtherOptions, addSourceOptions, type CommonFlags, type OtherFlags, otherFlags, type SourceFlags } from '../options.js';
import { makeVoice } from '../print.js';
import { printDiff } from '../print-diff.js';
import { startProgress } from '../progress.js';
import { planPage } from '../report-files.js';

interface DiffFlags extends CommonFlags, SourceFlags, OtherFlags {
  readonly all?: boolean;
  readonly html?: string;
}

export function registerDiff(program: Command): Command {
  const command = program
    .command('diff <a> <b>')
    .description('compare two models of any formats: which tensors are equal, equal after a named change, close, different or missing')
    .addOption(new Option('--all', 'list equal tensors too'))
    .addOption(new Option('--html <file>', 'also write a page with the distribution of every tensor that differs'));
  addSourceOptions(command);
  addOtherOptions(command);
  return command.action(async (a: string, b: string, flags: DiffFlags) => {
    const voice = makeVoice(flags);
    checkOneOrigin([a, b], flags.tokenEnv);
    const inputs = [a, b, ...companionsOf(flags), ...companionsOf(otherFlags(flags))];
    const page = flags.html === undefined ? null : await planPage(flags.html, inputs);
    const first = await openFiles(a, flags);
    const second = await closingOnError(first.files, () => openFiles(b, otherFlags(flags)));
    const progress = startProgress(voice);
    try {
      const document = await diffFiles(first.files, second.files, {
        a: first.options,
        b: second.options,
        histograms: voice.asJson || page !== null,
        onProgress: (done, total) => progress.bytes('comparing', done, total),
      });
      progress.stop();
      if (voice.asJson) voice.json(document);
      else printDiff(voice.say, document, flags.all === true);
      if (page) {
        const { renderDiff } = await import('../../report/html/diff.js');
        await page.write(await renderDiff(document), [...inputs, ...(first.files.openedPaths?.() ?? []), ...(second.files.openedPaths?.() ?? [])]);
        voice.tell(`page     ${flags.html}`);
      }
      if (!document.verdict.equal) process.exitCode = 1;
      const both = [shownName(a), shownName(b)];
      if (document.verdict.equal) voice.next(['verify', ...both], 'runs both, and compares what they predict');
      else if (!page) voice.next(['diff', ...both, '--html', 'diff.html'], 'draws how the values of each tensor moved');
    } finally {
      progress.stop();
      await first.files.close();
      await second.files.close();
    }
  });
}
