/** The verdict in a line: what was found, on whose word, and of how much. */
import { describeClaims } from '../model/claims.js';
import { describeBriefly } from '../verify/agreement.js';
import { describeFar, isSameNet } from '../verify/loss.js';
import type { QuantisationReport, Report, Verdict } from '../verify/report.js';
import { formatBound, formatCount, formatNumber, formatTimes } from './numbers.js';

/** What the verdict is called; `nothing-compared` is said of a model of which not all outputs were compared, too. */
export function verdictWord({ verdict, compared }: Report): string {
  return verdict === 'nothing-compared' && compared.values > 0 ? 'not all compared' : WORDS[verdict];
}

const WORDS: Readonly<Record<Verdict, string>> = { match: 'match', mismatch: 'mismatch', disputed: 'disputed', 'nothing-compared': 'nothing compared' };

/** Whether a match rests on our own word alone where an independent one was asked for. */
export function lacksWitness({ witness, witnessRequired }: Report): boolean {
  return witnessRequired && !witness.independent;
}

/** Whether a job may go on. */
export function isGood(report: Report): boolean {
  return report.verdict === 'match' && !lacksWitness(report);
}

/** What is said where an independent witness is lacking. */
export const NO_WITNESS = 'no independent witness took part, and one is required: recorded outputs (weighbridge golden, --golden) are one';

/**
 * Whose word a verdict is: 'independent: recorded outputs', 'own reading of the source'; whether the file itself was run by us, too; and which
 * independent witness refused before it.
 */
export function onWhoseWord({ witness, engines }: Report): string {
  const engine = engines.expected.split(' (')[0]!;
  const ranByUs = witness.kind !== 'weights' && /^(evaluator|reference)\b/.test(engines.actual);
  const ofFile = ranByUs ? '; own reading of the file' : '';
  const own = {
    recorded: `independent: recorded outputs${ofFile}`,
    runtime: `independent: ${engine} on the original${ofFile}`,
    reference: ranByUs ? 'own reading of both files' : 'own reading of the source',
    weights: 'own reading of the source, weights alone',
  }[witness.kind];
  return witness.refused.length > 0
    ? `${own}; not ${witness.refused.join(', ')}, which would be ${witness.independent ? 'another' : 'an independent'} witness`
    : own;
}

/** What is said behind the verdict: within which bound, or what was not. */
export function verdictSentence(report: Report): string {
  const { verdict, inputs, tolerance, compared, outputs } = report;
  const within = inputs.kind === 'none' ? 'as in the source' : `within ${formatBound(tolerance)}`;
  if (verdict === 'nothing-compared') {
    const missing = outputs.filter((output) => output.compared === 0).map(({ name }) => `"${name}"`);
    const rest = missing.length > 0 ? `: not ${missing.join(', ')}` : '';
    return compared.values === 0 ? 'no value of any output could be compared' : `${compared.outputs} of ${compared.of} outputs were compared${rest}`;
  }
  if (verdict === 'disputed') {
    const engine = report.engines.expected.split(' (')[0]!;
    return `${engine} differs, and our own evaluator of the source and the written file's runtime agree with each other ${within}`;
  }
  const loss = report.quantisation;
  const isLikeFloat16 = loss !== null && isExcusedByFloat16(loss);
  if (loss && verdict === 'match' && (isLikeFloat16 || loss.lossJudgedBy !== 'bound')) {
    const far =
      loss.loss && !loss.loss.outputs.every(isSameNet) ? `, though on them its outputs are far from the source's (${describeFar(loss.loss.outputs)})` : '';
    const cost = isLikeFloat16
      ? `and moves outputs in proportion to what float16 does to this net (${formatTimes(loss.ofFloat16!)} times as far), which is sensitive to rounding`
      : loss.lossJudgedBy === 'predictions'
        ? 'and predicts as the source does'
        : `and what that costs in predictions these inputs do not tell${far}`;
    const claims = report.weights?.claims;
    const whose = claims ? `made of the source's so that ${describeClaims(claims)}, as it says itself` : "the source's, narrowed";
    return `the file computes what its weights say, which are ${whose} (${loss.methods.join(', ')}), ${cost}${inHalf(report)}`;
  }
  if (isJudgedByLoss(report)) {
    const found = loss!.agreement && loss!.lossJudgedBy === 'predictions' ? describeBriefly(loss!.agreement) : describeFar(loss!.loss!.outputs);
    return `the narrowed weights (${loss!.methods.join(', ')}) predict otherwise: ${found}`;
  }
  const isBeyondValues = verdict === 'mismatch' && inputs.kind !== 'none' && outputs.every(({ passed }) => passed);
  const promise = report.interface.find(({ judged }) => judged) ?? report.trials.find(({ passed }) => passed === false);
  const first = report.firstDifference;
  if (isBeyondValues && !promise && first) return `every value of the outputs is ${within}, but ${first.message}`;
  if (isBeyondValues && promise) return `every value of single inputs is ${within}, but ${promise.message}`;
  const all =
    verdict === 'match' && compared.of > 0 ? ` of ${compared.of === 1 ? 'the output' : `all ${compared.of} outputs`} (${formatCount(compared.values)})` : '';
  const error = besideLimit(report);
  return `${verdict === 'match' ? `every value${all}` : 'not every value'} ${within}${error && `; ${error}`} (${tolerance.why})${inHalf(report)}`;
}

/** Whether values are beyond the bound, and let be because float16 moves them as well. */
export function isExcusedByFloat16({ loss, lossJudgedBy, ofFloat16 }: QuantisationReport): boolean {
  return lossJudgedBy === 'bound' && ofFloat16 !== null && loss?.passed === true && loss.outputs.some(({ passed }) => !passed);
}

/** Whether what narrower weights cost, and no bound on values, speaks against a file. */
export function isJudgedByLoss({ verdict, quantisation }: Report): boolean {
  return verdict === 'mismatch' && quantisation?.loss?.passed === false && quantisation.lossJudgedBy !== 'bound';
}

/** Of a file that computes in float16: whether that is enough, which the runtime that ran it need not show. */
function inHalf({ trials }: Report): string {
  const trial = trials.find(({ kind }) => kind === 'float16');
  return trial ? `; ${trial.message}` : '';
}

/** The same, to be read at a glance: the largest error against its limit, and why that is the limit left out. */
export function verdictGlance(report: Report): string {
  const { verdict, quantisation, outputs } = report;
  // Of weights that say themselves how they were made the whole is told.
  const narrowed = verdict === 'match' && quantisation && !report.weights?.claims ? narrowedGlance(quantisation) : null;
  if (narrowed) return `${narrowed}${inHalf(report)}`;
  const isPlain = verdict === 'match' ? !quantisation : verdict === 'mismatch' && outputs.some(({ passed }) => !passed);
  const error = isJudgedByLoss(report) || quantisation?.lossJudgedBy === 'predictions' ? '' : besideLimit(report);
  return isPlain && error !== '' ? error : verdictSentence(report);
}

/** What is said of narrowed weights that match; null where a bound on values judged them. */
function narrowedGlance(narrowed: QuantisationReport): string | null {
  const { methods, loss, lossJudgedBy, ofFloat16 } = narrowed;
  const stored = methods.join(', ');
  if (isExcusedByFloat16(narrowed))
    return `the file computes what its narrowed weights say (${stored}), and moves outputs ${formatTimes(ofFloat16!)} times as far as float16 does`;
  if (lossJudgedBy === 'bound') return null;
  if (lossJudgedBy === 'predictions') return `the file predicts as the source does, with narrowed weights (${stored})`;
  const far = loss && !loss.outputs.every(isSameNet) ? `, and on them outputs are far off (${describeFar(loss.outputs)})` : '';
  return `the file computes what its narrowed weights say (${stored}); these inputs do not tell what that costs in predictions${far}`;
}

/** The limit, and where it comes from. */
export function limitSentence({ tolerance }: Report): string {
  return `${formatBound(tolerance)}: ${tolerance.why}`;
}

/** The largest error beside what is allowed at its place; nothing where nothing was run, or an error is not finite. */
function besideLimit({ outputs, compared }: Report): string {
  const [worst] = [...outputs].sort((a, b) => b.ofAllowed - a.ofAllowed);
  if (!worst || compared.values === 0 || !Number.isFinite(worst.ofAllowed)) return '';
  if (worst.ofAllowed === 0) return 'no error at all';
  const times = worst.ofAllowed > 1 ? `${formatTimes(worst.ofAllowed)} times beyond` : `${formatTimes(1 / worst.ofAllowed)} times below`;
  return `largest error ${formatNumber(worst.maxAbsolute)}, ${times} the limit`;
}

/** Words as the beginning of a sentence. */
export function capitalise(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}
